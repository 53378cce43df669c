"""What leaves the store when blocks are lost, wrong or out of reach: which error, and that nothing hangs on it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import copy
from pathlib import Path
from typing import Any, Literal

import ipldstore
import pytest
from ipld_castore import (
    BackendUnavailableError,
    BlockMalformedError,
    BlockNotFoundError,
    CarCAStore,
    CAStoreError,
    ContentAddressableStore,
    FileSystemCAStore,
    HashRefusedError,
    HeadMovedError,
    MappingCAStore,
    ReadOnlyStoreError,
    StoreReplacedError,
)
from ipld_castore import BlockCorruptError as LowerBlockCorruptError
from ipldstore import (
    BlockCorruptError,
    BlockMissingError,
    ConflictError,
    IPLDStore,
    IPLDStoreError,
    NodeError,
    StoreUnavailableError,
)
from multiformats import CID
from zarr.core.buffer.cpu import Buffer

from .support.store_samples import SOME, block_file, damage, link_at, written


class RaisingCAStore(MappingCAStore):
    """Raises a copy of an error from each verb that a backend writes, once it is given one."""

    error: Exception | None = None

    def _raise(self) -> None:
        if self.error is not None:
            raise copy(self.error)  # one that is kept would keep the frames that it passed

    def get_block(self, cid: CID) -> bytes:
        self._raise()
        return super().get_block(cid)

    def put_block(self, cid: CID, data: bytes) -> None:
        self._raise()
        super().put_block(cid, data)

    def flush(self) -> None:
        self._raise()
        super().flush()


@pytest.mark.parametrize(
    ("lower", "expected"),
    [
        (BlockNotFoundError("no block"), BlockMissingError),
        (KeyError("a mapping has none"), BlockMissingError),
        (LowerBlockCorruptError("other bytes"), BlockCorruptError),
        (BlockMalformedError("no UnixFS"), NodeError),
        (BackendUnavailableError("down"), StoreUnavailableError),
        (OSError(28, "No space left on device"), StoreUnavailableError),
        (TimeoutError("too slow"), StoreUnavailableError),
        (HashRefusedError("sha1"), IPLDStoreError),
        (HeadMovedError("a folder", None, None), ConflictError),
        (StoreReplacedError("another folder"), ConflictError),
        (ReadOnlyStoreError("a gateway"), IPLDStoreError),
        (CAStoreError("something"), IPLDStoreError),
        (ValueError("no such bucket"), IPLDStoreError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
def test_each_error_of_the_layers_below_has_its_kind(lower: Exception, expected: type[IPLDStoreError]) -> None:
    """The kind says whether to look for the block elsewhere, to put it again, or to try again."""
    castore = RaisingCAStore()
    root = written(SOME, castore).freeze()
    store = IPLDStore(castore, root=root)
    castore.error = lower
    uses: dict[str, Callable[[], Any]] = {
        "reading": lambda: store["a/0"],
        "writing": lambda: store.__setitem__("a/0", b"new"),
        "keeping": store.freeze,
    }
    for what, use in uses.items():
        with pytest.raises(IPLDStoreError, match=what) as caught:
            use()
        assert type(caught.value) is expected, what
        assert repr(caught.value.__cause__) == repr(lower)


def test_lost_and_damaged_blocks() -> None:
    castore = MappingCAStore()
    root = written(SOME, castore).freeze()
    chunk = link_at(castore, root, "a", "0")
    damage(castore, chunk, "flipped")
    with pytest.raises(BlockCorruptError, match="a/0"):
        IPLDStore(castore, root=root)["a/0"]
    del castore.mapping[chunk.encode("base32")]
    with pytest.raises(BlockMissingError, match="a/0"):
        IPLDStore(castore, root=root)["a/0"]


@pytest.mark.parametrize(
    "kind", [IPLDStoreError, NodeError, BlockMissingError, BlockCorruptError, StoreUnavailableError, ConflictError]
)
def test_none_is_what_zarr_or_xarray_take_for_absence(kind: type[Exception]) -> None:
    assert issubclass(kind, IPLDStoreError)
    assert not issubclass(kind, (KeyError, OSError, ValueError))
    assert f"{kind.__module__}.{kind.__qualname__}" == f"ipldstore.{kind.__name__}"


def test_exported_classes_say_where_users_import_them_from() -> None:
    own = [getattr(ipldstore, name) for name in ipldstore.__all__]
    classes = [item for item in own if isinstance(item, type) and "ipldstore" in item.__module__]
    assert IPLDStore in classes
    assert {item.__module__ for item in classes} == {"ipldstore"}


def test_a_type_error_is_a_bug_and_passes() -> None:
    castore = RaisingCAStore()
    store = IPLDStore(castore, root=written(SOME, castore).freeze())
    castore.error = TypeError("a bug")
    for use in (lambda: store["a/0"], lambda: store.__setitem__("a/0", b"new"), store.freeze, store.to_car):
        with pytest.raises(TypeError, match="a bug"):
            use()


# -- nothing hangs on frames --


class Marker:
    """Stands for what a caller has in its frame: an array, a file, a lock."""


@contextmanager
def without_garbage_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def assert_nothing_hangs(fail: Callable[[], Any]) -> None:
    """The frames of a call that fails are gone as soon as its error is handled."""
    seen: list[weakref.ref[Marker]] = []

    def run() -> None:
        marker = Marker()
        seen.append(weakref.ref(marker))
        fail()
        pytest.fail("expected an error")

    with without_garbage_collector():
        with suppress(IPLDStoreError, ValueError, OSError):
            run()
        assert seen[0]() is None


VERBS: dict[str, Callable[[IPLDStore], Any]] = {
    "read": lambda store: store["a/0"],
    "read a part": lambda store: store.get_sync("a/0"),
    "write": lambda store: store.__setitem__("a/0", b"new"),
    "set_sync": lambda store: store.set_sync("a/0", Buffer.from_bytes(b"new")),
    "write a document": lambda store: store.__setitem__("b/.zattrs", b'{"a":"%s"}' % (b"x" * 70_000)),
    "freeze": lambda store: store.freeze(),
    "set_root": lambda store: store.set_root(written({"other": b"x"}).freeze()),
    "to_car": lambda store: store.to_car(),
    "import_car": lambda store: store.import_car(written({"other": b"x"}).to_car()),
    "canonicalize": lambda store: store.canonicalize(),
    "publish": lambda store: store.publish("name"),
    "resolve": lambda store: store.resolve("name"),
    "push": lambda store: ipldstore.push(store._data.frozen(), store.castore, MappingCAStore()),
    "push to it": lambda store: ipldstore.push(written(SOME).freeze(), written(SOME).castore, store.castore),
    "pull": lambda store: ipldstore.pull(store._data.frozen(), store.castore, MappingCAStore()),
    "a store of it": lambda store: IPLDStore(store.castore, root=store._data.frozen()),
}


@pytest.mark.parametrize("verb", VERBS)
def test_after_an_error_no_frame_is_left(verb: str) -> None:
    """What the caller had in its frames is free at once: arrays, and whatever closes when it is dropped."""

    def fail() -> None:
        castore = RaisingCAStore()
        store = IPLDStore(castore, root=written(SOME, castore).freeze())
        castores.append(weakref.ref(castore))
        castore.error = BackendUnavailableError("down")
        VERBS[verb](store)

    castores: list[weakref.ref[ContentAddressableStore]] = []
    assert_nothing_hangs(fail)
    assert [castore() for castore in castores] == [None]


async def test_after_an_error_of_zarrs_verbs_no_frame_is_left() -> None:
    """In threads, too."""
    buffer = Buffer.from_bytes(bytes(1 << 19))  # enough for a thread of its own

    async def fail(verb: Callable[[IPLDStore], Any]) -> None:
        marker = Marker()
        seen.append(weakref.ref(marker))
        castore = RaisingCAStore()
        castore.blocking = True
        store = IPLDStore(castore, root=written(SOME, castore).freeze())
        castore.error = BackendUnavailableError("down")
        await verb(store)

    for verb in (
        lambda store: store.get("a/0"),
        lambda store: store.get_partial_values(None, [("a/0", None)]),
        lambda store: store.set("a/0", buffer),
    ):
        seen: list[weakref.ref[Marker]] = []
        with without_garbage_collector():
            try:
                await fail(verb)
                pytest.fail("expected an error")
            except IPLDStoreError:
                pass
            for _ in range(1000):  # until the loop, and the thread, have gone on to their next step
                if seen[0]() is None:
                    break
                await asyncio.sleep(0.01)
            assert seen[0]() is None


@pytest.mark.parametrize("name", ["folder", "data.car"])
@pytest.mark.parametrize("mode", ["r", "a"])
def test_after_a_failed_open_nothing_is_locked(tmp_path: Path, name: str, mode: Literal["r", "a"]) -> None:
    """A file of something else, and a head whose block is not there: files and locks are free for the next open."""
    path = tmp_path / name
    path.write_bytes(b"nonsense")
    assert_nothing_hangs(lambda: ipldstore.open(path, mode))
    assert open_files(path) == []
    path.unlink()
    other = written({"a/0": b"zero"})
    with CarCAStore(path) if path.suffix else FileSystemCAStore(path) as castore:
        castore.swap_head(None, other.freeze())
    assert_nothing_hangs(lambda: ipldstore.open(path, mode)["a/0"])
    assert open_files(path) == []
    with CarCAStore(path) if path.suffix else FileSystemCAStore(path) as castore:
        castore.import_car(other.to_car())
    with ipldstore.open(path, "a", fsync=False) as store:
        assert store["a/0"] == b"zero"


@pytest.mark.parametrize("verb", ["stats", "list", "mapping"])
def test_after_an_error_of_a_walk_no_frame_is_left(verb: str) -> None:
    """Directories that are blocks of their own are read by the walk itself."""
    uses: dict[str, Callable[[IPLDStore], Any]] = {
        "stats": lambda store: store.stats(),
        "list": list,
        "mapping": lambda store: list(store.mapping),
    }
    contents = {f"g/{number}/.zattrs": b'{"a":"%s"}' % (b"x" * 1500) for number in range(20)}

    def fail() -> None:
        castore = RaisingCAStore()
        root = written(contents, castore).freeze()
        store = IPLDStore(castore, root=root)
        castore.error = BackendUnavailableError("down")
        uses[verb](store)

    assert_nothing_hangs(fail)


def open_files(path: Path) -> list[str]:
    """Return the files at a path that this process has open, where the system tells."""
    handles = Path("/proc/self/fd")
    found = [str(each.readlink()) for each in handles.iterdir() if each.is_symlink()] if handles.is_dir() else []
    return [each for each in found if each.startswith(str(path))]


def test_after_a_failed_compaction_the_folder_is_free(tmp_path: Path) -> None:
    with ipldstore.open(tmp_path, "a", fsync=False) as store:
        store["a/0"] = b"zero"
    castore = FileSystemCAStore(tmp_path)
    assert store.root_cid is not None
    block_file(castore, link_at(castore, store.root_cid, "a", "0")).unlink()
    assert_nothing_hangs(lambda: ipldstore.compact(tmp_path))
    with ipldstore.open(tmp_path, "a", fsync=False) as store:
        assert "a/0" in store
