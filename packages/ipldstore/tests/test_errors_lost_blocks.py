"""A link whose block is missing, wrong or out of reach is an IPLDStoreError: never an absent key, never fill values.

zarr takes KeyError and FileNotFoundError for "not there", so each of its ways to a block is tried here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from ipld_castore import ContentAddressableStore, MappingCAStore
from ipldstore import IPLDStore, IPLDStoreError
from multiformats import CID
from store_samples import DAMAGES, ObservedCAStore, damage, link_at, written, zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.buffer.cpu import Buffer

ROWS = np.arange(150, dtype="i4")
WIDE = np.arange(12.0).reshape(3, 4)
BIG = np.random.default_rng(7).integers(0, 256, 3 << 20, dtype="u1")


def write_sample(castore: ContentAddressableStore, zarr_format: Any) -> CID:
    """A hierarchy with every kind of block: directories and documents of their own, an index, large values, shards."""
    store = IPLDStore(castore)
    root = zarr.create_group(store, zarr_format=zarr_format)
    wide = root.create_group("wide")
    for name in [f"v{number:02}" for number in range(20)]:  # of so many, each over 1 KiB is linked
        array = wide.create_array(name, shape=WIDE.shape, dtype="f8", chunks=(1, 4), compressors=None, fill_value=-1.0)
        array.attrs["history"] = "h" * 1100
        array[...] = WIDE
    rows = root.create_array("rows", shape=ROWS.shape, dtype="i4", chunks=(1,), compressors=None, fill_value=-1)
    rows[...] = ROWS  # so many chunks that they have an index
    long = root.create_array("long", shape=(3,), dtype="i4", chunks=(3,), compressors=None, fill_value=-1)
    long[...] = [1, 2, 3]
    long.attrs["history"] = "h" * 40_000  # its document is a block
    big = root.create_array("big", shape=BIG.shape, dtype="u1", chunks=BIG.shape, compressors=None, fill_value=9)
    big[...] = BIG  # a UnixFS file of three leaves
    if zarr_format == 3:
        shards = root.create_array(
            "shards", shape=(64,), dtype="i4", chunks=(4,), shards=(64,), compressors=None, fill_value=-1
        )
        shards[...] = np.arange(64)
    return store.freeze()


PROTOTYPE = default_buffer_prototype()
Use = Callable[[IPLDStore], Any]


def _wait(action: Callable[[IPLDStore], Awaitable[Any]]) -> Use:
    async def run(store: IPLDStore) -> Any:
        return await action(store)

    return lambda store: asyncio.run(run(store))


def _drain(action: Callable[[IPLDStore], AsyncIterator[str]]) -> Use:
    async def run(store: IPLDStore) -> list[str]:
        return [name async for name in action(store)]

    return lambda store: asyncio.run(run(store))


def reads(key: str) -> dict[str, Use]:
    """The ways to the bytes of a key."""
    return {
        "get": _wait(lambda store: store.get(key, PROTOTYPE)),
        "get_partial_values": _wait(lambda store: store.get_partial_values(PROTOTYPE, [(key, None)])),
        "get_sync": lambda store: store.get_sync(key),
        "mapping[]": lambda store: store.mapping[key],
        "mapping.get": lambda store: store.mapping.get(key),
        "mapping.items": lambda store: dict(store.mapping.items()),
        "store[]": lambda store: store[key],
        "to_car": lambda store: store.to_car(),
        "canonicalize": lambda store: store.canonicalize(),
    }


def looks(key: str) -> dict[str, Use]:
    """The ways to whether a key is there: they read directories and indexes, no values."""
    directory = key.rpartition("/")[0]
    new = Buffer.from_bytes(b"new")
    return {
        "exists": _wait(lambda store: store.exists(key)),
        "in": lambda store: key in store,
        "in mapping": lambda store: key in store.mapping,
        "getsize": _wait(lambda store: store.getsize(key)),
        "getsize_prefix": _wait(lambda store: store.getsize_prefix(directory)),
        "list": _drain(lambda store: store.list()),
        "list_prefix": _drain(lambda store: store.list_prefix(prefix=key)),
        "iter": list,
        "len": len,
        "delete": _wait(lambda store: store.delete(key)),
        "delete_sync": lambda store: store.delete_sync(key),
        "del": lambda store: store.__delitem__(key),
        "pop": lambda store: store.mapping.pop(key, None),
        "set_if_not_exists": _wait(lambda store: store.set_if_not_exists(key, new)),
        "setdefault": lambda store: store.mapping.setdefault(key, b"new"),
    }


def all_raise(castore: ContentAddressableStore, root: CID, uses: dict[str, Use]) -> None:
    """Each use, of a new store that knows no block yet, is an IPLDStoreError, and changes nothing."""
    for name, use in uses.items():
        store = IPLDStore(castore, root=root)
        with pytest.raises(IPLDStoreError) as caught:
            pytest.fail(f"{name}: expected an error, found {use(store)!r:.200}")
        assert not isinstance(caught.value, (KeyError, OSError, ValueError)), name
        assert store.root_cid == root, name


def all_refuse(castore: ContentAddressableStore, root: CID, uses: dict[str, Use]) -> None:
    """Each use that would change something is an IPLDStoreError, and the contents are as before."""
    for name, use in uses.items():
        store = IPLDStore(castore, root=root)
        with pytest.raises(IPLDStoreError):
            pytest.fail(f"{name}: expected an error, found {use(store)!r:.200}")
        assert store.freeze() == root, name


@pytest.fixture(params=[2, 3], ids=["v2", "v3"])
def zarr_format(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def samples() -> dict[int, tuple[CID, list[tuple[CID, bytes]]]]:
    """Root and blocks of the sample in each format."""

    def made(zarr_format: int) -> tuple[CID, list[tuple[CID, bytes]]]:
        castore = MappingCAStore()
        root = write_sample(castore, zarr_format)
        return root, list(castore.get_dag(root))

    return {2: made(2), 3: made(3)}


@pytest.fixture
def sample(
    castore: ContentAddressableStore, zarr_format: int, samples: dict[int, tuple[CID, list[tuple[CID, bytes]]]]
) -> CID:
    """The root of the sample, which ``castore`` now has."""
    root, blocks = samples[zarr_format]
    castore.put_blocks(blocks)
    return root


@pytest.fixture
def metadata(zarr_format: int) -> str:
    return "zarr.json" if zarr_format == 3 else ".zarray"


@pytest.fixture
def chunk(zarr_format: int) -> Callable[..., str]:
    """The key of a chunk."""

    def key(array: str, *numbers: int) -> str:
        if zarr_format == 3:
            return "/".join([array, "c", *map(str, numbers)])
        return f"{array}/{'.'.join(map(str, numbers))}"

    return key


def test_the_sample_is_whole(castore: ContentAddressableStore, sample: CID, zarr_format: int) -> None:
    group = zarr.open_group(IPLDStore(castore, root=sample), mode="r", zarr_format=zarr_format)
    assert np.array_equal(group["rows"], ROWS)
    assert np.array_equal(group["wide/v03"], WIDE)
    assert np.array_equal(group["big"], BIG)
    assert len(group.attrs) == 0


@pytest.mark.parametrize("how", DAMAGES)
def test_a_chunk(castore: ContentAddressableStore, sample: CID, chunk: Callable[..., str], how: str) -> None:
    key = chunk("wide/v03", 1, 0)
    damage(castore, link_at(castore, sample, *key.split("/")), how)
    all_raise(castore, sample, reads(key))
    for use in (
        lambda store: zarr.open_array(store, path="wide/v03", mode="r")[...],
        lambda store: zarr.open_array(store, path="wide/v03", mode="r")[1, 2],
        lambda store: zarr.open_group(store, mode="r")["wide/v03"][1],
        lambda store: zarr.open(store, mode="r")["wide/v03"].oindex[[1], [0]],
        lambda store: zarr.open_array(store, path="wide/v03", mode="r+").__setitem__((1, 0), 5.0),  # a part of a chunk
    ):
        all_raise(castore, sample, {"through zarr": use})
    # What does not need the block works.
    store = IPLDStore(castore, root=sample)
    assert key in store
    assert np.array_equal(zarr.open_array(store, path="wide/v03")[0], WIDE[0])
    assert np.array_equal(zarr.open_array(store, path="wide/v03")[2], WIDE[2])


def test_a_chunk_that_is_lost_can_be_written_anew(
    castore: ContentAddressableStore, sample: CID, chunk: Callable[..., str]
) -> None:
    for how in DAMAGES:
        damage(castore, link_at(castore, sample, *chunk("wide/v03", 1, 0).split("/")), how)
        store = IPLDStore(castore, root=sample)
        zarr.open_array(store, path="wide/v03", mode="r+")[1] = WIDE[1]
        assert store.freeze() == sample
        assert np.array_equal(zarr.open_array(IPLDStore(castore, root=sample), path="wide/v03"), WIDE)


@pytest.mark.parametrize(("leaf", "how"), list(enumerate(DAMAGES)))
def test_a_leaf_of_a_large_value(
    castore: ContentAddressableStore, sample: CID, chunk: Callable[..., str], how: str, leaf: int
) -> None:
    key = chunk("big", 0)
    file = link_at(castore, sample, *key.split("/"))
    assert file.codec.name == "dag-pb"
    leaves = [cid for cid, _ in castore.get_dag(file)][1:]
    assert len(leaves) == 3
    damage(castore, leaves[leaf], how)
    all_raise(castore, sample, reads(key))
    all_raise(castore, sample, {"array": lambda store: zarr.open_array(store, path="big", mode="r")[...]})


@pytest.mark.parametrize("how", DAMAGES)
def test_the_root_of_a_large_value(
    castore: ContentAddressableStore, sample: CID, chunk: Callable[..., str], how: str
) -> None:
    key = chunk("big", 0)
    damage(castore, link_at(castore, sample, *key.split("/")), how)
    sizes = {name: use for name, use in looks(key).items() if name.startswith("getsize")}
    assert len(sizes) == 2
    all_raise(castore, sample, reads(key) | sizes)
    all_raise(castore, sample, {"array": lambda store: zarr.open_array(store, path="big", mode="r")[...]})


@pytest.mark.parametrize("how", ["missing", "emptied"])
def test_the_size_of_a_lost_value(
    castore: ContentAddressableStore, sample: CID, chunk: Callable[..., str], how: str
) -> None:
    """Sizes are asked of the backend without reading a byte; what it cannot know without is not lost on it."""
    key = chunk("wide/v03", 1, 0)
    damage(castore, link_at(castore, sample, *key.split("/")), how)
    sizes = {name: use for name, use in looks(key).items() if name.startswith("getsize")}
    all_raise(castore, sample, sizes)


def array_uses(path: str) -> dict[str, Use]:
    """The ways of zarr to an array."""
    group, _, name = path.rpartition("/")
    return {
        "open": lambda store: zarr.open(store, path=path, mode="r"),
        "open a": lambda store: zarr.open(store, path=path, mode="a"),
        "open_array": lambda store: zarr.open_array(store, path=path, mode="r"),
        "open_group": lambda store: zarr.open_group(store, path=path, mode="r"),
        "in": lambda store: name in zarr.open_group(store, path=group, mode="r"),
        "[]": lambda store: zarr.open_group(store, path=group, mode="r")[name],
        "get": lambda store: zarr.open_group(store, path=group, mode="r").get(name),
        "members": lambda store: zarr.open_group(store, path=group, mode="r").members(),
        "arrays": lambda store: dict(zarr.open_group(store, path=group, mode="r").arrays()),
        "keys": lambda store: list(zarr.open_group(store, path=group, mode="r").keys()),
        "require_array": lambda store: zarr.open_group(store, path=group).require_array(
            name, shape=(3, 4), dtype="f8", chunks=(1, 4)
        ),
        "create_array": lambda store: zarr.open_group(store, path=group).create_array(
            name, shape=(3, 4), dtype="f8", chunks=(1, 4)
        ),
        "tree": lambda store: str(zarr.open_group(store, path=group, mode="r").info_complete()),
        "consolidate": zarr.consolidate_metadata,
    }


@pytest.mark.parametrize("how", DAMAGES)
def test_the_directory_of_an_array(
    castore: ContentAddressableStore, sample: CID, chunk: Callable[..., str], metadata: str, how: str
) -> None:
    """The reason for all this: `"v03" in group` must not be false because a block is lost."""
    damage(castore, link_at(castore, sample, "wide", "v03"), how)
    for key in (f"wide/v03/{metadata}", chunk("wide/v03", 1, 0)):
        all_raise(castore, sample, reads(key) | looks(key))
    listing: dict[str, Use] = {
        "list_dir": _drain(lambda store: store.list_dir("wide/v03")),
        "is_empty": _wait(lambda store: store.is_empty("wide/v03")),
    }
    all_raise(castore, sample, listing)
    changes: dict[str, Use] = {
        "set": _wait(lambda store: store.set(chunk("wide/v03", 0, 0), Buffer.from_bytes(b"new"))),
        "set_sync": lambda store: store.set_sync(chunk("wide/v03", 0, 0), Buffer.from_bytes(b"new")),
        "mapping": lambda store: store.mapping.update({"wide/v03/c/9/9/9": b"new"}),
        "metadata": lambda store: store.__setitem__(f"wide/v03/{metadata}", b"{}"),
        "delete_dir": _wait(lambda store: store.delete_dir("wide/v03/c")),
    }
    all_refuse(castore, sample, changes)
    all_raise(castore, sample, array_uses("wide/v03"))


@pytest.mark.parametrize("how", DAMAGES)
def test_the_document_of_an_array(castore: ContentAddressableStore, sample: CID, zarr_format: int, how: str) -> None:
    key = "long/zarr.json" if zarr_format == 3 else "long/.zattrs"
    damage(castore, link_at(castore, sample, *key.split("/")), how)
    sizes = {name: use for name, use in looks(key).items() if name.startswith("getsize")}
    all_raise(castore, sample, reads(key) | sizes)
    uses = array_uses("long")
    if zarr_format == 2:
        del uses["create_array"]  # it sees an array, whatever its attributes, and says so
    all_raise(castore, sample, uses)


@pytest.mark.parametrize("how", DAMAGES)
def test_the_index_of_an_array(
    castore: ContentAddressableStore, sample: CID, chunk: Callable[..., str], how: str
) -> None:
    damage(castore, link_at(castore, sample, "rows", "__ipld_chunks__", 0, 1), how)
    key = chunk("rows", 17)
    all_raise(castore, sample, reads(key) | looks(key))
    uses: dict[str, Use] = {
        "list_dir": _drain(lambda store: store.list_dir("rows")),
        "read": lambda store: zarr.open_array(store, path="rows", mode="r")[...],
        "one": lambda store: zarr.open_array(store, path="rows", mode="r")[17],
        "nchunks_initialized": lambda store: zarr.open_array(store, path="rows", mode="r").nchunks_initialized,
    }
    all_raise(castore, sample, uses)

    def freeze_a_change(store: IPLDStore) -> None:
        store[key] = b"four"
        try:
            store.freeze()
        finally:
            assert store.root_cid is None
            assert store[key] == b"four"  # nothing is lost
            store.set_root(sample)

    all_raise(castore, sample, {"freeze": freeze_a_change})


@pytest.mark.parametrize("how", DAMAGES)
def test_an_index_of_names(castore: ContentAddressableStore, how: str) -> None:
    """A group of very many arrays: the leaf that has one of them is lost."""
    root = written({f"n{number}/.zgroup": b"{}" for number in range(2100)}, castore).freeze()
    parts = castore.get(root)["__ipld_names__"]
    assert len(parts) > 1
    damage(castore, parts[-1][1], how)
    key = f"{parts[-1][0]}/.zgroup"
    all_raise(castore, root, reads(key) | looks(key))
    all_raise(castore, root, {"list_dir": _drain(lambda store: store.list_dir(""))})
    all_refuse(castore, root, {"a new name": lambda store: store.__setitem__("zzz/.zgroup", b"{}")})


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("zarr_format", [3], ids=["v3"])
def test_a_shard(castore: ContentAddressableStore, sample: CID, how: str) -> None:
    key = "shards/c/0"
    damage(castore, link_at(castore, sample, *key.split("/")), how)
    uses: dict[str, Use] = {
        "whole": lambda store: zarr.open_array(store, path="shards", mode="r")[...],
        "one inner chunk": lambda store: zarr.open_array(store, path="shards", mode="r")[9],
        "one inner chunk, written": lambda store: zarr.open_array(store, path="shards", mode="r+").__setitem__(9, 5),
    }
    all_raise(castore, sample, reads(key) | uses)


@pytest.mark.parametrize("how", DAMAGES)
def test_the_root(castore: ContentAddressableStore, sample: CID, how: str) -> None:
    other = IPLDStore(castore)
    other["kept"] = b"kept"
    kept = other.freeze()
    damage(castore, sample, how)
    with pytest.raises(IPLDStoreError, match=str(sample)):
        IPLDStore(castore, root=sample)
    with pytest.raises(IPLDStoreError, match=str(sample)):
        other.set_root(sample)
    assert other.root_cid == kept
    assert other["kept"] == b"kept"


def test_a_block_that_comes_back_is_read(
    castore: ContentAddressableStore, sample: CID, chunk: Callable[..., str]
) -> None:
    """An error is not remembered."""
    key = chunk("wide/v03", 1, 0)
    store = IPLDStore(castore, root=sample)
    for cid in (link_at(castore, sample, "wide", "v03"), link_at(castore, sample, *key.split("/"))):
        block = castore.get_raw(cid)
        damage(castore, cid, "missing")
        with pytest.raises(IPLDStoreError):
            store[key]
        castore.put_block(cid, block)
    assert store[key] == WIDE[1].tobytes()


def test_an_error_says_what_and_where(castore: ContentAddressableStore, sample: CID, chunk: Callable[..., str]) -> None:
    key = chunk("wide/v03", 1, 0)
    cid = link_at(castore, sample, *key.split("/"))
    for how, said in (("missing", "no block"), ("flipped", "digest"), ("emptied", "digest")):
        block = castore.get_raw(cid)
        damage(castore, cid, how)
        with pytest.raises(IPLDStoreError) as caught:
            IPLDStore(castore, root=sample)[key]
        message = str(caught.value)
        assert key in message
        assert str(cid) in message
        assert said in message
        assert caught.value.__cause__ is not None
        castore.put_block(cid, block)


def test_a_backend_that_is_down(zarr_format: int, metadata: str, chunk: Callable[..., str]) -> None:
    """BackendUnavailableError is an OSError, which zarr's LocalStore means by "absent"."""
    castore = ObservedCAStore(MappingCAStore())
    sample = write_sample(castore, zarr_format)
    uses = reads(chunk("rows", 3)) | looks(chunk("rows", 3)) | reads(f"wide/v03/{metadata}")
    uses |= looks(f"wide/v03/{metadata}") | array_uses("wide/v03")

    def goes_down(use: Use) -> Use:
        def run(store: IPLDStore) -> Any:
            castore.down = True
            try:
                return use(store)
            finally:
                castore.down = False

        return run

    all_raise(castore, sample, {name: goes_down(use) for name, use in uses.items()})
    castore.down = True
    with pytest.raises(IPLDStoreError, match="on fire"):
        IPLDStore(castore, root=sample)


def test_writing_to_a_backend_that_is_down(zarr_format: int) -> None:
    castore = ObservedCAStore(MappingCAStore())
    store = IPLDStore(castore)
    array = zarr.create_array(store, name="a", shape=(4,), chunks=(2,), dtype="i4", zarr_format=zarr_format)
    array[:2] = 7
    castore.down = True
    for use in (
        lambda: array.__setitem__(slice(2, 4), 8),
        lambda: store.__setitem__("b/0", b"bytes"),
        lambda: store.set_sync("b/0", Buffer.from_bytes(b"bytes")),
        store.freeze,
        store.to_car,
    ):
        with pytest.raises(IPLDStoreError, match="on fire"):
            use()
    castore.down = False
    # Nothing is lost, and nothing that failed is there.
    assert "b/0" not in store
    assert np.array_equal(array, [7, 7, 0, 0])
    array[2:] = 8
    root = store.freeze()
    assert np.array_equal(zarr.open_array(IPLDStore(castore, root=root), path="a"), [7, 7, 8, 8])


def test_a_flush_that_fails() -> None:
    """freeze gives no root before the backend says that the blocks are safe; the next call goes on."""

    class NoFlush(ObservedCAStore):
        full = True

        def flush(self) -> None:
            super().flush()
            if self.full:
                raise OSError("no space left")

    castore = NoFlush(MappingCAStore())
    store = IPLDStore(castore)
    store["a"] = b"1"
    with pytest.raises((OSError, IPLDStoreError)):
        store.freeze()
    castore.full = False
    castore.forget()
    root = store.freeze()
    assert castore.flushed == 1
    assert IPLDStore(castore, root=root)["a"] == b"1"
