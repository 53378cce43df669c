"""Sessions: they end with their store, are found and recovered when it died, and are collected when they are old."""

from __future__ import annotations

import asyncio
import os
import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import ipldstore
import pytest
from ipld_castore import FileSystemCAStore, Journal, MappingCAStore
from ipldstore import ConflictError, IPLDStore, IPLDStoreError, Repository, compact, recover, sessions
from ipldstore._dataset import values
from ipldstore._dataset.lifecycle import Opened
from ipldstore._writers.coordinating import CoordinatorSharing
from ipldstore._writers.coordinator import Coordinator
from multiformats import CID
from zarr.core.buffer import default_buffer_prototype

from ..support.store_samples import block_file, contents, written
from .workers.copies import Process

SOME = {"zarr.json": b"{}", "a/c/0": b"zero", "a/c/1": b"one"}
HOUR = timedelta(hours=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "folder"


def age_all(folder: Path, hours: float = 2) -> None:
    """Let everything be as old as that."""
    for path in folder.rglob("*"):
        if path.is_file():
            time = path.stat().st_mtime - hours * 3600
            os.utime(path, (time, time))


def begun(folder: Path) -> tuple[IPLDStore, IPLDStore]:
    """A store that was opened by its path, and a copy that writes in another process."""
    store = ipldstore.open(folder, "a", fsync=False)
    store.mapping.update(SOME)
    store.freeze()
    return store, Process("worker").open(pickle.dumps(store))


def die(store: IPLDStore) -> None:
    """Leave a store as a killed process leaves it: what the system closes is closed, and nothing else is done."""
    opened = store._opened
    assert isinstance(opened, Opened)
    opened._release()
    store._data.closed = True


def test_closing_takes_in_and_ends_the_session(folder: Path) -> None:
    store, copy = begun(folder)
    copy["a/c/2"] = b"two"
    store.close()
    assert contents(ipldstore.open(folder)) == SOME | {"a/c/2": b"two"}
    (session,) = sessions(folder)
    assert (session.ended, session.keys, session.root) == (True, (), ipldstore.open(folder).root_cid)
    assert contents(copy) == SOME | {"a/c/2": b"two"}, "it reads on"
    with pytest.raises(IPLDStoreError, match="closed it"):
        copy["a/c/3"] = b"three"
    assert contents(ipldstore.open(folder)) == SOME | {"a/c/2": b"two"}


def test_closing_a_store_that_nobody_opened_by_its_path_ends_the_session_too(folder: Path) -> None:
    store = written(SOME, FileSystemCAStore(folder, fsync=False))
    copy = Process("worker").open(pickle.dumps(store))
    copy["a/c/2"] = b"two"
    store.close()
    assert store["a/c/2"] == b"two"
    with pytest.raises(IPLDStoreError, match="closed it"):
        copy["a/c/3"] = b"three"
    with pytest.raises(IPLDStoreError, match="closed"):
        store["a/c/3"] = b"three"


def test_a_session_that_was_left_behind_is_found_and_recovered(folder: Path) -> None:
    store, copy = begun(folder)
    before = store.root_cid
    copy["a/c/2"] = b"two"
    del copy["a/c/0"]
    die(store)
    (session,) = sessions(folder)
    assert (session.keys, len(session.writers), session.ended) == (("a/c/0", "a/c/2"), 1, False)
    assert (session.root, ipldstore.open(folder).root_cid) == (before, before)
    root = recover(folder)
    expected = {key: data for key, data in (SOME | {"a/c/2": b"two"}).items() if key != "a/c/0"}
    assert contents(ipldstore.open(folder)) == expected
    assert root == ipldstore.open(folder).root_cid == written(expected).freeze()
    with pytest.raises(IPLDStoreError, match="closed it"):
        copy["a/c/3"] = b"three"
    with pytest.raises(ValueError, match="found 0"):
        recover(folder)
    assert recover(folder, session.name) == root, "again is no harm"


def test_a_live_coordinator_keeps_its_folder_from_being_recovered(folder: Path) -> None:
    store, _ = begun(folder)
    with pytest.raises(OSError, match="writer"):
        recover(folder)
    store.close()


def test_a_coordinator_whose_session_was_taken_over_stops_and_keeps_its_changes(folder: Path) -> None:
    castore = FileSystemCAStore(folder, fsync=False)
    store = written(SOME, castore)
    copy = Process("worker").open(pickle.dumps(store))
    store["a/c/5"] = b"five"
    copy["a/c/2"] = b"two"
    recovered = recover(castore)
    assert contents(IPLDStore(castore, root=recovered)) == SOME | {"a/c/2": b"two"}
    with pytest.raises(ConflictError, match="taken it over"):
        store.freeze()
    assert contents(store) == SOME | {"a/c/2": b"two", "a/c/5": b"five"}
    assert store.freeze() == written(SOME | {"a/c/2": b"two", "a/c/5": b"five"}).freeze()


def test_a_head_that_was_moved_meanwhile_stays(folder: Path) -> None:
    store, copy = begun(folder)
    copy["a/c/2"] = b"two"
    die(store)
    with ipldstore.open(folder, "a", fsync=False) as other:
        other["b"] = b"b"
    with pytest.raises(ConflictError, match="moved it") as caught:
        recover(folder)
    assert contents(ipldstore.open(folder)) == SOME | {"b": b"b"}
    (session,) = sessions(folder)
    assert session.root == written(SOME | {"a/c/2": b"two"}).freeze(), "what was recovered has a root"
    assert "castore.swap_head(castore.head, root)" in str(caught.value)
    castore = FileSystemCAStore(folder, fsync=False)
    castore.swap_head(castore.head, session.root)
    assert recover(folder) == session.root
    assert [session.ended for session in sessions(folder)] == [True]


def test_what_is_recovered_in_a_repository_takes_back_nothing_of_others(folder: Path) -> None:
    """It is a commit over the one that the session went on from: as a root alone it would replace what others wrote."""
    repo = Repository.create(str(folder), fsync=False)
    with repo.transaction(message="first") as store:
        store["a"] = b"1"
    session = repo.writable_session()
    copy = Process("worker").open(pickle.dumps(session.store))
    copy["w/0"] = b"zero"
    session.commit("by the coordinator")
    copy["w/1"] = b"one"
    with repo.transaction(message="by others") as store:
        store["b"] = b"2"
    session.store._data.closed = True  # as a killed process leaves it
    (left,) = sessions(folder)
    root = recover(folder)
    branch = f"recovered-{left.name[:8]}"
    assert contents(repo.readonly_session(branch).store) == {"a": b"1", "w/0": b"zero", "w/1": b"one"}
    assert repo.lookup(branch).data == root
    assert repo.lookup("main").message == "by others"
    repo.merge(branch)
    expected = {"a": b"1", "b": b"2", "w/0": b"zero", "w/1": b"one"}
    assert contents(repo.readonly_session().store) == expected
    assert recover(folder, left.name) == root, "again is no harm"
    assert contents(repo.readonly_session().store) == expected


def test_a_session_of_a_repository_that_wrote_nothing_makes_no_branch(folder: Path) -> None:
    repo = Repository.create(str(folder), fsync=False)
    session = repo.writable_session()
    pickle.dumps(session.store)
    session.store._data.closed = True
    recover(folder)
    assert list(repo.branches) == ["main"]


def test_a_conflict_is_decided_when_a_session_is_recovered(folder: Path) -> None:
    store, copy = begun(folder)
    other = Process("other").open(pickle.dumps(store))
    assert copy["a/c/0"] == other["a/c/0"] == b"zero"
    copy["a/c/0"] = b"copy"
    other["a/c/0"] = b"other"
    die(store)
    with pytest.raises(ConflictError, match="a/c/0"):
        recover(folder)
    recover(folder, on_conflict=lambda conflict: conflict.base)
    assert contents(ipldstore.open(folder)) == SOME


def test_where_there_are_no_sessions(folder: Path, tmp_path: Path) -> None:
    with ipldstore.open(folder, "a"):
        pass
    assert sessions(folder) == []
    with pytest.raises(ValueError, match="none of the name"):
        recover(folder, "ab")
    with pytest.raises(ValueError, match="SHARDING"):
        sessions(tmp_path)
    with pytest.raises(IPLDStoreError, match="journal"):
        sessions(MappingCAStore())
    with pytest.raises(ValueError, match="storage_options"):
        sessions(folder, storage_options={"region": "x"})


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("air.car", "the file .*air.car, which one process at a time writes"),
        ("https://host/air.car", "the URL of a CAR file"),
        ("bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua", r"the CID bafy.* \(ipfs://"),
        ("https://gateway.example/ipfs/bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua", "a gateway"),
        ("s3://bucket/air@main", "the version 'main'"),
        ("s3://bucket/air#ocean", "the group 'ocean'"),
    ],
)
def test_places_that_have_no_sessions(tmp_path: Path, where: str, found: str) -> None:
    """What has them is named."""
    with ipldstore.open(tmp_path / "air.car", "a"):
        pass
    place = str(tmp_path / where) if where == "air.car" else where
    verbs: list[Any] = [sessions, recover, lambda place: compact(place, HOUR)]
    for verb in verbs[:2] if where == "air.car" else verbs:
        with pytest.raises(ValueError, match=f"a folder of blocks, a bucket or an IPFS node,.* found {found}"):
            verb(place)


def test_compacting_keeps_what_a_live_session_needs(folder: Path) -> None:
    """What a note, the session's root or the head names stays, and so does what was put of late."""
    store, copy = begun(folder)
    castore = store.castore
    assert isinstance(castore, FileSystemCAStore)
    copy["a/c/2"] = b"two"
    garbage = castore.put_raw(b"garbage")
    age_all(folder)
    young = castore.put_raw(b"young")
    copy["a/c/3"] = b"three"
    assert compact(folder, HOUR)[1:] == (1, 7)
    assert garbage not in castore
    assert young in castore
    assert contents(store) == SOME | {"a/c/2": b"two", "a/c/3": b"three"}
    store.close()
    assert contents(ipldstore.open(folder)) == SOME | {"a/c/2": b"two", "a/c/3": b"three"}


def test_compacting_deletes_old_sessions_and_what_only_they_need(folder: Path) -> None:
    store, copy = begun(folder)
    copy["a/c/2"] = b"two"
    die(store)
    assert compact(folder, HOUR).freed_blocks == 0
    with pytest.raises(IPLDStoreError, match="recover"):
        compact(folder)
    assert len(sessions(folder)) == 1
    age_all(folder)
    assert compact(folder, HOUR).freed_blocks == 1
    assert sessions(folder) == []
    assert contents(ipldstore.open(folder)) == SOME
    assert compact(folder, HOUR).freed_blocks == 0
    with pytest.raises(IPLDStoreError):
        copy["a/c/3"] = b"three"


def test_compacting_alone_forgets_sessions_that_have_ended(folder: Path) -> None:
    store, copy = begun(folder)
    copy["a/c/2"] = b"two"
    store.close()
    compact(folder)
    assert sessions(folder) == []
    assert contents(ipldstore.open(folder)) == SOME | {"a/c/2": b"two"}


def test_putting_what_is_there_renews_its_age(folder: Path) -> None:
    store, _ = begun(folder)
    castore = store.castore
    assert isinstance(castore, FileSystemCAStore)
    garbage = castore.put_raw(b"again")
    age_all(folder)
    limit = castore.now() - 3600
    assert block_file(castore, garbage).stat().st_mtime < limit
    castore.put_raw(b"again")
    assert list(castore.delete_old([garbage], limit)) == []
    assert compact(folder, HOUR).freed_blocks == 0
    assert castore.get_raw(garbage) == b"again"


def test_a_set_over_a_folder_hashes_its_value_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop leaves it to the thread that writes the block."""
    _, copy = begun(folder)
    link_of = Mock(side_effect=values.link_of)
    monkeypatch.setattr(values, "link_of", link_of)
    asyncio.run(copy.set("a/c/2", default_buffer_prototype().buffer.from_bytes(b"two")))
    link_of.assert_called_once_with(b"two")


def test_what_old_is(folder: Path) -> None:
    with ipldstore.open(folder, "a", fsync=False) as store:
        store["a"] = b"a"
    castore = FileSystemCAStore(folder)
    castore.put_raw(b"garbage")
    assert compact(folder, datetime.now(UTC) - HOUR).freed_blocks == 0
    with pytest.raises(ValueError, match="time zone"):
        compact(folder, datetime.now())  # noqa: DTZ005  # what is refused
    with pytest.raises(TypeError, match="timedelta"):
        compact(folder, 3600)  # type: ignore[arg-type]  # what is refused
    assert compact(castore, datetime.now(UTC) + HOUR).freed_blocks == 1
    assert contents(ipldstore.open(folder)) == {"a": b"a"}
    with pytest.raises(FileNotFoundError):
        compact(folder.parent / "file.car", HOUR)


def test_the_state_of_a_session_moves_by_exchange(folder: Path) -> None:
    """Of two that recover one session, the one that came first is told."""
    store, copy = begun(folder)
    copy["a/c/2"] = b"two"
    castore = FileSystemCAStore(folder, fsync=False)
    (session,) = sessions(folder)
    first, second = Coordinator.recover(castore, session.name), Coordinator.recover(castore, session.name)
    assert first is not None
    assert second is not None
    second.end(store._data)
    with pytest.raises(ConflictError):
        first.end(store._data)
    assert first.is_lost
    with pytest.raises(ConflictError):
        store.close()


class _Unanswered:
    """A journal whose next exchange is done, and then interrupted."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.is_next = True

    def exchange(self, old: bytes | None, new: bytes) -> bool:
        done = self._journal.exchange(old, new)
        if self.is_next:
            self.is_next = False
            raise KeyboardInterrupt
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)


@pytest.mark.parametrize("more", [False, True])
def test_a_freeze_that_was_interrupted_is_repeated(folder: Path, monkeypatch: pytest.MonkeyPatch, more: bool) -> None:
    """The session has moved, and this process was not told: nobody else has taken it over."""
    store, copy = begun(folder)
    copy["a/c/2"] = b"two"
    sharing = store._data.sharing
    assert isinstance(sharing, CoordinatorSharing)
    coordinator = sharing.coordinator
    monkeypatch.setattr(coordinator, "_journal", _Unanswered(coordinator._journal))
    with pytest.raises(KeyboardInterrupt):
        store.freeze()
    expected = SOME | {"a/c/2": b"two"}
    if more:
        copy["a/c/3"] = expected["a/c/3"] = b"three"
    assert store.freeze() == written(expected).freeze()
    copy["a/c/4"] = b"four"
    store.close()
    assert contents(ipldstore.open(folder)) == expected | {"a/c/4": b"four"}


@pytest.mark.parametrize("more", [False, True])
def test_a_head_that_moved_before_an_interrupt_is_known(
    folder: Path, monkeypatch: pytest.MonkeyPatch, more: bool
) -> None:
    """The next freeze goes on from it: nobody else has moved it."""
    store = ipldstore.open(folder, "a", fsync=False)
    castore = store.castore
    assert isinstance(castore, FileSystemCAStore)
    swap = castore.swap_head

    def interrupted(*heads: CID) -> None:
        swap(*heads)
        monkeypatch.undo()
        raise KeyboardInterrupt

    store.mapping.update(SOME)
    store.freeze()
    store["a/c/2"] = b"two"
    monkeypatch.setattr(castore, "swap_head", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.freeze()
    expected = SOME | {"a/c/2": b"two"}
    if more:
        store["a/c/3"] = expected["a/c/3"] = b"three"
    root = store.freeze()
    assert castore.head == root == written(expected).freeze()
