"""Measure a CAR file as a zarr store, next to other stores, in one run.

Chunks are random and not compressed, so that zarr's own work is small. Each round measures each store once. Figures are
medians over the rounds, in wall-clock time, as stores work in threads. Writing includes ``freeze()`` or ``commit()``,
and closing. Reading is by a store that is opened again and has nothing in memory; the system may still cache the files.
The CAR file and the IPLDStore in memory verify every block that they read. The others verify nothing, so the time of
bare sha256 over the same bytes is added to theirs for comparison. Only the row ``with fsync`` waits for the disk.

    python benchmarks/bench_car_store.py              # both cases; exits with 1 if a target is missed
    python benchmarks/bench_car_store.py --rounds 3 --case 1
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ipldstore
import numpy as np
import zarr
from bench_zarr_chunks import hash_all, read, seconds, write
from ipldstore import IPLDStore
from shared.heap import keep_heap, touch_free_memory
from zarr.storage import LocalStore, MemoryStore, ZipStore

CASES = [(20_000, 4 << 10), (2_000, 128 << 10)]
"""Chunks, and bytes in each."""
TARGET = 1.25
"""Times what MemoryStore and the bare hashing take together."""


class Way(NamedTuple):
    """How a store is written, and then read."""

    write: Callable[[np.ndarray, Path], Any]
    """Writes the data below an unused path; its result is the argument of reading."""
    read: Callable[[Path, Any], np.ndarray]


def car_file(*, fsync: bool) -> Way:
    def put(data: np.ndarray, path: Path) -> None:
        with ipldstore.open(path.with_suffix(".car"), "x", fsync=fsync) as store:
            write(store, data)
            store.freeze()

    def get(path: Path, _: object) -> np.ndarray:
        with ipldstore.open(path.with_suffix(".car")) as store:
            return read(store)

    return Way(put, get)


def ipld_in_memory() -> Way:
    def put(data: np.ndarray, _: Path) -> IPLDStore:
        store = IPLDStore()
        write(store, data)
        store.freeze()
        return store

    return Way(put, lambda _, store: read(IPLDStore(store.castore, root=store.root_cid, read_only=True)))


def memory() -> Way:
    def put(data: np.ndarray, _: Path) -> MemoryStore:
        store = MemoryStore()
        write(store, data)
        return store

    return Way(put, lambda _, store: read(store))


def local() -> Way:
    return Way(lambda data, path: write(LocalStore(path), data), lambda path, _: read(LocalStore(path)))


def zip_file() -> Way:
    def put(data: np.ndarray, path: Path) -> None:
        with ZipStore(path.with_suffix(".zip"), mode="w") as store:
            write(store, data)

    def get(path: Path, _: object) -> np.ndarray:
        with ZipStore(path.with_suffix(".zip"), mode="r") as store:
            return read(store)

    return Way(put, get)


def obstore() -> Way:
    from obstore.store import LocalStore as LocalObjects
    from zarr.storage import ObjectStore

    def store(path: Path) -> ObjectStore:
        return ObjectStore(LocalObjects(prefix=path, mkdir=True))

    return Way(lambda data, path: write(store(path), data), lambda path, _: read(store(path)))


def icechunk() -> Way:
    import icechunk as library

    def put(data: np.ndarray, path: Path) -> None:
        repository = library.Repository.create(library.local_filesystem_storage(str(path)))
        session = repository.writable_session("main")
        write(session.store, data)
        session.commit("all")

    def get(path: Path, _: object) -> np.ndarray:
        repository = library.Repository.open(library.local_filesystem_storage(str(path)))
        return read(repository.readonly_session("main").store)

    return Way(put, get)


RIVALS = {"LocalStore": local, "ZipStore": zip_file, "obstore": obstore, "icechunk": icechunk}
BEATEN = ("LocalStore", "obstore", "icechunk")
"""Those that, with hashing, writing a CAR file is to be faster than."""


def ways() -> dict[str, Way]:
    found = {
        "CAR file": car_file(fsync=False),
        "with fsync": car_file(fsync=True),
        "IPLDStore in memory": ipld_in_memory(),
        "MemoryStore": memory(),
    }
    for name, make in RIVALS.items():
        try:
            found[name] = make()
        except ImportError as error:
            print(f"{name} is left out: {error}")
    return found


def measure(way: Way, data: np.ndarray, folder: Path) -> tuple[float, float]:
    """Return the seconds to write and to read."""
    kept: list[Any] = []
    path = folder / "store"
    writing = seconds(lambda: kept.append(way.write(data, path)))
    got: list[np.ndarray] = []
    reading = seconds(lambda: got.append(way.read(path, kept[0])))
    if not np.array_equal(got[0], data):
        raise SystemExit("what was read is not what was written")
    return writing, reading


def one_round(data: np.ndarray, chosen: dict[str, Way], base: Path) -> dict[str, tuple[float, float]]:
    hashing = hash_all(data)
    found = {"sha256": (hashing, hashing)}
    for name, way in chosen.items():
        folder = Path(tempfile.mkdtemp(dir=base))
        touch_free_memory(folder, 2 * data.nbytes)
        try:
            found[name] = measure(way, data, folder)
        finally:
            shutil.rmtree(folder)
            os.sync()  # so that unwritten files of one store do not slow down the next
    return found


Rounds = list[dict[str, tuple[float, float]]]


def judge(what: str, rounds: Rounds, ratio: Callable[[dict[str, tuple[float, float]]], float], most: float) -> bool:
    found = statistics.median(map(ratio, rounds))
    met = found <= most
    print(f"  {what}: {found:.2f}  (target {most:g}: {'met' if met else 'MISSED'})")
    return met


def run(chunks: int, size: int, count: int, chosen: dict[str, Way], base: Path) -> bool:
    """Measure a case and print it; return whether its targets are met."""
    data = np.frombuffer(os.urandom(chunks * size), dtype="u1").reshape(chunks, size)
    rounds = [one_round(data, chosen, base) for _ in range(count + 1)][1:]  # the first one warms up
    print(f"\n{chunks:,} chunks of {size >> 10} KiB; seconds, {count} rounds\n{'':24}{'write':>8}{'read':>8}")
    for name in rounds[0]:
        medians = (statistics.median(each[name][verb] for each in rounds) for verb in (0, 1))
        print("  {:<22}{:>8.2f}{:>8.2f}".format(name, *medians))
    good = [
        judge(
            f"{'reading' if verb else 'writing'} the CAR file, of MemoryStore and hashing",
            rounds,
            lambda each, verb=verb: each["CAR file"][verb] / (each["MemoryStore"][verb] + each["sha256"][verb]),
            TARGET,
        )
        for verb in (0, 1)
    ]
    good += [
        judge(
            f"writing the CAR file, of {name} and hashing",
            rounds,
            lambda each, name=name: each["CAR file"][0] / (each[name][0] + each["sha256"][0]),
            1.0,
        )
        for name in BEATEN
        if name in chosen
    ]
    return all(good)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--case", type=int, choices=range(len(CASES)), help="only this one")
    parser.add_argument("--only", nargs="+", help="only these stores, and those that targets are about")
    parser.add_argument("--folder", help="where to write, by default where temporary files go")
    options = parser.parse_args()
    chosen = ways()
    if options.only:
        chosen = {name: way for name, way in chosen.items() if name in {"CAR file", "MemoryStore", *options.only}}
    print(f"Python {sys.version.split()[0]}, zarr {zarr.__version__}, numpy {np.__version__}")
    cases = CASES if options.case is None else [CASES[options.case]]
    with tempfile.TemporaryDirectory(prefix="bench-car-store-", dir=options.folder) as base:
        met = [run(*case, options.rounds, chosen, Path(base)) for case in cases]
    return 0 if all(met) else 1


if __name__ == "__main__":
    keep_heap()
    sys.exit(main())
