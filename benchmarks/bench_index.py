"""Measure the index at a million chunks: time, blocks, bytes a link, and the nodes of a read or an append.

Every chunk has 8 bytes, so the index is what is measured. Times are processor time, as machines are shared and noisy.
Blocks are in memory; counts are of index nodes, without chunks. One run compares this store, py-hamt, icechunk (inline
chunks), and the flat map that the original ipldstore wrote, at 100,000 chunks.

    python benchmarks/bench_index.py                                        # 1000 x 25 x 40 chunks
    python benchmarks/bench_index.py --steps 100 --hamt-python PATH         # next to py-hamt, see rivals/README.md
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ipld_car import cids
from ipldstore import FileSystemCAStore, IPLDStore, MappingCAStore
from multiformats import CID
from shared.chunks import SPACE, array_metadata

METADATA = array_metadata()
V2_METADATA = {"zarr_format": 2, "shape": [0, *SPACE], "chunks": [1, 1, 1], "dtype": "|u1"}


class CountingCAStore(MappingCAStore):
    """A store in memory that counts the nodes that are read."""

    def __init__(self) -> None:
        super().__init__({})
        self.read: list[bytes] = []

    def get_block(self, cid: CID) -> bytes:
        binary = cids.to_bytes(cid)
        if cids.codec_of(binary) == cids.DAG_CBOR:
            self.read.append(binary)
        return super().get_block(cid)

    def nodes(self) -> dict[str, int]:
        """Return the bytes of each node by its CID."""
        mapping = self.mapping
        return {key: len(mapping[key]) for key in list(mapping) if key.startswith("bafyrei")}


def points(steps: int) -> Iterator[tuple[int, ...]]:
    return itertools.product(range(steps), *map(range, SPACE))


def touched(castore: CountingCAStore, root: CID, keys: list[str]) -> tuple[int, int]:
    """Return the nodes that a reader without a cache reads for some keys, and their bytes."""
    castore.read.clear()
    store = IPLDStore(castore, root=root, read_only=True)
    for key in keys:
        if key not in store:
            raise SystemExit(f"{key} was written and is not there")
    return len(castore.read), sum(len(castore.mapping[cids.to_text(cid)]) for cid in castore.read)


def ours(steps: int, prefix: str, separator: str) -> dict[str, float]:
    castore = CountingCAStore()
    store = IPLDStore(castore)
    dotted = separator == "."
    store["air/.zarray" if dotted else "air/zarr.json"] = json.dumps(V2_METADATA if dotted else METADATA).encode()
    keys = [prefix + separator.join(map(str, point)) for point in points(steps)]
    start = time.process_time()
    for number, key in enumerate(keys):
        store[key] = b"%08d" % number
    set_seconds = time.process_time() - start
    root = store.freeze()
    seconds = time.process_time() - start

    nodes = castore.nodes()
    space = len(keys) // steps
    middle = keys[(steps // 2) * space + space // 2]
    cold, cold_bytes = touched(castore, root, [middle])
    found = {
        "seconds": seconds,
        "set_seconds": set_seconds,
        "nodes": len(nodes),
        "node_bytes": sum(nodes.values()),
        "cold_chunk": cold,
        "cold_bytes": cold_bytes,
        "one_map": touched(castore, root, keys[:space])[0],
        "one_pixel": touched(castore, root, keys[1::space])[0],
    }
    castore.read.clear()
    again = IPLDStore(castore, root=root)
    for number, point in enumerate(itertools.product(*map(range, SPACE))):
        again[prefix + separator.join(map(str, (steps, *point)))] = b"+%07d" % number
    again.freeze()
    found["append_reads"] = len(castore.read)
    found["append_nodes"] = len(set(castore.nodes()) - set(nodes))
    return found


class NodesOnly(FileSystemCAStore):
    """A store that keeps nodes in a folder and drops chunks, so that the index is what is measured."""

    def put_block(self, cid: CID, data: bytes) -> None:
        if cids.codec_of(cids.to_bytes(cid)) == cids.DAG_CBOR:
            super().put_block(cid, data)


def peak_resident() -> int:
    """Return the peak memory of this process in bytes (Linux; ru_maxrss counts the parent too)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) << 10


def measure_memory(steps: int, folder: str, root: str | None) -> dict[str, Any]:
    """Write the index into a folder, or look up one chunk in it, in a fresh process."""
    castore = NodesOnly(folder, fsync=False)
    store = IPLDStore(castore, root=root)
    before = peak_resident()
    if root is not None:
        key = f"air/c/{steps // 2}/12/20"
        if key not in store:
            raise SystemExit(f"{key} was written and is not there")
        return {"bytes": peak_resident() - before}
    store["air/zarr.json"] = json.dumps(METADATA).encode()
    for number, point in enumerate(points(steps)):
        store["air/c/" + "/".join(map(str, point))] = b"%08d" % number
    return {"root": str(store.freeze()), "bytes": peak_resident() - before}


def memory(steps: int) -> tuple[int, int]:
    """Return the extra peak memory in bytes of writing, and of one lookup."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--steps", str(steps), "--memory", folder]
        written = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        command += ["--root", written["root"]]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return written["bytes"], found["bytes"]


def flat(steps: int) -> dict[str, float]:
    """Measure one map that is encoded whole at each freeze, as the original ipldstore did."""
    import dag_cbor
    from multiformats import multihash

    top: dict[str, Any] = {}
    start = time.process_time()
    sha = multihash.get("sha2-256")
    for number, point in enumerate(points(steps)):
        directory = top
        for part in ("air", "c", *map(str, point[:-1])):
            directory = directory.setdefault(part, {})
        directory[str(point[-1])] = CID("base32", 1, "raw", sha.digest(b"%08d" % number))
    block = dag_cbor.encode(top)
    return {
        "seconds": time.process_time() - start,
        "nodes": 1,
        "node_bytes": len(block),
        "cold_chunk": 1,
        "cold_bytes": len(block),
        "one_map": 1,
        "one_pixel": 1,
        "append_nodes": 1,
    }


def icechunk_time(steps: int) -> dict[str, float]:
    """Measure setting and committing the same chunks; manifests are no blocks, so only time and bytes compare."""
    import icechunk
    from zarr.core.buffer import default_buffer_prototype

    buffer = default_buffer_prototype().buffer
    storage = icechunk.in_memory_storage()
    repository = icechunk.Repository.create(storage)
    session = repository.writable_session("main")
    store = session.store

    async def write() -> None:
        metadata = {**METADATA, "shape": [steps, *SPACE]}
        await store.set("zarr.json", buffer.from_bytes(b'{"zarr_format":3,"node_type":"group","attributes":{}}'))
        await store.set("air/zarr.json", buffer.from_bytes(json.dumps(metadata).encode()))
        for number, point in enumerate(points(steps)):
            await store.set("air/c/" + "/".join(map(str, point)), buffer.from_bytes(b"%08d" % number))

    start = time.process_time()
    asyncio.run(write())
    session.commit("all of them")
    return {"seconds": time.process_time() - start}


def hamt(python: str, steps: int) -> dict[str, float]:
    script = Path(__file__).parent / "rivals" / "hamt_index.py"
    command = [python, "-W", "ignore", str(script), str(steps), *map(str, SPACE)]
    found: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def row(name: str, chunks: int, found: dict[str, float]) -> None:
    def show(key: str, form: str = "{:.0f}") -> str:
        return form.format(found[key]) if key in found else "-"

    link = f"{found['node_bytes'] / chunks:.1f}" if "node_bytes" in found else "-"
    print(
        f"| {name} | {chunks:,} | {show('seconds', '{:.1f}')} | {show('nodes')} | {link} | {show('cold_chunk')} "
        f"| {show('one_map')} | {show('one_pixel')} | {show('append_nodes')} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000, help="times 25 x 40 chunks")
    parser.add_argument("--rival-steps", type=int, default=100, help="the same for the rivals, and for us next to them")
    parser.add_argument("--hamt-python", help="an interpreter with py-hamt")
    parser.add_argument("--hamt-all", action="store_true", help="py-hamt at --steps too: it takes a quarter of an hour")
    parser.add_argument("--memory", metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--root", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        print(json.dumps(measure_memory(options.steps, options.memory, options.root)))
        return 0

    columns = (
        "chunks",
        "set and freeze, processor s",
        "index blocks",
        "bytes a link",
        "cold chunk",
        "one map",
        "one pixel",
    )
    print(f"| | {' | '.join(columns)} | append |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    few = options.rival_steps * 1000
    small = ours(options.rival_steps, "air/c/", "/")
    row("ipldstore", few, small)
    compared: dict[int, float] = {}  # how many times as fast as py-hamt, by the number of chunks
    if options.hamt_python:
        rival = hamt(options.hamt_python, options.rival_steps)
        row("py-hamt", few, rival)
        compared[few] = rival["seconds"] / small["seconds"]
    if importlib.util.find_spec("icechunk"):
        row("icechunk", few, icechunk_time(options.rival_steps))
    row("flat map", few, flat(options.rival_steps))

    many = options.steps * 1000
    nested, dotted = ours(options.steps, "air/c/", "/"), ours(options.steps, "air/", ".")
    row("ipldstore, c/t/y/x", many, nested)
    row("ipldstore, t.y.x", many, dotted)
    if options.hamt_python and options.hamt_all:
        rival = hamt(options.hamt_python, options.steps)
        row("py-hamt", many, rival)
        compared = {many: rival["seconds"] / nested["seconds"]}
    writing, looking = memory(options.steps)
    print(
        f"\nsetting a chunk: {nested['set_seconds'] / many * 1e6:.1f} us, freezing: "
        f"{(nested['seconds'] - nested['set_seconds']) / many * 1e6:.1f} us a chunk"
    )
    print(
        f"extra peak memory: writing {writing >> 20} MiB, {writing / many:.0f} bytes a chunk; "
        f"looking up one chunk {looking / 2**20:.1f} MiB"
    )
    checks = {
        "at most 46 bytes a link, nested": nested["node_bytes"] / many <= 46,
        "at most 51 bytes a link, dotted": dotted["node_bytes"] / many <= 51,
        "a cold chunk reads at most 4 index blocks": nested["cold_chunk"] <= 4,
        f"a cold chunk reads at most 300 KB ({nested['cold_bytes']:,})": nested["cold_bytes"] <= 300_000,
        f"an append reads at most 8 index blocks ({nested['append_reads']})": nested["append_reads"] <= 8,
        "an append writes at most 5 index blocks": nested["append_nodes"] <= 5,
        "at most 700 bytes of memory a chunk while writing": writing / many <= 700,
        "at most 100 MB of memory for a lookup": looking <= 100_000_000,
    }
    for chunks, ratio in compared.items():
        checks[f"at most a tenth of py-hamt's time ({ratio:.1f} times as fast, {chunks:,} chunks)"] = ratio >= 10
    for what, good in checks.items():
        print(f"{'met   ' if good else 'MISSED'} {what}")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
