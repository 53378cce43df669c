"""Measure a dataset in a bucket behind latency, beside zarr's ObjectStore plus bare hashing, and icechunk.

A real S3 server, versitygw (``IPLD_BUILD_S3=1`` builds it with Go), stands behind a proxy that makes each request take
20 ms longer. Written is one array of random chunks, which are not compressed, by zarr, with ``freeze()`` or a commit.
It is then read whole by a store that is opened anew. Each round measures each store once, in alternating order; figures
are medians. With ``--workers 2`` each half is written by a process of its own, and each chunk is noted too. Beside it
stands an ObjectStore that puts two objects a chunk, as a store does that puts each note by itself; and of writing the
processor seconds are told, as two processors serve the workers, the server and the proxy.
icechunk is left out where it is not installed: `hatch run rivals:buckets` has it, on Python 3.13.

After that, what is asked of a dataset of 10^6 chunks: for one cold chunk, and for appending a step of 1,000 chunks.
The step of 25 x 40 chunks that is appended is in one leaf of the index. A step of 1,000 in one row crosses eight
leaves: with the node above them and the root these are 10 blocks that the format makes anew, so more than 8 requests
are beside the puts of the chunks, however they are asked. That shape has no target. docs/benchmarks.md has what other
steps need.

    python benchmarks/buckets/bench_buckets.py             # exits with 1 if a target is missed
    python benchmarks/buckets/bench_buckets.py --workers 2 --rounds 3
    python benchmarks/buckets/bench_buckets.py --kib 4 --steps 0
    python benchmarks/buckets/bench_buckets.py --rounds 0  # requests alone
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib
import importlib.util
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import psutil
import zarr
from ipld_car import cids
from ipldstore import IPLDStore, ObjectCAStore
from shared.latency import behind
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import ObjectStore

sys.path.insert(0, str(Path(__file__).parents[2]))
s3_server = importlib.import_module("packages.ipld-castore.tests.support.s3_server")
fault_proxy = importlib.import_module("packages.ipld-castore.tests.support.fault_proxy")

LATENCY = 0.02
TARGET, TARGET_OF_WORKERS = 1.1, 1.15
SIZES = ((2_000, 128 << 10), (5_000, 4 << 10))
ROUND_TRIPS, OTHERS = 5, 8
STEPS = ((25, 40), (1, 1000))


class TwoPuts(ObjectStore):
    """An ObjectStore that puts a small object beside each."""

    async def set(self, key: str, value: Buffer) -> None:
        """Put both at once."""
        note = default_buffer_prototype().buffer.from_bytes(bytes(160))
        await asyncio.gather(super().set(key, value), super().set(f"notes/{key}", note))


class Bucket:
    """A bucket behind latency, and the stores in it."""

    def __init__(self, server: Any, url: str) -> None:
        self.name = server.new_bucket()
        self.options = server.options(url)
        self._client = server.client(self.name, url)
        self._session: Any = None

    def store(self, kind: str, *, new: bool) -> Any:
        """Return a store of zarr, to write a new dataset or to read what was written."""
        if kind == "ipldstore":
            return ipldstore.open(f"s3://{self.name}/ours", "x" if new else "r", storage_options=self.options)
        if kind in ("ObjectStore", "two puts"):
            return (ObjectStore if kind == "ObjectStore" else TwoPuts)(self._client, read_only=not new)
        icechunk = importlib.import_module("icechunk")
        storage = icechunk.s3_storage(
            bucket=self.name,
            prefix="ice",
            region=self.options["region"],
            endpoint_url=self.options["endpoint"],
            allow_http=True,
            access_key_id=self.options["access_key_id"],
            secret_access_key=self.options["secret_access_key"],
            force_path_style=True,
        )
        repository = icechunk.Repository.create(storage) if new else icechunk.Repository.open(storage)
        self._session = repository.writable_session("main") if new else repository.readonly_session("main")
        return self._session.store

    def finish(self, kind: str, store: Any) -> None:
        """Make what was written a version."""
        if kind == "ipldstore":
            store.close()
        elif kind == "icechunk":
            self._session.commit("written")


def write_rows(store: Any, size: int, start: int, stop: int) -> None:
    """Write a part of the array, of random bytes."""
    rows = stop - start
    data = np.frombuffer(np.random.default_rng(start).bytes(rows * size), "u1").reshape(rows, size)
    zarr.open_array(store, path="a", mode="r+", zarr_format=3)[start:stop] = data


def write(bucket: Bucket, kind: str, chunks: int, size: int, pool: ProcessPoolExecutor | None, workers: int) -> float:
    """Return the seconds for writing, from an open store on to the version."""
    store = bucket.store(kind, new=True)
    zarr.create_array(
        store, name="a", shape=(chunks, size), chunks=(1, size), dtype="u1", compressors=None, filters=None
    )
    edges = [chunks * number // workers for number in range(workers + 1)]
    start = time.perf_counter()
    if pool is None:
        write_rows(store, size, 0, chunks)
    else:
        parts = [pool.submit(write_rows, store, size, edges[n], edges[n + 1]) for n in range(workers)]
        for part in parts:
            part.result()
    bucket.finish(kind, store)
    return time.perf_counter() - start


def read(bucket: Bucket, kind: str, chunks: int) -> float:
    """Return the seconds for reading all, from opening the store on."""
    start = time.perf_counter()
    store = bucket.store(kind, new=False)
    found = zarr.open_array(store, path="a", mode="r", zarr_format=3)[...]
    took = time.perf_counter() - start
    if found.shape[0] != chunks or not found[-1].any():
        raise RuntimeError(f"expected {chunks} chunks of random bytes from {kind}, found others")
    return took


def hashing(chunks: int, size: int) -> float:
    """Return the seconds for hashing as many bytes, and nothing else."""
    data = os.urandom(size)
    start = time.perf_counter()
    for _ in range(chunks):
        hashlib.sha256(data).digest()
    return time.perf_counter() - start


def processors() -> dict[str, float]:
    """Return the processor seconds until now of this process, the workers, the server and the proxy."""
    names = {"spawn_main": "workers", "versitygw": "server", "latency.py": "proxy"}
    own = psutil.Process()
    seconds = {"this process": sum(own.cpu_times()[:2])}
    for child in own.children(recursive=True):
        command = " ".join(child.cmdline())
        for word, name in names.items():
            if word in command:
                seconds[name] = seconds.get(name, 0) + sum(child.cpu_times()[:2])
    return seconds


def report(times: dict[tuple[str, str], list[float]], chunks: int, size: int, target: float, workers: int) -> bool:
    """Print the medians of one size of chunks; return whether the targets are met."""
    hashed = statistics.median(hashing(chunks, size) for _ in range(3)) / workers
    met = True
    for verb in ("write", "read"):
        found = {kind: statistics.median(own) for (each, kind), own in times.items() if each == verb}
        ratio = found["ipldstore"] / (found["ObjectStore"] + hashed)
        limit = target if verb == "write" else TARGET
        met &= ratio <= limit and found["ipldstore"] <= found.get("icechunk", float("inf"))
        told = ", ".join(f"{kind} {seconds:.2f} s" for kind, seconds in found.items())
        print(f"{verb} {chunks} x {size >> 10} KiB: {told}, hashing {hashed:.2f} s: {ratio:.2f} (target {limit})")
        if "two puts" in found:
            print(f"of two puts a chunk and hashing: {found['ipldstore'] / (found['two puts'] + hashed):.2f}")
    return met


def compare(server: Any, url: str, sizes: list[tuple[int, int]], rounds: int, workers: int) -> bool:
    """Measure some sizes; return whether each target is met."""
    kinds = ["ipldstore", "ObjectStore"]
    if importlib.util.find_spec("icechunk") is None:
        print("icechunk is not installed here: it is left out")
    elif workers == 1:
        kinds.append("icechunk")
    if workers > 1:
        kinds.append("two puts")
    met = True
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context) if workers > 1 else None
    target = TARGET if pool is None else TARGET_OF_WORKERS
    for chunks, size in sizes:
        times: dict[tuple[str, str], list[float]] = {}
        spent: dict[str, list[dict[str, float]]] = {}
        for number in range(rounds + 1):
            for kind in kinds if number % 2 else reversed(kinds):
                bucket = Bucket(server, url)
                before = processors()
                took = {"write": write(bucket, kind, chunks, size, pool, workers)}
                after = processors()
                if kind != "two puts":
                    took["read"] = read(bucket, kind, chunks)
                for verb, seconds in took.items() if number else ():  # the first warms up
                    times.setdefault((verb, kind), []).append(seconds)
                spent.setdefault(kind, []).append({name: after[name] - before.get(name, 0.0) for name in after})
        met &= report(times, chunks, size, target, workers)
        for kind, rows in spent.items() if workers > 1 else ():
            medians = ", ".join(f"{name} {statistics.median(row[name] for row in rows[1:]):.2f}" for name in rows[1])
            print(f"processor seconds of {kind}: {medians}")
    if pool is not None:
        pool.shutdown()
    return met


def count_requests(server: Any, steps: int, step: tuple[int, int]) -> bool:
    """Tell what a dataset of many chunks asks for; return whether each target is met.

    :param step: rows and columns of chunks in a step
    """
    rows, columns = step
    width = rows * columns
    with fault_proxy.FaultProxy(server.endpoint) as proxy:
        name = server.new_bucket()
        direct = ObjectCAStore.from_url(f"s3://{name}/big", **server.options())
        store = IPLDStore(direct)
        shape = {"shape": (steps, rows, columns, 1), "chunks": (1, 1, 1, 1)}
        zarr.create_array(store, name="a", dtype="i8", compressors=None, filters=None, **shape)
        link = cids.to_bytes(direct.put_raw(bytes(8)))
        chunks = (f"a/c/{at}/{n // columns}/{n % columns}/0" for at in range(steps) for n in range(width))
        store._data.apply(dict.fromkeys(chunks, link))  # noqa: SLF001  # to put one block 10^6 times measures nothing
        direct.swap_head(None, store.freeze())
        where: dict[str, Any] = {"what": f"s3://{name}/big", "storage_options": server.options(proxy.url)}
        with ipldstore.open(**where) as opened:
            if opened[f"a/c/{steps // 2}/{rows // 2}/{columns // 2}/0"] != bytes(8):
                raise RuntimeError("expected the chunk that was written, found another")
        cold = len(proxy.requests)
        proxy.requests.clear()
        with ipldstore.open(**where, mode="a") as opened:
            array = zarr.open_array(opened, path="a", zarr_format=3)
            array.resize((steps + 1, rows, columns, 1))
            array[steps] = np.arange(1, width + 1).reshape(rows, columns, 1)
        puts = [request for request in proxy.requests if request.method == "PUT" and request.path.endswith(".data")]
        others, nodes = len(proxy.requests) - width, len(puts) - width
    target = f"target {OTHERS}" if nodes + 2 <= OTHERS else "no target, see above"
    print(f"of {steps} steps of {rows} x {columns} chunks: {cold} requests for a cold chunk (target {ROUND_TRIPS}); ")
    print(f"{width} puts of an appended step and {others} others ({target}), of which {nodes} put blocks of the index")
    return cold <= ROUND_TRIPS and (others <= OTHERS or nodes + 2 > OTHERS)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--kib", type=int, choices=[size >> 10 for _, size in SIZES], help="one size of chunks alone")
    parser.add_argument("--steps", type=int, default=1_000, help="steps of 1,000 chunks of the large dataset")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = s3_server.start(Path(folder))
        try:
            met = True
            with behind(server.endpoint, LATENCY) as url:
                sizes = [each for each in SIZES if options.kib in (None, each[1] >> 10)]
                if options.rounds:
                    met = compare(server, url, sizes, options.rounds, options.workers)
            if options.steps:
                for step in STEPS:
                    met &= count_requests(server, options.steps, step)
        finally:
            server.stop()
    print(f"load {os.getloadavg()[0]:.1f}")
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
