"""A Kubo node for a benchmark, and a dataset of a million chunks on it."""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import zarr
from ipld_car import cids
from ipldstore import IPFSStore, IPLDStore, MappingCAStore
from multiformats import CID

sys.path.insert(0, str(Path(__file__).parents[2] / "packages" / "ipld-castore"))

from tests.support.kubo_node import Node, find_binary  # it is a helper of the tests

IN_MEMORY = Path("/dev/shm")  # noqa: S108  # where the system has a folder in memory
"""Where a node has its blocks: what a disk does with 10,000 new files differs tenfold from one time to the next."""

SHAPE = (1000, 25, 40)
STEPS = range(448, 576)
"""The steps of which the node has the chunks too, not just the index: those around what is read."""


@contextmanager
def running_node() -> Iterator[Node]:
    with tempfile.TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as folder:
        node = Node(find_binary(), Path(folder) / "repo")
        node.start()
        try:
            yield node
        finally:
            node.stop()


def gateway_of(node: Node) -> str:
    return (node.repo / "gateway").read_text().strip()


def seconds(action: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


class _Kept(MappingCAStore):
    """Keeps nodes, and only those chunks that are read later: a million files on the node would add nothing."""

    def put_block(self, cid: CID, data: bytes) -> None:
        binary = cids.to_bytes(cid)
        is_chunk = cids.codec_of(binary) == cids.RAW and len(data) == 8
        if not is_chunk or int.from_bytes(data, "little") // (SHAPE[1] * SHAPE[2]) in STEPS:
            super().put_block(cid, data)


def value_of(t: int, y: int, x: int) -> int:
    """Return the value of a chunk."""
    return (t * SHAPE[1] + y) * SHAPE[2] + x


def million(node: Node) -> CID:
    """Return the root of a consolidated group without coordinates, whose array ``air`` has 10^6 chunks of 8 bytes."""
    near = _Kept()
    store = IPLDStore(near)
    zarr.create_group(store).create_array(
        "air", shape=SHAPE, chunks=(1, 1, 1), dtype="i8", compressors=None, filters=None, fill_value=-1
    )
    for place in np.ndindex(SHAPE):
        store["air/c/" + "/".join(map(str, place))] = value_of(*place).to_bytes(8, "little")
    zarr.consolidate_metadata(store)
    root = store.freeze()
    with IPFSStore(node.url, pin=False) as there:
        there.put_blocks(near.get_blocks(near))
    return root
