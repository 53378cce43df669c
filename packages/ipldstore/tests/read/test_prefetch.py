"""Reading over a gateway: how many requests, and how many of them in flight together.

No test measures time. Where requests must be in flight together the gateway holds its answers until they are.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from ipld_castore import AnyCID, GatewayCAStore, MappingCAStore
from ipld_castore.testing import BlockServer, Request, faults
from ipldstore import IPLDStore
from ipldstore._read import block_fetch, prefetch
from ipldstore._store import executor
from multiformats import CID

from ..support.far_datasets import SHAPE, array_of, dataset, opened
from ..support.store_samples import zarr

# -- chunks --


def test_one_chunk_of_many(server: BlockServer, many: tuple[MappingCAStore, CID]) -> None:
    """Opening is one request, the first chunk two more: the top node of the index, then leaf and chunk in one CAR."""
    array = zarr.open_group(opened(server, many[1]), mode="r")["a0"]
    assert len(server.requests) == 1
    assert array[100, 12, 33, 0] == array_of(SHAPE)[100, 12, 33]
    assert len(server.requests) == 3
    assert "dag-scope=block" in str(server.requests[-1])
    server.forget()
    assert array[100, 12, 34, 0] == array_of(SHAPE)[100, 12, 34]
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "region",
    [np.s_[60:65, 3:13, 7:17], np.s_[60:61, 0:20, 0:25], np.s_[3:23, 20:25, 35:40], np.s_[62:66, 10:15, 10:35]],
    ids=["box", "map", "column", "across"],
)
def test_a_region(server: BlockServer, many: tuple[MappingCAStore, CID], region: tuple[slice, ...]) -> None:
    """500 chunks in at most 20 requests, and so latencies, opening included: whole leaves come at once."""
    array = zarr.open_group(opened(server, many[1]), mode="r")["a0"]
    assert np.array_equal(array[*region, 0], array_of(SHAPE)[region])
    assert array_of(SHAPE)[region].size == 500
    assert len(server.requests) <= 20


def _is_chunk_or_rest(request: Request) -> bool:
    return request.path.startswith("/ipfs/bafkrei") or request.option("dag-scope") == "all"


@pytest.mark.parametrize(("step", "leaves"), [(1, 8), (2, 16)])
def test_one_pixel_through_time(server: BlockServer, many: tuple[MappingCAStore, CID], step: int, leaves: int) -> None:
    """Where each leaf has few of the chunks, all leaves are in flight together.

    The chunks are in 8 leaves, or with every second step in 16. Then a chunk and the rest of each leaf are in flight.
    """
    array = zarr.open_group(opened(server, many[1], timeout=60), mode="r")["a0"]
    server.inject(faults.held(leaves), times=leaves, where="dag-scope=block")
    server.inject(faults.held(2 * leaves), times=2 * leaves, where=_is_chunk_or_rest)
    with zarr.config.set({"async.concurrency": 64}):
        assert np.array_equal(array[::step, 12, 33, 0], array_of(SHAPE)[::step, 12, 33])
    assert server.most_in_flight >= 2 * leaves


def test_a_wide_dataset(server: BlockServer) -> None:
    """An array that is a block of its own comes with the top node of its index: a chunk is no more requests."""
    root = dataset(server.blocks, (40, 20, 20), arrays=20)  # type: ignore[arg-type]  # it is a mapping
    array = zarr.open_group(opened(server, root), mode="r")["a0"]
    assert array[30, 12, 3, 0] == array_of((40, 20, 20))[30, 12, 3]
    assert len(server.requests) <= 4


@pytest.mark.soak
def test_a_million_chunks(server: BlockServer) -> None:
    """As few requests as of a smaller array."""
    shape = (1000, 25, 40)
    root = dataset(server.blocks, shape)  # type: ignore[arg-type]  # it is a mapping
    array = zarr.open_group(opened(server, root), mode="r")["a0"]
    assert array[500, 12, 33, 0] == array_of(shape)[500, 12, 33]
    assert len(server.requests) == 3
    server.forget()
    array = zarr.open_group(opened(server, root), mode="r")["a0"]
    assert np.array_equal(array[500:505, 3:13, 7:17, 0], array_of(shape)[500:505, 3:13, 7:17])
    assert len(server.requests) <= 20


# -- opening --


def test_metadata_that_is_a_block_of_its_own(server: BlockServer) -> None:
    """One request for the node, one for the document."""
    store = IPLDStore(server.blocks)
    zarr.create_group(store, attributes={"text": "x" * 40_000})
    root = store.freeze()
    assert dict(zarr.open_group(opened(server, root), mode="r").attrs) == {"text": "x" * 40_000}
    assert len(server.requests) == 2


def test_a_group_far_below_the_root(server: BlockServer) -> None:
    """All directories on the path come in one request, and to open the group reads nothing else."""
    store = IPLDStore(server.blocks)
    group = zarr.create_group(store)
    for name in ("x", "y", "z"):
        for number in range(20):  # so many that each is a block of its own
            group.create_group(f"{name}{number}", attributes={"text": str(number) * 2000})
        group = group[f"{name}7"]
    root = store.freeze()
    opened_store = opened(server, root)
    server.forget()
    assert opened_store["x7/y7/z7/zarr.json"]
    assert len(server.requests) == 1
    assert zarr.open_group(opened_store, path="x7/y7/z7", mode="r").attrs["text"] == "7" * 2000
    assert len(server.requests) == 1


def test_many_arrays_that_are_not_consolidated(server: BlockServer) -> None:
    """A listing of their group fetches their directories together."""
    store = IPLDStore(server.blocks)
    group = zarr.create_group(store)
    for number in range(60):
        group.create_array(f"a{number}", shape=(1,), dtype="i8", attributes={"text": str(number) * 1000})
    root = store.freeze()
    store = opened(server, root)
    server.inject(faults.held(30), times=60)
    names = sorted(zarr.open_group(store, mode="r").array_keys())
    assert names == sorted(f"a{number}" for number in range(60))
    assert len(server.requests) == 61
    assert server.most_in_flight >= 30


# -- threads and processes --


def test_reads_wait_side_by_side(server: BlockServer, many: tuple[MappingCAStore, CID]) -> None:
    """At least 32 requests are in flight if zarr asks for so many, each in a thread of its own."""
    array = zarr.open_group(opened(server, many[1], timeout=60), mode="r")["a0"]
    steps = np.random.default_rng(5).permutation(np.arange(0, 128, 2))  # 64 chunks, far from each other
    places = (steps, steps % 25, steps % 40, [0] * 64)
    server.inject(faults.held(32), times=32, where="dag-scope=block")
    with zarr.config.set({"async.concurrency": 64}):
        assert np.array_equal(array.get_coordinate_selection(places), array_of(SHAPE)[places[:3]])
    assert server.most_in_flight >= 32
    assert executor.THREADS >= 32


def test_one_request_for_all_threads(server: BlockServer, many: tuple[MappingCAStore, CID]) -> None:
    """However many threads want a chunk, and the nodes on the path to it."""
    store = opened(server, many[1])
    server.forget()
    start = threading.Barrier(16)

    def read(_: int) -> bytes:
        start.wait()
        return store["a0/c/7/7/7/0"]

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(read, range(16)))) == 1
    assert len(server.requests) == 2


class Pausing(MappingCAStore):
    """Far away. Between the first and the second block of a path it waits until the test lets it go on."""

    local = False

    def __init__(self, blocks: MappingCAStore) -> None:
        super().__init__(blocks.mapping)
        self.blocking = True
        self.asked: list[CID] = []
        self.paused, self.go_on = threading.Event(), threading.Event()

    def get_block(self, cid: CID) -> bytes:
        self.asked.append(cid)
        return super().get_block(cid)

    def get_path(self, cid: AnyCID, names: Sequence[str]) -> Iterator[tuple[CID, bytes]]:
        for number, found in enumerate(super().get_path(cid, names)):
            if number == 1:
                self.paused.set()
                assert self.go_on.wait(30)
            yield found


def test_the_rest_of_a_path_is_not_fetched_twice(
    many: tuple[MappingCAStore, CID], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that find the leaf cached wait for the chunk that comes with it."""
    far = Pausing(many[0])
    store = IPLDStore(far, root=many[1], read_only=True)
    waiting = threading.Semaphore(0)
    wait_for = block_fetch.BlockFetch.wait_for

    def counting(self: block_fetch.BlockFetch, cid: bytes) -> bytes | None:
        waiting.release()
        return wait_for(self, cid)

    monkeypatch.setattr(block_fetch.BlockFetch, "wait_for", counting)
    with ThreadPoolExecutor(16) as pool:
        found = [pool.submit(lambda: store["a0/c/7/7/7/0"])]
        assert far.paused.wait(30)
        found += [pool.submit(lambda: store["a0/c/7/7/7/0"]) for _ in range(15)]
        assert all(waiting.acquire(timeout=30) for _ in range(15))
        far.go_on.set()
        assert len({each.result() for each in found}) == 1
    assert len(far.asked) == len(set(far.asked)) == 4  # root, top node of the index, leaf, chunk


def test_changes_in_memory_do_not_matter(server: BlockServer, many: tuple[MappingCAStore, CID]) -> None:
    """A tree with changes prefetches too."""
    store = IPLDStore(GatewayCAStore(server.url), root=many[1])
    store._data.tree.drop("a0/c/0/0/0/0")
    server.forget()
    assert store["a0/c/100/7/7/0"] == int(array_of(SHAPE)[100, 7, 7]).to_bytes(8, "little")
    assert len(server.requests) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_reads_on(server: BlockServer, many: tuple[MappingCAStore, CID]) -> None:
    """Though a thread of the parent was fetching what the child wants."""
    store = opened(server, many[1])
    assert store["a0/c/1/1/1/0"]
    server.inject(faults.stall(), where="format")
    thread = threading.Thread(target=lambda: store.get_sync("a0/c/127/1/1/0"), daemon=True)
    thread.start()
    while len(server.requests) < 4:
        pass
    child = os.fork()
    if not child:
        ok = store["a0/c/127/1/1/0"] == int(array_of(SHAPE)[127, 1, 1]).to_bytes(8, "little")
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
    server.restart()
    thread.join(20)


# -- large chunks and values --


def test_large_chunks_come_alone(server: BlockServer) -> None:
    """Their leaf is too large to be fetched whole, so each chunk is a request."""
    root = dataset(server.blocks, (4, 20, 30), chunk_bytes=64 << 10)  # type: ignore[arg-type]  # it is a mapping
    array = zarr.open_group(opened(server, root), mode="r")["a0"]
    assert np.array_equal(array[0, :, 0, 0], array_of((4, 20, 30))[0, :, 0])
    assert not [request for request in server.requests if "dag-scope=all" in str(request)]
    assert len(server.requests) <= 23


def test_a_value_of_many_blocks_is_one_request(server: BlockServer) -> None:
    store = IPLDStore(server.blocks)
    data = os.urandom(5_300_000)
    store["a/0"] = data
    root = store.freeze()
    far = opened(server, root)
    server.forget()
    assert far["a/0"] == data
    assert len(server.requests) == 1


def test_a_part_of_a_value_is_only_its_blocks(server: BlockServer) -> None:
    store = IPLDStore(server.blocks)
    data = os.urandom(5_300_000)
    store["a/0"] = data
    far = opened(server, store.freeze())
    server.forget()
    buffer = zarr.core.buffer.default_buffer_prototype()
    wanted = zarr.abc.store.RangeByteRequest(3_000_000, 3_000_010)
    found = far.get_sync("a/0", prototype=buffer, byte_range=wanted)
    assert found is not None
    assert found.to_bytes() == data[3_000_000:3_000_010]
    assert len(server.requests) == 2


def test_the_cache_is_bounded(
    server: BlockServer, many: tuple[MappingCAStore, CID], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All data are right where nearly nothing is cached."""
    monkeypatch.setattr(prefetch, "CACHE_BYTES", 10_000)
    store = opened(server, many[1])
    array = zarr.open_group(store, mode="r")["a0"]
    assert np.array_equal(array[60:62, 3:13, 7:17, 0], array_of(SHAPE)[60:62, 3:13, 7:17])
    reader = store._data._reader
    assert isinstance(reader, prefetch.PrefetchingReader)
    assert reader._cache.size <= 10_000 or len(reader._cache) == 1
    assert not reader._in_flight


def test_stores_on_this_machine_are_read_directly() -> None:
    assert not isinstance(IPLDStore()._data._reader, prefetch.PrefetchingReader)
