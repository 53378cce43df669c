"""Writers in other processes over a bucket: what they ask, what they wait for, and that nothing noted is lost."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import ipldstore
import pytest
from ipldstore import FileSystemCAStore, IPLDStore, IPLDStoreError, ObjectCAStore, TieredCAStore
from ipldstore._dataset import pickling
from ipldstore._writers import copies as copies_module

from ...support.processes import FRESH
from ...support.store_samples import contents
from ..workers import buckets as workers
from ..workers.buckets import copy_elsewhere, right

pytest.importorskip("obstore", reason="the extra object is not installed")

KEYS = [f"a/c/{number}" for number in range(40)]


def expected(values: dict[str, bytes]) -> Any:
    """Return the root that one process gives the values."""
    store = IPLDStore()
    for key, value in values.items():
        store[key] = value
    return store.freeze()


@pytest.fixture
def castore(atomic_s3: Any, bucket: str, s3_proxy: Any) -> ObjectCAStore:
    """An empty bucket behind the proxy that keeps a record."""
    return ObjectCAStore.from_url(f"s3://{bucket}/air", **atomic_s3.options(s3_proxy.url))


def asked(proxy: Any) -> Counter[str]:
    """Return what was asked since the last call: verbs, with what they are for."""
    ends = {"state": "state", "HEAD": "head", "SHARDING": "rule"}

    def kind(request: Any) -> str:
        if "list-type" in request.query:
            return "LIST"
        last = request.path.rpartition("/")[2]
        end = ends.get(last) or ("note" if "/.sessions/" in request.path else "block")
        return f"{request.method} {end}"

    found = Counter(map(kind, proxy.requests))
    proxy.requests.clear()
    return found


def test_a_process_that_never_pickles_asks_nothing_more(castore: ObjectCAStore, s3_proxy: Any) -> None:
    """No LIST, HEAD or note for a chunk; a read-only view is no pickle."""
    store = IPLDStore(castore)
    for key in KEYS:
        store[key] = key.encode()
    view = store.with_read_only(True)
    assert view[KEYS[3]] == KEYS[3].encode()
    root = store.freeze()
    found = asked(s3_proxy)
    assert set(found) <= {"PUT block", "GET block", "PUT rule", "GET rule"}
    assert found["PUT block"] <= len(KEYS) + 10
    assert root == expected({key: key.encode() for key in KEYS})


def test_what_a_copy_asks(castore: ObjectCAStore, s3_proxy: Any) -> None:
    """A set is a block and a note, and a look at the session that several share; reading looks once for a pickle."""
    store = IPLDStore(castore)
    store["a/c/none"] = b"0"
    copy = copy_elsewhere(store)
    asked(s3_proxy)
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda key: copy.__setitem__(key, key.encode()), KEYS))
    found = asked(s3_proxy)
    assert found["PUT block"] == len(KEYS)
    assert found["PUT note"] == len(KEYS) + 1, "and one that has the first 32 together"
    assert found["GET state"] <= 11, "of the first sets, which ran side by side"
    assert found["LIST"] == 1
    for key in KEYS:
        assert copy[key] == key.encode()
    found = asked(s3_proxy)
    assert set(found) <= {"GET block"}, "its own notes are known to it"
    assert contents(store) == {"a/c/none": b"0"} | {key: key.encode() for key in KEYS}
    assert asked(s3_proxy)["GET note"] == 1 + len(KEYS) - 32
    assert store.freeze() == expected(contents(store))


def test_what_a_session_asks_before_and_after_its_writers(atomic_s3: Any, bucket: str, s3_proxy: Any) -> None:
    """Each is a round on the way to a server, or beside another one. No object is read before it is put."""
    options = atomic_s3.options(s3_proxy.url)
    store = ipldstore.open(f"s3://{bucket}/air", "x", storage_options=options)
    asked(s3_proxy)
    store["a/c/none"] = b"0"
    pickled = pickle.dumps(store)
    assert asked(s3_proxy) == {"PUT rule": 1, "PUT block": 2, "PUT state": 1}
    copies = []
    for _ in range(2):
        with mock.patch.object(pickling, "process_id", return_value="another"):
            copies.append(pickle.loads(pickled))  # noqa: S301  # our own
        copies_module._writers.value.by_session.clear()  # each is of a process of its own
    assert asked(s3_proxy) == {"GET block": 2}
    for number, copy in enumerate(copies):
        copy[f"a/c/{number}"] = b"%d" % number
    asked(s3_proxy)
    store.close()
    assert asked(s3_proxy) == {
        "PUT state": 3,
        "LIST": 1 + 3,
        "PUT note": 2,
        "GET note": 2,
        "HEAD block": 2,
        "PUT block": 1,
        "PUT head": 1,
        "POST block": 1,
    }, "ended, root, done; all objects, then writers and both of them; what stops each; deleted by one request"
    with ipldstore.open(f"s3://{bucket}/air", storage_options=options) as found:
        assert contents(found) == {"a/c/none": b"0", "a/c/0": b"0", "a/c/1": b"1"}


def test_the_coordinator_sees_a_note_as_soon_as_its_set_has_returned(castore: ObjectCAStore) -> None:
    store = IPLDStore(castore)
    copy = copy_elsewhere(store)
    for key in KEYS[:5]:
        assert key not in store
        copy[key] = b"1"
        assert store[key] == b"1"
        store[key] = b"2"
        copy = copy_elsewhere(store)
        assert copy[key] == b"2"


@pytest.mark.parametrize("change", ["nothing", "written", "deleted", "damaged"])
def test_the_coordinator_looks_beside_its_read(castore: ObjectCAStore, s3_proxy: Any, change: str) -> None:
    """The LIST and the GET are under way at once; the GET is repeated if a note has come."""
    store = IPLDStore(castore)
    store[KEYS[0]] = b"first"
    first = castore.put_raw(b"first")
    copy = copy_elsewhere(store)
    if change == "written":
        copy[KEYS[0]] = b"second"
    elif change in ("deleted", "damaged"):
        del copy[KEYS[0]]
    if change == "damaged":
        castore.delete_block(first)
    got = threading.Event()

    async def tell(exchange: Any) -> None:
        answer = await exchange.forward()
        got.set()
        await exchange.send(answer.head + answer.body)

    async def wait(exchange: Any) -> None:
        assert await asyncio.to_thread(got.wait, 60)
        await right(exchange)

    def is_block(request: Any) -> bool:
        return bool(request.method == "GET" and request.path.endswith(".data"))

    asked(s3_proxy)
    s3_proxy.inject(wait, when=lambda request: "list-type" in request.query)
    s3_proxy.inject(tell, when=is_block)
    found = store.mapping.get(KEYS[0])
    assert got.is_set()
    assert found == {"nothing": b"first", "written": b"second"}.get(change)
    requests = asked(s3_proxy)
    assert requests["LIST"] == 1
    assert requests["GET block"] == (2 if change == "written" else 1)
    assert store.freeze() == expected({} if found is None else {KEYS[0]: found})


def test_a_set_waits_for_its_own_block(castore: ObjectCAStore, s3_proxy: Any) -> None:
    """A note that has overtaken its block is left alone, and kept in the state of the session; those after it count."""
    store = IPLDStore(castore)
    copy = copy_elsewhere(store)
    copy["a/c/first"] = b"first"
    held, go_on = threading.Event(), threading.Event()

    async def hold(exchange: Any) -> None:
        held.set()
        await asyncio.to_thread(go_on.wait, 60)
        await right(exchange)

    s3_proxy.inject(hold, when=lambda request: request.method == "PUT" and request.body == b"late")
    noted = threading.Semaphore(0)

    async def count(exchange: Any) -> None:
        await right(exchange)
        noted.release()

    s3_proxy.inject(count, 2, when=lambda request: request.method == "PUT" and "/.sessions/" in request.path)
    with ThreadPoolExecutor(2) as pool:
        late = pool.submit(copy.__setitem__, "a/c/late", b"late")
        assert held.wait(60)
        assert noted.acquire(timeout=60)
        after = pool.submit(copy.__setitem__, "a/c/after", b"after")
        assert noted.acquire(timeout=60)
        after.result(60)
        assert "a/c/late" not in store
        assert sorted(store) == ["a/c/after", "a/c/first"]
        assert store.freeze() == expected({"a/c/first": b"first", "a/c/after": b"after"})
        assert [each.keys for each in ipldstore.sessions(castore)] == [("a/c/late",)]
        other = copy_elsewhere(store)
        assert not late.done()
        go_on.set()
        late.result(60)
    copies = [copy, other, copy_elsewhere(store)]
    assert [copy["a/c/late"] for copy in copies] == [b"late"] * 3
    assert sorted(store) == ["a/c/after", "a/c/first", "a/c/late"]
    assert store.freeze() == expected({"a/c/first": b"first", "a/c/late": b"late", "a/c/after": b"after"})


def test_a_session_with_a_late_note_is_recovered(castore: ObjectCAStore, s3_proxy: Any) -> None:
    """Its coordinator has deleted the record, and the state of the session has the note."""
    store = IPLDStore(castore)
    copy = copy_elsewhere(store)
    copy["a/c/first"] = b"first"
    noted, go_on = threading.Event(), threading.Event()

    async def hold(exchange: Any) -> None:
        await asyncio.to_thread(go_on.wait, 60)
        await right(exchange)

    async def note(exchange: Any) -> None:
        await right(exchange)
        noted.set()

    s3_proxy.inject(hold, when=lambda request: request.method == "PUT" and request.body == b"late")
    s3_proxy.inject(note, when=lambda request: request.method == "PUT" and "/.sessions/" in request.path)
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(copy.__setitem__, "a/c/late", b"late")
        assert noted.wait(60)
        castore.swap_head(None, store.freeze())
        store._data.closed = True  # its process is dead
        go_on.set()
        late.result(60)
    assert ipldstore.recover(castore) == expected({"a/c/first": b"first", "a/c/late": b"late"})


@pytest.mark.parametrize("what", ["block", "note"])
def test_a_set_that_fails_takes_none_with_it(atomic_s3: Any, bucket: str, s3_proxy: Any, what: str) -> None:
    """Its number is a gap; those after it are noted again, under another id, before their sets return."""
    castore = ObjectCAStore.from_url(
        f"s3://{bucket}/air", **atomic_s3.options(s3_proxy.url), retry_config={"max_retries": 0}
    )
    store = IPLDStore(castore)
    copy = copy_elsewhere(store)
    copy["a/c/first"] = b"first"
    held, go_on = threading.Event(), threading.Event()

    async def refuse(exchange: Any) -> None:
        held.set()
        await asyncio.to_thread(go_on.wait, 60)
        await exchange.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    def is_it(request: Any) -> bool:
        if request.method != "PUT":
            return False
        return request.body == b"lost" if what == "block" else "/.sessions/" in request.path

    s3_proxy.inject(refuse, when=is_it)
    with ThreadPoolExecutor(9) as pool:
        lost = pool.submit(copy.__setitem__, "a/c/lost", b"lost")
        assert held.wait(60)
        others = [pool.submit(copy.__setitem__, key, b"1") for key in KEYS[:8]]
        go_on.set()
        error = lost.exception(60)
        told = [key for key, other in zip(KEYS, others, strict=False) if other.exception(60) is None]
    assert set(told) <= set(store)
    if what == "note":
        assert isinstance(error, IPLDStoreError)
        assert "a/c/lost" in str(error)
        assert len(told) == 8
    else:  # the queue keeps the block, and whoever waits next has it sent again
        assert error is None or "a/c/lost" in str(error)
    copy["a/c/lost"] = b"lost"  # as a task that is run again does
    again = [*told, "a/c/first"][0]
    copy[again] = b"2"
    assert store["a/c/lost"] == b"lost"
    assert store[again] == b"2"
    assert set(store) >= {"a/c/first", "a/c/lost", *told}


def test_one_key_written_by_several_threads(castore: ObjectCAStore) -> None:
    """Each write follows the one before, whatever the order."""
    store = IPLDStore(castore)
    copy = copy_elsewhere(store)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: copy.__setitem__(KEYS[0], b"%d" % number), range(24)))
    assert store[KEYS[0]] == copy[KEYS[0]]


@pytest.mark.slow
def test_processes_write_one_dataset(castore: ObjectCAStore) -> None:
    """As one process would: spawned workers, each key twice, read before any freeze."""
    store = IPLDStore(castore)
    store["a/c/none"] = b"0"
    with ProcessPoolExecutor(2, mp_context=FRESH) as pool:
        for run in range(2):
            futures = [pool.submit(workers.write, store, KEYS[at : at + 10], run) for at in range(0, 40, 10)]
            assert [future.result() for future in futures] == [10] * 4
            assert contents(store) == {"a/c/none": b"0"} | {key: f"{key} {run}".encode() for key in KEYS}
        seen = pool.submit(workers.read, store).result()
    assert seen == contents(store)
    assert store.freeze() == expected(contents(store))


def test_garbage_is_collected_beside_a_session(castore: ObjectCAStore) -> None:
    """The head, the roots and the notes of the session keep their blocks; all else that is old goes."""
    with IPLDStore(castore) as store:
        store[KEYS[0]] = b"first"
        store.freeze()
        store[KEYS[0]] = b"second"
        castore.swap_head(castore.head, store.freeze())
        copy = copy_elsewhere(store)
        copy[KEYS[1]] = b"noted"
        assert ipldstore.compact(castore, older_than=timedelta(hours=1)).freed_blocks == 0
        limit = datetime.fromtimestamp(castore.now() + 2, UTC)
        with pytest.MonkeyPatch.context() as patch:  # all blocks are old; the session is not
            patch.setattr("ipldstore._garbage.collect._delete_old_sessions", lambda *_: None)
            freed = ipldstore.compact(castore, older_than=limit)
        assert freed.freed_blocks == 2, "the first chunk and its root"
        assert contents(store) == {KEYS[0]: b"second", KEYS[1]: b"noted"}
        root = store.freeze()
    assert contents(IPLDStore(castore, root=root)) == {KEYS[0]: b"second", KEYS[1]: b"noted"}


def test_sessions_by_the_url_of_their_bucket(atomic_s3: Any, bucket: str) -> None:
    """A session that its coordinator has left is found, recovered and freed, as in a folder."""
    url, options = f"s3://{bucket}/air", atomic_s3.options()
    store = ipldstore.open(url, "a", storage_options=options)
    store[KEYS[0]] = b"first"
    store.freeze()
    copy = copy_elsewhere(store)
    copy[KEYS[1]] = b"noted"
    (session,) = ipldstore.sessions(url, storage_options=options)
    assert (session.ended, session.keys, len(session.writers)) == (False, (KEYS[1],), 1)
    root = ipldstore.recover(url, storage_options=options)
    with ipldstore.open(url, storage_options=options) as found:
        assert found.root_cid == root == expected({KEYS[0]: b"first", KEYS[1]: b"noted"})
    (session,) = ipldstore.sessions(url, storage_options=options)
    assert session.ended
    store._data.closed = True  # its process is dead
    with pytest.raises(ValueError, match="older_than"):
        ipldstore.compact(url, storage_options=options)
    assert ipldstore.compact(url, timedelta(hours=1), storage_options=options).freed_blocks == 0
    assert len(ipldstore.sessions(url, storage_options=options)) == 1
    later = datetime.fromtimestamp(store.castore.now() + 2, UTC)  # type: ignore[attr-defined]  # a bucket
    assert ipldstore.compact(url, later, storage_options=options).freed_blocks == 1, "the first root"
    assert ipldstore.sessions(url, storage_options=options) == []
    assert contents(ipldstore.open(url, storage_options=options)) == {KEYS[0]: b"first", KEYS[1]: b"noted"}


def test_garbage_behind_a_near_store(castore: ObjectCAStore, tmp_path: Path) -> None:
    """A TieredCAStore knows ages as its far store does; what is deleted there is deleted here too."""
    tiered = TieredCAStore(FileSystemCAStore(tmp_path, fsync=False), castore)
    store = IPLDStore(tiered)
    store[KEYS[0]] = b"old"
    old = store.freeze()
    store[KEYS[0]] = b"new"
    castore.swap_head(None, store.freeze())
    later = datetime.fromtimestamp(castore.now() + 2, UTC)
    assert ipldstore.compact(tiered, later).freed_blocks == 2
    assert old not in tiered
    assert contents(store) == {KEYS[0]: b"new"}
