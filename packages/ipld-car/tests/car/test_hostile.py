"""Damaged and hostile archives give a CarError, or blocks that match their CIDs, and take little memory.

Blocks are checked by hashlib, not by what is tested here.
"""

import io
import os
import random
import socket
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import CarReader, LimitError, MalformedError, TruncatedError, read_car

from ..support.car_samples import (
    MIXED,
    NO_ROOTS,
    SMALL_V1,
    SMALL_V2,
    Dribble,
    Outcome,
    car_v1,
    car_v2,
    check,
    cid,
    outcome,
    section,
    varint,
)

SMALL = pytest.mark.parametrize("archive", [SMALL_V1, SMALL_V2], ids=["v1", "v2"])


# -- every source, with the same outcome ---------------------------------------------------------


def through_pipe(data: bytes) -> Outcome:
    read_end, write_end = os.pipe()
    os.write(write_end, data)  # small enough for the pipe to hold
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        return outcome(pipe)


def through_socket(data: bytes) -> Outcome:
    ours, theirs = socket.socketpair()
    theirs.sendall(data)
    theirs.close()
    with ours, ours.makefile("rb") as stream:
        return outcome(stream)


SOURCES: list[Callable[[bytes], Outcome]] = [
    lambda data: outcome(bytearray(data)),
    lambda data: outcome(memoryview(data)),
    lambda data: outcome(io.BytesIO(data)),
    *(lambda data, step=step: outcome(Dribble(data, step)) for step in range(1, 8)),
    through_pipe,
    through_socket,
]


@SMALL
def test_every_truncation_from_every_source(archive: bytes) -> None:
    """A cut between sections, or after the payload of a CARv2, gives a shorter archive; any other is an error.

    Each cut meets three of the sources, which take turns.
    """
    whole = outcome(archive)
    ends = {at.offset + at.size for _, _, at in whole.blocks}
    for size in range(len(archive)):
        cut = archive[:size]
        found = outcome(cut)
        check(found, cut)
        assert found.blocks == whole.blocks[: len(found.blocks)]
        assert len(found.blocks) == sum(at.offset + at.size <= size for _, _, at in whole.blocks)
        if whole.version == 1:
            complete = size in ends or size == len(archive) - sum(map(len, MIXED))
        else:
            complete = size >= max(ends)
        assert (found.error is None) is complete, size
        assert found.error is None or found.error[0] is TruncatedError
        for source in SOURCES[size % 4 :: 4]:
            assert source(cut) == found


@pytest.mark.parametrize(
    "archive",
    [SMALL_V1, car_v2(car_v1(*MIXED[:3], roots=[cid(b"hello")]), padding=bytes(2), index=b"index")],
    ids=["v1", "v2"],
)
@pytest.mark.parametrize("alternatives", [20, pytest.param(256, marks=pytest.mark.slow)])
def test_changes_of_every_byte(archive: bytes, alternatives: int) -> None:
    """Each bit of each byte, and other alternatives; all of them in the slow run."""
    damaged = bytearray(archive)
    errors = count = 0
    for position, good in enumerate(archive):
        others = range(256) if alternatives == 256 else random.Random(position).sample(range(256), alternatives - 8)
        for value in {good ^ 1 << bit for bit in range(8)} | set(others):
            damaged[position] = value
            data = bytes(damaged)
            found = outcome(data)
            check(found, data)
            errors += found.error is not None
            count += 1
        damaged[position] = good
    # Most are errors. Not detected are changes of codecs, keys of the header, padding, index and characteristics.
    assert errors > 0.7 * count


@SMALL
def test_changes_from_every_source(archive: bytes) -> None:
    rnd = random.Random(0)
    for position in range(len(archive)):
        data = bytearray(archive)
        data[position] ^= rnd.randrange(1, 256)
        found = outcome(bytes(data))
        for source in SOURCES[position % 4 :: 4]:
            assert source(bytes(data)) == found


@pytest.mark.parametrize(
    "name", ["ipld-spec/carv1-basic.car", "ipld-spec/carv2-basic.car", "go-car-v2/sample-unixfs-v2.car"]
)
def test_every_bit_of_real_archives(fixtures: Path, name: str) -> None:
    archive = (fixtures / name).read_bytes()
    for position in range(len(archive)):
        for bit in range(8):
            data = bytearray(archive)
            data[position] ^= 1 << bit
            check(outcome(bytes(data)), bytes(data))


@pytest.mark.parametrize("name", ["iroh-car/testv1.car", "go-car-v2/sample-rw-bs-v2.car", "ipld-spec/hamt.car"])
def test_bits_and_truncations_of_larger_archives(fixtures: Path, name: str) -> None:
    archive = (fixtures / name).read_bytes()
    whole = outcome(archive)
    step = 1 + len(archive) // 1500
    for position in range(0, len(archive), step):
        data = bytearray(archive)
        data[position] ^= 1 << position // step % 8
        check(outcome(bytes(data)), bytes(data))
        found = outcome(archive[:position])
        check(found, archive[:position])
        assert found.blocks == whole.blocks[: len(found.blocks)]


@given(st.binary(max_size=300))
def test_random_bytes(data: bytes) -> None:
    check(outcome(data), data)


@given(
    st.lists(st.sampled_from(MIXED) | st.binary(max_size=50), max_size=8),
    st.integers(0, 400),
    st.binary(max_size=9) | st.integers(0, (1 << 63) - 1).map(varint),
)
def test_archives_with_patches(pieces: list[bytes], position: int, patch: bytes) -> None:
    data = NO_ROOTS + b"".join(pieces)
    data = data[:position] + patch + data[position:]
    found = outcome(data)
    check(found, data)
    assert outcome(Dribble(data, 5)) == found
    check(outcome(car_v2(data)), car_v2(data))


# -- what a program behind a pipe sees -----------------------------------------------------------


def test_the_error_mark_of_a_gateway() -> None:
    marker = b"\n\n[Gateway Error: Response truncated. deadline exceeded]"
    for archive, offset in (
        (SMALL_V1 + marker, len(SMALL_V1)),
        (SMALL_V1 + marker * 40, len(SMALL_V1)),
        (SMALL_V1 + marker[:18], len(SMALL_V1)),
        (car_v2(SMALL_V1 + marker), 51 + len(SMALL_V1)),
    ):
        for source in (archive, io.BytesIO(archive), Dribble(archive, 1)):
            found = outcome(source)
            assert len(found.blocks) == len(MIXED)
            assert found.error
            assert found.error[0] is TruncatedError
            assert found.error[1].startswith("truncated response")
            assert found.error[2] == offset
    # Two line feeds alone are a bad CID.
    found = outcome(SMALL_V1 + b"\n\n[Gatekeeper]")
    assert found.error
    assert found.error[0] is MalformedError
    assert "found version 10" in found.error[1]


# -- lengths that lie, and memory ----------------------------------------------------------------


def peak(read: Callable[..., object], *arguments: object, **keywords: object) -> int:
    """Return the most bytes that were allocated at once."""
    tracemalloc.start()
    try:
        read(*arguments, **keywords)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


HUGE = [1 << 31, (1 << 32) - 1, 1 << 40, 1 << 60, (1 << 63) - 1]


@pytest.mark.parametrize("length", HUGE)
def test_a_length_prefix_allocates_nothing(length: int) -> None:
    for archive, offset in ((NO_ROOTS + varint(length) + cid(b"") + b"abc", 18), (varint(length) + b"\xa2", 0)):
        found = outcome(archive)
        assert found.error
        assert found.error[0] is LimitError
        assert found.error[2] == offset
        for source in (archive, io.BytesIO(archive), Dribble(archive, 2)):
            assert peak(outcome, source) < 100_000


@pytest.mark.parametrize("length", HUGE)
def test_a_length_prefix_allocates_nothing_without_limits_either(length: int) -> None:
    """Without limits a reader still holds only the bytes that are there."""
    for archive in (NO_ROOTS + varint(length) + cid(b"") + b"abc", varint(length) + b"\xa2"):
        found = outcome(archive, max_header_bytes=1 << 63, max_section_bytes=1 << 63)
        assert found.error
        assert found.error[0] is TruncatedError
        for source in (archive, io.BytesIO(archive), Dribble(archive, 2)):
            assert peak(outcome, source, max_header_bytes=1 << 63, max_section_bytes=1 << 63) < 100_000


def test_a_length_within_the_limits_allocates_little_of_a_file(tmp_path: Path) -> None:
    """read(size) of a file allocates before it looks what is there."""
    path = tmp_path / "some.car"
    path.write_bytes(NO_ROOTS + varint(8 << 20) + cid(b"") + b"abc")
    with path.open("rb") as file:
        assert peak(outcome, file) < 1 << 20


@pytest.mark.parametrize("size", HUGE[:-1])
def test_sizes_in_a_v2_header_allocate_nothing(size: int) -> None:
    for archive in (car_v2(SMALL_V1, data_size=size), car_v2(SMALL_V1, data_offset=size)):
        assert peak(outcome, io.BytesIO(archive)) < 200_000


@pytest.mark.parametrize("claim", ["a265726f6f74739a00030000", "ba00018000", "a1616d5a7fffffff"])
def test_sizes_in_a_header_allocate_nothing(claim: str) -> None:
    """A header of 200 KB that claims many roots, many keys, and two gigabytes of text."""
    body = bytes.fromhex(claim) + bytes(200_000)
    assert peak(outcome, varint(len(body)) + body) < 1 << 20


class Generated:
    """An archive that is made while it is read."""

    def __init__(self, sections: Iterator[bytes], step: int) -> None:
        self._sections = sections
        self._step = step
        self._held = NO_ROOTS

    def read(self, size: int, /) -> bytes:
        while not self._held:
            try:
                self._held = next(self._sections)
            except StopIteration:
                return b""
        data, self._held = self._held[: min(size, self._step)], self._held[min(size, self._step) :]
        return data


@pytest.mark.parametrize("step", [1 << 30, 1500])
@pytest.mark.parametrize(("size", "count"), [(1000, 6_000), (1 << 16, 100), (1 << 20, 8)])
def test_holds_one_section_and_a_bounded_buffer(size: int, count: int, step: int) -> None:
    """Six megabytes and more are read; while the pieces of a section are joined, memory holds it twice."""
    data = os.urandom(size)
    one = section(data)
    seen = 0

    def read() -> None:
        nonlocal seen
        seen = sum(len(block) for _, block, _ in read_car(Generated((one for _ in range(count)), step))[1])

    # The stream of this test holds up to one section itself.
    assert peak(read) < 3 * size + (1 << 19)
    assert seen == size * count


@pytest.mark.parametrize("step", [1, 7])
def test_a_section_in_single_bytes_takes_little_memory(step: int) -> None:
    """A list of its pieces would take thirty times as much."""
    size = 1 << 16
    stream = Dribble(car_v1(section(bytes(size))), step)
    assert peak(lambda: list(CarReader(stream))) < 3 * size + (1 << 16)


def test_the_reader_does_not_recurse_on_data() -> None:
    """In a process with a low recursion limit."""
    script = """
import sys
from ipld_car import CarError, CarReader
for body in (bytes.fromhex("a1616d") + b"\\x81" * 100_000, bytes.fromhex("a1616d") + b"\\xa1\\x61a" * 100_000):
    head = len(body).to_bytes(4, "little")
    value, out = len(body), b""
    while value > 127:
        out += bytes((value & 127 | 128,)); value >>= 7
    sys.setrecursionlimit(100)
    try:
        CarReader(out + bytes((value,)) + body)
    except CarError as error:
        print(type(error).__name__)
"""
    shown = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert shown.stdout.split() == ["LimitError", "LimitError"]
