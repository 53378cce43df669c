"""Archives that are damaged in the middle: what is whole behind the damage is found by its hash."""

from __future__ import annotations

import io
import random
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ipld_car import CarError, CarFile, CarWarning, MalformedError, cids, ops, varint
from ipld_car._file.layout import Lost
from ipld_car._file.salvage import undamaged_sections
from ipld_car.hashes import sha2_256, verify_digest

from ..support.car_samples import car_v1, cid, outcome, section
from ..support.damaged_files import ABSENT, BLOCKS, PAYLOAD, warned

PLACES = [at for _, _, at in outcome(PAYLOAD).blocks]
FIRST = PLACES[0].offset


def found_in(archive: bytes, *, verifies_all: bool = False) -> tuple[list[bytes], list[Lost]]:
    """Return the CIDs of the sections that are there, and what is lost."""
    lost: list[Lost] = []
    sections = undamaged_sections(archive, FIRST, len(archive), lost, verifies_all=verifies_all)
    return [each for _, each, _, _ in sections], lost


DAMAGES = {
    "behind the end": b"\xff\xff\x7f",
    "that nobody writes": b"\xff\xff\xff\xff\x7f",
    "too short": b"\x25",
    "zero": b"\x00",
    "endless": b"\xff" * 10,
    "no CID": b"\x96\x01\x07",
}


@pytest.mark.parametrize("what", DAMAGES)
@pytest.mark.parametrize("number", [0, 10, 298])
@pytest.mark.parametrize("version", [1, 2])
def test_a_damaged_length_loses_one_block(tmp_path: Path, what: str, number: int, version: int) -> None:
    """The others are read, the range of bytes is told, and a block of its length is put there again."""
    path, at, damage = tmp_path / "a.car", PLACES[number], DAMAGES[what]
    start = 51 if version == 2 else 0
    head = bytes.fromhex("0aa16776657273696f6e02") + struct.pack("<16sQQQ", bytes(16), 51, len(PAYLOAD), 0)
    whole = head[:start] + PAYLOAD
    damaged = whole[: start + at.offset] + damage + whole[start + at.offset + len(damage) :]
    path.write_bytes(damaged)
    others = BLOCKS[:number] + BLOCKS[number + 1 :]
    told = f"the bytes {start + at.offset} to {start + at.offset + at.size}, {at.size} bytes"
    with warned(path, told, allow_truncated=True) as file:
        assert [bytes(each) for each, _ in file] == [each for each, _ in others]
        assert [file.get(each) for each, _ in others] == [data for _, data in others]
        assert len(file) == 299
        assert BLOCKS[number][0] not in file
    assert path.read_bytes() == damaged
    with warned(path, told, "a", allow_truncated=True) as file:
        assert file.put(*BLOCKS[number])
        assert not file.put(*BLOCKS[number])
        assert file.get(BLOCKS[number][0]) == BLOCKS[number][1]
        assert [bytes(each) for each, _ in file] == [each for each, _ in BLOCKS]
        assert file.put(ABSENT, b"absent")
    made = outcome(path.read_bytes())
    assert made.error is None
    assert [pair[:2] for pair in made.blocks] == [*BLOCKS, (ABSENT, b"absent")]
    if version == 2:
        with CarFile.open(path) as file:
            assert (file.scan_reason, len(file)) == (None, 301)


def test_the_end_of_a_payload_that_is_lost_is_told(tmp_path: Path) -> None:
    """Of a CARv2 without index, which was not cut off: its last blocks went without a word."""
    path, end = tmp_path / "a.car", PLACES[290].offset
    head = bytes.fromhex("0aa16776657273696f6e02") + struct.pack("<16sQQQ", bytes(16), 51, len(PAYLOAD), 0)
    path.write_bytes(head + PAYLOAD[:end] + b"\xee" * (len(PAYLOAD) - end))
    with warned(path, f"the bytes {51 + end} to {51 + len(PAYLOAD)}", allow_truncated=True) as file:
        assert len(file) == 290


def test_an_index_of_damaged_sections_gives_way_to_one_of_those_that_are_whole(tmp_path: Path) -> None:
    """Looking for a block that is absent, or for how many there are, raised; getting a damaged one did not."""
    path = tmp_path / "a.car"
    with CarFile.open(path, "x", fsync=False) as file:
        for each in BLOCKS[:20]:
            file.put(*each)
    data = bytearray(path.read_bytes())
    at = data.index(BLOCKS[10][0])
    data[at - 2 : at] = b"\xff\xff"
    path.write_bytes(data)
    with pytest.raises(CarError), CarFile.open(path) as file:
        len(file)
    with CarFile.open(path, allow_truncated=True) as file:
        with pytest.warns(CarWarning, match="it is damaged: no whole section is in the bytes"):
            assert ABSENT not in file
        assert len(file) == 19
        assert file.get(BLOCKS[11][0]) == BLOCKS[11][1]


def test_without_the_option_damage_is_an_error_and_nothing_changes(tmp_path: Path) -> None:
    path, at = tmp_path / "a.car", PLACES[10].offset
    path.write_bytes(PAYLOAD[:at] + bytes(1) + PAYLOAD[at + 1 :])
    before = path.read_bytes()
    for mode in ("r", "a"):
        with pytest.raises(MalformedError, match=f"offset {at}"):
            CarFile.open(path, mode)
    assert path.read_bytes() == before


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1 << 32), st.integers(1, 6), st.sampled_from(["flip", "zeros", "noise", "gone"]))
def test_whatever_is_damaged_the_rest_is_found(seed: int, count: int, kind: str) -> None:
    """Each block of which no byte is damaged is there, and nothing else."""
    choose = random.Random(seed)  # no secret
    damaged = bytearray(PAYLOAD)
    wrong: set[int] = set()
    for _ in range(count):
        start = choose.randrange(FIRST, len(PAYLOAD))
        stop = min(len(PAYLOAD), start + choose.choice((1, 3, 40, 400)))
        wrong.update(range(start, stop))
        new = {"flip": bytes(each ^ 1 << choose.randrange(8) for each in damaged[start:stop])}
        new |= {"zeros": bytes(stop - start), "noise": choose.randbytes(stop - start), "gone": bytes(stop - start)}
        damaged[start:stop] = new[kind]
    archive = bytes(each for at, each in enumerate(damaged) if at not in wrong) if kind == "gone" else bytes(damaged)
    found, lost = found_in(archive, verifies_all=True)
    places = {name[4:]: range(at.offset, at.offset + at.size) for (name, _), at in zip(BLOCKS, PLACES, strict=True)}
    untouched = [digest for digest, place in places.items() if wrong.isdisjoint(place)]
    digests = [each[-32:] for each in found]  # a flipped bit may name another codec
    assert [each for each in digests if each in set(untouched)] == untouched
    unknown = [each for each in found if each[-32:] not in places]  # or another hash function
    assert all(cids.prefix_of(each).hash_code != cids.SHA2_256 for each in unknown)
    assert all(start < stop for start, stop in lost)
    assert sorted(lost) == lost
    if kind != "gone" and not unknown:
        kept = set(range(FIRST, len(PAYLOAD))).difference(*(range(*each) for each in lost))
        assert kept == {at for each in digests for at in places[each]}


def test_a_block_of_an_unknown_hash_stays_where_sections_lead_to_it() -> None:
    unknown = cids.make(cids.RAW, b"murmur", 0x22)
    rest = section(b"first", unknown) + section(b"middle") + section(b"last", unknown)
    assert found_in(PAYLOAD + rest, verifies_all=True)[0][300:] == [unknown, cid(b"middle"), unknown]
    assert found_in(PAYLOAD + rest + b"\x05")[0][300:] == [unknown, cid(b"middle")], (
        "nothing shows that the last is there"
    )
    damaged = b"\xff" + section(b"damaged")[1:]
    found, lost = found_in(PAYLOAD + damaged + section(b"first", unknown) + section(b"last"))
    assert found[300:] == [cid(b"last")], "nothing shows that it was there"
    assert lost == [(len(PAYLOAD), len(PAYLOAD + damaged + section(b"first", unknown)))]


LIKE = {
    "lengths of 8 MiB": varint.encode(8 << 20) + b"\x01\x55\x12\x20",
    "short ones": b"\x20\x12\x20",
    "CIDs": b"\x12\x20",
    "whole heads": varint.encode(4000) + b"\x01\x55\x12\x20" + bytes(32),
    "empty": varint.encode(36) + b"\x01\x55\x12\x20",
}


@pytest.mark.parametrize("what", LIKE)
def test_what_looks_like_many_sections_takes_time_in_proportion(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Each position may begin a section of 8 MiB: to hash all of these would take hours."""
    size = 400_000
    hashed, tried = [0], [0]

    def counting(each: bytes, data: bytes) -> None:
        hashed[0] += len(data)
        tried[0] += 1
        verify_digest(each, data)

    monkeypatch.setattr("ipld_car._file.salvage.verify_digest", counting)
    monkeypatch.setattr("ipld_car._file.salvage._LEAST_TRIES", 100)
    archive = PAYLOAD + b"\x00" + LIKE[what] * (size // len(LIKE[what])) + b"\x00" + section(b"last")
    found, lost = found_in(archive)
    assert found[:300] == [name for name, _ in BLOCKS]
    assert lost[0][0] == len(PAYLOAD)
    assert hashed[0] <= 8 * len(archive) + size
    assert tried[0] <= len(archive) // 64 + 200


@pytest.mark.parametrize("verifies_all", [False, True])
def test_what_damage_leads_to_many_times_is_not_hashed_each_time(
    monkeypatch: pytest.MonkeyPatch, verifies_all: bool
) -> None:
    """Behind each whole section is a length that leads far, to sections that are wrong: 1 MiB took 25 s."""
    hashed = [0]

    def counting(each: bytes, data: bytes) -> None:
        hashed[0] += len(data)
        verify_digest(each, data)

    monkeypatch.setattr("ipld_car._file.salvage.verify_digest", counting)
    wrong = b"\x01\x55\x13\x40" + bytes(64)  # of SHA-512: nothing looks for such
    end = section(bytes(20_000), wrong)
    pairs = [section(b"%06d" % number) for number in range(1800)]
    size = sum(map(len, pairs)) + len(pairs) * (3 + len(wrong))
    archive, at = b"", 0
    for pair in pairs:
        at += len(pair) + 3
        archive += pair + varint.encode(size + len(end) - at) + wrong  # each of 3 bytes, to the second of the ends
        at += len(wrong)
    assert len(archive) == size
    archive = PAYLOAD + archive + end * 6 + b"\xff"
    found, lost = found_in(archive, verifies_all=verifies_all)
    assert found[:300] == [name for name, _ in BLOCKS]
    assert lost
    assert hashed[0] <= 10 * len(archive)


def test_a_length_of_zero_that_is_damage_does_not_end_an_archive_that_is_padded(tmp_path: Path) -> None:
    """All behind it was lost without a word; behind the length that ends one are zeros alone."""
    path, at = tmp_path / "a.car", PLACES[7]
    damaged = PAYLOAD[: at.offset] + b"\0" + PAYLOAD[at.offset + 1 :]
    for padding in (b"", bytes(1000)):
        done = ops.repair(damaged + padding, io.BytesIO(), zero_length_section_as_eof=True)
        assert (done.blocks, done.lost) == (299, [(at.offset, at.offset + at.size)])
        path.write_bytes(damaged + padding)
        told = f"the bytes {at.offset} to {at.offset + at.size}, {at.size} bytes"
        with warned(path, told, allow_truncated=True, zero_length_section_as_eof=True) as file:
            assert len(file) == 299
    done = ops.repair(PAYLOAD + bytes(1000), io.BytesIO(), zero_length_section_as_eof=True)
    assert (done.blocks, done.lost) == (300, [])


@pytest.mark.parametrize("verifies_all", [False, True])
def test_many_sections_before_and_behind_the_damage(verifies_all: bool) -> None:
    """More than are looked at once more, when one behind them is damaged."""
    names = [cids.make(cids.RAW, sha2_256(b"%d" % number)) for number in range(3000)]
    pieces = [section(b"%d" % number, name) for number, name in enumerate(names)]
    for wrong in (2100, 2900):
        pieces[wrong] = b"\xff" + pieces[wrong][1:]
    found, lost = found_in(PAYLOAD + b"".join(pieces), verifies_all=verifies_all)
    assert found[300:] == [name for number, name in enumerate(names) if number not in (2100, 2900)]
    assert [stop - start for start, stop in lost] == [len(pieces[2100]), len(pieces[2900])]


def test_an_archive_within_a_damaged_block_does_no_harm() -> None:
    inner = car_v1(*(section(b"%d" % number) for number in range(1000, 1010)))
    large = bytearray(section(bytes(100) + inner + bytes(100)))
    large[50] ^= 1
    archive = PAYLOAD + bytes(large) + section(b"last")
    found, lost = found_in(archive, verifies_all=True)
    assert found[300:] == [*(cid(b"%d" % number) for number in range(1000, 1010)), cid(b"last")]
    assert len(lost) == 2
    assert found_in(archive)[0][300:] == [cid(bytes(100) + inner + bytes(100)), cid(b"last")], "its length leads on"


def test_repair_writes_what_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.car"
    damaged = bytearray(PAYLOAD + b"torn")
    damaged[PLACES[7].offset] = 0
    damaged[PLACES[20].offset + 60] ^= 1
    for start in (
        b"",
        bytes.fromhex("0aa16776657273696f6e02") + struct.pack("<16sQQQ", bytes(16), 51, 1 << 30, 1 << 31),
    ):
        target = io.BytesIO()
        done = ops.repair(start + bytes(damaged), target)
        assert (done.roots, done.blocks) == ([cids.from_bytes(BLOCKS[0][0])], 298)
        assert done.lost == [
            *((len(start) + PLACES[n].offset, len(start) + PLACES[n].offset + PLACES[n].size) for n in (7, 20)),
            (len(start) + len(PAYLOAD), len(start) + len(damaged)),
        ]
        made = outcome(target.getvalue())
        assert made.error is None
        assert [name for name, _, _ in made.blocks] == [name for n, (name, _) in enumerate(BLOCKS) if n not in (7, 20)]
    path.write_bytes(damaged)
    ops.repair(path, path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with CarFile.open(path) as file:
            assert len(file) == 298


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"\xff" * FIRST + whole[FIRST:],
        lambda whole: whole[9:],
        lambda whole: bytes.fromhex("0aa16776657273696f6e02") + b"\xff" * 40 + whole,
    ],
    ids=["header", "beginning", "header of a CARv2"],
)
def test_repair_needs_no_header(damage: Callable[[bytes], bytes]) -> None:
    """Only the roots are lost with it; it was an error, and all blocks with it."""
    damaged, target = damage(PAYLOAD), io.BytesIO()
    done = ops.repair(damaged, target)
    assert done.roots == []
    assert done.lost == [(0, len(damaged) - len(PAYLOAD) + FIRST)]
    assert [(name, data) for name, data, _ in outcome(target.getvalue()).blocks] == BLOCKS


@pytest.mark.parametrize("inside", [0, 5], ids=["between sections", "in a section"])
@pytest.mark.parametrize("is_indexed", [True, False])
def test_repair_goes_on_behind_the_end_that_a_header_says(inside: int, is_indexed: bool) -> None:
    """A size that is damaged to a smaller one was believed: the blocks behind it were left out without a word."""
    pragma, start = bytes.fromhex("0aa16776657273696f6e02"), 51
    end = PLACES[100].offset + inside
    index = start + len(PAYLOAD) if is_indexed else 0
    damaged = pragma + struct.pack("<16sQQQ", bytes(16), start, end, index) + PAYLOAD + b"the index" * is_indexed
    done = ops.repair(damaged, target := io.BytesIO())
    assert (done.blocks, done.lost) == (len(BLOCKS), [])
    assert [(name, data) for name, data, _ in outcome(target.getvalue()).blocks] == BLOCKS


def test_repair_ends_where_a_header_tells_of_an_index_far_behind_the_end() -> None:
    """A small archive with a hostile offset took years: all up to there was looked at, 1 MiB at a time."""
    head = bytes.fromhex("0aa16776657273696f6e02") + struct.pack("<16sQQQ", bytes(16), 51, len(PAYLOAD), 1 << 62)
    done = ops.repair(head + PAYLOAD, io.BytesIO())
    assert (done.blocks, done.lost) == (len(BLOCKS), [])


def test_repair_of_what_is_no_archive_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"no archive" * 1000)
    with pytest.raises(CarError, match="header"):
        ops.repair(tmp_path / "a", tmp_path / "b")
    assert not (tmp_path / "b").exists()
