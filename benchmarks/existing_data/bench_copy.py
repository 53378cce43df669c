"""Copy a zarr hierarchy beside reading the source alone and writing the target alone: wall and processor time.

Reading takes all keys of the source as zarr does, 32 at a time, and drops them. Writing sets the same keys, from
memory, 32 at a time, and freezes or closes. A copy takes at most 1.1 times the slower of the two. Chunks are random
bytes. Rounds measure them in turn, in another order each, after the disk is at rest; figures are medians. Targets
are removed between them. Processor time is that of this process, and of the server and the proxy where a bucket is an
end. Exits with 1 if a pair misses the target.

Two processors cannot do in the time of one part what both parts together need: "floor" is the processor time of reading
and writing alone, spread over all processors, over the slower of the two. Where it is above 1.1, no copy that does both
in this process can meet the target. "at once" is what reading and writing take side by side in this process, with
nothing between them: threads of Python, the disk and the server are shared then as in a copy.

    python benchmarks/existing_data/bench_copy.py                        # 256 MB in chunks of 128 KiB, folder to CAR
    python benchmarks/existing_data/bench_copy.py --chunk 1024 --count 256 --source zip --target zarr
    python benchmarks/existing_data/bench_copy.py --source all --target all --place /dev/shm

The ends: ``zarr`` is a folder of zarr's LocalStore, ``zip`` its ZipStore, ``memory`` its MemoryStore (a source);
``folder`` and ``car`` are a folder and a CAR file of ipldstore; ``bucket`` is an S3 server 20 ms away (IPLD_BUILD_S3=1
builds it): as a source an ObjectStore of zarr, as a target a bucket of ipldstore.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import itertools
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import ipldstore
import numpy as np
import psutil
import zarr
from shared.latency import behind
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore, MemoryStore, ObjectStore, ZipStore

sys.path.insert(0, str(Path(__file__).parents[2]))
s3_server = importlib.import_module("packages.ipld-castore.tests.support.s3_server")

WANTED = 1.1
WORKERS = 32
LATENCY = 0.02
SOURCES = ("zarr", "zip", "memory", "folder", "car", "bucket")
TARGETS = ("folder", "car", "zarr", "zip", "bucket")
SUFFIXES = {"zarr": ".zarr", "zip": ".zip", "car": ".car"}


class Took(NamedTuple):
    """Seconds by the clock, and of processors."""

    wall: float
    used: float


class Bucket:
    """An S3 server behind latency."""

    def __init__(self, server: Any, url: str) -> None:
        self.options = server.options(url)
        self._server = server
        self._url = url

    def source(self, values: dict[str, Any]) -> Any:
        """Return a store of zarr in a new bucket that has these values."""
        name = self._server.new_bucket()
        near = ObjectStore(self._server.client(name))
        sync(in_turn(list(values), lambda key: near.set(key, values[key])))
        return ObjectStore(self._server.client(name, self._url), read_only=True)

    def target(self) -> str:
        """Return the URL of a new bucket."""
        return f"s3://{self._server.new_bucket()}/copy"


class Place:
    """A folder with the sources, where the targets are made."""

    def __init__(self, folder: Path, bucket: Bucket | None) -> None:
        self._folder = folder
        self._bucket = bucket
        self._number = itertools.count()

    def source(self, kind: str, values: dict[str, Any]) -> tuple[Any, Any]:
        """Return what is copied, and the store that is read alone."""
        if kind == "bucket":
            assert self._bucket is not None  # noqa: S101  # see main
            store: Any = self._bucket.source(values)
            return store, store
        if kind == "memory":
            store = MemoryStore(dict(values), read_only=True)
            return store, store
        path = self._folder / f"source{SUFFIXES.get(kind, '')}"
        if kind != "zarr" and not path.exists():
            ipldstore.copy(self._folder / "source.zarr", path)
        if kind == "zarr":
            return path, LocalStore(path, read_only=True)
        if kind == "zip":
            return path, sync(ZipStore.open(path, mode="r", read_only=True))
        return path, ipldstore.open(path)

    @contextmanager
    def target(self, kind: str) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Give a new target, and the options that belong to it; remove it afterwards."""
        if kind == "bucket":
            assert self._bucket is not None  # noqa: S101  # see main
            yield self._bucket.target(), {"storage_options": self._bucket.options}
            return
        folder = self._folder / f"target-{next(self._number)}"
        folder.mkdir()
        yield folder / f"target{SUFFIXES.get(kind, '')}", {}
        shutil.rmtree(folder)


def make(folder: Path, count: int, size: int) -> None:
    array = zarr.create_array(
        folder, shape=(count, size), chunks=(1, size), dtype="u1", compressors=None, dimension_names=("n", "byte")
    )
    values = np.random.default_rng(0)
    for number in range(count):
        array[number] = values.integers(0, 256, size, "u1")


async def in_turn(keys: list[str], action: Callable[[str], Any]) -> None:
    left = iter(keys)

    async def work() -> None:
        for key in left:
            await action(key)

    await asyncio.gather(*(work() for _ in range(WORKERS)))


async def take_all(store: Any, found: dict[str, Any] | None = None) -> None:
    async def get(key: str) -> None:
        value = await store.get(key, default_buffer_prototype())
        if found is not None:
            found[key] = value

    await in_turn([key async for key in store.list()], get)


def read(store: Any, *, keep: bool = False) -> dict[str, Any]:
    """Read all keys as zarr does, many at a time; return the values if they are kept."""
    found: dict[str, Any] = {}
    sync(take_all(store, found if keep else None))
    return found


def write(values: dict[str, Any], kind: str, target: Any, options: dict[str, Any]) -> None:
    """Set all keys as zarr does, many at a time, and freeze or close."""
    store: Any
    if kind == "zarr":
        store = LocalStore(target)
    elif kind == "zip":
        store = sync(ZipStore.open(target, mode="w", read_only=False))
    else:
        store = ipldstore.open(target, "x", **options)
    sync(in_turn(list(values), lambda key: store.set(key, values[key])))
    store.close()  # a dataset is frozen


def at_once(store: Any, values: dict[str, Any], kind: str, target: Any, options: dict[str, Any]) -> None:
    """Read all of one store, and write into another what is in memory, side by side."""
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: asyncio.run(take_all(store)))
        write(values, kind, target, options)
        reading.result()


def processors() -> float:
    """Return the processor seconds of this process, the server and the proxy until now."""
    others = psutil.Process().children(recursive=True)
    return time.process_time() + sum(sum(each.cpu_times()[:2]) for each in others)


def timed(action: Callable[[], object]) -> Took:
    os.sync()  # what others and the last round have written is no part of this
    start, used = time.perf_counter(), processors()
    action()
    return Took(time.perf_counter() - start, processors() - used)


def measure(place: Place, source: str, target: str, values: dict[str, Any], rounds: int) -> dict[str, Took]:
    """Return the medians of reading, writing, both at once, and copying."""
    what, store = place.source(source, values)

    def run(name: str) -> Took:
        if name == "read":
            return timed(lambda: read(store))
        with place.target(target) as (path, options):
            if name == "write":
                return timed(lambda: write(values, target, path, options))
            if name == "at once":
                return timed(lambda: at_once(store, values, target, path, options))
            return timed(lambda: ipldstore.copy(what, path, **options))

    names = ["read", "write", "at once", "copy"]
    found: dict[str, list[Took]] = {name: [] for name in names}
    for number in range(rounds + 1):
        for name in names[number % 4 :] + names[: number % 4]:
            took = run(name)
            if number:  # the first warms up
                found[name].append(took)
    store.close()
    return {name: Took(*map(statistics.median, zip(*own, strict=True))) for name, own in found.items()}


def report(source: str, target: str, found: dict[str, Took]) -> bool:
    """Print the figures of a pair; return whether the target is met."""
    slower = max(found["read"].wall, found["write"].wall)
    cores = os.cpu_count() or 1
    floor = (found["read"].used + found["write"].used) / cores / slower
    factor, together = (found[name].wall / slower for name in ("copy", "at once"))
    parts = ", ".join(f"{name} {each.wall:.2f} s ({each.used:.2f})" for name, each in found.items())
    print(
        f"{source:>6} to {target:6}: {parts}: {factor:.2f} of the slower, floor {floor:.2f}, at once {together:.2f}",
        flush=True,
    )
    return factor <= WANTED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="chunks")
    parser.add_argument("--chunk", type=int, default=128, help="KiB of a chunk")
    parser.add_argument("--source", choices=(*SOURCES, "all", "near"), default="zarr", help="near: all but the bucket")
    parser.add_argument("--target", choices=(*TARGETS, "all", "near"), default="car")
    parser.add_argument("--place", type=Path, help="the folder in which sources and targets are made")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    groups = {"all": len(SOURCES), "near": -1}
    sources = SOURCES[: groups[given.source]] if given.source in groups else (given.source,)
    targets = TARGETS[: groups[given.target]] if given.target in groups else (given.target,)
    print(f"{given.count} x {given.chunk} KiB, seconds, and in brackets those of processors")
    met = True
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=given.place)))
        make(folder / "source.zarr", given.count, given.chunk << 10)
        values = read(LocalStore(folder / "source.zarr", read_only=True), keep=True)
        bucket = None
        if "bucket" in (*sources, *targets):
            (folder / "server").mkdir()
            server = s3_server.start(folder / "server")
            stack.callback(server.stop)
            bucket = Bucket(server, stack.enter_context(behind(server.endpoint, LATENCY)))
        place = Place(folder, bucket)
        for source, target in itertools.product(sources, targets):
            met &= report(source, target, measure(place, source, target, values, given.rounds))
    print(f"load {os.getloadavg()[0]:.1f}")
    sys.exit(not met)


if __name__ == "__main__":
    main()
