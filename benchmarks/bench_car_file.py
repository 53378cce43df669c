"""Measure a CAR file as a store: opening, appending, and next to a dict.

- Opening a file of a million indexed blocks and getting one, in a process that has done nothing but its imports: with
  the file in the page cache, and after the system was asked to drop it.
- A million puts of blocks of 100 bytes, beside hashing them, keeping them in a dict and writing the same bytes in
  pieces of a megabyte; and the system calls that reading and writing took, as /proc/self/io counts them.
- CarCAStore beside MappingCAStore over a dict, 20,000 blocks of 4 KiB and 2,000 of 128 KiB, all hashed: put, and got
  from a file that was opened again. Both go through ContentAddressableStore, so what differs is the file.

Ratios are medians of rounds that alternate. Nothing is synced except where the output says so, as that measures the
disk.

    python benchmarks/bench_car_file.py             # exits with 1 if a target is missed
    python benchmarks/bench_car_file.py --blocks 100000
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ipld_car import CarFile, cids
from ipld_castore import CarCAStore, ContentAddressableStore, MappingCAStore

SMALL = 100
MAX_OPEN_MS = 10.0
MAX_PUT_RATIO = 5.0
MAX_CALLS = 0.01
MAX_STORE_RATIO = 1.25
ROUNDS = 5

OPEN = """
import json, sys, time
from ipld_car import CarFile
def memory():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon:"))
before, start = memory(), time.perf_counter()
file = CarFile.open(sys.argv[1])
opened = time.perf_counter()
data = file.get(sys.argv[2])
done = time.perf_counter()
assert file.scan_reason is None
print(json.dumps([(opened - start) * 1e3, (done - start) * 1e3, memory() - before]))
"""


def told(text: str, value: float, unit: str, target: float) -> bool:
    met = value <= target
    print(f"  {text:<58}{value:>8.3f} {unit:<4} (target {target:g}: {'met' if met else 'MISSED'})")
    return met


def small(number: int) -> bytes:
    return b"%d " % number * (SMALL // 8 + 1)


def name_of(data: bytes) -> bytes:
    return cids.make(cids.RAW, hashlib.sha256(data).digest())


# -- a million blocks --------------------------------------------------------------------------------


def calls() -> int:
    """Return the reads and writes of this process so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("syscr", "syscw")))


def bare(path: Path, blocks: list[bytes]) -> float:
    """Hash blocks, note their offsets in a dict, and write them."""
    start = time.perf_counter()
    with path.open("wb", buffering=1 << 20) as stream:
        known: dict[bytes, int] = {}
        offset = 0
        for data in blocks:
            name = name_of(data)
            known[name] = offset
            offset += len(name) + len(data) + 1
            stream.write(b"\x80" + name + data)
    return time.perf_counter() - start


def put_many(path: Path, blocks: list[bytes]) -> tuple[float, float, int]:
    """Return the seconds of putting and flushing, the seconds of closing, and the system calls."""
    path.unlink(missing_ok=True)
    file = CarFile.open(path, "x", fsync=False)
    before, start = calls(), time.perf_counter()
    put = file.put
    for data in blocks:
        put(name_of(data), data, verify=False)  # the name was made of it just now
    file.flush()
    flushed, counted = time.perf_counter(), calls() - before
    file.close()
    return flushed - start, time.perf_counter() - flushed, counted


def open_one(path: Path, data: bytes, *, cold: bool) -> list[list[float]]:
    found = []
    for _ in range(ROUNDS):
        if cold:
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        command = [sys.executable, "-c", OPEN, str(path), cids.to_text(name_of(data))]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found.append(json.loads(done.stdout))
    return found


def many(folder: Path, count: int) -> bool:
    print(f"\n{count:,} blocks of some {SMALL} bytes")
    blocks = [small(number) for number in range(count)]
    path = folder / "many.car"
    floor, puts, closes, counted = [], [], [], 0
    for _ in range(3):
        floor.append(bare(folder / "bare", blocks))
        gc.collect()
        seconds, closing, counted = put_many(path, blocks)
        puts.append(seconds)
        closes.append(closing)
        gc.collect()
    ratio = statistics.median(a / b for a, b in zip(puts, floor, strict=True))
    print(f"  {min(floor):.2f} s bare, {min(puts):.2f} s put and flushed, {min(closes):.2f} s for the index at closing")
    good = told("put and flush, beside hashing, a dict and writing", ratio, "x", MAX_PUT_RATIO)
    good &= told("reads and writes of the file for each block", counted / count, "", MAX_CALLS)
    for cold in (False, True):
        found = open_one(path, blocks[count // 3], cold=cold)
        where = "read from the disk" if cold else "in the page cache"
        milliseconds = statistics.median(both for _, both, _ in found)
        text = f"open and get one, {where}"
        if cold:
            print(f"  {text:<58}{milliseconds:>8.3f} ms")
        else:
            good &= told(text, milliseconds, "ms", MAX_OPEN_MS)
            print(f"  {'  of that, opening':<58}{statistics.median(opening for opening, _, _ in found):>8.3f} ms")
            print(f"  {'  memory it took, without the mapped file':<58}{max(size for _, _, size in found):>8.0f} KiB")
    return good


# -- beside a dict -----------------------------------------------------------------------------------


def put_all(store: ContentAddressableStore, blocks: list[bytes]) -> float:
    start = time.perf_counter()
    for data in blocks:
        store.put_raw(data)
    store.flush()
    return time.perf_counter() - start


def get_all(store: ContentAddressableStore, names: list[bytes]) -> float:
    start = time.perf_counter()
    for name in names:
        store.get_raw(name)
    return time.perf_counter() - start


def median_ratio(one: Callable[[], float], other: Callable[[], float]) -> float:
    ratios = []
    for _ in range(ROUNDS):
        gc.collect()
        ratios.append(one() / other())
    return statistics.median(ratios)


def beside_a_dict(folder: Path, count: int, size: int) -> bool:
    print(f"\n{count:,} blocks of {size >> 10} KiB, hashed: CarCAStore beside MappingCAStore over a dict")
    blocks = [number.to_bytes(8) + os.urandom(size - 8) for number in range(count)]
    names = [name_of(data) for data in blocks]
    path = folder / "store.car"

    def put_in_file(*, fsync: bool = False) -> float:
        path.unlink(missing_ok=True)
        store = CarCAStore(path, "x", fsync=fsync)
        seconds = put_all(store, blocks)
        store.close()
        return seconds

    memory = MappingCAStore()
    put_all(memory, blocks)
    good = told(
        "put, with the flush",
        median_ratio(put_in_file, lambda: put_all(MappingCAStore(), blocks)),
        "x",
        MAX_STORE_RATIO,
    )
    synced = median_ratio(lambda: put_in_file(fsync=True), lambda: put_all(MappingCAStore(), blocks))
    print(f"  {'put, with the flush, on the disk':<58}{synced:>8.3f} x")
    with CarCAStore(path, "r") as store:
        ratio = median_ratio(lambda: get_all(store, names), lambda: get_all(memory, names))
    return told("get, verified", ratio, "x", MAX_STORE_RATIO) and good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=1_000_000, help="small blocks in the file that is opened")
    parser.add_argument("--folder", help="where the files are made, by default a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        results = [beside_a_dict(folder, 20_000, 4 << 10), beside_a_dict(folder, 2_000, 128 << 10)]
        results.append(many(folder, options.blocks))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
