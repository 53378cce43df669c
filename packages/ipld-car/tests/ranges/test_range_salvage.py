"""An archive with damage in it that is read by ranges: what is whole is found, and not by reading it over and over."""

from __future__ import annotations

import random

import pytest
from ipld_car import (
    BlockAbsentError,
    CarError,
    CarRangeReader,
    CarWarning,
    HashMismatchError,
    LimitError,
    V2Header,
    encode_v2_header,
    varint,
)
from ipld_car._ranges.source import SalvageBuffer

from ..support.car_samples import car_v1, section
from ..support.range_sources import MemorySource, block_of, indexed, raw_cid

SIZE = 5000
BLOCKS = [block_of(number, SIZE) for number in range(3000)]
NAMES = [raw_cid(data) for data in BLOCKS]


def archive(version: int) -> bytearray:
    pairs = list(zip(NAMES, BLOCKS, strict=True))
    return bytearray(indexed(pairs) if version == 2 else car_v1(*(section(data, name) for name, data in pairs)))


def place(data: bytes | bytearray, number: int) -> int:
    """Where a section begins."""
    return data.index(NAMES[number]) - 2


@pytest.mark.parametrize("cache_bytes", [64 << 20, 1 << 20], ids=["kept whole", "read in pieces"])
@pytest.mark.parametrize("version", [1, 2])
def test_blocks_behind_damage(version: int, cache_bytes: int) -> None:
    """Lengths that lead nowhere, to other sections, and behind the end; each takes one block with it."""
    data = archive(version)
    lost = [10, 1500, 2999]
    for number in lost[:2]:
        at = place(data, number)
        data[at : at + 2] = varint.encode(9000 + number)
    at = place(data, lost[2])
    data[at : at + 2] = b"\xff\x7f"
    if version == 2:
        del data[data.index(BLOCKS[-1]) + SIZE :]  # the index too
    source = MemorySource(bytes(data))
    reader = CarRangeReader(source, cache_bytes=cache_bytes, allow_truncated=True)
    with pytest.warns(CarWarning, match="it is damaged: no whole section is in the bytes"):
        assert reader.get(NAMES[2000]) == BLOCKS[2000]
    assert len(reader) == len(NAMES) - len(lost)
    assert source.bytes_read < 2.5 * source.size
    rng = random.Random(0)
    for number in rng.sample(range(3000), 200):
        if number not in lost:
            assert reader.get(NAMES[number]) == BLOCKS[number]
    for number in lost:
        with pytest.raises((BlockAbsentError, HashMismatchError)):  # the bytes behind a wrong length may be in memory
            reader.get(NAMES[number])
    assert len(list(reader)) == len(reader)


def test_without_leave_damage_is_an_error() -> None:
    data = archive(1)
    at = place(data, 10)
    data[at : at + 2] = varint.encode(9000)
    with pytest.raises(CarError):
        CarRangeReader(MemorySource(bytes(data))).get(NAMES[2000])


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("between", [False, True])
def test_what_is_lost_at_the_end_is_told(version: int, between: bool) -> None:
    """Of a CARv2 the last blocks went without a word, and of a CARv1 if others were lost before."""
    pairs = list(zip(NAMES[:100], BLOCKS, strict=False))
    data = bytearray(car_v1(*(section(block, name) for name, block in pairs)))
    at = place(data, 90)
    data[at:] = b"\xee" * (len(data) - at)
    if between:
        data[place(data, 5)] = 0xFF
    if version == 2:
        data[:0] = encode_v2_header(V2Header(False, 51, len(data), 0))
        at += 51
    reader = CarRangeReader(MemorySource(bytes(data)), allow_truncated=True)
    with pytest.warns(CarWarning, match=rf"{at}( to {len(data)}|$|;)"):
        assert len(reader) == 90 - between


def test_damage_beyond_bounds_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block that was asked for began another scan, which read the archive four times."""
    monkeypatch.setattr("ipld_car._ranges.source._MOST_SALVAGED", 0)
    monkeypatch.setattr("ipld_car._ranges.source._STEP", 4096)
    data = archive(1)
    data[place(data, 10)] = 0xFF
    source = MemorySource(bytes(data))
    reader = CarRangeReader(source, cache_bytes=1 << 20, allow_truncated=True)
    with pytest.raises(LimitError):
        reader.get(NAMES[2000])
    source.forget()
    for number in (2000, 2500):
        with pytest.raises(LimitError, match="more damage than that"):
            reader.get(NAMES[number])
    assert reader.get(NAMES[0]) == BLOCKS[0]
    assert not source.reads


def test_what_is_looked_at_backwards_is_read_in_pieces_too() -> None:
    """Sections before damage are looked at from the last one back; each read took what comes behind it."""
    source = MemorySource(bytes(12 << 20))
    buffer = SalvageBuffer(source, source.size)
    for at in range(source.size - 50_000, 0, -50_000):
        assert len(buffer[at : at + 50_000]) == 50_000
    assert source.bytes_read < 1.5 * source.size


def test_how_often_an_archive_is_read_is_bounded() -> None:
    source = MemorySource(bytes(12 << 20))
    buffer = SalvageBuffer(source, source.size)

    def read_the_ends() -> None:
        for _ in range(100):
            assert buffer[0:10] == buffer[source.size - 10 : source.size]

    with pytest.raises(LimitError, match="more damage than that"):
        read_the_ends()
    assert source.bytes_read <= 4 * source.size + (17 * 4 << 20)
