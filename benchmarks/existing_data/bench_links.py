"""Links in bulk next to single sets: processor time at 10^6, time and memory at 10^7, and 10^8 by streaming.

Blocks are in memory, or with ``--folder`` in a CAR file there, as 10^8 links are 4.4 GB. The links are made up.

    python benchmarks/existing_data/bench_links.py                       # 10^6, and single sets beside it
    python benchmarks/existing_data/bench_links.py --steps 10000         # 10^7
    python benchmarks/existing_data/bench_links.py --steps 100000 --piece 1000 --folder /tmp   # 10^8 by streaming
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
from ipldstore import IPLDStore
from ipldstore._format.chunk_form import chunk_form
from shared.chunks import array_metadata

METADATA = array_metadata()


def pieces(steps: int, piece: int) -> Iterator[tuple[Any, Any]]:
    """Yield coordinates and CIDs of some steps at a time."""
    random = np.random.default_rng(0)
    for start in range(0, steps, piece):
        axes = np.arange(start, min(start + piece, steps)), np.arange(25), np.arange(40)
        coordinates = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
        links = np.empty((len(coordinates), 36), np.uint8)
        links[:, :4] = [1, 0x55, 0x12, 0x20]
        for at in range(0, len(links), 1 << 16):  # in pieces, as memory is measured
            links[at : at + (1 << 16), 4:] = random.integers(0, 256, (len(links[at : at + (1 << 16)]), 32), np.uint8)
        yield coordinates, links


def bulk(store: IPLDStore, steps: int, piece: int) -> tuple[str, float]:
    store["air/zarr.json"] = json.dumps(METADATA).encode()
    used = 0.0
    for coordinates, links in pieces(steps, piece):
        start = time.process_time()
        store.set_links("air", coordinates, links)
        used += time.process_time() - start
    start = time.process_time()
    root = store.freeze()
    return str(root), used + time.process_time() - start


def single(steps: int) -> tuple[str, float]:
    """Set the links one by one, as sets do once their chunk is hashed and put."""
    store = IPLDStore()
    store["air/zarr.json"] = json.dumps(METADATA).encode()
    form, tree = chunk_form(METADATA, 3), store._data.tree  # noqa: SLF001  # sets of links alone, without chunks
    used = 0.0
    for coordinates, links in pieces(steps, steps):
        keys = [f"air/{form.key(numbers)}" for numbers in coordinates.tolist()]
        binary = [link.tobytes() for link in links]
        start = time.process_time()
        for key, link in zip(keys, binary, strict=True):
            tree.put(key, link, tree.next_chunk(key))
        used += time.process_time() - start
    start = time.process_time()
    root = store.freeze()
    return str(root), used + time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000, help="each has 1,000 chunks")
    parser.add_argument("--piece", type=int, default=0, help="steps that are set at a time, by default all")
    parser.add_argument("--folder", type=Path, help="where to write a CAR file; by default blocks are in memory")
    given = parser.parse_args()
    if given.folder is None:
        store = IPLDStore()
    else:
        store = ipldstore.open(given.folder / "links.car", "x", fsync=False)
    root, seconds = bulk(store, given.steps, given.piece or given.steps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{given.steps * 1000:,} links in bulk: {seconds:.2f} s, peak memory {peak:.2f} GB, root {root}")
    if given.steps <= 1000:
        same, alone = single(given.steps)
        print(f"set one by one: {alone:.2f} s; bulk takes {seconds / alone:.3f} of it; the same root: {same == root}")


if __name__ == "__main__":
    main()
