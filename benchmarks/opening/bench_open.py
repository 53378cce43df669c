"""Time to open a dataset of a million chunks in a CAR file, to import ipldstore, and to read metadata by the command.

Ratios within one run: the engine of xarray against a store opened by hand, and imports against ``import zarr``.

    python3 dev.py run bench:open [CHUNKS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import ipldstore
import numpy as np
import xarray as xr
from ipld_car import cids
from ipldstore import IPLDStore

ROUNDS = 15
SIDE = 100


def write(path: Path, chunks: int) -> None:
    """Write an array with a chunk, and so a block, for each element."""
    shape = (max(chunks // SIDE**2, 1), SIDE, SIDE)
    with ipldstore.open(path, "x", fsync=False) as store:
        encoding = {"t": {"chunks": (1, 1, 1), "compressors": None}}
        xr.Dataset({"t": (("time", "y", "x"), np.zeros(shape, "f8"))}).chunk(time=1).to_zarr(
            store, mode="w", encoding=encoding, compute=False
        )
        data = [number.to_bytes(8, "little") for number in range(int(np.prod(shape)))]
        names = [cids.make(cids.RAW, sha256(each).digest()) for each in data]
        store.castore.put_blocks((cids.from_validated(name), each) for name, each in zip(names, data, strict=True))
        places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, 3)
        links = np.frombuffer(b"".join(names), "u1").reshape(-1, cids.CIDV1_SHA256_SIZE)
        store.set_links("t", places, links)


def by_hand(path: Path) -> None:
    with ipldstore.open(path) as store:
        xr.open_zarr(store, chunks=None).close()


def by_store(path: Path) -> None:
    """Without ``ipldstore.open``."""
    castore = ipldstore.CarCAStore(path, "r")
    xr.open_zarr(IPLDStore(castore, read_only=True), chunks=None).close()
    castore.close()


def by_engine(path: Path) -> None:
    xr.open_dataset(path).close()


def by_named_engine(path: Path) -> None:
    xr.open_dataset(path, engine="ipldstore").close()


def alternating(*actions: Callable[[], object]) -> list[float]:
    """Return the median seconds of each, run in turns."""
    times: list[list[float]] = [[] for _ in actions]
    for _ in range(ROUNDS):
        for action, taken in zip(actions, times, strict=True):
            begun = time.perf_counter()
            action()
            taken.append(time.perf_counter() - begun)
    return [statistics.median(taken) for taken in times]


def python(*words: str) -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, *words], check=True, capture_output=True)


def main() -> None:
    chunks = int(sys.argv[1]) if len(sys.argv) > 1 else 10**6
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "million.car"
        write(path, chunks)
        ways = (by_hand, by_store, by_named_engine, by_engine)
        for way in ways:
            way(path)
        taken = alternating(*(lambda way=way: way(path) for way in ways))
        print(f"opening {chunks} chunks in a CAR file of {path.stat().st_size >> 20} MiB")
        for way, seconds in zip(ways, taken, strict=True):
            print(f"  {way.__name__:16} {seconds * 1000:8.1f} ms  {seconds / taken[0]:5.2f}")
        starts = {
            "import zarr": python("-c", "import zarr"),
            "import ipldstore": python("-c", "import ipldstore"),
            "--help": python("-m", "ipldstore", "--help"),
            "info": python("-m", "ipldstore", "info", str(path)),
        }
        taken = alternating(*starts.values())
        print("starting a process")
        for name, seconds in zip(starts, taken, strict=True):
            print(f"  {name:16} {seconds * 1000:8.1f} ms  {seconds / taken[0]:5.2f}")


if __name__ == "__main__":
    main()
