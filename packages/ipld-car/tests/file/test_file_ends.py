"""CarFile: files that end where they should not."""

import pickle
import random
import struct
import warnings
from pathlib import Path
from typing import Literal

import pytest
from ipld_car import CarFile, CarWarning, MalformedError, TruncatedError, cids, varint
from ipld_car.hashes import verify_digest

from ..support.car_samples import car_v1, car_v2, cid, outcome, section
from ..support.damaged_files import ABSENT, BLOCKS, PAIRS, PAYLOAD, index_of, warned

pytestmark = pytest.mark.smoke


@pytest.mark.parametrize("cut", [1, 10, 100, 130])
def test_a_torn_tail_of_a_carv1(tmp_path: Path, cut: int) -> None:
    """A reader says so; a writer drops it, says so too, and what it then writes is found."""
    path = tmp_path / "a.car"
    torn = PAYLOAD[:-cut]
    path.write_bytes(torn)
    whole = outcome(torn).blocks
    with warned(path, "ends in the middle of a section, at offset") as file:
        assert len(file) == len(whole) == 299
        assert BLOCKS[-1][0] not in file
    assert path.read_bytes() == torn
    end = whole[-1][2].offset + whole[-1][2].size
    lost = f"at offset {end}, and closing it cuts off the {len(torn) - end} bytes from there"
    with warned(path, lost, "a") as file:
        assert file.put(ABSENT, b"absent")
    assert path.read_bytes() == PAYLOAD[: -len(section(BLOCKS[-1][1]))] + section(b"absent")
    path.write_bytes(torn)
    with warned(path, lost, "a"):
        pass
    assert path.read_bytes() == PAYLOAD[: -len(section(BLOCKS[-1][1]))]


def test_a_length_that_nobody_writes_is_damage_and_no_torn_tail(tmp_path: Path) -> None:
    """A section of 34 GB near the start: what stands behind it is not cut off."""
    path = tmp_path / "a.car"
    offset = outcome(PAYLOAD).blocks[10][2].offset
    path.write_bytes(PAYLOAD[:offset] + b"\xff\xff\xff\xff\x7f" + PAYLOAD[offset + 5 :])
    before = path.read_bytes()
    for mode in ("r", "a"):
        with pytest.raises(MalformedError, match=f"offset {offset}"):
            CarFile.open(path, mode)
    assert path.read_bytes() == before


def test_a_length_that_leads_behind_the_end_is_no_torn_tail(tmp_path: Path) -> None:
    """One flipped bit in a length looks like a file that was cut off there; the whole sections behind it stay."""
    path = tmp_path / "a.car"
    offset = outcome(PAYLOAD).blocks[10][2].offset
    damaged = PAYLOAD[:offset] + b"\xff\xff\x7f" + PAYLOAD[offset + 3 :]
    path.write_bytes(damaged)
    with warned(path, "in the middle of a section") as file:
        assert len(file) == 10
    with pytest.raises(MalformedError, match=f"a whole section at offset .*offset {offset}"):
        CarFile.open(path, "a")
    assert path.read_bytes() == damaged


@pytest.mark.parametrize("like", [b"\x80\x01\x01\x55\x12\x20", b"\xff\x7f\x12\x20"])
def test_what_looks_like_many_sections_is_not_all_hashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, like: bytes
) -> None:
    """A file that is made so would take hours; it is refused."""
    path, hashed = tmp_path / "a.car", [0]

    def counting(each: bytes, data: bytes) -> None:
        hashed[0] += len(data)
        verify_digest(each, data)

    monkeypatch.setattr("ipld_car._file.damaged_head.verify_digest", counting)
    tail = varint.encode(8 << 20) + bytes((1, cids.RAW, 0x12, 32)) + like * (100_000 // len(like))
    path.write_bytes(PAYLOAD + tail)
    with pytest.raises(MalformedError, match="whole section"):
        CarFile.open(path, "a")
    assert 0 < hashed[0] <= 8 * len(tail)


def test_a_file_that_is_abandoned(tmp_path: Path) -> None:
    """Is as it was, but for what was flushed; one that opening it has made is gone. Others may write then."""
    path = tmp_path / "a.car"
    for data in (PAYLOAD + bytes(10), car_v2(PAYLOAD)):  # a torn tail, and no index
        path.write_bytes(data)
        file = CarFile.open(path, "a")
        file.abandon()
        assert file.closed
        file.close()
        assert path.read_bytes() == data
        file = CarFile.open(path, "a")
        file.put(ABSENT, b"absent")
        file.abandon()
        assert path.read_bytes() == data
        with CarFile.open(path, "a") as file:
            file.put(ABSENT, b"absent")
            file.flush()
            file.put(cid(b"more"), b"more")
            file.abandon()
        with CarFile.open(path) as file:
            assert ABSENT in file
            assert cid(b"more") not in file
        path.unlink()
    modes: tuple[Literal["a", "x"], ...] = ("a", "x")
    for mode in modes:
        file = CarFile.open(path, mode)
        file.put(ABSENT, b"absent")
        file.abandon()
        assert not path.exists()
    with CarFile.open(path, "x") as file:
        file.put(ABSENT, b"absent")
        file.flush()
        file.abandon()
    with CarFile.open(path) as file:
        assert ABSENT in file
        file.abandon()
        assert file.closed


def test_zeros_at_the_end_of_a_carv1(tmp_path: Path) -> None:
    """As of a padded archive, or of a machine that stopped; zeros with something behind them are damage."""
    path = tmp_path / "a.car"
    path.write_bytes(PAYLOAD + bytes(3_000_000))
    with warned(path, f"this one ends in 3000000 zeros, from offset {len(PAYLOAD)}") as file:
        assert len(file) == len(BLOCKS)
    with CarFile.open(path, zero_length_section_as_eof=True) as file:  # without a warning, which would be an error
        assert len(file) == len(list(file)) == len(BLOCKS)
        assert ABSENT not in file
        assert file.scan_reason is not None
        assert "3000000 zeros" in file.scan_reason
    with CarFile.open(path, "a", zero_length_section_as_eof=True) as file:
        assert file.put(ABSENT, b"absent")
    assert path.read_bytes() == PAYLOAD + section(b"absent")
    path.write_bytes(PAYLOAD + bytes(3_000_000) + b"\x01")
    for mode in ("r", "a"):
        with pytest.raises(MalformedError, match="zero_length_section_as_eof"):
            CarFile.open(path, mode)
    with CarFile.open(path, zero_length_section_as_eof=True) as file:
        assert len(file) == len(BLOCKS)
        assert f"ends this one at offset {len(PAYLOAD)}" in (file.scan_reason or "")


@pytest.mark.parametrize("indexed", [True, False])
def test_zeros_at_the_end_of_the_data_of_a_carv2(tmp_path: Path, indexed: bool) -> None:
    """Read where the option says so, and never appended to: no reader would see what follows the zeros."""
    path = tmp_path / "a.car"
    archive = car_v2(PAYLOAD + bytes(500), index=index_of(PAIRS) if indexed else b"")
    path.write_bytes(archive)
    with CarFile.open(path, zero_length_section_as_eof=True) as file:
        assert len(file) == len(list(file)) == len(BLOCKS)
        assert [file.get(name) for name, _ in BLOCKS] == [data for _, data in BLOCKS]
        assert ABSENT not in file

    def read() -> None:
        with CarFile.open(path) as file:
            len(file)

    def append() -> None:
        with CarFile.open(path, "a", zero_length_section_as_eof=True) as file:
            try:
                file.put(ABSENT, b"absent")
                file.flush()
            finally:
                file.abandon()

    for verb in (read, append):
        with pytest.raises(MalformedError, match=r"one of length zero.*padded with zeros"):
            verb()
    assert path.read_bytes() == archive


def test_a_carv2_that_go_car_did_not_finish(tmp_path: Path) -> None:
    """Forty zeros for a header: what is whole is read, and a writer finishes it."""
    path = tmp_path / "a.car"
    unfinished = bytes.fromhex("0aa16776657273696f6e02") + bytes(40) + PAYLOAD[:-7]
    path.write_bytes(unfinished)
    with warned(path, "its writer was stopped") as file:
        assert len(file) == 299
        assert file.get(BLOCKS[5][0]) == BLOCKS[5][1]
    assert path.read_bytes() == unfinished
    with CarFile.open(path, "a") as file:
        assert file.scan_reason == "its writer was stopped before it wrote the header"
        assert file.put(*BLOCKS[-1])
    assert [pair[:2] for pair in outcome(path.read_bytes()).blocks] == BLOCKS
    with CarFile.open(path) as file:
        assert file.scan_reason is None


def test_a_block_of_an_unknown_hash_does_not_end_what_is_whole(tmp_path: Path) -> None:
    """It cannot be verified, but what comes behind it can, and shows that it is all there; so does the end."""
    path = tmp_path / "a.car"
    unknown = cids.make(cids.RAW, b"murmur", 0x22)
    start = bytes.fromhex("0aa16776657273696f6e02") + bytes(40) + PAYLOAD
    for rest, count in ((section(b"first", unknown) + section(b"last"), 2), (section(b"first", unknown), 1)):
        for torn in (b"", section(b"torn")[:-1]):
            path.write_bytes(start + rest + torn)
            with CarFile.open(path, "a") as file:
                kept = count - (count == 1 and bool(torn))  # it could have been torn itself
                assert len(file) == len(BLOCKS) + kept
            assert len(outcome(path.read_bytes()).blocks) in (len(BLOCKS) + kept, len(BLOCKS))


def test_what_stands_behind_a_carv2_without_index(tmp_path: Path) -> None:
    """Whole blocks are taken by the next writer, as far as they go; a reader sees what the header vouches for."""
    path = tmp_path / "a.car"
    behind = section(b"whole") + section(b"whole too")
    fixed = struct.pack("<16sQQQ", bytes(16), 51, len(PAYLOAD), 0)
    for rest in (b"", b"junk", section(b"torn")[:-1], section(b"wrong", cid(b"right")) + section(b"lost"), bytes(500)):
        path.write_bytes(bytes.fromhex("0aa16776657273696f6e02") + fixed + PAYLOAD + behind + rest)
        with CarFile.open(path) as file:
            assert len(file) == len(BLOCKS)
        with CarFile.open(path, "a") as file:
            assert len(file) == len(BLOCKS) + 2
        found = outcome(path.read_bytes())
        assert found.error is None
        assert [data for _, data, _ in found.blocks[len(BLOCKS) :]] == [b"whole", b"whole too"]
        with CarFile.open(path) as file:
            assert (len(file), file.scan_reason) == (len(BLOCKS) + 2, None)


def test_a_payload_that_is_not_all_there(tmp_path: Path) -> None:
    for archive in (car_v2(PAYLOAD)[:-1], car_v2(PAYLOAD, data_size=1 << 50), car_v2(PAYLOAD, data_offset=1 << 40)):
        (tmp_path / "a.car").write_bytes(archive)
        for mode in ("r", "a"):
            with pytest.raises(TruncatedError):
                CarFile.open(tmp_path / "a.car", mode)
        assert (tmp_path / "a.car").read_bytes() == archive


WHOLE = car_v2(PAYLOAD, index=index_of(PAIRS))
START = 51 + len(PAYLOAD) - sum(len(section(data)) for _, data in BLOCKS)
"""Where the first section is."""


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("size", [len(WHOLE) // 3, START, START + 1, START + 40, 51 + len(PAYLOAD), len(WHOLE) - 1])
def test_a_carv2_that_was_cut_off_gives_its_whole_blocks_and_is_made_whole(
    tmp_path: Path, size: int, zeros: bool
) -> None:
    """Cut off in the data, at their end, in the index; or zeros in the place of it, as a stopped download leaves."""
    path = tmp_path / "a.car"
    cut = WHOLE[:size] + (bytes(len(WHOLE) - size) if zeros else b"")
    path.write_bytes(cut)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CarWarning)
        with CarFile.open(path, allow_truncated=True) as file:
            there = len(file)
            for each, data in BLOCKS[:there]:
                assert file.get(each) == data
        CarFile.open(path, "a", allow_truncated=True).abandon()
        assert path.read_bytes() == cut
        with CarFile.open(path, "a", allow_truncated=True) as file:
            assert sum([file.put(each, data) for each, data in BLOCKS]) == len(BLOCKS) - there
    assert [pair[:2] for pair in outcome(path.read_bytes()).blocks] == BLOCKS
    with CarFile.open(path) as file:
        assert (len(file), file.scan_reason) == (len(BLOCKS), None)


def test_a_writer_of_a_cut_carv2_that_is_killed_leaves_an_archive(tmp_path: Path) -> None:
    """Before anything is written, the header tells no more than what is there."""
    path = tmp_path / "a.car"
    path.write_bytes(WHOLE[: len(WHOLE) // 2])
    more = [bytes([number]) * 700_000 for number in range(3)]
    with pytest.warns(CarWarning, match="cut off"):
        file = CarFile.open(path, "a", allow_truncated=True)
    count = len(file)
    for data in more:
        file.put(cid(data), data)
    left = path.read_bytes()
    file.abandon()
    path.write_bytes(left)
    with CarFile.open(path) as file:
        assert len(file) == count
    with CarFile.open(path, "a") as file:
        assert file.get(cid(more[0])) == more[0]


@pytest.mark.parametrize("size", [len(WHOLE) // 3, 60, 20])
def test_an_error_of_an_archive_names_its_file(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.car"
    path.write_bytes(WHOLE[:size])
    for mode in ("r", "a"):
        with pytest.raises(TruncatedError, match=f"^{path}: expected ") as caught:
            CarFile.open(path, mode)
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301  # its own


@pytest.mark.parametrize("size", [40, 91, 4000, 70_000, 200_000])
def test_blocks_of_any_size_are_stepped_over(tmp_path: Path, size: int) -> None:
    blocks = [random.Random(number).randbytes(size + number) for number in range(40)]
    path = tmp_path / "a.car"
    path.write_bytes(car_v1(*map(section, blocks), section(b""), section(bytes(3)), *map(section, blocks[:3])))
    with CarFile.open(path) as file:
        assert len(file) == 45
        assert [at for _, at in file] == [at for _, _, at in outcome(path.read_bytes()).blocks]
        for data in blocks:
            assert file.get(cid(data)) == data
