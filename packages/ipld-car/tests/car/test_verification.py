"""Every block is verified, whatever its hash function; a block that cannot be verified is an error."""

import pytest
from ipld_car import CarReader, HashMismatchError, UnverifiableError
from multiformats import CID

from ..support.car_samples import car_v1, cid, outcome, section

HELLO = cid(b"hello")


def test_verification_is_the_default() -> None:
    archive = car_v1(section(b"good"), section(b"bad", cid(b"other")))
    with pytest.raises(HashMismatchError) as caught:
        list(CarReader(archive))
    assert (caught.value.offset, caught.value.block) == (18 + 41, 1)
    assert "expected bytes with the hash of bafkrei" in str(caught.value)
    assert [block.data for block in CarReader(archive, verify=False)] == [b"good", b"bad"]


def test_blocks_with_the_same_prefix_are_all_verified() -> None:
    good = [section(bytes([number])) for number in range(20)]
    for bad in range(20):
        sections = [*good[:bad], section(b"bad", cid(bytes([bad]))), *good[bad + 1 :]]
        found = outcome(car_v1(*sections))
        assert len(found.blocks) == bad
        assert found.error
        assert found.error[0] is HashMismatchError


def test_unknown_hash_functions_are_refused() -> None:
    """A block that cannot be verified is never returned as verified."""
    name = bytes.fromhex("01559120") + b"\x04abcd"  # 0x1011: no function has this code
    archive = car_v1(section(b"abcd", name))
    with pytest.raises(UnverifiableError, match="0x1011 is unknown") as caught:
        list(CarReader(archive))
    assert (caught.value.offset, caught.value.block) == (18, 0)
    assert isinstance(caught.value, HashMismatchError)
    (block,) = CarReader(archive, verify=False)
    assert (block.cid_bytes, block.data) == (name, b"abcd")


def test_identity_cids_are_verified() -> None:
    name = cid(b"me", "raw", "identity")
    assert outcome(car_v1(section(b"me", name))).error is None
    for data in (b"", b"m", b"mee", b"ME"):
        found = outcome(car_v1(section(data, name)))
        assert found.error
        assert found.error[0] is HashMismatchError


@pytest.mark.parametrize("size", [64, 65, 127, 128, 300, 2000])
def test_identity_cids_of_any_length(size: int) -> None:
    data = bytes(range(256)) * 8
    name = cid(data[:size], "raw", "identity")
    archive = car_v1(section(data[:size], name), section(data[:size], name), roots=[name])
    found = outcome(archive)
    assert (found.roots, [block[:2] for block in found.blocks]) == ([name], [(name, data[:size])] * 2)
    with pytest.raises(HashMismatchError):
        list(CarReader(car_v1(section(b"other", name))))
    (first, _) = CarReader(archive)
    assert str(first.cid) == CID.decode(name).set(base="base32").encode()
    assert str(first.cid) in repr(first)


def test_a_shortened_digest_is_compared_as_far_as_it_goes() -> None:
    whole = cid(b"hello")
    for size in (1, 16, 20, 31):
        name = bytes.fromhex("015512") + bytes([size]) + whole[4 : 4 + size]
        assert outcome(car_v1(section(b"hello", name))).error is None
        wrong = name[:-1] + bytes([name[-1] ^ 1])
        found = outcome(car_v1(section(b"hello", wrong)))
        assert found.error
        assert found.error[0] is HashMismatchError


def test_a_digest_of_no_bytes_or_too_many_matches_nothing() -> None:
    for name in (bytes.fromhex("01551200"), bytes.fromhex("01551221") + cid(b"hello")[4:] + b"\x00"):
        found = outcome(car_v1(section(b"hello", name)))
        assert found.error
        assert found.error[0] is HashMismatchError
