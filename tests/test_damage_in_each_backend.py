"""A block changed, emptied or removed, in each backend: an error on read, through the store, zarr and xarray."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from ipld_car import CarFile, cids
from ipld_castore import (
    CarCAStore,
    ContentAddressableStore,
    FileSystemCAStore,
    GatewayCAStore,
    IPFSStore,
    MappingCAStore,
    TieredCAStore,
)
from ipld_castore.testing import BlockServer
from ipldstore import IPLDStore, IPLDStoreError
from multiformats import CID

Blocks = dict[str, bytes]
ROWS = np.arange(150)


@pytest.fixture(scope="module")
def sample() -> tuple[CID, Blocks]:
    """Two arrays: one whose chunks have an index, one in a directory of its own with a chunk that is a UnixFS file."""
    blocks: Blocks = {}
    store = IPLDStore(MappingCAStore(blocks))
    big = np.random.default_rng(7).integers(0, 256, 3 << 19, dtype="u1")
    data = xr.Dataset({"rows": ("x", ROWS), "big": ("y", big, {"history": "h" * 20_000})})
    encoding: Any = {"rows": {"chunks": (1,), "compressors": None}, "big": {"chunks": big.shape, "compressors": None}}
    data.to_zarr(store, encoding=encoding, zarr_format=3)
    return store.freeze(), blocks


def place_of(root: CID, blocks: Blocks, what: str) -> str:
    """The CID of the block that is to be damaged, and the key that leads through it."""
    castore = MappingCAStore(blocks)
    top: Any = castore.get(root)
    leaf: Any = top["rows"]["__ipld_chunks__"][0][1]
    node: Any = castore.get(leaf)
    big: Any = castore.get(top["big"])
    found: dict[str, CID] = {
        "a chunk": node["c"]["17"],
        "a leaf of the index": leaf,
        "the directory of an array": top["big"],
        "a file of several blocks": big["c"]["0"],
        "a block of a file": [cid for cid, _ in castore.get_dag(big["c"]["0"])][-1],
    }
    return cids.to_text(bytes(found[what]))


KEYS = {
    "a chunk": "rows/c/17",
    "a leaf of the index": "rows/c/17",
    "the directory of an array": "big/zarr.json",
    "a file of several blocks": "big/c/0",
    "a block of a file": "big/c/0",
}


@contextmanager
def mapping(blocks: Blocks, *_: Any) -> Iterator[ContentAddressableStore]:
    yield MappingCAStore(blocks)


@contextmanager
def in_a_folder(blocks: Blocks, folder: Path, _: CID) -> Iterator[ContentAddressableStore]:
    castore = FileSystemCAStore(folder / "blocks", fsync=False)
    for text, data in blocks.items():
        castore.put_block(CID.decode(text), data)
    yield castore


@contextmanager
def in_a_car(blocks: Blocks, folder: Path, root: CID) -> Iterator[ContentAddressableStore]:
    with CarFile.open(folder / "blocks.car", "x", fsync=False) as file:
        for text, data in blocks.items():
            file.put(cids.to_bytes(text), data, verify=False)
        file.roots = [root]
    with CarCAStore(folder / "blocks.car", "r") as castore:
        yield castore


@contextmanager
def at_a_node(blocks: Blocks, *_: Any) -> Iterator[ContentAddressableStore]:
    with BlockServer(MappingCAStore(blocks)) as server, IPFSStore(server.url) as castore:
        yield castore


@contextmanager
def at_a_gateway(blocks: Blocks, *_: Any) -> Iterator[ContentAddressableStore]:
    with BlockServer(MappingCAStore(blocks)) as server, GatewayCAStore(server.url) as castore:
        yield castore


@contextmanager
def behind_another(blocks: Blocks, *_: Any) -> Iterator[ContentAddressableStore]:
    with at_a_gateway(blocks) as far, TieredCAStore(MappingCAStore(), far) as castore:
        yield castore


BACKENDS = [mapping, in_a_folder, in_a_car, at_a_node, at_a_gateway, behind_another]

Use = Callable[[IPLDStore], Any]


def uses(key: str) -> dict[str, Use]:
    name = key.partition("/")[0]
    return {
        "the store": lambda store: store[key],
        "get_sync": lambda store: store.get_sync(key),
        "zarr": lambda store: np.asarray(zarr.open_group(store, mode="r", use_consolidated=False)[name]),
        "one value": lambda store: zarr.open_array(store, path=name, mode="r")[17],
        "xarray": lambda store: xr.open_zarr(store, consolidated=True, chunks=None)[name].load(),
        "xarray, not consolidated": lambda store: xr.open_zarr(store, consolidated=False)[name].load(),
    }


HOWS = ["changed", "emptied", "removed"]
CASES = [
    pytest.param(backend, what, HOWS[(row + column) % 3], id=f"{what}, {HOWS[(row + column) % 3]}, {backend.__name__}")
    for row, backend in enumerate(BACKENDS)
    for column, what in enumerate(KEYS)
]
"""Each block in each backend; how it is damaged takes turns, so that each block and each backend meets each way."""


@pytest.mark.parametrize(("backend", "what", "how"), CASES)
def test_it_is_an_error(sample: tuple[CID, Blocks], backend: Any, what: str, how: str, tmp_path: Path) -> None:
    root, whole = sample
    place = place_of(root, whole, what)
    blocks = dict(whole)
    if how == "removed":
        del blocks[place]
    else:
        blocks[place] = bytes([whole[place][0] ^ 1]) + whole[place][1:] if how == "changed" else b""
    with backend(blocks, tmp_path, root) as castore:
        for name, use in uses(KEYS[what]).items():
            with pytest.raises(IPLDStoreError):
                pytest.fail(f"{name}: expected an error, found {use(IPLDStore(castore, root=root))!r:.200}")
        # What does not lead through it is as it was.
        other = "rows" if KEYS[what].startswith("big") else "big"
        group = xr.open_zarr(IPLDStore(castore, root=root, read_only=True), consolidated=True, chunks=None)
        assert group[other].load().size in (150, 3 << 19)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_whole_is_read(sample: tuple[CID, Blocks], backend: Any, tmp_path: Path) -> None:
    root, blocks = sample
    with backend(dict(blocks), tmp_path, root) as castore:
        for use in uses("rows/c/17").values():
            use(IPLDStore(castore, root=root))
        found = xr.open_zarr(IPLDStore(castore, root=root), consolidated=True, chunks=None)
        assert np.array_equal(found["rows"], ROWS)
