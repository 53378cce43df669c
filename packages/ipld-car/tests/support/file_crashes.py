"""A writer that is stopped: what it wrote, step by step; and a process that kills writers at random instants.

As a program: ``python file_crashes.py PATH ATTEMPTS VERSION SEED``.
"""

import hashlib
import os
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable
from io import FileIO
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from ipld_car import CarFile, CarReader, CarWarning, CarWriter, cids
from ipld_car._file import append, handles, layout
from ipld_car.fs import lock

SECTOR = 512
"""Bytes that a disk writes all or not at all."""


def block(number: int) -> tuple[bytes, bytes]:
    """The block of a number: of any size, mostly small, and the same each time."""
    noise = random.Random(number)
    data = b"%d:" % number + noise.randbytes(
        noise.choice((0, 1, 60, 100, 200, 5000, 70_000 if number % 50 == 0 else 9))
    )
    return cids.make(cids.RAW, hashlib.sha256(data).digest()), data


# -- step by step --


class Write(NamedTuple):
    position: int
    data: bytes


class Truncate(NamedTuple):
    size: int


class Sync(NamedTuple):
    pass


class Flushed(NamedTuple):
    """The writer was told that all of this is safe."""

    blocks: frozenset[int]
    root: bytes


Step = Write | Truncate | Sync | Flushed


class Recorder:
    """Writes down what is done to a file, and does it."""

    def __init__(self, monkeypatch: Any) -> None:
        self.steps: list[Step] = []
        recorder = self

        class Recorded(FileIO):
            def truncate(self, size: int | None = None, /) -> int:
                assert size is not None
                recorder.steps.append(Truncate(size))
                return super().truncate(size)

        def write_at(file: FileIO, position: int, pieces: list[bytes]) -> None:
            recorder.steps.append(Write(position, b"".join(pieces)))
            layout.write_at(file, position, pieces)

        fsync = os.fsync

        def recorded_fsync(handle: int) -> None:
            recorder.steps.append(Sync())
            fsync(handle)

        monkeypatch.setattr(lock, "FileIO", Recorded)
        monkeypatch.setattr(append, "write_at", write_at)
        monkeypatch.setattr(handles, "write_at", write_at)
        monkeypatch.setattr(os, "fsync", recorded_fsync)


def scenario(path: Path, recorder: Recorder, moves: list[tuple[str, int]]) -> None:
    """Do some moves with a file: put, root, flush, reopen; each by a number."""
    put: set[int] = set()
    file = CarFile.open(path, "a")
    root = bytes(file.roots[0])

    def flushed() -> None:
        recorder.steps.append(Flushed(frozenset(put), root))

    flushed()
    try:
        for move, number in moves:
            if move == "put":
                put.add(number)
                file.put(*block(number))
            elif move == "root" and put:
                root = block(sorted(put)[number % len(put)])[0]
                file.roots = [cids.from_bytes(root)]
            elif move == "flush":
                file.flush()
                flushed()
            elif move == "reopen":
                file.close()
                flushed()
                file = CarFile.open(path, "a")
    finally:
        file.close()
    flushed()


def apply(disk: bytearray, step: Step) -> None:
    if isinstance(step, Write):
        disk.extend(bytes(max(0, step.position - len(disk))))
        disk[step.position : step.position + len(step.data)] = step.data
    elif isinstance(step, Truncate):
        if step.size < len(disk):
            del disk[step.size :]
        disk.extend(bytes(step.size - len(disk)))


def parts(step: Step, rest: random.Random) -> list[Step]:
    """A step as a disk takes it: a write sector by sector or so, each of them whole."""
    if not isinstance(step, Write):
        return [step]
    cuts = {0, len(step.data)}
    edges = range(SECTOR - step.position % SECTOR, len(step.data), SECTOR)
    cuts.update(rest.sample(edges, min(len(edges), 6)))
    places = sorted(cuts)
    return [Write(step.position + a, step.data[a:b]) for a, b in pairwise(places)]


def check_survivor(disk: bytes, path: Path, flushed: Flushed, roots: set[bytes]) -> None:
    """What a writer that was stopped leaves is read, has all that was flushed, and is continued."""
    path.write_bytes(disk)
    new = block(1_000_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CarWarning)  # a torn section of a CARv1 is cut off, and that is said
        file = CarFile.open(path, "a")
    with file:
        assert path.read_bytes() == disk  # opening alone changes nothing
        (root,) = file.roots
        assert bytes(root) in roots
        for number in flushed.blocks:
            name, data = block(number)
            assert file.get(name) == data
        for each, _ in file:
            file.get(each)
        count = len(file)
        assert file.put(*new)
    continued = path.read_bytes()
    blocks = list(CarReader(continued))
    assert len(blocks) == count + 1
    with CarFile.open(path) as file:
        assert (file.scan_reason is None) == (file.version == 2)
        assert len(file) == count + 1
        for found in blocks:
            assert file.get(found.cid) == found.data


# -- killed --


def write_until_killed(path: str, start: int, tell: Callable[[str], object]) -> None:
    """Put, flush, set roots, close and open again, and tell what is safe."""
    number, choice = start, random.Random()
    while True:
        with CarFile.open(path, "a") as file:
            for _ in range(choice.choice((1, 3, 30))):
                for _ in range(choice.choice((1, 20, 300))):
                    file.put(*block(number))
                    number += 1
                file.roots = [cids.from_bytes(block(number - 1)[0])]
                file.flush()
                tell(f"{number}\n")


def kill(path: str, start: int, seconds: float) -> int:
    """Start a writer and kill it; return the number up to which it had reported all blocks as safe, or 0."""
    here, there = os.pipe()
    writer = os.fork()
    if not writer:
        write_until_killed(path, start, lambda text: os.write(there, text.encode()))
    os.close(there)
    with os.fdopen(here) as told:
        time.sleep(seconds)
        os.kill(writer, signal.SIGKILL)
        _, status = os.waitpid(writer, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, "the writer stopped by itself"
        return max([0, *map(int, told.read().split())])


def check_killed(path: str, safe: int, told: int) -> int:
    """Blocks up to ``safe`` are there, and the root that was told or a later one; returns how many blocks there are."""
    with CarFile.open(path, "a") as file:
        for number in range(safe):
            name, data = block(number)
            assert file.get(name) == data, number
        count = len(file)
        assert count >= safe
        numbers = {name: number for number, name in enumerate(block(number)[0] for number in range(count + 1000))}
        root = numbers[bytes(file.roots[0])]
        assert root >= told - 1, (root, told)
        assert file.roots[0] in file
    with Path(path).open("rb") as stream:
        reader = CarReader(stream)
        assert [block.cid_bytes for block in reader] == list(numbers)[:count]
    if CarReader(Path(path).read_bytes()).version == 2:
        with CarFile.open(path) as file:
            assert file.scan_reason is None
            assert len(file) == count
    return count


def main(path: str, attempts: int, version: int, seed: int) -> None:
    delays = random.Random(seed)
    if version == 1:
        with Path(path).open("wb") as stream:
            CarWriter(stream, [block(0)[0]]).close()
    with CarFile.open(path, "a") as file:
        file.put(*block(0))
        file.roots = (cids.from_bytes(block(0)[0]),)
    count = told = 1
    for attempt in range(1, attempts + 1):
        now = kill(path, count, delays.uniform(0, 0.05))
        told = max(told, now)
        count = check_killed(path, max(count, now), told)
        if count > 3000 and attempt < attempts:  # it is checked as a whole each time
            Path(path).unlink()
            main(path, attempts - attempt, version, seed + 1)
            break
    sys.stdout.write(f"killed {attempt}, blocks {count}\n")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
