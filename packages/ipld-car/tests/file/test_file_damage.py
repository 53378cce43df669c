"""Files of other software, and unfinished files: good blocks are read, and faults are reported."""

import hashlib
import random
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import (
    INDEX_SORTED,
    CarError,
    CarFile,
    CarReader,
    CarWarning,
    HashMismatchError,
    MalformedError,
    TruncatedError,
    cids,
)
from ipld_car._file import file_blocks

from ..support.car_samples import MIXED, SMALL_V1, car_v1, car_v2, cid, outcome, section
from ..support.damaged_files import (
    ABSENT,
    BLOCKS,
    PAIRS,
    PAYLOAD,
    Pairs,
    check_blocks,
    check_continued,
    index_of,
    warned,
)

# -- of other projects --


@pytest.mark.parametrize(
    ("name", "scanned"),
    [
        ("go-car-v2/sample-wrapped-v2.car", None),
        ("go-car-v2/sample-rw-bs-v2.car", None),
        ("go-car-v2/sample-unixfs-v2.car", None),
        ("ipld-spec/selector-fixtures-adl.car", None),
        ("go-car-v2/sample-v2-indexless.car", "it has no index"),
        ("go-car-v2/sample-v1.car", "a CARv1 has no index"),
        ("go-car-v2/sample-v1-noidentity.car", "a CARv1 has no index"),
        ("go-car-cmd/simple-unixfs.car", "a CARv1 has no index"),
        ("ipld-spec/carv1-basic.car", "a CARv1 has no index"),
        ("ipfs-car/comic-no-roots.car", "a CARv1 has no index"),
        ("ipfs-car/missing-root-block.car", "a CARv1 has no index"),
    ],
)
def test_archives_of_others(fixtures: Path, tmp_path: Path, name: str, scanned: str | None) -> None:
    archive = (fixtures / name).read_bytes()
    with CarFile.open(fixtures / name) as file:
        assert (file.version, file.scan_reason) == (CarReader(archive).version, scanned)
        assert [bytes(root) for root in file.roots] == outcome(archive).roots
        check_blocks(file, archive)
    check_continued(tmp_path / "copy.car", archive)


def test_an_index_of_an_old_form(fixtures: Path) -> None:
    path = fixtures / "ipld-spec/carv2-basic.car"
    with warned(path, "index cannot be read: .*found 0x1") as file:
        check_blocks(file, path.read_bytes())


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("go-car-v2/sample-corrupt-pragma.car", TruncatedError),
        ("go-car-v2/sample-rootless-v42.car", MalformedError),
        ("go-car-v2/sample-v2-corrupt-data-and-index.car", MalformedError),
        ("go-car-cmd/badheaderlength.car", CarError),
    ],
)
def test_what_is_no_archive(fixtures: Path, name: str, error: type[CarError]) -> None:
    with pytest.raises(error) as caught:
        CarFile.open(fixtures / name)
    assert caught.value.offset is not None


# -- indexes that lie --


def shifted(pairs: Pairs) -> Pairs:
    return [(name, offset + 1) for name, offset in pairs]


def swapped(pairs: Pairs) -> Pairs:
    offsets = [offset for _, offset in pairs]
    return list(zip([name for name, _ in pairs], offsets[1:] + offsets[:1], strict=True))


def beyond(pairs: Pairs) -> Pairs:
    return [(name, offset + len(PAYLOAD)) for name, offset in pairs]


def far(pairs: Pairs) -> Pairs:
    return [(name, 2**63 + offset) for name, offset in pairs]


def header(pairs: Pairs) -> Pairs:
    return [(name, 0) for name, _ in pairs]


def fewer(pairs: Pairs) -> Pairs:
    return pairs[:100] + pairs[101:]


def none(pairs: Pairs) -> Pairs:
    return pairs[:0]


def others(pairs: Pairs) -> Pairs:
    return [(cids.make(cids.RAW, hashlib.sha256(name).digest()), offset) for name, offset in pairs]


def other_hash(pairs: Pairs) -> Pairs:
    return [(cids.make(cids.RAW, name[4:], 0x16), offset) for name, offset in pairs]


def one_more(pairs: Pairs) -> Pairs:
    return [*pairs, (ABSENT, pairs[5][1])]


LIES = [other_hash, shifted, swapped, beyond, far, header, fewer, none, others, one_more]  # the first only of 0x0401


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("codec", "lie"), [*((0x0401, lie) for lie in LIES), *((INDEX_SORTED, lie) for lie in LIES[1:])]
)
def test_an_index_that_lies(tmp_path: Path, lie: Callable[[Pairs], Pairs], codec: int, *, full: bool) -> None:
    """Whatever it says: every block is found, nothing else is, and it is said once."""
    path = tmp_path / "lie.car"
    flags = (b"\x80" if full else b"\x00") + bytes(15)
    archive = car_v2(PAYLOAD, padding=b"..", index=index_of(lie(PAIRS), codec), characteristics=flags)
    path.write_bytes(archive)
    for order in (1, -1):
        with warned(path, r"lie\.car was scanned: its index") as file:
            assert file.scan_reason is None
            for name, data in BLOCKS[::order]:
                assert file.get(name) == data
            check_blocks(file, archive)
            assert file.scan_reason is not None
    with warned(path, "") as file:
        assert ABSENT not in file
    with warned(path, "") as file:
        assert len(file) == len(BLOCKS)
    with warned(path, "", "a") as file:
        check_blocks(file, archive)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CarWarning)  # where the lie is no block's own, putting does not ask
        with CarFile.open(path, "a") as file:
            assert file.put(ABSENT, b"absent")
            check = [file.get(name) for name, _ in BLOCKS]
    assert check == [data for _, data in BLOCKS]
    assert outcome(path.read_bytes()).error is None


@pytest.mark.parametrize("order", ["reversed", "shuffled"])
def test_an_index_that_is_not_in_order(tmp_path: Path, order: str) -> None:
    good = index_of(PAIRS)
    start = len(good) - 40 * len(PAIRS)
    head, entries = good[:start], [good[at : at + 40] for at in range(start, len(good), 40)]
    entries = entries[::-1] if order == "reversed" else random.Random(0).sample(entries, len(entries))
    archive = car_v2(PAYLOAD, index=head + b"".join(entries))
    (tmp_path / "a.car").write_bytes(archive)
    with warned(tmp_path / "a.car", "index lacks") as file:
        check_blocks(file, archive)


@pytest.mark.parametrize("bad", [b"\x00", b"\x81\x08", b"\x81\x08\xff\xff\xff\x7f", index_of(PAIRS)[:-1], b"\xff" * 99])
def test_an_index_that_cannot_be_read(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "a.car"
    path.write_bytes(car_v2(PAYLOAD, index=bad))
    with warned(path, "index cannot be read") as file:
        check_blocks(file, path.read_bytes())
    with pytest.warns(CarWarning, match="index cannot be read"):
        check_continued(path, path.read_bytes())


def test_a_large_file_is_believed_if_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To compare its index with it would be to read it all; one that does not say that it has all, is compared."""
    monkeypatch.setattr(file_blocks, "_AUDIT_BYTES", 1000)
    path = tmp_path / "a.car"
    path.write_bytes(car_v2(PAYLOAD, index=index_of(fewer(PAIRS)), characteristics=b"\x80" + bytes(15)))
    with CarFile.open(path) as file:
        assert PAIRS[100][0] not in file
        assert PAIRS[99][0] in file
        assert len(file) == len(PAIRS) - 1
    path.write_bytes(car_v2(PAYLOAD, index=index_of(fewer(PAIRS))))
    with warned(path, "") as file:
        assert PAIRS[100][0] in file


@given(data=st.data())
def test_no_index_makes_blocks_of_what_is_none(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Bytes changed anywhere in the file: right blocks, or a CarError."""
    good = car_v2(SMALL_V1, index=index_of([(name, at.offset) for name, _, at in outcome(SMALL_V1).blocks]))
    bad = bytearray(good[: data.draw(st.integers(0, len(good)) | st.just(len(good)))])
    for _ in range(data.draw(st.integers(0, 3)) if bad else 0):
        bad[data.draw(st.integers(0, len(bad) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("bad") / "a.car"
    path.write_bytes(bad)
    blocks = outcome(SMALL_V1).blocks
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CarWarning)
        for mode in ("r", "a"):
            try:
                with CarFile.open(path, mode) as file:
                    for name, expected, _ in blocks:
                        try:
                            assert file.get(name) == expected
                        except CarError:
                            continue
            except CarError:
                assert mode == "r" or path.read_bytes() == bad or not bad


# -- blocks that are damaged --


def test_a_damaged_block(tmp_path: Path) -> None:
    """It is an error with its place; others are read; putting it again mends it where it is."""
    path = tmp_path / "a.car"
    with CarFile.open(path, "x") as file:
        for name, data in BLOCKS:
            file.put(name, data)
    good = path.read_bytes()
    with CarFile.open(path) as file:
        location = file.location(BLOCKS[7][0])
    path.write_bytes(good[: location.payload_offset] + b"X" + good[location.payload_offset + 1 :])
    with CarFile.open(path) as file:
        with pytest.raises(HashMismatchError, match=f"offset {location.payload_offset}"):
            file.get(BLOCKS[7][0])
        assert file.get(BLOCKS[7][0], verify=False)[:1] == b"X"
        assert file.get(BLOCKS[8][0]) == BLOCKS[8][1]
    with CarFile.open(path, "a") as file:
        assert not file.put(*BLOCKS[7])
        assert file.get(BLOCKS[7][0]) == BLOCKS[7][1]
    assert path.read_bytes() == good


def test_a_block_of_another_length_is_put_again(tmp_path: Path) -> None:
    """Both sections are there, and the one that is right is found, in this file and when it is opened again."""
    path = tmp_path / "a.car"
    path.write_bytes(car_v1(section(b"jello!", cid(b"hello")), section(b"world")))
    with CarFile.open(path, "a") as file:
        with pytest.raises(HashMismatchError):
            file.get(cid(b"hello"))
        assert file.put(cid(b"hello"), b"hello")
        assert file.get(cid(b"hello")) == b"hello"
    for mode in ("r", "a"):
        with CarFile.open(path, mode) as file:
            assert file.get(cid(b"hello")) == b"hello"
            assert file.get(cid(b"hello"), verify=False) == b"hello"
            assert len(file) == 3


def test_a_right_block_before_a_wrong_one_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.car"
    path.write_bytes(car_v1(section(b"hello"), section(b"jello!", cid(b"hello"))))
    with CarFile.open(path) as file:
        assert file.get(cid(b"hello")) == b"hello"


def test_a_damaged_section_in_the_middle(tmp_path: Path) -> None:
    """Without an index it cannot be told what is behind it: an error, and nothing is changed."""
    bad = car_v1(*MIXED[:2], b"\x00", *MIXED[2:])
    for archive in (bad, car_v2(bad)):
        (tmp_path / "a.car").write_bytes(archive)
        for mode in ("r", "a"):
            with pytest.raises(MalformedError, match="offset"):
                CarFile.open(tmp_path / "a.car", mode)
        assert (tmp_path / "a.car").read_bytes() == archive
