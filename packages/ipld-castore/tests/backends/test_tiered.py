"""TieredCAStore: what is kept near, what is asked from afar, and how often."""

from __future__ import annotations

import pickle
import shutil
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from ipld_car import cids
from ipld_castore import (
    AnyCID,
    BackendUnavailableError,
    BlockCorruptError,
    BlockNotFoundError,
    ContentAddressableStore,
    FileSystemCAStore,
    GatewayCAStore,
    MappingCAStore,
    ReadOnlyStoreError,
    SupportsDelete,
    TieredCAStore,
)
from ipld_castore.testing import BlockServer, CAStoreTests, faults
from multiformats import CID

from ..support.remote import damage, tree


class TieredTests(CAStoreTests):
    shows_damage = False  # nothing leaves it that was not verified

    def corrupt(self, castore: ContentAddressableStore, cid: CID, data: bytes | None) -> None:
        """In both: where only one is damaged, the other one has the block."""
        assert isinstance(castore, TieredCAStore)
        if isinstance(castore.near, MappingCAStore):
            castore.near.mapping.pop(str(cid), None)
        else:
            assert isinstance(castore.near, SupportsDelete)
            castore.near.delete_block(cid)
        damage(castore.far, cid, data)


class TestTiered(TieredTests):
    @pytest.fixture
    def castore(self) -> ContentAddressableStore:
        return TieredCAStore(MappingCAStore(), MappingCAStore())


class TestTieredWithALimit(TieredTests):
    """The suite with a limit that is too small for most blocks."""

    @pytest.fixture
    def castore(self) -> ContentAddressableStore:
        return TieredCAStore(MappingCAStore(), MappingCAStore(), max_bytes=2000)


class TestTieredOverAFolder(TieredTests):
    depth = width = 100

    @pytest.fixture
    def castore(self, tmp_path: Path) -> ContentAddressableStore:
        return TieredCAStore(FileSystemCAStore(tmp_path, fsync=False), MappingCAStore(), max_bytes=1 << 20)


class Counting(MappingCAStore):
    """A store in memory that counts requests."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[CID] = []
        self.dags: list[bytes] = []
        self.paths: list[bytes] = []

    def get_block(self, cid: CID) -> bytes:
        self.got.append(cid)
        return super().get_block(cid)

    def get_dag(self, root: AnyCID) -> Iterator[tuple[CID, bytes]]:
        self.dags.append(cids.to_bytes(root))
        yield from super().get_dag(root)

    def get_path(self, cid: AnyCID, names: Sequence[str]) -> Iterator[tuple[CID, bytes]]:
        self.paths.append(cids.to_bytes(cid))
        yield from super().get_path(cid, names)


@pytest.fixture
def near() -> MappingCAStore:
    return MappingCAStore()


@pytest.fixture
def far() -> Counting:
    return Counting()


def test_what_was_read_is_near(near: MappingCAStore, far: Counting) -> None:
    cid = far.put(b"block")
    store = TieredCAStore(near, far)
    for _ in range(3):
        assert store.get(cid) == b"block"
    assert far.got == [cid]
    assert list(near) == [cid]


def test_what_is_written_is_in_both(near: MappingCAStore, far: Counting) -> None:
    """Each put reaches both stores. If the far store fails, the near store keeps nothing that far lacks."""
    store = TieredCAStore(near, far)
    cid = store.put(b"block")
    store.put_blocks((cids.from_bytes(cids.make(cids.RAW, bytes(31) + bytes([n]))), b"x") for n in range(100))
    assert set(near) == set(far)
    assert len(list(far)) == 101
    assert cid in far

    class Down(MappingCAStore):
        def put_block(self, cid: CID, data: bytes) -> None:
            raise BackendUnavailableError("down")

    empty = MappingCAStore()
    store = TieredCAStore(empty, Down())
    for verb in (lambda: store.put(b"block"), lambda: store.put_blocks([(cid, b"block")])):
        with pytest.raises(BackendUnavailableError):
            verb()
    assert not list(empty)


@pytest.mark.parametrize("bad", [b"other", b""])
def test_a_damaged_near_block_is_got_again(near: MappingCAStore, far: Counting, bad: bytes) -> None:
    """A damaged near block is read from the far store and repaired."""
    store = TieredCAStore(near, far)
    cid = store.put(b"block")
    damage(near, cid, bad)
    assert store.get(cid) == b"block"
    assert near.get(cid) == b"block"
    damage(near, cid, bad)
    assert list(store.get_blocks([cid])) == [(cid, b"block")]
    assert near.get(cid) == b"block"


def test_wrong_bytes_are_not_kept(near: MappingCAStore, far: Counting) -> None:
    """Wrong bytes from the far store are not kept near, by any verb."""
    root = tree(far, depth=2)
    leaf = next(cid for cid in far if cids.codec_of(bytes(cid)) == cids.RAW)
    damage(far, leaf, b"wrong")
    store = TieredCAStore(near, far)
    for verb in (store.get, store.get_raw, store.get_block, lambda cid: list(store.get_blocks([cid]))):
        with pytest.raises(BlockCorruptError, match=str(leaf)):
            verb(leaf)
    with pytest.raises(BlockCorruptError, match=str(leaf)):
        store.to_car(root)
    assert leaf not in near


def test_threads_share_one_request(near: MappingCAStore) -> None:
    """A block that many threads ask for is requested once. All get its error, and the error is not cached."""
    waiting = threading.Semaphore(0)

    class Held(Counting):
        """Gives a block when all threads wait for it."""

        def get_block(self, cid: CID) -> bytes:
            assert all(waiting.acquire(timeout=60) for _ in range(20))
            return super().get_block(cid)

    far = Held()
    blocks = [far.put(b"%d" % number) for number in range(5)]
    store = TieredCAStore(near, far)
    running = store._in_flight._state.value
    register = running.register

    def count(key: bytes) -> tuple[Future[bytes], bool]:
        found = register(key)
        waiting.release()
        return found

    running.register = count  # type: ignore[method-assign]  # counts what the method would do
    start = threading.Barrier(20)

    def read(_: int) -> list[bytes]:
        start.wait()
        return [store.get(cid) for cid in blocks]

    with ThreadPoolExecutor(20) as pool:
        assert set(map(tuple, pool.map(read, range(20)))) == {tuple(b"%d" % number for number in range(5))}
        assert far.got == blocks
        absent = MappingCAStore().put(b"absent")
        far.got.clear()

        def fail(_: int) -> str:
            start.wait()
            with pytest.raises(BlockNotFoundError) as caught:
                store.get(absent)
            return str(caught.value)

        assert len(set(pool.map(fail, range(20)))) == 1
        assert far.got == [absent]
    del running.register
    waiting.release(20)
    far.put(b"absent")
    assert store.get(absent) == b"absent"


def test_an_interrupted_request_is_repeated(near: MappingCAStore, far: Counting) -> None:
    """A KeyboardInterrupt in the thread that fetches does not end the other threads that wait."""
    cid = far.put(b"block")
    begun, go = threading.Event(), threading.Event()

    class Interrupted(MappingCAStore):
        first = True

        def get_block(self, wanted: CID) -> bytes:
            if Interrupted.first:
                Interrupted.first = False
                begun.set()
                go.wait(60)
                raise KeyboardInterrupt
            return far.get_block(wanted)

    store = TieredCAStore(near, Interrupted())
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(store.get, cid)
        begun.wait(60)
        second = pool.submit(store.get, cid)
        go.set()
        with pytest.raises(KeyboardInterrupt):
            first.result(60)
        assert second.result(60) == b"block"


def test_graphs_come_as_graphs(near: MappingCAStore, far: Counting) -> None:
    """The missing blocks below a node come in one request, and all are near afterwards."""
    root = tree(far, width=3, depth=3)
    store = TieredCAStore(near, far)
    expected = far.to_car(root)
    far.dags.clear()
    assert store.to_car(root) == expected
    assert len(far.dags) == 1
    far.got.clear()
    assert store.to_car(root) == expected
    assert not far.got
    # A part that is missing is all that is asked for.
    value = store.get(root)
    node = value["list"][1].set(base="base32")
    near.delete_block(cids.from_bytes(bytes(node)))
    far.dags.clear()
    assert store.to_car(root) == expected
    assert far.dags == [bytes(node)]


def test_paths_come_in_one_request(near: MappingCAStore, far: Counting) -> None:
    """The blocks of a path come in one request from the first missing block on."""
    root = tree(far, width=3, depth=3)
    names = ["list", "1", "list", "2", "list", "0"]
    expected = list(far.get_path(root, names))
    store = TieredCAStore(near, far)
    store.get(root)
    far.paths.clear()
    assert list(store.get_path(root, names)) == expected
    assert far.paths == [bytes(expected[1][0])]
    assert list(store.get_path(root, names)) == expected
    assert len(far.paths) == 1


def test_the_limit_holds(far: Counting) -> None:
    """The least recently used block is deleted. A block over the limit is not kept. Blocks from before count."""
    near = MappingCAStore()
    before = near.put(bytes(400))
    store = TieredCAStore(near, far, max_bytes=1000)
    one, two, three = (far.put(bytes([n]) * 300) for n in range(3))
    huge = far.put(bytes(1001))
    for cid in (one, two, huge):
        store.get(cid)
    assert set(near) == {before, one, two}
    store.get(one)
    store.get(three)  # makes room: first `before`, which is oldest
    assert set(near) == {one, two, three}
    store.get(one)
    store.put(bytes(350))
    assert two not in near
    assert one in near
    assert isinstance(store, SupportsDelete)
    store.delete_block(one)
    assert one not in near
    assert sum(map(len, near.mapping.values())) <= 1000
    shrunk = TieredCAStore(near, far, max_bytes=0)
    assert not list(near)
    assert shrunk.get(two) == bytes([1]) * 300
    assert not list(near)


def test_the_limit_holds_under_threads(far: Counting) -> None:
    near = MappingCAStore()
    store = TieredCAStore(near, far, max_bytes=5_000)
    blocks = [far.put(bytes([n]) * 500) for n in range(40)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            assert list(pool.map(store.get, blocks)) == [bytes([n]) * 500 for n in range(40)]
    assert sum(map(len, near.mapping.values())) <= 5_000


def test_limits_that_cannot_be_held() -> None:
    with BlockServer() as server, GatewayCAStore(server.url) as gateway, pytest.raises(TypeError, match="SupportsList"):
        TieredCAStore(gateway, MappingCAStore(), max_bytes=1)
    with pytest.raises(ValueError, match="0 bytes"):
        TieredCAStore(MappingCAStore(), MappingCAStore(), max_bytes=-1)


@pytest.fixture
def server() -> Iterator[BlockServer]:
    with BlockServer() as server:
        yield server


def test_a_folder_before_a_gateway(server: BlockServer, tmp_path: Path) -> None:
    """A folder before a gateway has all blocks after one read; the gateway is not asked again."""
    root = tree(server.blocks)
    folder = FileSystemCAStore(tmp_path, fsync=False)
    with TieredCAStore(folder, GatewayCAStore(server.url, timeout=60)) as store:
        server.inject(faults.wrong_bytes, where="format=car")
        with pytest.raises(BlockCorruptError):
            store.to_car(root)
        assert not store.local
        assert store.address == server.url
        with pytest.raises(ReadOnlyStoreError):
            store.put(b"x")
        assert not list(folder) or set(map(bytes, folder)) < {b"\x01\x55" + bytes(cid)[2:] for cid in server.blocks}
    with TieredCAStore(folder, GatewayCAStore(server.url, timeout=60)) as store:
        archive = store.to_car(root)
        copy = pickle.loads(pickle.dumps(store))  # noqa: S301  # our own
        assert copy == store
        assert copy != TieredCAStore(folder, MappingCAStore())
    assert folder.to_car(root) == archive == server.blocks.to_car(root)
    server.stop()
    assert store.to_car(root) == archive


@pytest.mark.parametrize("every", [1, 3000])
def test_near_blocks_do_not_pile_up(every: int) -> None:
    """Near blocks are returned at once, and do not collect in memory while far blocks are fetched."""
    near, far = MappingCAStore(), MappingCAStore()
    stored = [far.put(b"%d" % number) for number in range(5000)]
    for number, cid in enumerate(stored, 1):
        if every == 1 or number % every:
            near.put_block(cid, far.get_block(cid))
    asked = 0

    def wanted() -> Iterator[CID]:
        nonlocal asked
        for cid in stored:
            asked += 1
            yield cid

    given = 0
    for given, (cid, data) in enumerate(TieredCAStore(near, far).get_blocks(wanted()), 1):
        assert data == far.get_block(cid)
        assert asked - given < 1200
    assert given == len(stored)


@pytest.mark.parametrize("limit", [None, 1 << 20])
def test_what_cannot_be_kept_is_read_and_written_all_the_same(tmp_path: Path, limit: int | None) -> None:
    """A cache was removed while a store was open: each set failed from then on."""
    far = MappingCAStore()
    store = TieredCAStore(FileSystemCAStore(tmp_path / "cache", fsync=False), far, max_bytes=limit)
    store.put(b"before")
    shutil.rmtree(tmp_path / "cache")
    with pytest.warns(UserWarning, match=r"not kept in <FileSystemCAStore: .*removed or replaced") as told:
        cid = store.put(b"after")
    assert len(told) == 1  # and no more: warnings are errors here
    assert far.get(cid) == store.get(cid) == b"after"
    store.put_blocks([(cid, b"after")])
    store.flush()
