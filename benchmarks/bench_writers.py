"""Measure two dask workers that write one array: an IPLDStore over a folder, and zarr's LocalStore plus bare hashing.

The workers are processes of a LocalCluster. Each writes random chunks, which are not compressed. Writing includes
``freeze()``; no disk is waited for, as LocalStore does not. Each round measures each store once, in alternating order.
Figures are medians over the rounds. The hashing is that of one process, divided by the workers.

With ``--bucket`` both write to a real S3 server, versitygw, and zarr's ObjectStore takes the place of LocalStore.

    python benchmarks/bench_writers.py             # exits with 1 if the target is missed
    python benchmarks/bench_writers.py --bucket
    python benchmarks/bench_writers.py --rounds 15
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import zarr
from distributed import Client, LocalCluster
from ipldstore import FileSystemCAStore, IPLDStore, ObjectCAStore
from zarr.abc.store import Store
from zarr.storage import LocalStore, ObjectStore

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


class Folders:
    """Makes a store of each kind in a new folder."""

    rival = "LocalStore"

    @contextmanager
    def store(self, name: str) -> Iterator[Store]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "data")
            yield LocalStore(path) if name == self.rival else IPLDStore(FileSystemCAStore(path, fsync=False))


class Buckets:
    """Makes a store of each kind in a new bucket of a real server."""

    rival = "ObjectStore"

    def __init__(self, server: Any) -> None:
        self._server = server

    @contextmanager
    def store(self, name: str) -> Iterator[Store]:
        bucket = self._server.new_bucket()
        if name == self.rival:
            yield ObjectStore(self._server.client(bucket))
        else:
            yield IPLDStore(ObjectCAStore.from_url(f"s3://{bucket}", **self._server.options()))


@contextmanager
def buckets() -> Iterator[Buckets]:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    with tempfile.TemporaryDirectory() as folder:
        server = importlib.import_module("packages.ipld-castore.tests.support.s3_server").start(Path(folder))
        try:
            yield Buckets(server)
        finally:
            server.stop()


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
    parser.add_argument("--bucket", action="store_true")
    options = parser.parse_args()
    with buckets() if options.bucket else nullcontext(Folders()) as place:
        return compare(place, options)


def compare(place: Folders | Buckets, options: argparse.Namespace) -> int:
    size = options.chunks, options.chunk_bytes
    times: dict[str, list[float]] = {"ipldstore": [], place.rival: [], "hashing": []}
    with (
        dask.config.set({"distributed.worker.profile.enabled": False}),  # see docs/start/cluster.md
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster,
        Client(cluster),
    ):
        for number in range(options.rounds + 1):
            for name in ("ipldstore", place.rival) if number % 2 else (place.rival, "ipldstore"):
                with place.store(name) as store:
                    took = write(store, *size)
                if number:  # the first warms the workers up
                    times[name].append(took)
            times["hashing"].append(hashing(*size))
    ours, theirs, hashed = (statistics.median(times[name]) for name in ("ipldstore", place.rival, "hashing"))
    ratio = ours / (theirs + hashed)
    print(f"{size[0]} x {size[1] >> 10} KiB, {WORKERS} workers, {options.rounds} rounds, load {os.getloadavg()[0]:.1f}")
    print(f"ipldstore {ours:.2f} s, {place.rival} {theirs:.2f} s, hashing {hashed:.2f} s")
    print(f"{ratio:.2f} times {place.rival} plus hashing (target {TARGET})")
    return int(ratio > TARGET)


if __name__ == "__main__":
    sys.exit(main())
