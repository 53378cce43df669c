"""Whatever stops a writer, and whenever: what was flushed is there, and the file goes on."""

import errno
import os
import random
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ipld_car import CarFile, CarReader, cids
from ipld_car._file import append

from ..support.car_samples import car_v1, outcome
from ..support.file_crashes import (
    SECTOR,
    Flushed,
    Recorder,
    Step,
    Sync,
    Write,
    apply,
    block,
    check_survivor,
    parts,
    scenario,
)

TESTS = Path(__file__).parents[1]

MOVES = [
    *(("put", number) for number in range(6)),
    *[("root", 3), ("flush", 0), ("flush", 0), ("put", 6), ("flush", 0), ("put", 50), ("root", 1)],
    *[("reopen", 0), ("root", 2), ("flush", 0), ("put", 7), ("put", 8), ("put", 100), ("flush", 0), ("put", 9)],
    *[("reopen", 0), ("reopen", 0), ("root", 5), ("reopen", 0), ("put", 10)],
]


def record(folder: Path, moves: list[tuple[str, int]], version: int) -> tuple[bytes, list[Step]]:
    """The steps that moves come to, on a file that is there before them."""
    path = folder / "recorded.car"
    path.unlink(missing_ok=True)
    before = b""
    if version == 1:
        before = car_v1(roots=[block(0)[0]])
        path.write_bytes(before)
    with pytest.MonkeyPatch.context() as monkeypatch:
        recorder = Recorder(monkeypatch)
        monkeypatch.setattr(append, "_SPILL_BYTES", 500)
        scenario(path, recorder, moves)
    disk = bytearray(before)
    for step in recorder.steps:
        apply(disk, step)
    assert disk == path.read_bytes()  # nothing escapes the record
    return before, recorder.steps


def roots_at(steps: list[Step], at: int) -> tuple[Flushed | None, set[bytes]]:
    """What had been flushed last before a step, and the roots there may be after it."""
    flushed = [step for step in steps[:at] if isinstance(step, Flushed)]
    coming = next((step for step in steps[at:] if isinstance(step, Flushed)), None)
    last = flushed[-1] if flushed else None
    return last, {step.root for step in (last, coming) if step}


@pytest.mark.parametrize("version", [2, 1])
def test_stopped_between_any_two_steps_and_in_any_write(tmp_path: Path, version: int) -> None:
    """As a process is killed: each write, up to any byte of it but in the first sector, and nothing after it."""
    before, steps = record(tmp_path, MOVES, version)
    assert sum(isinstance(step, Flushed) for step in steps) > 8
    disk = bytearray(before)
    for at, step in enumerate(steps):
        last, roots = roots_at(steps, at)
        if last is not None:
            check_survivor(bytes(disk), tmp_path / "a.car", last, roots)
            if isinstance(step, Write) and step.position + len(step.data) > SECTOR:
                for cut in {1, len(step.data) // 3, len(step.data) - 1}:
                    torn = bytearray(disk)
                    apply(torn, Write(step.position, step.data[:cut]))
                    check_survivor(bytes(torn), tmp_path / "a.car", last, roots)
        apply(disk, step)


@settings(
    max_examples=settings().max_examples // 4,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    moves=st.lists(
        st.tuples(st.sampled_from(["put", "put", "put", "root", "flush", "reopen"]), st.integers(0, 120)),
        min_size=5,
        max_size=25,
    ),
    seed=st.integers(0, 1 << 32),
)
def test_a_machine_that_stops(tmp_path: Path, moves: list[tuple[str, int]], seed: int) -> None:
    """Of what was not synced the disk has any part, in any order, sectors whole."""
    _, steps = record(tmp_path, moves, 2)
    choice = random.Random(seed)
    syncs = [number for number, step in enumerate(steps) if isinstance(step, Sync)]
    # Right before a sync most is loose.
    for at in choice.sample(syncs, min(len(syncs), 8)) + choice.sample(range(len(steps)), min(len(steps), 3)):
        last, roots = roots_at(steps, at)
        if last is None:
            continue
        synced = max((number for number in syncs if number < at), default=0)
        disk = bytearray()
        for step in steps[:synced]:
            apply(disk, step)
        part = choice.random()
        for loose in [each for step in steps[synced:at] for each in parts(step, choice)]:
            if choice.random() < part:
                apply(disk, loose)
        check_survivor(bytes(disk), tmp_path / "a.car", last, roots)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes to kill at random instants there")
@pytest.mark.parametrize(
    ("version", "attempts"),
    [(2, 8), (1, 4), pytest.param(2, 200, marks=pytest.mark.soak), pytest.param(1, 100, marks=pytest.mark.soak)],
)
def test_killed_at_random_instants(tmp_path: Path, version: int, attempts: int) -> None:
    """A real process, a real SIGKILL, the same file again and again."""
    seed = random.randrange(1 << 30)
    command = [
        sys.executable,
        str(TESTS / "support" / "file_crashes.py"),
        str(tmp_path / "a.car"),
        *map(str, (attempts, version, seed)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    assert sum(map(int, re.findall(r"killed (\d+)", done.stdout))) == attempts


# -- full disks --

FULL = """
    import os, resource, sys
    from tests.support.file_crashes import block
    from ipld_car import CarFile, cids
    path, then = sys.argv[1:]
    file = CarFile.open(path, "a")
    for number in range(100):
        file.put(*block(number))
    file.roots = [cids.from_bytes(block(99)[0])]
    file.flush()
    limit = os.stat(path).st_size + 2_000_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    refused = 0
    for number in range(100, 20_000):
        try:
            file.put(*block(number))
        except OSError as error:
            refused += 1
            if refused == 20:
                break
    assert refused == 20, number
    for _ in range(2):
        try:
            file.flush()
        except OSError as error:
            print(error)
        else:
            raise AssertionError("flushed to a full disk")
    held = len(file)
    for number in range(100):
        assert file.get(block(number)[0]) == block(number)[1]
    if then == "frees":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        file.flush()
        file.close()
    else:
        try:
            file.close()
        except OSError as error:
            print("closed:", error)
    print(held)
"""


@pytest.mark.skipif(os.name == "nt", reason="no resource limits there")
@pytest.mark.parametrize("then", ["frees", "closes"])
def test_a_file_that_may_not_grow(tmp_path: Path, then: str) -> None:
    """What was flushed stays; what was put is held, and written when there is room."""
    path = tmp_path / "a.car"
    command = [sys.executable, "-c", textwrap.dedent(FULL), str(path), then]
    done = subprocess.run(command, cwd=TESTS.parent, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("File too large") == (2 if then == "frees" else 3)
    held = int(done.stdout.split()[-1])
    with CarFile.open(path, "a") as file:
        assert bytes(file.roots[0]) == block(99)[0]
        for number in range(100):
            assert file.get(block(number)[0]) == block(number)[1]
        assert len(file) == held if then == "frees" else 100 <= len(file) < held
    assert outcome(path.read_bytes()).error is None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of three megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if not mount or not umount:
        pytest.skip("no mount here to make a small disk with")
    command = [mount, "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run([umount, str(folder)], check=True)


@pytest.mark.parametrize("version", [2, 1])
def test_a_disk_that_is_full(small_disk: Path, version: int) -> None:
    """Putting and flushing say so, at the latest the second; nothing that was flushed is lost, nor what is held."""
    path, filler = small_disk / "a.car", small_disk / "filler"
    if version == 1:
        path.write_bytes(car_v1(roots=[block(0)[0]]))
    file = CarFile.open(path, "a")
    filler.write_bytes(bytes(1_000_000))
    number = safe = 0
    try:
        while True:
            number += 1
            file.put(*block(number))
            if number % 100 == 0:
                file.roots = [cids.from_bytes(block(number)[0])]
                file.flush()
                safe = number
    except OSError as error:
        refused = error
    assert refused.errno == errno.ENOSPC
    with pytest.raises(OSError, match="No space left"):
        file.flush()
    before = CarReader(path.read_bytes())
    assert [bytes(root) for root in before.roots] == [block(safe)[0]]
    if version == 2:
        assert len(list(before)) == safe
    filler.unlink()
    file.flush()
    held = len(file)
    assert held >= number - 1
    file.close()
    assert len(list(CarReader(path.read_bytes()))) == held


def test_a_disk_without_room_for_the_index(small_disk: Path) -> None:
    """Closing says so; the blocks are all there, and the next writer makes the index."""
    path, filler = small_disk / "a.car", small_disk / "filler"
    file = CarFile.open(path, "a")
    blocks = [(cids.make(cids.RAW, data.rjust(32)), data) for data in (b"%d" % number for number in range(10_000))]
    for name, data in blocks:
        file.put(name, data, verify=False)
    file.flush()
    with filler.open("wb", buffering=0) as stream:
        stream.write(bytes(4_000_000))  # as far as it goes
    with pytest.raises(OSError, match="No space left"):
        file.close()
    assert file.closed
    with CarFile.open(path) as file:
        assert file.scan_reason == "it has no index"
        assert len(file) == len(blocks)
    filler.unlink()
    CarFile.open(path, "a").close()
    with CarFile.open(path) as file:
        assert file.scan_reason is None
        assert len(file) == len(blocks)
