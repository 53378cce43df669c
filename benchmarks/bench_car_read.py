"""Measure reading an archive, with every block verified, next to a lower bound.

The lower bound is a bare loop that slices the payloads out of bytes in memory, at given offsets, and hashes them. It
reads no lengths, parses no CIDs and compares nothing. Each round measures each case once. Figures are medians over the
rounds, in processor time, as machines are shared and drift.

    python benchmarks/bench_car_read.py               # exits with 1 if a target is missed
    python benchmarks/bench_car_read.py --rounds 51 --megabytes 64
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ipld_car import CarReader, CarWriter, cids, read_car


class Case(NamedTuple):
    """Blocks of one size, and the target for the ratio to the bare loop."""

    block_bytes: int
    target: float


CASES = [Case(1_000, 2.0), Case(100_000, 1.25)]


class Archive(NamedTuple):
    """An archive in memory and in a file, and the offsets of its payloads."""

    data: bytes
    path: Path
    payloads: list[tuple[int, int]]


def make(folder: Path, block_bytes: int, total: int) -> Archive:
    noise = os.urandom(block_bytes + 4096)
    stream = io.BytesIO()
    payloads = []
    with CarWriter(stream, [], verify=False) as writer:
        for number in range(total // block_bytes):
            block = number.to_bytes(8) + noise[number % 4096 :][: block_bytes - 8]
            at = writer.write(cids.make(cids.RAW, hashlib.sha256(block).digest()), block)
            payloads.append((at.payload_offset, at.payload_offset + at.payload_size))
    path = folder / f"{block_bytes}.car"
    path.write_bytes(stream.getvalue())
    return Archive(stream.getvalue(), path, payloads)


def bare(archive: Archive) -> int:
    data, sha256 = archive.data, hashlib.sha256
    count = 0
    for start, end in archive.payloads:
        sha256(data[start:end]).digest()
        count += 1
    return count


def reader_bytes(archive: Archive) -> int:
    count = 0
    for _ in CarReader(archive.data):
        count += 1
    return count


def reader_file(archive: Archive) -> int:
    count = 0
    with archive.path.open("rb") as file:
        for _ in CarReader(file):
            count += 1
    return count


def triples_bytes(archive: Archive) -> int:
    _, blocks = read_car(archive.data)
    count = 0
    for _cid, _data, _location in blocks:
        count += 1
    return count


def triples_file(archive: Archive) -> int:
    count = 0
    with archive.path.open("rb") as file:
        for _cid, _data, _location in read_car(file)[1]:
            count += 1
    return count


WAYS: dict[str, Callable[[Archive], int]] = {
    "CarReader, bytes": reader_bytes,
    "CarReader, file": reader_file,
    "read_car, bytes": triples_bytes,
    "read_car, file": triples_file,
}


def seconds(action: Callable[[Archive], int], archive: Archive) -> float:
    gc.collect()
    start = time.process_time()
    count = action(archive)
    taken = time.process_time() - start
    if count != len(archive.payloads):
        raise SystemExit(f"expected {len(archive.payloads)} blocks, found {count}")
    return taken


def run(case: Case, archive: Archive, rounds: int) -> bool:
    """Measure a case and print it; return whether its target is met."""
    ways = {"bare": bare, **WAYS}
    measured = [{name: seconds(way, archive) for name, way in ways.items()} for _ in range(rounds + 1)][1:]
    total = sum(end - start for start, end in archive.payloads)
    speed = total / statistics.median(each["bare"] for each in measured) / 1e6
    print(
        f"\n{len(archive.payloads):,} blocks of {case.block_bytes:,} bytes; medians of {rounds} rounds\n"
        f"  {'bare slice and sha256':<22}{speed:>8,.0f} MB/s"
    )
    good = True
    for name in WAYS:
        ratio = statistics.median(each[name] / each["bare"] for each in measured)
        speed = total / statistics.median(each[name] for each in measured) / 1e6
        met = ratio <= case.target
        good &= met
        print(f"  {name:<22}{speed:>8,.0f} MB/s{ratio:>7.2f} x  (target {case.target}: {'met' if met else 'MISSED'})")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21, help="how often each is measured")
    parser.add_argument("--megabytes", type=int, default=32, help="size of each archive")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-car-read-") as folder:
        results = [
            run(case, make(Path(folder), case.block_bytes, options.megabytes << 20), options.rounds) for case in CASES
        ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
