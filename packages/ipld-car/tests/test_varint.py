"""Varints, compared with those of multiformats."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ipld_car import CarError, MalformedError, TruncatedError, varint
from multiformats import varint as their_varint

from .support.car_samples import varint as theirs

pytestmark = pytest.mark.smoke

SIZES = st.integers(0, (1 << 63) - 1) | st.integers(0, 62).map(lambda bits: 1 << bits)


@given(SIZES, st.binary(max_size=4), st.binary(max_size=4))
@example(0, b"", b"")
@example((1 << 63) - 1, b"", b"\x80")
def test_round_trip(value: int, before: bytes, behind: bytes) -> None:
    data = varint.encode(value)
    assert data == theirs(value)
    assert varint.decode(before + data + behind, len(before)) == (value, len(before + data))
    assert varint.decode(before + data + behind, len(before), len(before + data)) == (value, len(before + data))
    for cut in range(len(data)):
        with pytest.raises(TruncatedError, match=f"found its first {cut} bytes"):
            varint.decode(before + data + behind, len(before), len(before) + cut)


@pytest.mark.parametrize("value", [-1, 1 << 63, 1 << 64, 1 << 200])
def test_values_of_more_than_nine_bytes_are_refused(value: int) -> None:
    with pytest.raises(ValueError, match="expected an integer from 0 to 2\\^63 - 1"):
        varint.encode(value)


@given(st.lists(st.sampled_from([0, 1, 0x7F, 0x80, 0x81, 0xFF]), max_size=12).map(bytes) | st.binary(max_size=12))
def test_any_bytes_give_what_multiformats_gives(data: bytes) -> None:
    try:
        value, size, _ = their_varint.decode_raw(data)
    except ValueError:
        with pytest.raises(CarError):
            varint.decode(data)
    else:
        assert varint.decode(data) == (value, size)


@pytest.mark.parametrize("data", ["8000", "ff00", "80808000", "ffffffffffffffff00"])
def test_only_the_minimal_form_is_accepted(data: str) -> None:
    with pytest.raises(MalformedError, match="expected a minimal varint"):
        varint.decode(bytes.fromhex(data))


@pytest.mark.parametrize("data", ["80" * 9, "ff" * 9, "ff" * 9 + "01", "80" * 100])
def test_at_most_nine_bytes(data: str) -> None:
    with pytest.raises(MalformedError, match="at most 9 bytes"):
        varint.decode(bytes.fromhex(data))
