"""Measure the memory of streaming a large archive, and of a walk.

One process makes blocks of 64 KiB and writes them into a pipe with CarWriter, another reads and verifies them with
CarReader or read_car; nothing is on the disk. The figure is the peak of memory of each process beyond that of the
interpreter with its modules. Then a walk goes over a graph of a million links, which is made meanwhile; the figure is
the memory for each block.

    python benchmarks/streams/bench_car_stream.py             # 2 GB; exits with 1 if a target is missed
    python benchmarks/streams/bench_car_stream.py --gigabytes 0.2 --links 300000
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ipld_car import CarReader, CarWriter, cids, dagcbor, read_car, walk_binary

BLOCK = 64 << 10
MAX_EXTRA_MB = 64.0
FAN = 2000
MAX_BYTES_PER_BLOCK = 150.0


def memory_mb(what: str) -> float:
    """Return ``VmRSS``, the memory in use, or ``VmHWM``, its peak. getrusage counts the parent process too."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) / 1024
    raise OSError(f"expected {what} in /proc/self/status, which Linux has")


# -- each in a process of its own ------------------------------------------------------------------


def write(count: int) -> int:
    """Write an archive of a number of blocks to standard output."""
    tail = os.urandom(BLOCK - 8)
    with CarWriter(sys.stdout.buffer, []) as writer:
        for number in range(count):
            block = number.to_bytes(8) + tail
            writer.write(cids.make(cids.RAW, hashlib.sha256(block).digest()), block)
    return count


def read(_: int) -> int:
    return sum(1 for _ in CarReader(sys.stdin.buffer))


def triples(_: int) -> int:
    return sum(1 for _ in read_car(sys.stdin.buffer)[1])


def walk(count: int) -> int:
    """Walk over leaves below a root and nodes of FAN links; print the peak of memory for each."""
    nodes = count // FAN
    root = cids.make(cids.DAG_CBOR, b"\xff" * 32)

    def numbered(number: int) -> bytes:
        return cids.make(cids.DAG_CBOR, number.to_bytes(32))

    def get(name: bytes) -> bytes:
        if name == root:
            return dagcbor.encode_node([numbered(number) for number in range(nodes)])
        number = int.from_bytes(name[4:])
        first = nodes + number * FAN
        return dagcbor.encode_node([numbered(first + leaf) for leaf in range(FAN)]) if number < nodes else b"\x00"

    next(iter(walk_binary(get, numbered(nodes))))  # what is imported and remembered once
    start = memory_mb("VmRSS")
    most = 0.0
    met = 0
    for met, _ in enumerate(walk_binary(get, root), 1):
        if met % 10_000 == 0 and met >= 200_000:
            most = max(most, (memory_mb("VmRSS") - start) * (1 << 20) / met)
    report(bytes_per_block=most)
    return met


VERBS: dict[str, Callable[[int], int]] = {"write": write, "read": read, "read_car": triples, "walk": walk}


def report(**found: object) -> None:
    print(json.dumps(found), file=sys.stderr, flush=True)  # standard output is the archive's


def child(verb: str, count: int) -> None:
    start_mb, start = memory_mb("VmRSS"), time.perf_counter()
    done = VERBS[verb](count)
    report(blocks=done, seconds=time.perf_counter() - start, extra_mb=memory_mb("VmHWM") - start_mb)


# -- the process that starts them -------------------------------------------------------------------


def start(verb: str, count: int, **pipes: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, __file__, "--child", verb, "--count", str(count)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, **pipes)


def finish(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    _, told = process.communicate()
    if process.returncode:
        raise SystemExit(told.decode())
    found: dict[str, Any] = {}
    for line in told.splitlines():
        found |= json.loads(line)
    return found


def stream(reader: str, count: int) -> bool:
    """Write through a pipe into a reader; print the memory of each, and return whether the targets are met."""
    source = start("write", count, stdout=subprocess.PIPE)
    sink = start(reader, count, stdin=source.stdout)
    source.stdout.close()
    good = True
    # The reader ends after the writer; their output fits into the pipes.
    for verb, process in ((reader, sink), ("write", source)):
        found = finish(process)
        if found["blocks"] != count:
            raise SystemExit(f"expected {count} blocks from {verb}, found {found['blocks']}")
        met = found["extra_mb"] < MAX_EXTRA_MB
        good &= met
        speed = count * BLOCK / found["seconds"] / 1e6
        print(
            f"  {verb:<10}{found['extra_mb']:>8.1f} MB extra{speed:>8,.0f} MB/s"
            f"  (target {MAX_EXTRA_MB:.0f} MB: {'met' if met else 'MISSED'})"
        )
    return good


def remember(links: int) -> bool:
    found = finish(start("walk", links))
    met: bool = found["bytes_per_block"] <= MAX_BYTES_PER_BLOCK
    print(
        f"\nA walk over {found['blocks']:,} blocks in {found['seconds']:.1f} s: at most {found['bytes_per_block']:.0f} "
        f"bytes each for what was met  (target {MAX_BYTES_PER_BLOCK:.0f}: {'met' if met else 'MISSED'})"
    )
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0, help="size of the archive")
    parser.add_argument("--links", type=int, default=1_000_000, help="leaves of the graph that is walked")
    parser.add_argument("--child", choices=VERBS, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.count)
        return 0
    count = round(options.gigabytes * (1 << 30) / BLOCK)
    print(f"An archive of {count:,} blocks of {BLOCK >> 10} KiB through a pipe")
    results = [stream(reader, count) for reader in ("read", "read_car")]
    return 0 if all([*results, remember(options.links)]) else 1


if __name__ == "__main__":
    sys.exit(main())
