"""The journal of a session in a bucket: what an append has left is found, a gap hides nothing, few requests."""

from __future__ import annotations

import asyncio
import pickle
import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ipld_castore import (
    BackendUnavailableError,
    Entry,
    FileSystemCAStore,
    Journal,
    MappingCAStore,
    ObjectCAStore,
    SupportsJournal,
    TieredCAStore,
)
from ipld_castore._object.options import open_store
from ipld_castore.testing import JournalTests

from ..support.fault_proxy import Exchange, FaultProxy, right
from ..support.s3_server import S3Server

pytest.importorskip("obstore", reason="the extra object is not installed")

SESSION = "5e55"
A, B = "aa", "bb"


def journals(castore: ObjectCAStore) -> SupportsJournal:
    assert isinstance(castore, SupportsJournal)
    return castore


@pytest.fixture(params=["s3", "folder"])
def castore(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectCAStore:
    """A bucket of a real server; and a folder under obstore, which has the folder's journal."""
    if request.param == "folder":
        from obstore.store import LocalStore

        return ObjectCAStore(LocalStore(tmp_path, mkdir=True), prefix="some/where")
    s3 = request.getfixturevalue("atomic_s3")
    return ObjectCAStore.from_url(f"s3://{request.getfixturevalue('bucket')}/some/where", **s3.options())


class TestObjectJournal(JournalTests):
    exchanges, appends = 10, 50

    @pytest.fixture
    def castore(self, castore: ObjectCAStore) -> SupportsJournal:
        return journals(castore)

    def test_the_bucket_lists_no_block(self, castore: SupportsJournal, journal: Journal) -> None:
        """Records and states are objects beside the blocks."""
        journal.append(A, 1, [b"one"])
        assert isinstance(castore, ObjectCAStore)
        assert list(castore) == []


@pytest.fixture
def in_bucket(atomic_s3: S3Server, bucket: str, s3_proxy: FaultProxy) -> Journal:
    """A journal in a bucket behind a proxy that keeps a record."""
    castore = ObjectCAStore.from_url(f"s3://{bucket}", **atomic_s3.options(s3_proxy.url))
    made = journals(castore).journal(SESSION)
    assert made.exchange(None, b"begun")
    s3_proxy.requests.clear()
    return made


@pytest.fixture
def reader(atomic_s3: S3Server, bucket: str, s3_proxy: FaultProxy) -> Journal:
    """The same journal, as another process has it: one that appends nothing."""
    return journals(ObjectCAStore.from_url(f"s3://{bucket}", **atomic_s3.options(s3_proxy.url))).journal(SESSION)


def test_which_stores_have_journals(castore: ObjectCAStore) -> None:
    from obstore.store import HTTPStore, MemoryStore

    copy = pickle.loads(pickle.dumps(castore))  # noqa: S301  # our own
    for store in (castore, copy, TieredCAStore(MappingCAStore(), castore)):
        assert isinstance(store, SupportsJournal)
    assert type(copy).__name__ == "ObjectCAStore"
    for without in (ObjectCAStore(MemoryStore()), ObjectCAStore(HTTPStore("http://127.0.0.1:1/"))):
        assert not isinstance(without, SupportsJournal)
        assert not hasattr(without, "journal")
        assert not isinstance(TieredCAStore(MappingCAStore(), without), SupportsJournal)


def test_a_gap_ends_a_writer_until_it_is_filled(in_bucket: Journal) -> None:
    """Appends of one writer run side by side, so one can arrive before those with lower numbers."""
    assert in_bucket.is_remote
    in_bucket.append(A, 1, [b"one"])
    in_bucket.append(A, 3, [b"three"])
    in_bucket.append(B, 1, [b"b"])
    with_gap = in_bucket.mark()
    assert list(in_bucket.entries({}, with_gap)) == [Entry(A, 1, b"one"), Entry(B, 1, b"b")]
    in_bucket.delete({A: 1, B: 1})
    assert list(in_bucket.entries({A: 1, B: 1})) == []
    in_bucket.append(A, 2, [b"two"])
    assert in_bucket.mark() != with_gap
    assert list(in_bucket.entries({A: 1, B: 1})) == [Entry(A, 2, b"two"), Entry(A, 3, b"three")]


def test_an_object_that_is_damaged_ends_its_writer(atomic_s3: S3Server, bucket: str) -> None:
    castore = ObjectCAStore.from_url(f"s3://{bucket}", **atomic_s3.options())
    journal = journals(castore).journal(SESSION)
    for number in (1, 2, 3):
        journal.append(A, number, [b"record"])
    name = f".sessions/{SESSION}/{A}/{2:016d}.1"
    whole = bytes(castore.store.get(name).bytes())
    for damaged in (whole[:-1], whole[:-1] + b"?", b""):
        castore.store.put(name, damaged)
        assert list(journals(castore).journal(SESSION).entries({})) == [Entry(A, 1, b"record")]
        assert list(journal.entries({})) == [Entry(A, 1, b"record")]
    castore.store.put(name, whole)
    assert len(list(journal.entries({}))) == 3


@pytest.mark.slow
def test_what_is_known_is_deleted_and_nothing_else(
    in_bucket: Journal, reader: Journal, bucket: str, s3_proxy: FaultProxy
) -> None:
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda number: in_bucket.append(A, number, [b"%d" % number]), range(1, 1302)))
    in_bucket.append(B, 1, [b"b"])
    assert [entry.number for entry in reader.entries({})] == [*range(1, 1302), 1]
    assert s3_proxy.count("GET", bucket) == 4, "a page of all objects, writers, and what is left of each"
    assert [entry.number for entry in in_bucket.entries({})] == [*range(1, 1302), 1]
    s3_proxy.requests.clear()
    in_bucket.delete({A: 1300})
    asked = Counter(request.method for request in s3_proxy.requests)
    assert asked == {"POST": 14}, "a hundred with each, of 1,300 and of 40 that hold many; and nothing is listed"
    assert list(in_bucket.entries({A: 1300})) == [Entry(A, 1301, b"1301"), Entry(B, 1, b"b")]
    in_bucket.delete({A: 1301, B: 1})
    in_bucket.append(A, 1302, [b"next"])
    assert list(in_bucket.entries({A: 1301, B: 1})) == [Entry(A, 1302, b"next")]


def test_what_is_asked(in_bucket: Journal, reader: Journal, s3_proxy: FaultProxy) -> None:
    def asked() -> dict[str, int]:
        found = Counter("LIST" if "list-type" in each.query else each.method for each in s3_proxy.requests)
        s3_proxy.requests.clear()
        return dict(found)

    in_bucket.append(A, 1, [b"one"])
    assert asked() == {"PUT": 1}
    assert in_bucket.mark() is not None
    assert asked() == {"LIST": 1}, "of writers: what this one has appended is known"
    mark = reader.mark()
    assert asked() == {"LIST": 1}, "of all objects, while it knows of none"
    assert len(list(reader.entries({}, mark))) == 1
    assert asked() == {"GET": 1}
    assert list(in_bucket.entries({A: 1}, mark)) == []
    assert asked() == {}, "all that the mark names is known"
    assert in_bucket.state == b"begun"
    assert asked() == {"GET": 1}
    assert in_bucket.exchange(b"begun", b"on")
    assert asked() == {"PUT": 1}
    in_bucket.append(B, 1, [b"b"])
    assert asked() == {"PUT": 1}
    assert reader.stop_writers({}) == reader.mark()
    assert asked() == {"LIST": 3 + 3, "PUT": 2}, "twice: of writers, and of two of them"
    assert reader.stop_writers({}) is not None
    assert asked() == {"LIST": 3}, "what stops them is known"


def test_a_new_session_is_one_request(atomic_s3: S3Server, bucket: str, s3_proxy: FaultProxy) -> None:
    """Its state is put if there is none, without a look at whether there is one."""
    for requests, begins in ((["PUT"], True), (["PUT", "GET"], False)):
        castore = ObjectCAStore.from_url(f"s3://{bucket}", **atomic_s3.options(s3_proxy.url))
        s3_proxy.clear()
        assert journals(castore).journal("0e").exchange(None, b"begun") is begins
        assert [request.method for request in s3_proxy.requests] == requests


def test_a_look_lists_what_is_new(in_bucket: Journal, reader: Journal, s3_proxy: FaultProxy) -> None:
    """However many objects there are; those behind a gap are listed until it is filled."""
    for number in (1, 2, 3, 5):
        in_bucket.append(A, number, [b"%d" % number])
    listed: list[list[str]] = []

    async def keep(exchange: Exchange) -> None:
        answer = await exchange.forward()
        listed.append(re.findall(rf"<Key>\.sessions/{SESSION}/{A}/0*(\d+)\.1</Key>", answer.body.decode()))
        await exchange.send(answer.head + answer.body)

    def look() -> list[str]:
        listed.clear()
        s3_proxy.inject_always(keep)
        reader.mark()
        s3_proxy.clear()
        return [number for names in listed for number in names]

    assert look() == ["1", "2", "3", "5"]
    assert look() == ["5"]
    in_bucket.append(A, 4, [b"4"])
    assert look() == ["4", "5"]
    assert look() == []
    assert [entry.number for entry in reader.entries({A: 1})] == [2, 3, 4, 5]
    assert look() == []
    in_bucket.append(A, 6, [b"6", b"7"])
    assert [entry.number for entry in reader.entries({A: 5})] == [6, 7]
    assert [entry.number for entry in reader.entries({A: 6})] == [7]


def test_a_listing_that_had_begun_does_not_serve_later_callers(
    in_bucket: Journal, reader: Journal, s3_proxy: FaultProxy
) -> None:
    """Its answer was on its way when the note came."""
    answered, go_on = threading.Event(), threading.Event()

    async def hold(exchange: Exchange) -> None:
        answer = await exchange.forward()
        answered.set()
        await asyncio.to_thread(go_on.wait, 60)
        await exchange.send(answer.head + answer.body)

    s3_proxy.inject(hold)
    with ThreadPoolExecutor(21) as pool:
        first = pool.submit(reader.mark)
        assert answered.wait(60)
        in_bucket.append(A, 1, [b"one"])
        others = [pool.submit(reader.mark) for _ in range(20)]
        go_on.set()
        assert first.result() == frozenset()
        assert {other.result() for other in others} == {frozenset({(A, 1)})}


def test_writers_that_were_stopped(in_bucket: Journal, reader: Journal) -> None:
    """Their next number is taken, though theirs are deleted, or one is missing; new ones are not."""
    for number in (1, 2, 4):
        in_bucket.append(A, number, [b"%d" % number])
    in_bucket.append(B, 1, [b"b"])
    in_bucket.delete({B: 1})
    reader.stop_writers({B: 1})
    reader.stop_writers({B: 1})
    for writer, number in ((A, 3), (B, 2)):
        with pytest.raises(BackendUnavailableError, match="as when the session has ended"):
            in_bucket.append(writer, number, [b"more"])
    assert [entry.record for entry in reader.entries({B: 1})] == [b"1", b"2"]
    in_bucket.append("cc", 1, [b"new"])
    assert [entry.record for entry in reader.entries({B: 1})] == [b"1", b"2"], "it began after the call"
    assert [entry.record for entry in in_bucket.entries({B: 1})] == [b"1", b"2", b"new"]


def test_a_record_that_comes_before_what_stops_its_writer(
    in_bucket: Journal, reader: Journal, s3_proxy: FaultProxy
) -> None:
    """The put that was to stop it fails, and a look finds the record. The mark of the call has it."""
    in_bucket.append(A, 1, [b"one"])
    before = reader.mark()

    async def append_first(exchange: Exchange) -> None:
        await asyncio.to_thread(in_bucket.append, A, 2, [b"two"])
        answer = await exchange.forward()
        await exchange.send(answer.head + answer.body)

    s3_proxy.inject(append_first, when=lambda request: request.method == "PUT" and not request.body)
    mark = reader.stop_writers({})
    assert mark != before
    assert [entry.record for entry in reader.entries({}, mark)] == [b"one", b"two"]
    with pytest.raises(BackendUnavailableError, match="as when the session has ended"):
        in_bucket.append(A, 3, [b"three"])


def test_many_records_are_read_by_few_requests(in_bucket: Journal, reader: Journal, s3_proxy: FaultProxy) -> None:
    """A writer puts each 32 once more, in one object; a reader takes it, wherever it begins, and all are deleted."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: in_bucket.append(A, number, [b"%d" % number]), range(1, 63)))
    in_bucket.append(A, 63, [b"63", b"64", b"65"])
    for number in range(66, 141):
        in_bucket.append(A, number, [b"%d" % number])
    assert s3_proxy.count("PUT") == 62 + 1 + 75 + 4
    everything = [Entry(A, number, b"%d" % number) for number in range(1, 141)]
    for known, gets in ((0, 4 + 12), (30, 4 + 12), (64, 2 + 12), (128, 12)):
        s3_proxy.requests.clear()
        mark = reader.mark()
        s3_proxy.requests.clear()
        assert list(reader.entries({A: known}, mark)) == everything[known:]
        assert s3_proxy.count("GET") == gets
    reader.delete({A: 130})
    assert list(reader.entries({A: 130})) == everything[130:]
    reader.delete({A: 140})
    reader.remove()
    s3_proxy.requests.clear()
    assert list(reader.entries({})) == []


def test_no_append_in_a_loop_waits_for_an_object_of_many_records(
    in_bucket: Journal, reader: Journal, s3_proxy: FaultProxy
) -> None:
    held = asyncio.Event()

    async def hold(exchange: Exchange) -> None:
        loop.call_soon_threadsafe(held.set)
        await asyncio.to_thread(go_on.wait, 60)
        await right(exchange)

    async def run() -> None:
        appends = (in_bucket.try_append_async(A, number, b"%d" % number) for number in range(1, 33))
        assert all(await asyncio.gather(*appends))
        await asyncio.wait_for(held.wait(), 60)
        assert s3_proxy.count("PUT") == 33

    go_on, loop = threading.Event(), asyncio.new_event_loop()
    s3_proxy.inject(hold, when=lambda request: request.path.endswith(".32"))
    try:
        loop.run_until_complete(run())
        assert len(list(reader.entries({}))) == 32
    finally:
        go_on.set()
        loop.run_until_complete(asyncio.gather(*asyncio.all_tasks(loop)))
        loop.close()


def test_sessions_of_a_copy_are_none_of_it(s3: S3Server, bucket: str, tmp_path: Path) -> None:
    """Folder and bucket have the same blocks and head, each its own journals. What was copied of these is collected."""
    store = open_store(f"s3://{bucket}", s3.options())
    local, remote = FileSystemCAStore(tmp_path / "here", fsync=False), ObjectCAStore(store, prefix="there")
    for castore, place in ((local, "copied"), (remote, "back")):
        assert isinstance(castore, SupportsJournal)
        castore.put(b"a block")
        castore.flush()
        journal = castore.journal(SESSION)
        assert journal.exchange(None, b"a state")
        journal.append(A, 1, [b"a record"])
        assert list(castore.sessions()) == [SESSION]
        if place == "copied":
            for path in filter(Path.is_file, (tmp_path / "here").rglob("*")):
                store.put(f"copied/{path.relative_to(tmp_path / 'here').as_posix()}", path.read_bytes())
        else:
            for meta in [meta for page in store.list("there") for meta in page]:
                path = tmp_path / "back" / meta["path"].removeprefix("there/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(bytes(store.get(meta["path"]).bytes()))
    copied, back = ObjectCAStore(store, prefix="copied"), FileSystemCAStore(tmp_path / "back", fsync=False)
    assert list(journals(copied).sessions()) == list(back.sessions()) == []
    for castore in (copied, back):
        castore.delete_leftovers(castore.now() + 10)
    assert not [meta for page in store.list("copied/.sessions") for meta in page]
    assert not list((tmp_path / "back" / ".sessions").iterdir())
    assert list(local.sessions()) == list(journals(remote).sessions()) == [SESSION]
    remote.delete_leftovers(remote.now() + 10)
    assert [entry.record for entry in journals(remote).journal(SESSION).entries({})] == [b"a record"]
