"""The journal of a session in a folder: nothing appended is lost, nothing torn is read, one exchange wins."""

from __future__ import annotations

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
