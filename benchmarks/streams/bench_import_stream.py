"""Measure importing a large archive through a pipe into a folder, and exporting it again, in one process.

The archive is a graph of 64 KiB leaves, made while it is sent, so that only the folder takes space on the disk. The
lower bound in the same run hashes every block and writes it to a file. The figures are the peak of memory beyond that
of the interpreter with its modules, and whether the exported archive is the imported one, to the byte.

    python benchmarks/streams/bench_import_stream.py                   # 2 GB; exits with 1 if a target is missed
    python benchmarks/streams/bench_import_stream.py --gigabytes 0.2 --fsync
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ipld_car import CarWriter, Writable, cids, dagcbor
from ipld_castore import FileSystemCAStore

BLOCK = 64 << 10
LINKS = 1000
MAX_EXTRA_MB = 64


class Graph:
    """A root over nodes over leaves, in the order of a walk: each node before its leaves."""

    def __init__(self, leaves: int) -> None:
        self.leaves = leaves
        noise = os.urandom(BLOCK)
        self._tail = noise[8:]
        digests = [cids.make(cids.RAW, hashlib.sha256(self.leaf(number)).digest()) for number in range(leaves)]
        self.nodes = [dagcbor.encode_node(digests[at : at + LINKS]) for at in range(0, leaves, LINKS)]
        self.node_cids = [_cid(node) for node in self.nodes]
        self.top = dagcbor.encode_node(self.node_cids)
        self.root = _cid(self.top)
        self._digests = digests

    def leaf(self, number: int) -> bytes:
        return number.to_bytes(8, "big") + self._tail

    def blocks(self) -> Iterator[tuple[bytes, bytes]]:
        yield self.root, self.top
        for at, (cid, node) in enumerate(zip(self.node_cids, self.nodes, strict=True)):
            yield cid, node
            for number in range(at * LINKS, min((at + 1) * LINKS, self.leaves)):
                yield self._digests[number], self.leaf(number)

    def send(self, stream: Writable) -> None:
        with CarWriter(stream, [self.root], verify=False) as writer:
            for cid, data in self.blocks():
                writer.write(cid, data)


def _cid(node: bytes) -> bytes:
    return cids.make(cids.DAG_CBOR, hashlib.sha256(node).digest())


class Digest:
    """A stream that hashes what is written, and drops it."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes, /) -> int:
        self.sha256.update(data)
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        pass


# -- in a process of its own, which reads the archive from its standard input -----------------------


def memory_mb(what: str) -> float:
    """Return ``VmRSS``, the memory in use, or ``VmHWM``, its peak. getrusage counts the parent process too."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) / 1024
    raise OSError(f"expected {what} in /proc/self/status, which Linux has")


def bare(folder: Path, stream: IO[bytes], leaves: int) -> None:
    """Hash each section, whose length is known, and write it to a file: the lower bound."""
    head = len(b"\x80\x80\x04") + 36
    for number in range(leaves):
        section = stream.read(head + BLOCK)
        name = hashlib.sha256(section[head:]).hexdigest()
        shard = folder / name[:2]
        if number < 4096:
            shard.mkdir(exist_ok=True)
        (shard / name).write_bytes(section[head:])


def child(what: str, folder: Path, leaves: int, fsync: bool) -> None:
    start_mb, start = memory_mb("VmRSS"), time.perf_counter()
    found: dict[str, Any] = {}
    if what == "bare":
        bare(folder, sys.stdin.buffer, leaves)
    elif what == "import":
        found["roots"] = [str(root) for root in FileSystemCAStore(folder, fsync=fsync).import_car(sys.stdin.buffer)]
    else:
        sink = Digest()
        FileSystemCAStore(folder).to_car(sys.stdin.readline().strip(), sink)
        found |= {"sha256": sink.sha256.hexdigest(), "bytes": sink.size}
    print(json.dumps(found | {"seconds": time.perf_counter() - start, "extra_mb": memory_mb("VmHWM") - start_mb}))


def run(
    what: str, folder: Path, graph: Graph, feed: Callable[[IO[bytes]], object], *, fsync: bool = False
) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", what, "--folder", str(folder), "--leaves", str(graph.leaves)]
    process = subprocess.Popen([*command, *["--fsync"] * fsync], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        feed(process.stdin)
        process.stdin.close()
        found: dict[str, Any] = json.load(process.stdout)
    return found


@contextmanager
def scratch(where: str | None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="bench-import-", dir=where))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def main(gigabytes: float, where: str | None, *, fsync: bool) -> int:
    graph = Graph(round(gigabytes * (1 << 30) / BLOCK))
    whole = Digest()
    graph.send(whole)
    blocks = 1 + len(graph.nodes) + graph.leaves
    print(
        f"archive: {whole.size / (1 << 30):.2f} GiB, {blocks} blocks of up to 64 KiB, fsync {'on' if fsync else 'off'}"
    )

    def leaves_only(stream: IO[bytes]) -> None:
        stream.writelines(bytes(39) + graph.leaf(number) for number in range(graph.leaves))

    with scratch(where) as folder:
        floor = run("bare", folder, graph, leaves_only)
    with scratch(where) as folder:
        taken = run("import", folder / "blocks", graph, graph.send, fsync=fsync)
        root = cids.to_text(graph.root)
        given = run("export", folder / "blocks", graph, lambda stream: stream.write(f"{root}\n".encode()))
    rate = whole.size / (1 << 20)
    print(f"hash and write files   {floor['seconds']:7.1f} s  {rate / floor['seconds']:6.0f} MiB/s")
    for name, found in (("import_car", taken), ("to_car", given)):
        print(
            f"{name:22} {found['seconds']:7.1f} s  {rate / found['seconds']:6.0f} MiB/s  "
            f"{found['seconds'] / floor['seconds']:5.2f} times that  {found['extra_mb']:5.1f} MB of extra memory"
        )
    failures = []
    if taken["roots"] != [root] or (given["sha256"], given["bytes"]) != (whole.sha256.hexdigest(), whole.size):
        failures.append("what came out is not what went in")
    for name, found in (("import_car", taken), ("to_car", given)):
        if found["extra_mb"] >= MAX_EXTRA_MB:
            failures.append(f"{name} took {found['extra_mb']:.0f} MB, the target is below {MAX_EXTRA_MB}")
    for failure in failures:
        print(f"MISSED: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0, help="size of the archive in GiB")
    parser.add_argument("--fsync", action="store_true", help="wait for the disk with each block")
    parser.add_argument("--folder", help="folder for the blocks, which are deleted; by default the temporary folder")
    parser.add_argument("--child", choices=["bare", "import", "export"], help=argparse.SUPPRESS)
    parser.add_argument("--leaves", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, Path(given.folder), given.leaves, given.fsync)
    else:
        sys.exit(main(given.gigabytes, given.folder, fsync=given.fsync))
