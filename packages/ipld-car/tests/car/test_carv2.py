"""CARv2: the payload is where the header says, and impossible headers are refused."""

import io

import pytest
from ipld_car import CarReader, MalformedError, TruncatedError, encode_v2_header

from ..support.car_samples import MIXED, SMALL_V1, SMALL_V2, Dribble, car_v2, cid, outcome, section

pytestmark = pytest.mark.smoke

HELLO = cid(b"hello")


def test_offsets_count_from_the_start_of_the_file() -> None:
    inner, outer = outcome(SMALL_V1), outcome(SMALL_V2)
    assert (outer.version, outer.roots, outer.error) == (2, inner.roots, None)
    assert [(name, data) for name, data, _ in outer.blocks] == [(name, data) for name, data, _ in inner.blocks]
    for (_, _, there), (_, _, here) in zip(outer.blocks, inner.blocks, strict=True):
        assert there == here._replace(offset=here.offset + 58)


def test_the_reader_has_the_v2_header() -> None:
    assert CarReader(SMALL_V1).v2_header is None
    told = CarReader(car_v2(SMALL_V1, padding=bytes(9), index=b"i", characteristics=b"\x80" + bytes(15))).v2_header
    assert told == (True, 60, len(SMALL_V1), 60 + len(SMALL_V1))
    assert told is not None
    assert told.fully_indexed is True
    assert encode_v2_header(told)[11:27] == b"\x80" + bytes(15)
    assert encode_v2_header(told._replace(fully_indexed=False))[11:27] == bytes(16)


def test_the_payload_ends_where_the_header_says() -> None:
    """Neither the index nor padding is read as blocks."""
    for behind in (b"", b"junk", section(b"a block that is none of this archive's"), bytes(100_000)):
        for source in (car_v2(SMALL_V1) + behind, io.BytesIO(car_v2(SMALL_V1) + behind)):
            assert outcome(source).error is None
            assert len(outcome(car_v2(SMALL_V1) + behind).blocks) == len(MIXED)


def test_a_payload_that_ends_inside_a_section() -> None:
    for less in range(1, len(MIXED[-1])):
        archive = car_v2(SMALL_V1, data_size=len(SMALL_V1) - less)
        found = outcome(archive)
        assert len(found.blocks) == len(MIXED) - 1
        assert found.error
        assert found.error[0] is TruncatedError
        assert outcome(Dribble(archive, 3)) == found


@pytest.mark.parametrize("more", [1, 5, 1 << 40, (1 << 63) - 1 - 51 - len(SMALL_V1)])
def test_a_truncated_payload(more: int) -> None:
    archive = car_v2(SMALL_V1, data_size=len(SMALL_V1) + more)
    for source in (archive, io.BytesIO(archive)):
        found = outcome(source)
        assert len(found.blocks) == len(MIXED)
        message = f"expected {more} more bytes of payload, found the end of the file"
        assert found.error == (TruncatedError, message, len(archive), len(MIXED))


@pytest.mark.parametrize(
    ("archive", "error", "message"),
    [
        (car_v2(SMALL_V1, data_offset=50), MalformedError, "expected the data of a CARv2 at 51 or later, found 50"),
        (car_v2(SMALL_V1, data_offset=0), MalformedError, "at 51 or later, found 0"),
        (car_v2(SMALL_V1, data_size=0), MalformedError, "found a data size of 0"),
        (car_v2(SMALL_V1, data_offset=1 << 63), MalformedError, "expected offsets below 2^63"),
        (car_v2(SMALL_V1, data_size=(1 << 64) - 1), MalformedError, "expected offsets below 2^63"),
        (car_v2(SMALL_V1, index_offset=1 << 63), MalformedError, "expected offsets below 2^63"),
        (car_v2(SMALL_V1, data_offset=1 << 62, data_size=1 << 62), MalformedError, "expected offsets below 2^63"),
        (car_v2(SMALL_V1, index_offset=60), MalformedError, "expected the index of a CARv2 after its data"),
        (car_v2(SMALL_V1, index_offset=50 + len(SMALL_V1)), MalformedError, "expected the index of a CARv2 after"),
        (car_v2(SMALL_V1, data_offset=0, data_size=0), TruncatedError, "writer stopped before it wrote the header"),
        (car_v2(SMALL_V1, data_offset=1 << 62), TruncatedError, "more bytes, found the end"),
        (car_v2(car_v2(SMALL_V1)), MalformedError, "expected a CARv1 inside the CARv2, found version 2"),
        (car_v2(SMALL_V1)[:50], TruncatedError, "expected a CARv2 header of 40 bytes, found 39"),
        (car_v2(b"\x00" + SMALL_V1), MalformedError, "expected a CAR header, found one of length zero"),
        (car_v2(SMALL_V1)[:51], TruncatedError, "expected a CAR header, found no bytes at all"),
    ],
)
def test_impossible_headers_are_refused(archive: bytes, error: type[Exception], message: str) -> None:
    found = outcome(archive)
    assert found.error
    assert found.error[0] is error
    assert message in found.error[1]
    assert found.version is None
    assert outcome(Dribble(archive, 5)) == found
    assert outcome(io.BytesIO(archive)) == found


def test_the_index_may_begin_right_after_the_data() -> None:
    assert outcome(car_v2(SMALL_V1, index_offset=51 + len(SMALL_V1))).error is None
