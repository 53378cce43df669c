"""The journal of a session in a folder: nothing appended is lost, nothing torn is read, one exchange wins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from ipld_castore import BackendUnavailableError, Entry, FileSystemCAStore, Journal, MappingCAStore, SupportsJournal

SESSION = "5e55"
A, B = "aa", "bb"


@pytest.fixture
def castore(tmp_path: Path) -> FileSystemCAStore:
    return FileSystemCAStore(tmp_path / "blocks", fsync=False)


@pytest.fixture
def journal(castore: FileSystemCAStore) -> Journal:
    made = castore.journal(SESSION)
    assert made.exchange(None, b"begun")
    return made


def test_which_stores_have_journals(castore: FileSystemCAStore) -> None:
    assert isinstance(castore, SupportsJournal)
    assert not isinstance(MappingCAStore(), SupportsJournal)


def test_records_of_several_writers(castore: FileSystemCAStore, journal: Journal) -> None:
    before = journal.mark()
    journal.append(A, 1, [b"one", b"two"])
    journal.append(B, 1, [b"", bytes(5000)])
    journal.append(A, 3, [b"three"])
    assert journal.mark() != before
    assert journal.mark() == castore.journal(SESSION).mark()
    everything = [
        Entry(A, 1, b"one"),
        Entry(A, 2, b"two"),
        Entry(A, 3, b"three"),
        Entry(B, 1, b""),
        Entry(B, 2, bytes(5000)),
    ]
    for reader in (journal, castore.journal(SESSION)):
        assert list(reader.entries({})) == everything
        assert list(reader.entries({A: 2, B: 2})) == [Entry(A, 3, b"three")]
        assert list(reader.entries({})) == everything, "what one reader knows is not lost to the next"
        assert next(iter(reader.entries({A: 3}))) == Entry(B, 1, b"")
        assert list(reader.entries({A: 3})) == everything[3:], "a reader that stopped goes on from where it says"


def test_a_record_that_is_torn_is_not_read_until_it_is_whole(castore: FileSystemCAStore, journal: Journal) -> None:
    journal.append(A, 1, [b"one"])
    (file,) = (castore.path / ".sessions" / SESSION).glob("aa.*")
    whole = file.read_bytes()
    for size in range(len(whole) + 1, 2 * len(whole)):
        file.write_bytes((whole + whole)[:size])
        assert list(castore.journal(SESSION).entries({})) == [Entry(A, 1, b"one")]
    reader = castore.journal(SESSION)
    assert len(list(reader.entries({}))) == 1
    file.write_bytes(whole + whole)
    assert list(reader.entries({A: 1})) == [Entry(A, 2, b"one")]
    file.write_bytes(whole[:-1] + b"?")
    assert list(castore.journal(SESSION).entries({})) == []


def test_what_is_known_is_deleted_and_nothing_else(castore: FileSystemCAStore, journal: Journal) -> None:
    """A writer starts a new file after 1 MiB; files whose records are all known are deleted."""
    record = bytes(200_000)
    for number in range(1, 21):
        journal.append(A, number, [record])
    journal.append(B, 1, [b"b"])
    journal.delete({A: 13})
    reader = castore.journal(SESSION)
    assert [entry.number for entry in reader.entries({A: 13, B: 1})] == list(range(14, 21))
    files = sorted(path.name for path in (castore.path / ".sessions" / SESSION).glob("aa.*"))
    assert 1 < len(files) < 4
    journal.delete({A: 20, B: 1})
    journal.append(A, 21, [b"next"])
    assert [entry.number for entry in reader.entries({A: 20})] == [21, 1], "of the other writer all is given"


def test_the_state_moves_by_exchange_alone(castore: FileSystemCAStore, journal: Journal) -> None:
    other = castore.journal(SESSION)
    assert not other.exchange(None, b"also begun")
    assert not other.exchange(b"something else", b"x")
    assert other.exchange(b"begun", b"one")
    assert not journal.exchange(b"begun", b"two")
    assert journal.state == b"one"
    assert 0 <= journal.age() < 3600
    assert list(castore.sessions()) == [SESSION]
    journal.append(A, 1, [b"one"])
    journal.remove()
    assert journal.state is None
    assert list(castore.sessions()) == []
    assert not journal.exchange(b"one", b"two")
    assert list(castore.journal(SESSION).entries({})) == []
    with pytest.raises(BackendUnavailableError):
        journal.age()
    with pytest.raises(BackendUnavailableError):
        other.append(B, 1, [b"too late"])
    assert list(castore) == []


def test_one_of_many_processes_wins_an_exchange(castore: FileSystemCAStore, journal: Journal) -> None:
    """A counter that 8 processes exchange 20 times each ends at 160."""
    code = """
        import sys
        from ipld_castore import FileSystemCAStore
        journal = FileSystemCAStore(sys.argv[1], fsync=False).journal(sys.argv[2])
        for _ in range(20):
            while True:
                state = journal.state
                if journal.exchange(state, b"%d" % (int(state) + 1)):
                    break
    """
    assert journal.exchange(b"begun", b"0")
    command = [sys.executable, "-c", textwrap.dedent(code), str(castore.path), SESSION]
    processes = [subprocess.Popen(command) for _ in range(8)]
    assert [process.wait() for process in processes] == [0] * 8
    assert journal.state == b"160"


def test_a_writer_that_is_killed_has_lost_nothing_that_it_appended(
    castore: FileSystemCAStore, journal: Journal
) -> None:
    code = """
        import sys
        from ipld_castore import FileSystemCAStore
        journal = FileSystemCAStore(sys.argv[1], fsync=False).journal(sys.argv[2])
        number = 0
        while True:
            number += 1
            journal.append("cc", number, [b"%d" % number * 1000])
            print(number, flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(castore.path), SESSION]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(200):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
        told = [int(line) for line in process.stdout.read().split()]
    entries = list(journal.entries({}))
    assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
    assert len(entries) >= max(told, default=200)
    assert all(entry.record == b"%d" % entry.number * 1000 for entry in entries)
