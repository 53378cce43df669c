"""Measure a diff and a merge of roots with a million chunks: blocks read and put, and processor time.

The blocks are in memory, and those of the chunks are nowhere: nothing may read them. The targets are at most 60 blocks
for a diff of two roots that differ in 10 chunks, and 150 for a merge of two with 10 chunks changed each.

    python benchmarks/history/bench_merge.py                 # exits with 1 if a target is missed
    python benchmarks/history/bench_merge.py --changed 100000
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from ipld_car import cids
from ipldstore import IPLDStore, MappingCAStore
from ipldstore._merge.diff import diff
from ipldstore._merge.merge import merge_roots
from ipldstore._merge.shift import shift_append
from multiformats import CID

SHAPE = (1000, 25, 40)
MOST_READ = {"diff": 60, "merge": 150}
METADATA = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": SHAPE,
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 1, 1]}},
    "dimension_names": ["time", "y", "x"],
    "attributes": {},
}


class CountingCAStore(MappingCAStore):
    """Blocks in memory, counted as they are read and put."""

    read = put_count = 0

    def get_block(self, cid: CID) -> bytes:
        self.read += 1
        return super().get_block(cid)

    def put_block(self, cid: CID, data: bytes) -> None:
        self.put_count += 1
        super().put_block(cid, data)


def links_of(seed: int, count: int) -> np.ndarray:
    """Return links of chunks that are nowhere, different for each seed."""
    links = np.tile(np.frombuffer(cids.make(cids.RAW, bytes(32)), "u1"), (count, 1))
    links[:, 4:36] = np.frombuffer(np.random.default_rng(seed).bytes(32 * count), "u1").reshape(-1, 32)
    return links


def root_with(castore: MappingCAStore, root: bytes | None, edit: Callable[[IPLDStore], None]) -> bytes:
    store = IPLDStore(castore, root=root)
    edit(store)
    return cids.to_bytes(store.freeze())


def base_of(castore: MappingCAStore) -> bytes:
    def edit(store: IPLDStore) -> None:
        store["zarr.json"] = b'{"zarr_format":3,"node_type":"group","attributes":{}}'
        store["a/zarr.json"] = json.dumps(METADATA).encode()
        points = np.indices(SHAPE).reshape(3, -1).T
        store.set_links("a", points, links_of(0, len(points)))

    return root_with(castore, None, edit)


def with_changed(castore: MappingCAStore, root: bytes, seed: int, count: int) -> bytes:
    numbers = random.Random(seed).sample(range(np.prod(SHAPE)), 2 * count)[seed % 2 :: 2]
    points = np.array(np.unravel_index(numbers, SHAPE)).T
    return root_with(castore, root, lambda store: store.set_links("a", points, links_of(seed, count)))


def with_steps(castore: MappingCAStore, root: bytes, seed: int, steps: int) -> bytes:
    def edit(store: IPLDStore) -> None:
        shape = (SHAPE[0] + steps, *SHAPE[1:])
        store["a/zarr.json"] = json.dumps(METADATA | {"shape": shape}).encode()
        points = np.indices((steps, *SHAPE[1:])).reshape(3, -1).T + np.array([SHAPE[0], 0, 0])
        store.set_links("a", points, links_of(seed, len(points)))

    return root_with(castore, root, edit)


@contextmanager
def measured(castore: CountingCAStore, what: str) -> Iterator[None]:
    castore.read = castore.put_count = 0
    start = time.process_time()
    yield
    seconds = time.process_time() - start
    print(f"{what:<44} {castore.read:>6} read {castore.put_count:>6} put {seconds:>8.3f} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changed", type=int, default=10, help="chunks that each side changes")
    arguments = parser.parse_args()
    changed: int = arguments.changed
    castore = CountingCAStore({})
    base = base_of(castore)
    ours, theirs = (with_changed(castore, base, seed, changed) for seed in (2, 3))
    missed = False
    with measured(castore, f"diff of 10^6 chunks, {changed} changed"):
        found = diff(castore, base, ours)
    missed |= changed <= 10 and castore.read > MOST_READ["diff"]
    missed |= found.nodes[0].chunks.count != changed
    with measured(castore, f"merge of 10^6 chunks, {changed} changed on each side"):
        merged = merge_roots(castore, [base], ours, theirs, "ours")
    missed |= changed <= 10 and castore.read > MOST_READ["merge"]
    missed |= merged.root is None
    earlier, later = (with_steps(castore, base, seed, 5) for seed in (2, 3))
    with measured(castore, "append of 5 steps shifted behind another"):
        shift_append(castore, base, later, earlier)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
