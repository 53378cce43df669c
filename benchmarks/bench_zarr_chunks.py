"""Measure chunks through zarr: an IPLDStore in memory, zarr's MemoryStore and bare hashing, in one run.

The chunks are random and not compressed, so that zarr's own work is small. Each round measures each store once, in
alternating order. Figures are medians over the rounds, as machines are noisy and drift. Writing includes ``freeze()``.
Reading is by a new store over the same blocks, opened by the root, and verifies every block. Both use memory that was
touched before.

    python benchmarks/bench_zarr_chunks.py            # all cases; exits with 1 if a target is missed
    python benchmarks/bench_zarr_chunks.py --rounds 15
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import zarr
from ipldstore import IPLDStore
from shared.heap import keep_heap
from zarr.abc.store import Store
from zarr.core.buffer import cpu
from zarr.storage import MemoryStore

PIPELINES = {
    "default": "zarr.core.codec_pipeline.BatchedCodecPipeline",
    "fused": "zarr.core.codec_pipeline.FusedCodecPipeline",
}


class Case(NamedTuple):
    """The data that are written and read, and the targets."""

    chunks: int
    chunk_bytes: int
    pipeline: str
    per_hash: float | None
    """Target: MemoryStore's time plus so many times the bare hashing; None where another target holds."""
    per_memory: float | None
    """Target for writing: so many times MemoryStore's time."""
    rounds: int
    """How many there are by default."""


CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
clock = "wall"

CASES = [
    Case(2_000, 128 << 10, "default", 1.2, None, 25),
    Case(20_000, 4 << 10, "default", None, 1.3, 9),
    Case(20_000, 4 << 10, "fused", None, 1.3, 9),
]


def write(store: Store, data: np.ndarray) -> None:
    array = zarr.create_array(
        store, shape=data.shape, chunks=(1, data.shape[1]), dtype=data.dtype, compressors=None, filters=None
    )
    array[:] = data


@cache
def landing(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return the memory for all reads: touching fresh pages takes a virtual machine 10 to 400 us for 128 KiB."""
    return np.ones(shape, dtype)


def read(store: Store) -> np.ndarray:
    array = zarr.open_array(store, mode="r")
    out = landing(array.shape, array.dtype)
    out[:, 0] ^= 0xFF  # so that the values of the read before do not pass for those of this one
    array.get_basic_selection(out=cpu.NDBuffer(out))
    return out


def seconds(action: Callable[[], object]) -> float:
    gc.collect()
    start = CLOCKS[clock]()
    action()
    return CLOCKS[clock]() - start


def hash_all(data: np.ndarray) -> float:
    blocks = [row.tobytes() for row in data]
    return seconds(lambda: [hashlib.sha256(block).digest() for block in blocks])


def through_memory(data: np.ndarray) -> dict[str, float]:
    store = MemoryStore()
    return {"memory write": seconds(lambda: write(store, data)), "memory read": seconds(lambda: read(store))}


def through_ipld(data: np.ndarray) -> dict[str, float]:
    store = IPLDStore()

    def write_and_freeze() -> None:
        write(store, data)
        store.freeze()

    found = {"ipld write": seconds(write_and_freeze)}
    again = IPLDStore(store.castore, root=store.freeze(), read_only=True)
    result: list[np.ndarray] = []
    found["ipld read"] = seconds(lambda: result.append(read(again)))
    if not np.array_equal(result[0], data):
        raise SystemExit("what was read is not what was written")
    return found


def one_round(data: np.ndarray, *, turned: bool) -> dict[str, float]:
    first, second = (through_ipld, through_memory) if turned else (through_memory, through_ipld)
    return {"hash": hash_all(data), **first(data), **second(data)}


def run(case: Case, rounds: int) -> bool:
    """Measure a case and print it; return whether its targets are met."""
    zarr.config.set({"codec_pipeline.path": PIPELINES[case.pipeline]})
    data = np.frombuffer(os.urandom(case.chunks * case.chunk_bytes), dtype="u1").reshape(case.chunks, case.chunk_bytes)
    # The first round warms up.
    measured = [one_round(data, turned=bool(number % 2)) for number in range(rounds + 1)][1:]
    median = {name: statistics.median(each[name] for each in measured) for name in measured[0]}
    print(f"\n{case.chunks} chunks of {case.chunk_bytes >> 10} KiB, {case.pipeline} pipeline; seconds, {rounds} rounds")
    print(f"  bare sha256    {median['hash']:.3f}")
    good = True
    for verb in ("write", "read"):
        memory, ipld = f"memory {verb}", f"ipld {verb}"
        over_hash = statistics.median((each[ipld] - each[memory]) / each["hash"] for each in measured)
        ratio = statistics.median(each[ipld] / each[memory] for each in measured)
        line = f"  {verb:<5} MemoryStore {median[memory]:.3f}  IPLDStore {median[ipld]:.3f}  "
        line += f"ratio {ratio:.2f}, MemoryStore + {over_hash:.2f} x hashing"
        met = True
        if case.per_hash is not None:
            met = over_hash <= case.per_hash
            line += f"  (target {case.per_hash} x hashing: {'met' if met else 'MISSED'})"
        elif verb == "write" and case.per_memory is not None:
            met = ratio <= case.per_memory
            line += f"  (target ratio {case.per_memory}: {'met' if met else 'MISSED'})"
        print(line)
        good = good and met
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, help="as many for each case")
    parser.add_argument("--clock", choices=CLOCKS, default=clock, help="processor: where others use the machine too")
    options = parser.parse_args()
    globals()["clock"], rounds = options.clock, options.rounds
    print(f"{clock} clock; Python {sys.version.split()[0]}, zarr {zarr.__version__}, numpy {np.__version__}")
    fused = hasattr(zarr.core.codec_pipeline, "FusedCodecPipeline")
    cases = [case for case in CASES if case.pipeline != "fused" or fused]
    met = [run(case, rounds or case.rounds) for case in cases]
    return 0 if all(met) else 1


if __name__ == "__main__":
    keep_heap()
    sys.exit(main())
