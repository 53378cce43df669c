"""The journal of a session in a folder: nothing appended is lost, nothing torn is read, one exchange wins."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from ipld_castore import BackendUnavailableError, Entry, FileSystemCAStore, Journal, MappingCAStore, SupportsJournal
from ipld_castore.testing import JournalTests

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


class TestFolderJournal(JournalTests):
    @pytest.fixture
    def castore(self, castore: FileSystemCAStore) -> SupportsJournal:
        return castore


def test_a_store_in_memory_has_no_journals() -> None:
    assert not isinstance(MappingCAStore(), SupportsJournal)


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


def test_a_writer_of_a_session_that_was_removed(castore: FileSystemCAStore, journal: Journal) -> None:
    """It is told so, and the folder has nothing of the session."""
    other = castore.journal(SESSION)
    journal.append(A, 1, [b"one"])
    journal.remove()
    with pytest.raises(BackendUnavailableError):
        other.append(B, 1, [b"too late"])
    assert list(castore) == []
    assert not list((castore.path / ".sessions").glob("*"))


def test_a_journal_that_cannot_be_used(castore: FileSystemCAStore, journal: Journal) -> None:
    """Trouble with the disk is an error of each verb, neither an empty journal nor an absent session."""
    journal.append(A, 1, [b"one"])
    folder = castore.path / ".sessions" / SESSION
    (record,) = folder.glob(f"{A}.*")
    record.unlink()
    record.mkdir()
    with pytest.raises(BackendUnavailableError, match="cannot read the journal"):
        list(castore.journal(SESSION).entries({}))
    state = next(each for each in folder.iterdir() if each.name == "state")
    state.unlink()
    state.mkdir()
    for verb in (lambda: journal.state, lambda: journal.exchange(b"begun", b"on"), journal.remove):
        with pytest.raises(BackendUnavailableError, match=str(folder)):
            verb()


def test_a_file_in_the_place_of_a_journal(castore: FileSystemCAStore, journal: Journal) -> None:
    folder = castore.path / ".sessions" / SESSION
    shutil.rmtree(folder)
    folder.write_bytes(b"")
    verbs: list[Callable[[], object]] = [
        lambda: list(journal.entries({})),
        journal.mark,
        lambda: journal.delete({A: 1}),
        lambda: journal.append(A, 1, [b"one"]),
        lambda: journal.exchange(None, b"begun"),
        lambda: journal.state,
        journal.remove,
        journal.age,
    ]
    for verb in verbs:
        with pytest.raises(BackendUnavailableError, match=str(folder)):
            verb()
    shutil.rmtree(folder.parent, ignore_errors=True)
    folder.parent.unlink(missing_ok=True)
    folder.parent.write_bytes(b"")
    with pytest.raises(BackendUnavailableError, match="cannot list the sessions"):
        list(castore.sessions())


def test_a_full_disk(castore: FileSystemCAStore, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record of which only a part was written is not read; another writer goes on."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[: len(data) // 2]))
    with pytest.raises(BackendUnavailableError, match="the disk took fewer"):
        journal.append(A, 1, [b"one" * 100])
    monkeypatch.undo()
    journal.append(B, 1, [b"b"])
    assert list(castore.journal(SESSION).entries({})) == [Entry(B, 1, b"b")]


def test_records_that_are_written_through(tmp_path: Path) -> None:
    """With ``fsync`` too."""
    journal = FileSystemCAStore(tmp_path).journal(SESSION)
    assert journal.exchange(None, b"begun")
    journal.append(A, 1, [b"one"])
    journal.append(A, 2, [b"two"])
    assert [entry.record for entry in FileSystemCAStore(tmp_path).journal(SESSION).entries({})] == [b"one", b"two"]
