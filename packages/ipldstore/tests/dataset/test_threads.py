"""Many threads and event loops on one store: nothing lost, nothing torn, no exception."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from ipld_castore import ContentAddressableStore, MappingCAStore
from ipldstore import IPLDStore
from ipldstore._format.nodes import NodeStore, decode_directory
from ipldstore._read.reader import DirectReader
from multiformats import CID
from zarr.core.buffer import cpu, default_buffer_prototype

from ..support.store_samples import ObservedCAStore, contents, written

PROTOTYPE = default_buffer_prototype()


@pytest.fixture(autouse=True)
def often() -> Iterator[None]:
    """Threads take turns a hundred times as often, so that what can come between does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(before / 100)
    yield
    sys.setswitchinterval(before)


def run_all(*actions: Callable[[], None], timeout: float = 120) -> None:
    """Run actions at once, each in a thread; the first exception of one is raised here."""
    start = threading.Barrier(len(actions))

    def run(action: Callable[[], None]) -> None:
        start.wait()
        action()

    with ThreadPoolExecutor(len(actions)) as pool:
        for done in [pool.submit(run, action) for action in actions]:
            done.result(timeout)


LAST = 150
"""The last version that is written beside readers."""
METADATA = b'{"node_type":"array","zarr_format":3}'


def value(key: str, version: int) -> bytes:
    return f"{key}@{version}".encode()


def test_readers_a_writer_and_freezes(castore: ContentAddressableStore) -> None:
    """Each read gives a version that was current while it ran; each root holds the contents of one moment."""
    store = IPLDStore(castore)
    keys = [f"a/c/{row}/{column}" for row in range(8) for column in range(20)]
    versions = dict.fromkeys(keys, 0)
    store.mapping.update(final_contents(versions, last=0))
    store.freeze()
    finished = threading.Event()
    roots: list[CID] = []

    def write() -> None:
        order = random.Random(1)
        try:
            for version in range(1, LAST + 1):
                key = order.choice(keys)
                store[key] = value(key, version)
                versions[key] = version
                store[f"b/c/{version}"] = b"grows"
                if version % 3 == 0:
                    del store[f"b/c/{version - 1}"]
        finally:
            finished.set()

    def read() -> None:
        order = random.Random(threading.get_ident())
        while not finished.is_set():
            key = order.choice(keys)
            check_read(store, key, versions[key])

    def freeze() -> None:
        while not finished.is_set():
            roots.append(store.freeze())

    def listing() -> None:
        while not finished.is_set():
            found = list(store)
            assert len(found) == len(set(found))
            assert set(keys) <= set(found)
            assert len(store) >= len(keys)

    run_all(write, read, read, read, freeze, listing)
    expected = final_contents(versions)
    assert contents(store).keys() == expected.keys()
    assert store.freeze() == written(expected).freeze()
    for root in random.Random(2).sample(roots, min(len(roots), 10)):
        check_one_moment(contents(IPLDStore(castore, root=root)), keys)


def check_read(store: IPLDStore, key: str, least: int) -> None:
    name, _, version = store[key].decode().partition("@")
    assert name == key
    assert int(version) >= least
    assert key in store
    assert f"{key}/x" not in store


def final_contents(versions: dict[str, int], last: int = LAST) -> dict[str, bytes]:
    """Return what the writer of the test above leaves."""
    expected = {f"{name}/zarr.json": METADATA for name in ("a", "b")}
    expected |= {key: value(key, version) for key, version in versions.items()}
    return expected | {
        f"b/c/{version}": b"grows" for version in range(1, last + 1) if version % 3 != 2 or version == last
    }


def check_one_moment(moment: dict[str, bytes], keys: list[str]) -> None:
    """Check that each earlier write is there if a later one is."""
    assert set(keys) <= moment.keys()
    grown = {int(key.rpartition("/")[2]) for key in moment if key.startswith("b/c/")}
    most = max(grown, default=0)
    assert {version for version in range(1, most - 2) if version % 3 != 2} <= grown


def test_writers_of_different_keys(castore: ContentAddressableStore) -> None:
    """Threads write as those of dask do: no key is lost though others freeze, and the root is that of one writer."""
    store = IPLDStore(castore)
    store["a/zarr.json"] = METADATA
    expected = {"a/zarr.json": METADATA}
    expected |= {f"a/c/{writer}/{number}": b"%d" % number for writer in range(6) for number in range(100)}
    expected |= {f"g{number}/.zgroup": b'{"zarr_format":2}' for number in range(6)}

    def write(writer: int) -> Callable[[], None]:
        def run() -> None:
            store[f"g{writer}/.zgroup"] = b'{"zarr_format": 2}'
            for number in range(100):
                store[f"a/c/{writer}/{number}"] = b"%d" % number
                if number % 40 == writer:
                    store.freeze()

        return run

    run_all(*map(write, range(6)))
    assert contents(store) == expected
    assert store.freeze() == written(expected).freeze()


def test_adding_and_deleting_at_once(castore: ContentAddressableStore) -> None:
    start = {f"a/{number}": b"%d" % number for number in range(300)} | {"a/.zarray": b"{}"}
    store = written(start, castore)
    store.freeze()

    def delete(numbers: range) -> Callable[[], None]:
        def run() -> None:
            for number in numbers:
                del store[f"a/{number}"]

        return run

    def add() -> None:
        for number in range(300, 500):
            store[f"a/{number}"] = b"%d" % number

    def freeze() -> None:
        for _ in range(10):
            store.freeze()

    run_all(delete(range(0, 300, 3)), delete(range(1, 300, 3)), add, freeze)
    expected = {"a/.zarray": b"{}"} | {
        f"a/{number}": b"%d" % number for number in [*range(2, 300, 3), *range(300, 500)]
    }
    assert store.freeze() == written(expected).freeze()


def test_one_of_many_sets_if_not_exists(castore: ContentAddressableStore) -> None:
    store = IPLDStore(castore)
    won: list[list[int]] = [[] for _ in range(50)]

    def claim(who: int) -> Callable[[], None]:
        async def run() -> None:
            for number in range(50):
                await store.set_if_not_exists(f"a/{number}", cpu.Buffer.from_bytes(b"%d" % who))
                won[number].append(int(store[f"a/{number}"]))

        return lambda: asyncio.run(run())

    run_all(*map(claim, range(4)))
    assert all(len(set(claims)) == 1 for claims in won)  # the first to write stays


async def test_many_at_once_in_one_loop(castore: ContentAddressableStore) -> None:
    store = IPLDStore(castore)
    expected = {f"a/c/{number}": bytes([number % 251]) * (1 + number * 997 % 300_000) for number in range(200)}
    await store.set("a/zarr.json", cpu.Buffer.from_bytes(METADATA))
    await asyncio.gather(*(store.set(key, cpu.Buffer.from_bytes(data)) for key, data in expected.items()))
    found = await asyncio.gather(*(store.get(key, PROTOTYPE) for key in expected))
    assert [buffer and buffer.to_bytes() for buffer in found] == list(expected.values())
    partial = await store.get_partial_values(PROTOTYPE, [(key, None) for key in expected])
    assert [buffer and buffer.to_bytes() for buffer in partial] == list(expected.values())
    assert sum(await asyncio.gather(*(store.getsize(key) for key in expected))) == await store.getsize_prefix("a/c")
    await asyncio.gather(*(store.delete(key) for key in expected))
    assert store.freeze() == written({"a/zarr.json": METADATA}).freeze()


def test_several_loops(castore: ContentAddressableStore) -> None:
    """zarr has a loop of its own in a thread; users have others. A store belongs to none."""
    store = IPLDStore(castore)

    async def use(loop: int) -> None:
        for number in range(30):
            await store.set(f"a/{loop}/{number}", cpu.Buffer.from_bytes(b"%d" % number))
            assert await store.exists(f"a/{loop}/{number}")
        assert {name async for name in store.list_dir(f"a/{loop}")} == {str(number) for number in range(30)}

    run_all(*[lambda loop=loop: asyncio.run(use(loop)) for loop in range(4)])
    asyncio.run(use(9))
    assert len(store) == 150


class Blocking(ObservedCAStore):
    """A backend whose verbs block, and that notes which threads wait for it."""

    def __init__(self, inner: ContentAddressableStore) -> None:
        super().__init__(inner)
        self.blocking = True
        self.threads: set[int] = set()
        self.together = 1
        """The verbs go on when so many threads wait in them, or have waited."""
        self._enough = threading.Condition()

    def _wait(self) -> None:
        with self._enough:
            self.threads.add(threading.get_ident())
            self._enough.notify_all()
            assert self._enough.wait_for(lambda: len(self.threads) >= self.together, 60)

    def get_block(self, cid: CID) -> bytes:
        self._wait()
        return super().get_block(cid)

    def put_block(self, cid: CID, data: bytes) -> None:
        self._wait()
        super().put_block(cid, data)

    def block_size(self, cid: CID) -> int:
        self._wait()
        return super().block_size(cid)


async def test_a_loop_does_not_wait_for_a_slow_backend() -> None:
    """Whatever blocks waits in other threads, several of them at once."""
    castore = Blocking(MappingCAStore())
    root = written(
        {"zarr.json": b"{}"} | {f"g/{number}/.zattrs": b'{"a":"%s"}' % (b"x" * 1500) for number in range(20)}, castore
    ).freeze()
    store = IPLDStore(castore, root=root)
    castore.threads.clear()
    new = cpu.Buffer.from_bytes(b"new")
    assert await store.get("g/3/.zattrs", PROTOTYPE) is not None
    assert await store.get_partial_values(PROTOTYPE, [("g/4/.zattrs", None)])
    assert await store.exists("g/5/.zattrs")
    assert await store.getsize("g/6/.zattrs") > 1500
    assert [name async for name in store.list_prefix("g/7")]
    assert [name async for name in store.list_dir("g/8")]
    assert await store.getsize_prefix("g/9") > 1500
    assert not await store.is_empty("g/10")
    await store.set("g/11/0", new)
    await store.set_if_not_exists("g/12/0", new)
    await store.delete("g/13/.zattrs")
    await store.delete_dir("g/14")
    assert castore.threads
    assert threading.get_ident() not in castore.threads


async def test_many_waits_at_once() -> None:
    """Chunks are fetched side by side, not one after the other."""
    castore = Blocking(MappingCAStore())
    expected = {f"a/{number}": b"%d" % number for number in range(40)}
    store = written(expected, castore)
    store.freeze()
    castore.threads.clear()
    castore.together = 2  # one alone would wait in vain
    found = await asyncio.gather(*(store.get(key, PROTOTYPE) for key in expected))
    assert [buffer and buffer.to_bytes() for buffer in found] == list(expected.values())
    assert len(castore.threads) >= 2


def test_a_slow_backend_holds_up_no_other_reader() -> None:
    """A thread that waits for a block does not hold up reads of cached blocks, in a changed tree either."""
    castore = Blocking(MappingCAStore())
    tree = {f"g/{number}/.zattrs": b'{"a":"%s"}' % (b"x" * 1500) for number in range(20)} | {"near/0": b"near"}
    root = written(tree, castore).freeze()
    waiting, go_on = threading.Event(), threading.Event()

    class Stuck(Blocking):
        def get_block(self, cid: CID) -> bytes:
            if stuck:
                waiting.set()
                assert go_on.wait(60)
            return super().get_block(cid)

    for changed in (False, True):
        stuck = False
        waiting.clear()
        go_on.clear()
        store = IPLDStore(Stuck(castore.inner), root=root)
        if changed:
            store["near/1"] = b"one"
        assert store["near/0"] == b"near"
        stuck = True
        thread = threading.Thread(target=lambda store=store: store["g/7/.zattrs"])
        thread.start()
        try:
            assert waiting.wait(60)
            started = threading.Thread(target=lambda store=store: "near/0" in store)
            started.start()
            started.join(30)
            assert not started.is_alive(), "a reader waits for another's block"
        finally:
            go_on.set()
            thread.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_while_a_thread_decodes_a_node() -> None:
    """The child has locks of its own, which no thread holds that is not there any more."""
    castore = MappingCAStore()
    nodes = NodeStore(castore, DirectReader(castore))
    cid = nodes.put({})
    with nodes._lock, nodes._decoding:
        child = os.fork()
        if not child:
            free = not nodes._lock.locked() and not nodes._decoding.locked()
            os._exit(0 if free and nodes.load(cid, decode_directory).map == {} else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
