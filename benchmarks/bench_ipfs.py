"""Measure datasets on a real IPFS node: written through zarr, frozen and pinned, and read without a cache.

A Kubo node of its own runs for each case; tests/support/kubo_node.py of ipld-castore says where its binary comes from.
One run compares this store; py-hamt's KuboCAS, which hashes nothing itself; one block/put a block from 8 threads; a
lower bound, which is hashing the blocks, dag/import of CARs that were made before, and pin/add; and zarr's MemoryStore,
for the share of zarr. Chunks are random and not compressed, and new in every round. Figures are medians over the
rounds.

Small chunks are written and read with zarr's defaults, and with codec_pipeline.batch_size, which reduces the share of
zarr. py-hamt uses the default in both cases, as it is faster with it.

    python benchmarks/bench_ipfs.py                          # all cases; exits with 1 if a target is missed
    python benchmarks/bench_ipfs.py --case 4k --hamt-python PATH        # next to py-hamt, see rivals/README.md
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import urllib3
import zarr
from ipld_car import CarWriter, cids, dagcbor
from ipld_castore import ContentAddressableStore, GatewayCAStore
from ipldstore import FileSystemCAStore, IPFSStore, IPLDStore
from multiformats import CID
from shared.chunks import array_metadata
from shared.kubo import Node, gateway_of, running_node, seconds
from zarr.abc.store import Store
from zarr.storage import MemoryStore

HERE = Path(__file__).parent
CAR_BYTES = 16 << 20


class Case(NamedTuple):
    """The data that are written and read, and the targets."""

    chunks: int
    chunk_bytes: int
    rival_chunks: int
    """Chunks that rivals write and read who take a call for each; their times are scaled."""
    write_times: float
    """Target: so many times as fast as KuboCAS in writing."""
    read_times: float
    """The same in reading."""
    batch: int = 1
    """Chunks that zarr hands over together, its setting ``codec_pipeline.batch_size``; it comes with 1."""


_SMALL = Case(10_000, 4 << 10, 2_000, 20, 15)
CASES = {"4k": _SMALL, "4k-batches": _SMALL._replace(batch=100), "1m": Case(300, 1 << 20, 300, 1.5, 2)}
FLOOR_TIMES = 1.25
"""Target: writing takes at most so many times the floor and MemoryStore's write together."""


def random_data(chunks: int, chunk_bytes: int) -> np.ndarray:
    return np.frombuffer(os.urandom(chunks * chunk_bytes), dtype="u1").reshape(chunks, chunk_bytes)


def write(store: Store, data: np.ndarray) -> None:
    array = zarr.create_array(
        store, shape=data.shape, chunks=(1, data.shape[1]), dtype=data.dtype, compressors=None, filters=None
    )
    array[:] = data


def check(found: object, expected: np.ndarray) -> None:
    if not (isinstance(found, np.ndarray) and np.array_equal(found, expected)):
        raise SystemExit("what was read is not what was written")


# -- ours --


def ours(node: Node, data: np.ndarray) -> dict[str, float]:
    found: dict[str, float] = {}
    with IPFSStore(node.url, offline=True) as castore:
        store = IPLDStore(castore)

        def write_and_freeze() -> None:
            write(store, data)
            store.freeze()

        found["write"] = seconds(write_and_freeze)
        root = store.freeze()
    found["read"] = read_cold(IPFSStore(node.url, offline=True), root, data)
    found["gateway"] = read_cold(GatewayCAStore(gateway_of(node)), root, data)
    return found


def read_cold(castore: ContentAddressableStore, root: CID, data: np.ndarray) -> float:
    """Return the seconds to read all without a cache."""
    with castore:
        reader = IPLDStore(castore, root=root, read_only=True)
        result: list[np.ndarray] = []
        taken = seconds(lambda: result.append(zarr.open_array(reader, mode="r")[:]))
    check(result[0], data)
    return taken


# -- the lower bound, and a call for each block --


def post(pool: urllib3.HTTPConnectionPool, command: str, body: bytes | None = None) -> bytes:
    if body is None:
        answer = pool.urlopen("POST", f"/api/v0/{command}")
    else:
        headers = {"Content-Type": "multipart/form-data; boundary=benchmark"}
        answer = pool.urlopen("POST", f"/api/v0/{command}", body=body, headers=headers)
    if answer.status != 200:
        raise SystemExit(f"{command}: {answer.data!r}")
    return answer.data


def form(content: bytes) -> bytes:
    head = b'--benchmark\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n\r\n'
    return head + content + b"\r\n--benchmark--\r\n"


def archives(blocks: list[bytes]) -> tuple[bytes, list[bytes]]:
    """Return a root that links all blocks, and the bodies of the calls that send them."""
    links = [cids.make(cids.RAW, hashlib.sha256(block).digest()) for block in blocks]
    top = dagcbor.encode_node(links)
    root = cids.make(cids.DAG_CBOR, hashlib.sha256(top).digest())
    bodies: list[bytes] = []
    stream, writer = BytesIO(), None
    for cid, block in [*zip(links, blocks, strict=True), (root, top)]:
        if writer is None or len(stream.getbuffer()) > CAR_BYTES:
            if writer is not None:
                bodies.append(form(stream.getvalue()))
            stream = BytesIO()
            writer = CarWriter(stream, [], verify=False)
        writer.write(cid, block)
    return root, [*bodies, form(stream.getvalue())]


def floor(node: Node, data: np.ndarray, in_flight: int) -> float:
    blocks = [row.tobytes() for row in data]
    root, bodies = archives(blocks)
    pool = urllib3.connection_from_url(node.url, maxsize=8)

    def send() -> None:
        for block in blocks:
            hashlib.sha256(block).digest()
        with ThreadPoolExecutor(in_flight) as threads:
            list(threads.map(lambda body: post(pool, "dag/import?pin-roots=false", body), bodies))
        post(pool, f"pin/add?arg={cids.to_text(root)}")

    return seconds(send)


def block_puts(node: Node, data: np.ndarray) -> float:
    bodies = [form(row.tobytes()) for row in data]
    pool = urllib3.connection_from_url(node.url, maxsize=8)
    command = "block/put?cid-codec=raw&mhtype=sha2-256"

    def send() -> None:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda body: post(pool, command, body), bodies))

    return seconds(send)


# -- py-hamt --


def hamt(node: Node, python: str, case: Case) -> dict[str, float]:
    command = [python, "-W", "ignore", str(HERE / "rivals" / "hamt_kubo.py"), node.url, gateway_of(node)]
    done = subprocess.run(
        [*command, str(case.rival_chunks), str(case.chunk_bytes)], capture_output=True, text=True, check=True
    )
    scale = case.chunks / case.rival_chunks
    found = json.loads(done.stdout)
    return {verb: found[verb] * scale for verb in ("write", "read")}


# -- a case --


def one_round(node: Node, case: Case, hamt_python: str | None) -> dict[str, float]:
    data = random_data(case.chunks, case.chunk_bytes)
    memory = MemoryStore()
    found = {"memory": seconds(lambda: write(memory, data))}
    found |= {f"ours {verb}": taken for verb, taken in ours(node, data).items()}
    for in_flight in (1, 4):
        found[f"floor {in_flight}"] = floor(node, random_data(case.chunks, case.chunk_bytes), in_flight)
    found["floor"] = min(found["floor 1"], found["floor 4"])
    puts = block_puts(node, random_data(case.rival_chunks, case.chunk_bytes))
    found["block/put"] = puts * case.chunks / case.rival_chunks
    if hamt_python:
        found |= {f"rival {verb}": taken for verb, taken in hamt(node, hamt_python, case).items()}
    node.empty()
    return found


def run(case: Case, rounds: int, hamt_python: str | None) -> list[tuple[bool, str]]:
    """Measure a case, print it, and return the results of its targets."""
    with running_node() as node, zarr.config.set({"codec_pipeline.batch_size": case.batch}):
        measured = [one_round(node, case, hamt_python) for _ in range(rounds + 1)][1:]  # the first round warms up
    median = {name: statistics.median(each[name] for each in measured) for name in measured[0]}
    size = case.chunks * case.chunk_bytes / 2**20
    print(f"\n{case.chunks:,} chunks of {case.chunk_bytes >> 10} KiB, {size:.0f} MiB; seconds, {rounds} rounds")
    print(f"zarr's codec_pipeline.batch_size is {case.batch}\n")
    print("| | write | read, cold | over the gateway |\n| --- | --- | --- | --- |")
    mine = " | ".join(f"{median[f'ours {verb}']:.2f}" for verb in ("write", "read", "gateway"))
    print(f"| ipldstore | {mine} |")
    if hamt_python:
        name = f"py-hamt's KuboCAS, {case.rival_chunks:,} chunks, scaled"
        print(f"| {name} | {median['rival write']:.1f} | {median['rival read']:.1f} | |")
    print(f"| one block/put a block, 8 threads | {median['block/put']:.2f} | | |")
    print(f"| floor: hash, dag/import, pin/add | {median['floor']:.2f} | | |")
    print(f"| zarr's MemoryStore | {median['memory']:.2f} | | |\n")
    over = statistics.median(each["ours write"] / (each["floor"] + each["memory"]) for each in measured)
    told = f"writing takes {over:.2f} times floor and MemoryStore (at most {FLOOR_TIMES})"
    verdicts = [(over <= FLOOR_TIMES, told)]
    for verb, least in (("write", case.write_times), ("read", case.read_times), ("gateway", case.read_times)):
        if hamt_python:
            rival = median["rival write" if verb == "write" else "rival read"]
            times = rival / median[f"ours {verb}"]
            verdicts.append((times >= least, f"{verb}: {times:.1f} times as fast as KuboCAS (at least {least})"))
    return verdicts


# -- one chunk of a million --


class CountingIPFSStore(IPFSStore):
    """A store that records the requests to the node."""

    def __init__(self, host: str) -> None:
        super().__init__(host, offline=True)
        self.asked: list[CID] = []

    def get_block(self, cid: CID) -> bytes:
        self.asked.append(cid)
        return super().get_block(cid)


class NodesOnly(FileSystemCAStore):
    """A store that keeps nodes and drops chunks: a million files on the node would add nothing."""

    def put_block(self, cid: CID, data: bytes) -> None:
        if cids.codec_of(cids.to_bytes(cid)) == cids.DAG_CBOR or data == b"00500500":
            super().put_block(cid, data)


METADATA = array_metadata(1000)


def one_of_a_million() -> list[tuple[bool, str]]:
    """Read one chunk of 1000 x 25 x 40 without a cache."""
    with running_node() as node, tempfile.TemporaryDirectory() as folder:
        near = NodesOnly(folder, fsync=False)
        store = IPLDStore(near)
        store["air/zarr.json"] = json.dumps(METADATA).encode()
        for number in range(1_000_000):
            step, rest = divmod(number, 1000)
            store[f"air/c/{step}/{rest // 40}/{rest % 40}"] = b"%08d" % number
        root = store.freeze()
        with IPFSStore(node.url, pin=False) as there:
            there.put_blocks(near.get_blocks(near))
        with CountingIPFSStore(node.url) as castore:
            reader = IPLDStore(castore, root=root, read_only=True)
            result: list[bytes] = []
            taken = seconds(lambda: result.append(reader["air/c/500/12/20"]))
        if result != [b"00500500"]:
            raise SystemExit("what was read is not what was written")
    nodes = sum(cids.codec_of(cids.to_bytes(cid)) == cids.DAG_CBOR for cid in castore.asked)
    print(f"\none chunk of 1,000,000, cold: {taken * 1e3:.0f} ms, {nodes} index blocks and the chunk\n")
    once = len(set(map(bytes, castore.asked))) == len(castore.asked) == nodes + 1 <= 5
    return [(once, f"one call for each of {nodes} index blocks and one for the chunk ({len(castore.asked)} calls)")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=[*CASES, "cold"], help="one of them; by default all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hamt-python", help="an interpreter with py-hamt")
    options = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, zarr {zarr.__version__}, {os.cpu_count()} processors")
    verdicts: list[tuple[bool, str]] = []
    for name, case in CASES.items():
        if options.case in (None, name):
            verdicts += run(case, options.rounds, options.hamt_python)
    if options.case in (None, "cold"):
        verdicts += one_of_a_million()
    for good, what in verdicts:
        print(f"{'met   ' if good else 'MISSED'} {what}")
    return 0 if all(good for good, _ in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
