"""Copy a zarr hierarchy beside reading the source alone and writing the target alone: wall and processor time.

Reading takes all keys of the source, and drops them; writing sets the same keys, from memory, and freezes. A copy is to
take at most 1.1 times the slower of the two. Chunks are random bytes. Exits with 1 if that is missed.

    python benchmarks/existing_data/bench_copy.py                        # 256 MB in chunks of 128 KiB
    python benchmarks/existing_data/bench_copy.py --chunk 1024 --count 256 --source zip --target folder
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore, ZipStore

WANTED = 1.1
WORKERS = 32


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


def read(store: Any) -> dict[str, Any]:
    """Read all keys as zarr does, many at a time."""
    found: dict[str, Any] = {}

    async def get(key: str) -> None:
        found[key] = await store.get(key, default_buffer_prototype())

    async def run() -> None:
        await in_turn([key async for key in store.list()], get)

    sync(run())
    return found


def write(values: dict[str, Any], target: Path) -> None:
    """Set all keys as zarr does, many at a time, and freeze."""
    with ipldstore.open(target, "x") as store:
        sync(in_turn(list(values), lambda key: store.set(key, values[key])))
        store.freeze()


def timed(action: Callable[[], object]) -> tuple[float, float]:
    start, used = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - start, time.process_time() - used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="chunks")
    parser.add_argument("--chunk", type=int, default=128, help="KiB of a chunk")
    parser.add_argument("--source", choices=("folder", "zip"), default="folder")
    parser.add_argument("--target", choices=("car", "folder"), default="car")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        source = folder / "source.zarr"
        make(source, given.count, given.chunk << 10)
        store: Any = LocalStore(source, read_only=True)
        if given.source == "zip":
            ipldstore.copy(source, folder / "source.zip")
            source = folder / "source.zip"
            store = sync(ZipStore.open(source, mode="r", read_only=True))
        suffix = ".car" if given.target == "car" else ""
        values = read(store)
        best: dict[str, tuple[float, float]] = {}
        for number in range(given.rounds):
            for name, action in (
                ("read", lambda: read(store)),
                ("write", lambda number=number: write(values, folder / f"write-{number}{suffix}")),
                ("copy", lambda number=number: ipldstore.copy(source, folder / f"copy-{number}{suffix}")),
            ):
                found = timed(action)
                best[name] = min(best.get(name, found), found)
        slower = max(best["read"][0], best["write"][0])
        text = ", ".join(f"{name} {wall:.2f} s ({used:.2f} s processor)" for name, (wall, used) in best.items())
        factor = best["copy"][0] / slower
        print(
            f"{given.count} x {given.chunk} KiB, {given.source} to {given.target}: {text}; {factor:.2f} of the slower"
        )
    finally:
        shutil.rmtree(folder)
    sys.exit(factor > WANTED)


if __name__ == "__main__":
    main()
