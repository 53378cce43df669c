"""The header of an archive: what is accepted, what is refused, and the offset of the error."""

import pytest
from ipld_car import CarReader, CarWriter, LimitError, MalformedError, TruncatedError
from multiformats import CID

from ..support.car_samples import NO_ROOTS, cid, header, outcome, varint

ROOT = cid(b"hello")
LINK = bytes.fromhex("d82a582500") + ROOT
ROOTS = bytes.fromhex("65") + b"roots"
VERSION = bytes.fromhex("67") + b"version"


def archive(body: bytes) -> bytes:
    return varint(len(body)) + body


@pytest.mark.parametrize(
    "body",
    [
        b"\xa2" + VERSION + b"\x01" + ROOTS + b"\x81" + LINK,  # keys out of order
        b"\xa2" + ROOTS + b"\x98\x01" + LINK + VERSION + b"\x18\x01",  # integers that are not minimal
        b"\xb8\x02" + ROOTS + b"\x81" + LINK + VERSION + b"\x1b" + bytes(7) + b"\x01",
        b"\xa3" + ROOTS + b"\x81" + LINK + b"\x64meta\xa1\x61k\x83\xf5\x43abc" + LINK + VERSION + b"\x01",  # more keys
        b"\xa3" + ROOTS + b"\x81" + LINK + b"\x64zero\xfb\x80" + bytes(7) + VERSION + b"\x01",  # -0.0, far from CAR
        b"\xa3" + ROOTS + b"\x81" + LINK + b"\x61d" + b"\x81" * 31 + b"\x80" + VERSION + b"\x01",
    ],
)
def test_harmless_deviations_are_accepted(body: bytes) -> None:
    found = outcome(archive(body))
    assert (found.version, found.roots, found.error) == (1, [ROOT], None)


@pytest.mark.parametrize(
    ("body", "error", "message", "offset"),
    [
        (b"\xa1" + ROOTS + b"\x80", MalformedError, "expected a version in the CAR header, found none", 1),
        (b"\xa1" + VERSION + b"\x01", MalformedError, "expected roots in the CAR header, found none", 1),
        (b"\xa2" + ROOTS + b"\xf6" + VERSION + b"\x01", MalformedError, "expected a list of CIDs as roots", 8),
        (b"\xa2" + ROOTS + b"\xa0" + VERSION + b"\x01", MalformedError, "expected a list of CIDs as roots", 8),
        (b"\xa2" + ROOTS + b"\x80" + VERSION + b"\xf5", MalformedError, "expected a number as CAR version", 17),
        (b"\xa2" + ROOTS + b"\x80" + VERSION + b"\x20", MalformedError, "expected a number as CAR version", 17),
        (b"\xa2" + ROOTS + b"\x80" + VERSION + b"\x611", MalformedError, "expected a number as CAR version", 17),
        (b"\xa2" + ROOTS + b"\x80" + VERSION + b"\x00", MalformedError, "CAR version 1 or 2, found version 0", None),
        (b"\xa2" + ROOTS + b"\x80" + VERSION + b"\x03", MalformedError, "CAR version 1 or 2, found version 3", None),
        (b"\xa1" + VERSION + b"\x18\x02", MalformedError, "the one that the format fixes", None),
        (b"\xa3" + ROOTS + b"\x80" + ROOTS + b"\x80" + VERSION + b"\x01", MalformedError, "each key once", 9),
        (b"\xa2" + VERSION + b"\x01" + VERSION + b"\x01", MalformedError, "each key once", 11),
        (b"\xa2" + ROOTS + b"\x81\x58\x24" + ROOT + VERSION + b"\x01", MalformedError, "expected a link, tag 42", 9),
        (b"\xa2" + ROOTS + b"\x81" + b"\xd8\x30" + LINK[2:] + VERSION + b"\x01", MalformedError, "found tag 48", 9),
        (b"\xa2" + ROOTS + b"\x81" + b"\xd8\x2a\x58\x25\x01" + ROOT, MalformedError, "begins with zero", 9),
        (b"\xa2" + ROOTS + b"\x81\xd8\x2a\x40", MalformedError, "begins with zero", 9),
        (b"\xa2" + ROOTS + b"\x81\xd8\x2a\x61\x00", MalformedError, "expected a link as a byte string", 9),
        (b"\xa2" + ROOTS + b"\x81\xd8\x2a\x58\x26\x00" + ROOT + b"\x00", MalformedError, "expected a CID of 36", 9),
        (b"\xa2" + ROOTS + b"\x81\xd8\x2a\x58\x24\x00" + ROOT[:-1], TruncatedError, "expected a CID of 36 bytes", 9),
        (b"\xa2" + ROOTS + b"\x9f\xff" + VERSION + b"\x01", MalformedError, "definite length", 8),
        (b"\xbf" + ROOTS + b"\x80" + VERSION + b"\x01\xff", MalformedError, "definite length", 1),
        (b"\xa1\x01\x02", MalformedError, "expected text as key", 2),
        (b"\x80", MalformedError, "expected a CAR header, a map", 1),
        (b"\xf6", MalformedError, "expected a CAR header, a map", 1),
        (b"\xa2" + ROOTS + b"\x80" + VERSION + b"\x01\x00", MalformedError, "found 1 more bytes", 18),
        (b"\xa2" + ROOTS + b"\x80" + VERSION, TruncatedError, "expected a CBOR item", 17),
        (b"\xa2" + ROOTS + b"\x80\x67versio", TruncatedError, "expected 7 bytes, found 6", 9),
        (b"\xa3" + ROOTS + b"\x80" + VERSION + b"\x01\x61m\xe0", MalformedError, "another simple value", 20),
        (b"\xa3" + ROOTS + b"\x80" + VERSION + b"\x01\x61m\xc1\x00", MalformedError, "found tag 1", 20),
        (b"\xa3\x61m" + b"\x81" * 33 + b"\x80", LimitError, "nested at most 32 deep", 36),
        (b"\xa3\x61m" + b"\x81" * 1_000_000 + b"\x80", LimitError, "nested at most 32 deep", 36),
        (b"\xa2" + ROOTS + b"\x9b" + b"\xff" * 8, TruncatedError, "found 0 bytes for them", 8),
        (b"\xbb" + b"\xff" * 8, TruncatedError, "found 0 bytes for them", 1),
        (b"\xa1\x7b" + b"\xff" * 8, TruncatedError, "expected 18446744073709551615 bytes", 2),
        (b"\xa1\x61m\x5a\xff\xff\xff\xff", TruncatedError, "expected 4294967295 bytes", 4),
    ],
)
def test_malformed_headers_are_refused(body: bytes, error: type[Exception], message: str, offset: int | None) -> None:
    found = outcome(archive(body))
    assert found.error
    assert found.error[0] is error
    assert message in found.error[1]
    size = len(varint(len(body)))
    assert found.error[2] == (0 if offset is None else offset + size - 1)
    assert found.error[3] is None
    assert found.blocks == []


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", TruncatedError, "found no bytes at all"),
        (b"\x00", MalformedError, "found one of length zero"),
        (b"\x80", TruncatedError, "expected a varint"),
        (b"\x91\x00" + NO_ROOTS[1:], MalformedError, "expected a minimal varint"),
        (b"\x80" * 9 + b"\x01", MalformedError, "at most 9 bytes"),
        (NO_ROOTS[:1], TruncatedError, "expected a header of 17 bytes, found 0"),
        (NO_ROOTS[:-1], TruncatedError, "expected a header of 17 bytes, found 16"),
        (b"<!DOCTYPE html><html>", TruncatedError, "expected a header of 60 bytes, found 20"),
        (b"PK\x03\x04" + bytes(100), MalformedError, "expected a CAR header, a map"),
        (bytes.fromhex("ffffffffffffffff7f"), LimitError, "expected a header of at most 33554432 bytes"),
    ],
)
def test_other_files_are_refused(data: bytes, error: type[Exception], message: str) -> None:
    found = outcome(data)
    assert found.error
    assert found.error[0] is error
    assert message in found.error[1]


def test_a_byte_string_with_a_cid_is_no_root() -> None:
    body = b"\xa3" + ROOTS + b"\x81\x58\x24" + ROOT + b"\x64else" + LINK + VERSION + b"\x01"
    with pytest.raises(MalformedError, match="expected a link"):
        CarReader(archive(body))


def test_many_roots_are_read_in_one_pass() -> None:
    """A header of 4 MB would otherwise take half an hour: each root was looked for among all links."""
    count = 100_000
    links = b"".join(b"\xd8\x2a\x58\x25\x00\x01\x55\x12\x20" + number.to_bytes(32) for number in range(count))
    body = b"\xa2" + ROOTS + b"\x9a" + count.to_bytes(4) + links + VERSION + b"\x01"
    assert len(outcome(archive(body)).roots) == count


@pytest.mark.parametrize("count", [0, 1, 2, 23, 24, 255, 256, 65535, 65536])
def test_written_headers_equal_those_of_dag_cbor(count: int) -> None:
    names = [ROOT, cid(b"", "dag-pb", version=0), cid(bytes(300), "raw", "identity"), cid(b"x", "dag-cbor", "sha2-512")]
    roots = [names[number % len(names)] for number in range(count)]
    out = bytearray()

    class Stream:
        def write(self, data: bytes, /) -> None:
            out.extend(data)

    CarWriter(Stream(), roots)
    if count < 300:  # dag-cbor and multiformats take their time
        assert bytes(out) == header(roots)
        assert CarReader(bytes(out)).roots == [CID.decode(root) for root in roots]
    assert outcome(bytes(out)) == (1, roots, [], None)
