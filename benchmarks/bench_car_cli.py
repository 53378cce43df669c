"""Measure ``ipld-car verify`` and ``list`` as whole processes, next to a lower bound.

The lower bound is a Python process with a bare loop: it maps the file, slices each payload out at an offset that it
computes, and hashes it. It reads no lengths, compares no CIDs and remembers nothing. Start and imports count on both
sides, and are printed; the archives are large enough that they matter little. Each round measures each case once.
Figures are medians over the rounds, in wall-clock time.

    python benchmarks/bench_car_cli.py               # exits with 1 if a target is missed
    python benchmarks/bench_car_cli.py --rounds 9 --megabytes 4096
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ipld_car import CarWriter, cids

CLI = [sys.executable, "-m", "ipld_car"]
TARGETS = {65_536: 1.25, 1_024: 2.0}
LIST_TARGET = 5.0
"""Microseconds a block, of the whole process, for a million blocks."""

BARE = """
import hashlib, mmap, sys
size, header = int(sys.argv[2]), int(sys.argv[3])
with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
    sha256, section = hashlib.sha256, int(sys.argv[4])
    for end in range(header + section, len(data) + 1, section):
        sha256(data[end - size : end]).digest()
"""


def make(path: Path, block_bytes: int, count: int) -> list[str]:
    """Write an archive of blocks of one size; return the command of the bare loop over it."""
    noise = os.urandom(block_bytes + 4096)
    with path.open("wb") as file, CarWriter(file, [], verify=False) as writer:
        header = file.tell()
        for number in range(count):
            block = number.to_bytes(8) + noise[number % 4096 :][: block_bytes - 8]
            location = writer.write(cids.make(cids.RAW, hashlib.sha256(block).digest()), block)
    return [sys.executable, "-c", BARE, str(path), str(block_bytes), str(header), str(location.size)]


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def measure(commands: dict[str, list[str]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each command in each round. A first round warms the caches and does not count."""
    all_rounds = [{name: seconds(command) for name, command in commands.items()} for _ in range(rounds + 1)]
    return {name: [each[name] for each in all_rounds[1:]] for name in commands}


def verdict(what: str, found: float, target: float, unit: str) -> bool:
    met = found <= target
    print(f"  {what:<34}{found:>8.2f} {unit:<10} (target {target}: {'met' if met else 'MISSED'})")
    return met


def verify(path: Path, block_bytes: int, megabytes: int, rounds: int) -> bool:
    count = (megabytes << 20) // block_bytes
    bare = make(path, block_bytes, count)
    jobs = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = measure(
        {
            "bare": bare,
            "two bare": ["sh", "-c", '"$@" & "$@"; wait', "sh", *bare],
            "start": [*CLI, "root", str(path)],
            "one": [*CLI, "verify", str(path)],
            "every verdict": [*CLI, "verify", "--json", str(path)],
            "jobs": [*CLI, "verify", "--jobs", str(jobs), str(path)],
        },
        rounds,
    )

    def ratio(name: str, to: str = "bare") -> float:
        return statistics.median(a / b for a, b in zip(found[name], found[to], strict=True))

    speed = (megabytes << 20) / statistics.median(found["bare"]) / 1e6
    print(f"\n{count:,} blocks of {block_bytes:,} bytes; medians of {rounds} rounds")
    print(f"  {'bare loop':<34}{speed:>8,.0f} MB/s")
    print(f"  {'start of ipld-car alone':<34}{statistics.median(found['start']):>8.2f} s")
    good = verdict("verify, one job", ratio("one"), TARGETS[block_bytes], "x bare")
    print(f"  {'verify --json, one job':<34}{ratio('every verdict'):>8.2f} x bare")
    print(f"  {f'verify --jobs {jobs}, to one job':<34}{1 / ratio('jobs', 'one'):>8.2f} times as fast")
    print(f"  {'two bare loops at once, to two':<34}{2 / ratio('two bare'):>8.2f} times as fast")
    return good


def listing(path: Path, rounds: int) -> bool:
    count = 10**6
    make(path, 100, count)
    found = measure({"list": [*CLI, "list", str(path)], "json": [*CLI, "list", "--json", str(path)]}, rounds)
    print(f"\n{count:,} blocks of 100 bytes; medians of {rounds} rounds")
    good = verdict("list", statistics.median(found["list"]) / count * 1e6, LIST_TARGET, "us a block")
    print(f"  {'list --json':<34}{statistics.median(found['json']) / count * 1e6:>8.2f} us a block")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured")
    parser.add_argument("--megabytes", type=int, default=2048, help="size of the archives that are verified")
    parser.add_argument("--only", choices=["64k", "1k", "list"], help="one of the three")
    options = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory(prefix="bench-car-cli-") as folder:
        path = Path(folder, "archive.car")
        if options.only in (None, "64k"):
            good &= verify(path, 65_536, options.megabytes, options.rounds)
        if options.only in (None, "1k"):
            good &= verify(path, 1_024, options.megabytes // 2, options.rounds)
        if options.only in (None, "list"):
            good &= listing(path, options.rounds)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
