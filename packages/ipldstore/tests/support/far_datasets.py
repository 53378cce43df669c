"""Datasets of very many chunks behind a gateway, for tests that count the requests of reading them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from ipld_car import cids
from ipld_castore import GatewayCAStore, MappingCAStore
from ipld_castore.testing import BlockServer
from ipldstore import IPLDStore
from multiformats import CID

from .store_samples import zarr

SHAPE = (128, 25, 40)
"""So many chunks that the top node of the index is a block of its own, as it is for 10^6."""


def array_of(shape: tuple[int, ...]) -> Any:
    return np.arange(np.prod(shape), dtype="i8").reshape(shape)


def dataset(blocks: MappingCAStore, shape: tuple[int, ...], arrays: int = 1, chunk_bytes: int = 8) -> CID:
    """Write a consolidated group; its array ``a0`` has a chunk for each element, in its first 8 bytes."""
    store = IPLDStore(blocks)
    group = zarr.create_group(store)
    for number in range(arrays):
        group.create_array(
            f"a{number}",
            shape=(*shape, chunk_bytes // 8),
            chunks=(*(1,) * len(shape), chunk_bytes // 8),
            dtype="i8",
            compressors=None,
            filters=None,
            fill_value=-1,
        )
    rest = bytes(chunk_bytes - 8)
    for number, place in enumerate(np.ndindex(shape)):
        store["a0/c/" + "/".join(map(str, place)) + "/0"] = number.to_bytes(8, "little") + rest
    zarr.consolidate_metadata(store)
    return store.freeze()


def opened(server: BlockServer, root: CID, *, timeout: float = 60.0, retries: int = 3) -> IPLDStore:
    return IPLDStore(GatewayCAStore(server.url, timeout=timeout, retries=retries), root=root, read_only=True)


def chunk_link(blocks: MappingCAStore, root: CID, *place: int) -> CID:
    """Return the link of a chunk of ``a0``."""
    found = IPLDStore(blocks, root=root)._data.find("a0/c/" + "/".join(map(str, place)) + "/0")
    assert isinstance(found, bytes)
    return cids.from_bytes(found)


@pytest.fixture(scope="session")
def many() -> tuple[MappingCAStore, CID]:
    """Return the blocks and the root of many small chunks."""
    blocks = MappingCAStore()
    return blocks, dataset(blocks, SHAPE)


@pytest.fixture
def server(many: tuple[MappingCAStore, CID]) -> Iterator[BlockServer]:
    """Serve a copy of those blocks, which a test may damage."""
    with BlockServer(MappingCAStore(dict(many[0].mapping))) as server:
        yield server
