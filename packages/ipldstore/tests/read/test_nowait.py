"""Stores that are far away: an event loop reads what is cached and puts what is collected; all else is in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from ipld_castore import MappingCAStore, ReadOnlyStoreError
from ipldstore import IPLDStore, IPLDStoreError
from ipldstore._read.prefetch import PrefetchingReader
from ipldstore._store import zarr_store
from multiformats import CID
from zarr.abc.store import RangeByteRequest
from zarr.core.buffer import cpu, default_buffer_prototype

from ..support.far_datasets import SHAPE, array_of

METADATA = b'{"node_type":"array","zarr_format":3}'


class Collecting(MappingCAStore):
    """Far away, with room for some blocks; notes the threads that waited for it."""

    local = False

    def __init__(self, room: int = 0) -> None:
        super().__init__()
        self.blocking = True
        self.room = room
        self.waited: list[str] = []
        self.error: Exception | None = None

    def get_block(self, cid: CID) -> bytes:
        self.waited.append(threading.current_thread().name)
        return super().get_block(cid)

    def put_block(self, cid: CID, data: bytes) -> None:
        self.waited.append(threading.current_thread().name)
        super().put_block(cid, data)

    def try_put_nowait(self, cid: CID, data: bytes) -> bool:
        if self.error is not None:
            raise self.error
        if not self.room:
            return False
        self.room -= 1
        super().put_block(cid, data)
        return True


@pytest.fixture
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def begun(castore: Collecting, loop: asyncio.Runner) -> IPLDStore:
    """A store whose array has its first chunk."""
    store = IPLDStore(castore)
    store["a/zarr.json"] = METADATA
    loop.run(store.set("a/c/0", cpu.Buffer.from_bytes(b"first")))
    castore.waited.clear()
    return store


def expected(count: int) -> dict[str, bytes]:
    return {"a/zarr.json": METADATA, "a/c/0": b"first"} | {f"a/c/{n}": b"%d" % n for n in range(1, count)}


def test_chunks_are_put_at_once_while_there_is_room(loop: asyncio.Runner) -> None:
    """The others are put in a thread; the contents are the same."""
    castore = Collecting(room=4)
    store = begun(castore, loop)
    room = castore.room
    for number in range(1, 9):
        loop.run(store.set(f"a/c/{number}", cpu.Buffer.from_bytes(b"%d" % number)))
    assert len(castore.waited) == 8 - room
    assert threading.current_thread().name not in castore.waited
    at_once = IPLDStore()
    at_once.mapping.update(expected(9))
    assert store.freeze() == at_once.freeze()


def test_an_event_loop_does_not_wait_for_the_lock_of_the_tree(loop: asyncio.Runner) -> None:
    castore = Collecting(room=100)
    store = begun(castore, loop)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with store._data.tree.lock:
            held.set()
            assert done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(30)

    async def write() -> None:
        writing = asyncio.create_task(store.set("a/c/1", cpu.Buffer.from_bytes(b"1")))
        for _ in range(1000):  # the loop goes on
            await asyncio.sleep(0)
        assert not writing.done()
        done.set()
        await writing

    loop.run(write())
    thread.join()
    assert dict(store.mapping) == expected(2)


def test_a_local_store_is_not_asked_whether_it_has_room(loop: asyncio.Runner) -> None:
    """It collects nothing, so a chunk would be hashed once for the question and once more to be put."""
    castore = Collecting(room=100)
    castore.local = True
    store = begun(castore, loop)
    castore.error = AssertionError("asked")
    loop.run(store.set("a/c/1", cpu.Buffer.from_bytes(b"1")))
    assert dict(store.mapping) == expected(2)


def test_an_error_of_what_was_collected_names_the_key(loop: asyncio.Runner) -> None:
    castore = Collecting(room=100)
    store = begun(castore, loop)
    castore.error = ReadOnlyStoreError("no more")
    with pytest.raises(IPLDStoreError, match="writing 'a/c/1': no more"):
        loop.run(store.set("a/c/1", cpu.Buffer.from_bytes(b"1")))
    assert "a/c/1" not in store


def test_prefetched_chunks_are_read_without_a_thread(
    loop: asyncio.Runner, many: tuple[MappingCAStore, CID], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a leaf that was fetched whole no chunk needs a thread; a range of a chunk does."""
    far = Collecting()
    far.mapping.update(many[0].mapping)
    store = IPLDStore(far, root=many[1], read_only=True)
    places = [(64, 0, x) for x in range(8)]
    keys = ["a0/c/" + "/".join(map(str, place)) + "/0" for place in places]
    for key in keys[:4]:
        assert store[key]
    far.waited.clear()

    async def nothing(_: object) -> None:
        raise AssertionError("a thread was asked for")

    monkeypatch.setattr(zarr_store, "in_far_thread", nothing)
    for place, key in zip(places, keys, strict=True):
        got = loop.run(store.get(key, default_buffer_prototype()))
        assert got is not None
        assert got.to_bytes() == int(array_of(SHAPE)[place]).to_bytes(8, "little")
    assert far.waited == []
    with pytest.raises(AssertionError, match="a thread was asked for"):
        loop.run(store.get(keys[0], default_buffer_prototype(), RangeByteRequest(0, 4)))


def test_a_chunk_evicted_meanwhile_is_not_waited_for(
    many: tuple[MappingCAStore, CID], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a thread may fetch a leaf again: to take a chunk from the cache and to count the read are one step."""
    far = Collecting()
    far.mapping.update(many[0].mapping)
    store = IPLDStore(far, root=many[1], read_only=True)
    key = "a0/c/64/0/0/0"
    for x in range(4):
        assert store[f"a0/c/64/0/{x}/0"]
    reader = store._data._reader
    assert isinstance(reader, PrefetchingReader)
    get_cached = reader.get_cached

    def then_dropped(cid: bytes, leaf: bytes) -> bytes | None:
        found = get_cached(cid, leaf)
        reader._cache.pop(cid)
        return found

    monkeypatch.setattr(reader, "get_cached", then_dropped)  # what another thread may do at that moment
    for leaf in list(reader._policy._leaves):
        reader._policy._use_of(leaf).next_decision = 0
    far.waited.clear()
    assert store._data.get_cached(key) == int(array_of(SHAPE)[64, 0, 0]).to_bytes(8, "little")
    assert far.waited == []
