"""Measure histories: a commit of one changed chunk after 10, 1,000 and 10,000 commits, opening, and ``as_of``.

An ipldstore repository and, where it is installed (Python 3.12 and later), an icechunk repository, each in a folder,
with no wait for the disk. The array has 100 chunks of 4 KiB. Of each number of commits: time and written bytes of
a commit, over the last 20; the time to open the latest version and read one chunk; the time to open the version in the
middle, by its time, and read one chunk.

    python benchmarks/history/bench_history.py                # up to 1,000 commits
    python benchmarks/history/bench_history.py --commits 10000 --only icechunk --folder kept  # goes on where it stopped
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import zarr

CHUNKS = 100
CHUNK = 4096
LAST = 20


class Ours:
    name = "ipldstore"

    def __init__(self, folder: Path) -> None:
        from ipldstore import Repository

        self.folder = folder
        self.repo = Repository.open_or_create(str(folder), fsync=False)

    def commit(self, write: Callable[[Any], None], message: str) -> None:
        session = self.repo.writable_session("main")
        write(session.store)
        session.commit(message)

    def open(self, as_of: datetime | None = None) -> Any:
        from ipldstore import Repository

        return Repository.open(str(self.folder), fsync=False).readonly_session("main", as_of=as_of).store


class Icechunk:
    name = "icechunk"

    def __init__(self, folder: Path) -> None:
        import icechunk

        self.icechunk = icechunk
        self.storage = icechunk.local_filesystem_storage(str(folder))
        self.folder = folder
        self.repo = icechunk.Repository.open_or_create(self.storage)

    def commit(self, write: Callable[[Any], None], message: str) -> None:
        session = self.repo.writable_session("main")
        write(session.store)
        session.commit(message)

    def open(self, as_of: datetime | None = None) -> Any:
        repo = self.icechunk.Repository.open(self.storage)
        if as_of is None:
            return repo.readonly_session("main").store
        return repo.readonly_session("main", as_of=as_of).store


def make_array(store: Any) -> None:
    zarr.create_array(
        store, name="a", shape=(CHUNKS, CHUNK), chunks=(1, CHUNK), dtype="u1", compressors=None, filters=None
    )[:] = np.random.default_rng(0).integers(0, 255, (CHUNKS, CHUNK), "u1")


def change(number: int) -> Callable[[Any], None]:
    row = np.random.default_rng(number).integers(0, 255, CHUNK, "u1")

    def write(store: Any) -> None:
        zarr.open_array(store, path="a", mode="r+")[number % CHUNKS] = row

    return write


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def timed(action: Callable[[], Any]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def read_chunk(store: Any) -> None:
    zarr.open_array(store, path="a", mode="r")[0]


class History:
    """Commits one after the other, and the instant of each in a file, so that a run that was stopped can go on."""

    def __init__(self, kind: type[Ours | Icechunk], folder: Path) -> None:
        self.subject = kind(folder / kind.name)
        self._file = folder / f"{kind.name}.txt"
        self.instants = [datetime.fromisoformat(line) for line in self._lines()]
        if not self.instants:
            self.commit(make_array)

    def _lines(self) -> list[str]:
        return self._file.read_text().splitlines() if self._file.exists() else []

    def commit(self, write: Callable[[Any], None] | None = None) -> float:
        """Make the next commit; return the seconds that it took."""
        number = len(self.instants)
        taken = timed(lambda: self.subject.commit(write or change(number), f"commit {number}"))
        self.instants.append(datetime.now(UTC))
        with self._file.open("a") as file:
            file.write(f"{self.instants[-1].isoformat()}\n")
        return taken


def measure(kind: type[Ours | Icechunk], counts: list[int], kept: Path | None) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        history = History(kind, kept or Path(temporary))
        subject, instants = history.subject, history.instants
        for count in counts:
            while len(instants) < count - LAST:
                history.commit()
            if len(instants) >= count:
                continue
            before = size(subject.folder)
            seconds = [history.commit() for _ in range(LAST if count > LAST else 1)]
            written = (size(subject.folder) - before) / len(seconds)
            opening = min(timed(lambda: read_chunk(subject.open())) for _ in range(5))
            middle = instants[len(instants) // 2]
            as_of = min(timed(lambda: read_chunk(subject.open(middle))) for _ in range(5))  # noqa: B023  # called now
            print(
                f"{subject.name:>10} {count:>7,} commits: {statistics.median(seconds) * 1e3:8.2f} ms and "
                f"{written:>9,.0f} bytes a commit, opening {opening * 1e3:7.2f} ms, as_of {as_of * 1e3:7.2f} ms"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=1000, help="the most commits (default 1000)")
    parser.add_argument("--only", choices=("ipldstore", "icechunk"), help="measure one of the two")
    parser.add_argument("--folder", type=Path, help="keep the repositories there, and go on with those that are")
    arguments = parser.parse_args()
    asked: int = arguments.commits
    counts = [count for count in (10, 1000, 10_000) if count <= asked] or [asked]
    if arguments.only != "icechunk":
        measure(Ours, counts, arguments.folder)
    if arguments.only == "ipldstore":
        return
    if find_spec("icechunk") is None:
        print("  icechunk is not installed: python3 dev.py run rivals:history, which takes Python 3.13")
    else:
        measure(Icechunk, counts, arguments.folder)


if __name__ == "__main__":
    main()
