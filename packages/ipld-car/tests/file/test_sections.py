"""The sections that the scanner finds are those that a reader of streams finds, in any archive, good or bad."""

import tempfile
from io import FileIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import CarError, CarReader
from ipld_car._file.layout import Buffer, FileBuffer, read_at, read_layout
from ipld_car._file.scan import sections

from ..support.car_samples import MIXED, SMALL_V1, SMALL_V2, car_v1, outcome, section

SIZES = (0, 1, 90, 91, 92, 127, 128, 129, 300, 16_340, 16_347, 16_348, 16_349, 20_000)
"""Of blocks: about where the length of a section, with its CID, takes one byte more."""
ARCHIVES = [SMALL_V1, SMALL_V2, car_v1(*MIXED), car_v1(*(section(b"x" * size) for size in SIZES))]

Found = tuple[list[tuple[int, bytes, int]], int | None]
"""Position, CID and bytes of each block, and where an error is."""


def of_scanner(archive: bytes, buffer: Buffer) -> Found:
    found = []
    layout = read_layout(buffer)
    try:
        for offset, cid, payload_offset, size in sections(buffer, layout.first, layout.end):
            assert archive[payload_offset - len(cid) : payload_offset] == cid
            found.append((offset, cid, size))
    except CarError as error:
        return found, error.offset
    return found, None


def of_reader(archive: bytes) -> Found:
    found: list[tuple[int, bytes, int]] = []
    try:
        found.extend(
            (block.location.offset, block.cid_bytes, len(block.data)) for block in CarReader(archive, verify=False)
        )
    except CarError as error:
        return found, error.offset
    return found, None


CHANGES = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=3)


@given(st.sampled_from(ARCHIVES), CHANGES, st.data())
def test_the_same_sections(archive: bytes, changes: list[tuple[int, int]], data: st.DataObject) -> None:
    damaged = bytearray(archive)
    for position, byte in changes:
        damaged[position % len(damaged)] = byte
    cut = bytes(damaged[: data.draw(st.sampled_from((len(damaged), data.draw(st.integers(0, len(damaged))))))])
    try:
        read_layout(cut)
    except CarError:
        return
    expected = of_reader(cut)
    assert of_scanner(cut, cut) == expected
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.car")
        path.write_bytes(cut)
        with FileIO(path) as file:
            assert of_scanner(cut, FileBuffer(file)) == expected


def reads_of(archive: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """How many reads a scan takes, and of how many bytes."""
    sizes: list[int] = []

    def counting(file: FileIO, position: int, size: int) -> bytes:
        sizes.append(size)
        return read_at(file, position, size)

    path = folder / "a.car"
    path.write_bytes(archive)
    with FileIO(path) as file:
        buffer = FileBuffer(file)
        first = read_layout(buffer).first
        with monkeypatch.context() as patch:
            patch.setattr("ipld_car._file.layout.read_at", counting)
            assert sum(1 for _ in sections(buffer, first, len(archive))) == len(outcome(archive).blocks)
    return len(sizes), sum(sizes)


def test_what_a_scan_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small blocks in pieces, wherever one ends in a piece; of large blocks nothing but the heads."""
    for size in (0, 100, 1000, 4000):
        small = car_v1(*(section(number.to_bytes(2) + bytes(size)) for number in range(2000)))
        count, _ = reads_of(small, tmp_path, monkeypatch)
        assert count <= len(small) // (1 << 16) + 1 + len(small) // (1 << 20), size
    large = car_v1(*(section(number.to_bytes(2) + bytes(100_000)) for number in range(50)))
    count, size = reads_of(large, tmp_path, monkeypatch)
    assert count <= 51
    assert size < (1 << 16) + 51 * 100
