"""Measure two dask workers that write one array: an IPLDStore over a folder, and zarr's LocalStore plus bare hashing.

The workers are processes of a LocalCluster. Each writes random chunks, which are not compressed. Writing includes
``freeze()``; no disk is waited for, as LocalStore does not. Each round measures each store once, in alternating order.
Figures are medians over the rounds. The hashing is that of one process, divided by the workers.

    python benchmarks/bench_writers.py             # exits with 1 if the target is missed
    python benchmarks/bench_writers.py --rounds 15
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import dask.array as da
import numpy as np
import zarr
from distributed import Client, LocalCluster
from ipldstore import FileSystemCAStore, IPLDStore
from zarr.abc.store import Store
from zarr.storage import LocalStore

TARGET = 1.15
WORKERS = 2


def made(block_info: dict) -> np.ndarray:
    """Return the chunk at a place: random, and the same each time."""
    at, size = block_info[None]["array-location"][0][0], block_info[None]["chunk-shape"][1]
    return np.frombuffer(np.random.default_rng(at).bytes(size), "u1").reshape(1, size)


def write(store: Store, chunks: int, size: int) -> float:
    array = zarr.create_array(
        store, shape=(chunks, size), chunks=(1, size), dtype="u1", compressors=None, filters=None, overwrite=True
    )
    data = da.map_blocks(made, chunks=((1,) * chunks, (size,)), dtype="u1")
    start = time.perf_counter()
    da.store(data, array, lock=False)
    if isinstance(store, IPLDStore):
        store.freeze()
    return time.perf_counter() - start


def store_of(name: str, path: Path) -> Store:
    return LocalStore(path) if name == "LocalStore" else IPLDStore(FileSystemCAStore(path, fsync=False))


def hashing(chunks: int, size: int) -> float:
    data = os.urandom(size)
    start = time.perf_counter()
    for _ in range(chunks):
        hashlib.sha256(data).digest()
    return (time.perf_counter() - start) / WORKERS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=2_000)
    parser.add_argument("--chunk-bytes", type=int, default=128 << 10)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    size = options.chunks, options.chunk_bytes
    times: dict[str, list[float]] = {"ipldstore": [], "LocalStore": [], "hashing": []}
    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster,
        Client(cluster),
    ):
        for number in range(options.rounds + 1):
            for name in ("ipldstore", "LocalStore") if number % 2 else ("LocalStore", "ipldstore"):
                with tempfile.TemporaryDirectory() as folder:
                    took = write(store_of(name, Path(folder, "data")), *size)
                if number:  # the first warms the workers up
                    times[name].append(took)
            times["hashing"].append(hashing(*size))
    ours, theirs, hashed = (statistics.median(times[name]) for name in ("ipldstore", "LocalStore", "hashing"))
    ratio = ours / (theirs + hashed)
    print(f"{size[0]} x {size[1] >> 10} KiB, {WORKERS} workers, {options.rounds} rounds, load {os.getloadavg()[0]:.1f}")
    print(f"ipldstore {ours:.2f} s, LocalStore {theirs:.2f} s, hashing {hashed:.2f} s")
    print(f"{ratio:.2f} times LocalStore plus hashing (target {TARGET})")
    return int(ratio > TARGET)


if __name__ == "__main__":
    sys.exit(main())
