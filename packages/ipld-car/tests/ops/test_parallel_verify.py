"""Verifying in several processes finds what one process finds, whatever is in the archive."""

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ipld_car._car.limits import MAX_SECTION_BYTES
from ipld_car.ops import Report, check_blocks, parallel_verify, verify
from ipld_car.terminal.testing import Run

from ..support.car_samples import car_v1, car_v2, cid, section, varint

USUAL = cid(b"", "raw")[:4]


def found_in(
    path: Path, archive: bytes, processes: int, *, every: bool = True
) -> tuple[Report, list[check_blocks.Verdict]]:
    verdicts: list[check_blocks.Verdict] = []
    assert path.read_bytes() == archive
    found = verify(path, jobs=processes, on_verdict=verdicts.append, every=every)
    return found, verdicts


def same(path: Path, archive: bytes, *processes: int, every: bool = True) -> tuple[Report, list[check_blocks.Verdict]]:
    """What one process finds; that more of them find all of it, in the same words, is checked."""
    path.write_bytes(archive)
    one, all_of_one = found_in(path, archive, 1, every=every)
    error = one.error and (type(one.error), str(one.error), one.error.offset, one.error.block)
    for number in processes:
        found, verdicts = found_in(path, archive, number, every=every)
        assert verdicts == all_of_one
        assert (found.error and (type(found.error), str(found.error), found.error.offset, found.error.block)) == error
        found.error = one.error
        assert found == one
    return one, all_of_one


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel_verify, "STEP", 1000)


# -- the same as one ---------------------------------------------------------------------------------


def many(count: int) -> list[bytes]:
    """Sections, some of them with another hash function."""
    blocks = [number.to_bytes(4) * 30 for number in range(count)]
    return [section(block, other_cid(block) if number % 7 == 0 else None) for number, block in enumerate(blocks)]


def other_cid(block: bytes) -> bytes:
    return cid(block, "raw", "blake2b-256")


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("damage", ["none", "a block", "a length", "the end"])
def test_jobs_find_what_one_finds(damage: str, tmp_path: Path) -> None:
    blocks = many(300)
    if damage == "a block":
        blocks[100] = blocks[100][:-1] + b"!"
        blocks[299] = blocks[299][:-1] + b"!"
    archive = car_v1(*blocks, roots=[other_cid(bytes(120))])
    if damage == "a length":
        at = len(car_v1(*blocks[:150], roots=[other_cid(bytes(120))]))
        archive = archive[:at] + b"\x80\x00" + archive[at + 2 :]
    elif damage == "the end":
        archive = archive[:-1]
    found, verdicts = same(tmp_path / "many.car", archive, 3)
    assert len(verdicts) == {"a length": 150, "the end": 299}.get(damage, 300)
    assert [verdict.number for verdict in verdicts] == list(range(len(verdicts)))
    assert found.bad == (2 if damage == "a block" else 0)


@pytest.mark.parametrize("largest", [100_000, pytest.param(1 << 30, marks=pytest.mark.slow)])
def test_archives_of_other_programs(
    fixtures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest: int
) -> None:
    names = [path for path in sorted(fixtures.rglob("*.car")) if 2000 < path.stat().st_size <= largest]
    assert len(names) > 5
    for number, path in enumerate(names):
        archive = path.read_bytes()
        monkeypatch.setattr(parallel_verify, "STEP", max(200, len(archive) // 50))
        same(tmp_path / "copy.car", archive, 2 + number % 2)


HASHES = ["sha2-256", "sha2-256", "sha2-512", "blake2b-256", "identity"]
payloads = st.one_of(
    st.binary(max_size=300),
    st.binary(min_size=1, max_size=60).map(lambda data: data * 60),  # longer than a range
    # An archive in a block, also cut off as chunks of a file cut it.
    st.tuples(st.integers(5, 60), st.integers(0, 99)).map(
        lambda made: car_v1(*(section(bytes([number]) * 20) for number in range(made[0])))[made[1] :]
    ),
    # What begins as sections do, over and over.
    st.tuples(st.sampled_from([b"\x24", b"\x80\x01", b"\xff\x7f", b"\x80\x80\x80\x04"]), st.integers(1, 60)).map(
        lambda made: (made[0] + USUAL) * made[1]
    ),
)


@st.composite
def sections_of(draw: st.DrawFn) -> bytes:
    data = draw(payloads)
    if draw(st.integers(0, 5)) == 0:
        name = cid(data, "dag-pb", version=0)
    else:
        hash_name = draw(st.sampled_from(HASHES if len(data) < 100 else HASHES[:-1]))
        name = cid(data, draw(st.sampled_from(["raw", "raw", "dag-cbor"])), hash_name)
    if draw(st.integers(0, 9)) == 0:
        data = bytes([255]) + data[1:]
    return section(data, name)


ENDS = [b"", b"", b"\x00", b"\x80", b"\x80\x00", b"\x81\x80\x80\x04", b"\x05\x01\x55\x12\x20\x00", b"\xff" * 10]


@pytest.mark.slow
@given(
    st.lists(sections_of(), min_size=1, max_size=8),
    st.sampled_from(ENDS),
    st.integers(0, 3),
    st.integers(150, 2000),
    st.integers(1, 3),
    st.randoms(use_true_random=False),
)
@settings(max_examples=settings().max_examples // 2)
def test_jobs_find_what_one_finds_in_anything(
    kinds: list[bytes], end: bytes, cut: int, step: int, stretch: int, random: Random
) -> None:
    """Payloads that hold archives or look as if, sections longer than a range, odd CIDs, damage, torn ends."""
    blocks = [kind for kind in kinds for _ in range(random.randint(1, 12))]
    random.shuffle(blocks)
    archive = car_v1(*blocks, roots=[cid(b"root")]) + end
    archive = archive[: len(archive) - cut]
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(parallel_verify, "STEP", step),
        patch.object(parallel_verify, "_STRETCH", stretch),
    ):
        same(Path(folder, "any.car"), archive, random.choice([2, 3]), every=random.random() < 0.8)


@pytest.mark.usefixtures("small_steps")
def test_only_what_is_data_of_a_carv2_is_checked(tmp_path: Path) -> None:
    """The index may look like sections."""
    inner = car_v1(*many(100))
    found, _ = same(tmp_path / "v2.car", car_v2(inner, padding=b"".join(many(20)), index=b"".join(many(30))), 2)
    assert (found.blocks, found.error) == (100, None)


# -- where sections are looked for -------------------------------------------------------------------


def starts(blocks: list[bytes]) -> Iterator[int]:
    position = len(car_v1())
    for block in blocks:
        yield position
        position += len(block)


@pytest.mark.parametrize("size", [0, 1, 90, 91, 92, 100, 200, 1024, 16347, 16348, 20_000])
@pytest.mark.parametrize("name", ["sha2-256", "sha2-512", "blake2b-256", "version 0"])
def test_the_next_section_is_found_from_anywhere(size: int, name: str) -> None:
    """With lengths of one, two and three bytes."""
    data = [os.urandom(size) for _ in range(8)]
    names = [cid(each, "dag-pb", version=0) if name == "version 0" else cid(each, "raw", name) for each in data]
    blocks = [section(each, name) for each, name in zip(data, names, strict=True)]
    archive, wanted = car_v1(*blocks), list(starts(blocks))
    stop = len(archive)
    prefixes = parallel_verify.prefixes_of(archive, wanted[0], stop)
    for at in range(wanted[0], wanted[5], max(1, size // 50)):
        assert parallel_verify.find_section(archive, at, stop, stop, prefixes) == min(
            each for each in wanted if each >= at
        )
    assert parallel_verify.find_section(archive, wanted[-1], stop, stop, prefixes) == wanted[-1], "the last one"
    assert parallel_verify.find_section(archive, wanted[-1] + 1, stop, stop, prefixes) is None


def test_what_is_tried_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive full of beginnings of sections costs no more than some; each says that it is as long as may be."""
    tried = []
    followed = parallel_verify._is_followed

    def noted(buffer: bytes, position: int, stop: int, prefixes: tuple[bytes, ...]) -> bool:
        tried.append(position)
        return followed(buffer, position, stop, prefixes)

    monkeypatch.setattr(parallel_verify, "_is_followed", noted)
    fake = (varint(MAX_SECTION_BYTES) + USUAL) * 200_000
    assert parallel_verify.find_section(fake, 0, len(fake), len(fake), (USUAL,)) is None
    assert 0 < len(tried) <= 4 * parallel_verify._TRIES
    # And a long list of sections has no more of their CIDs looked at.
    blocks = [section(b"", cid(bytes(number), "raw", "identity")) for number in range(100)]
    assert (
        len(parallel_verify.prefixes_of(car_v1(*blocks), len(car_v1()), len(car_v1(*blocks))))
        == parallel_verify._MAX_PREFIXES
    )


@pytest.mark.usefixtures("small_steps")
def test_lengths_are_not_read_where_sections_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To read them all is what several processes cannot share."""

    def hops(*_: object) -> Iterator[tuple[int, int]]:
        raise AssertionError("lengths were read")

    monkeypatch.setattr(parallel_verify, "_hops", hops)
    found, _ = same(tmp_path / "many.car", car_v1(*many(300)), 2)
    assert found.blocks == 300


@pytest.mark.usefixtures("small_steps")
def test_blocks_that_hold_archives_lead_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found in them is dropped, lengths are read for a while, and after that sections are found again."""
    hopped = []
    hops = parallel_verify._hops

    def noted(buffer: bytes, start: int, stop: int) -> Iterator[tuple[int, int]]:
        hopped.append(start)
        return hops(buffer, start, stop)

    monkeypatch.setattr(parallel_verify, "_hops", noted)
    monkeypatch.setattr(parallel_verify, "_STRETCH", 2)
    inner = car_v1(*many(20))
    archive = car_v1(*many(50), *(section(inner + bytes([number])) for number in range(20)), *many(300))
    found, _ = same(tmp_path / "nested.car", archive, 2)
    assert (found.blocks, found.bad) == (370, 0)
    assert 1 <= len(hopped) <= 8
    assert hopped[-1] < len(archive) - 20_000


# -- processes ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_steps")
def test_spawned_processes_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where forking is not safe, or not to be had."""
    spawn = multiprocessing.get_context("spawn")
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: spawn)
    found, _ = same(tmp_path / "many.car", car_v1(*many(100)), 2)
    assert found.blocks == 100


def large(*, bad: int | None = None) -> bytes:
    """An archive that is more than two steps."""
    blocks = [section(number.to_bytes(4) * 25_000) for number in range(200)]
    if bad is not None:
        blocks[bad] = blocks[bad][:-1] + b"!"
    archive = car_v1(*blocks)
    assert len(archive) > 2 * parallel_verify.STEP
    return archive


def test_jobs_as_a_process(ipld_car: Run) -> None:
    """With an archive that is more than two steps, read from a pipe, and all processors."""
    assert ipld_car("verify", "-j", 2, stdin=large()).text.startswith("good: CARv1, 200 blocks")
    lines = ipld_car("verify", "--jobs", 0, stdin=large(bad=70), code=1).lines
    assert "block 70" in lines[0]


def test_an_interrupt_ends_all_processes(tmp_path: Path) -> None:
    """As Ctrl-C sends it to the group: no traceback, and no process is left."""
    path = tmp_path / "large.car"
    # The verdicts fill the pipe, which is not read: when the first is there, the processes are too, and work is left.
    path.write_bytes(large() + section(b"again") * 50_000)
    command = [sys.executable, "-m", "ipld_car", "verify", "--json", "-j", "2", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    with process:
        assert process.stdout
        assert b"block" in process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.strip() == b""  # click ends the line
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
