"""A hierarchy with each kind of block, and all ways to read it: verbs of the store, and functions of zarr."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from ipld_castore import ContentAddressableStore
from ipldstore import IPLDStore, IPLDStoreError
from multiformats import CID
from zarr.core.buffer import default_buffer_prototype
from zarr.core.buffer.cpu import Buffer

from .store_samples import zarr

ROWS = np.arange(150, dtype="i4")
WIDE = np.arange(12.0).reshape(3, 4)
BIG = np.random.default_rng(7).integers(0, 256, 3 << 20, dtype="u1")


def write_sample(castore: ContentAddressableStore, zarr_format: Any) -> CID:
    """Write a hierarchy with linked directories and documents, an index, a large value and shards; return its root."""
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


def wait(action: Callable[[IPLDStore], Awaitable[Any]]) -> Use:
    """Return a use that runs a coroutine of a store."""

    async def run(store: IPLDStore) -> Any:
        return await action(store)

    return lambda store: asyncio.run(run(store))


def drain(action: Callable[[IPLDStore], AsyncIterator[str]]) -> Use:
    """Return a use that runs an asynchronous iterator of a store to its end."""

    async def run(store: IPLDStore) -> list[str]:
        return [name async for name in action(store)]

    return lambda store: asyncio.run(run(store))


def reads(key: str) -> dict[str, Use]:
    """Return the ways to read the bytes of a key."""
    return {
        "get": wait(lambda store: store.get(key, PROTOTYPE)),
        "get_partial_values": wait(lambda store: store.get_partial_values(PROTOTYPE, [(key, None)])),
        "get_sync": lambda store: store.get_sync(key),
        "mapping[]": lambda store: store.mapping[key],
        "mapping.get": lambda store: store.mapping.get(key),
        "mapping.items": lambda store: dict(store.mapping.items()),
        "store[]": lambda store: store[key],
        "to_car": lambda store: store.to_car(),
        "canonicalize": lambda store: store.canonicalize(),
    }


def looks(key: str) -> dict[str, Use]:
    """Return the ways to look for a key, which read directories and indexes but no values."""
    directory = key.rpartition("/")[0]
    new = Buffer.from_bytes(b"new")
    return {
        "exists": wait(lambda store: store.exists(key)),
        "in": lambda store: key in store,
        "in mapping": lambda store: key in store.mapping,
        "getsize": wait(lambda store: store.getsize(key)),
        "getsize_prefix": wait(lambda store: store.getsize_prefix(directory)),
        "list": drain(lambda store: store.list()),
        "list_prefix": drain(lambda store: store.list_prefix(prefix=key)),
        "iter": list,
        "len": len,
        "delete": wait(lambda store: store.delete(key)),
        "delete_sync": lambda store: store.delete_sync(key),
        "del": lambda store: store.__delitem__(key),
        "pop": lambda store: store.mapping.pop(key, None),
        "set_if_not_exists": wait(lambda store: store.set_if_not_exists(key, new)),
        "setdefault": lambda store: store.mapping.setdefault(key, b"new"),
    }


def all_raise(castore: ContentAddressableStore, root: CID, uses: dict[str, Use]) -> None:
    """Assert that each use of a store without cached blocks raises an IPLDStoreError and changes nothing."""
    for name, use in uses.items():
        store = IPLDStore(castore, root=root)
        with pytest.raises(IPLDStoreError) as caught:
            pytest.fail(f"{name}: expected an error, found {use(store)!r:.200}")
        assert not isinstance(caught.value, (KeyError, OSError, ValueError)), name
        assert store.root_cid == root, name


def all_refuse(castore: ContentAddressableStore, root: CID, uses: dict[str, Use]) -> None:
    """Assert that each use, which would change the store, raises an IPLDStoreError and changes nothing."""
    for name, use in uses.items():
        store = IPLDStore(castore, root=root)
        with pytest.raises(IPLDStoreError):
            pytest.fail(f"{name}: expected an error, found {use(store)!r:.200}")
        assert store.freeze() == root, name


def array_uses(path: str) -> dict[str, Use]:
    """Return the ways of zarr to open an array."""
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


def metadata_name(zarr_format: int) -> str:
    """Return the name of the metadata document of an array."""
    return "zarr.json" if zarr_format == 3 else ".zarray"


def chunk_key(zarr_format: int, array: str, *numbers: int) -> str:
    """Return the key of a chunk."""
    if zarr_format == 3:
        return "/".join([array, "c", *map(str, numbers)])
    return f"{array}/{'.'.join(map(str, numbers))}"
