"""Encode and decode the headers of CARv1 and CARv2.

Sources: https://ipld.io/specs/transport/car/carv1/ and .../carv2/.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from ipld_car import varint
from ipld_car.codecs import cbor_scan
from ipld_car.errors import MalformedError, TruncatedError

PRAGMA: Final = bytes.fromhex("0aa16776657273696f6e02")
"""The first bytes of every CARv2: the header section of a CAR with version 2 and no roots."""
V2_HEADER_SIZE: Final = 40

_MAX_HEADER_DEPTH: Final = 32
_MAX_OFFSET: Final = 1 << 63


class Header(NamedTuple):
    """The header section of a CAR, decoded."""

    version: int
    roots: list[bytes]
    """Binary CIDs."""


class V2Header(NamedTuple):
    """The fixed header of a CARv2. Offsets are in bytes from the start of the file."""

    fully_indexed: bool
    data_offset: int
    data_size: int
    index_offset: int
    """0 if there is no index."""


def encode_header(roots: Iterable[bytes]) -> bytes:
    """Return the canonical header section of a CARv1, with its length.

    :param roots: binary CIDs
    """
    links = [b"\xd8\x2a" + _head(cbor_scan.BYTES, len(root) + 1) + b"\x00" + root for root in roots]
    parts = [
        _head(cbor_scan.MAP, 2),
        _text("roots"),
        _head(cbor_scan.LIST, len(links)),
        *links,
        _text("version"),
        b"\x01",
    ]
    header = b"".join(parts)
    return varint.encode(len(header)) + header


def _head(major: int, argument: int) -> bytes:
    """Return the head of a CBOR item in its shortest form."""
    if argument < 24:
        return bytes((major << 5 | argument,))
    extra, size = (24, 1) if argument < 1 << 8 else (25, 2) if argument < 1 << 16 else (26, 4)
    return bytes((major << 5 | extra,)) + argument.to_bytes(size)


def _text(text: str) -> bytes:
    return _head(cbor_scan.TEXT, len(text)) + text.encode()


def decode_header(data: bytes) -> Header:
    """Decode the DAG-CBOR header of a CARv1, or the version of a later one.

    Accepted are extra keys, keys in any order, and integers that are not minimal.

    :raises CarError: with the offset in ``data``, if there is no CAR header
    """
    major, size, position = cbor_scan.head(data, 0)
    if major != cbor_scan.MAP:
        raise MalformedError(f"expected a CAR header, a map; found an item of major type {major}", offset=0)
    version: int | None = None
    roots: list[bytes] | None = None
    seen: set[bytes] = set()
    for _ in range(cbor_scan.check_count(data, 0, position, 2 * size) // 2):
        start = position
        key, position = _key(data, position)
        if key in seen:
            raise MalformedError(f"expected each key once in the CAR header, found {key[:64]!r} again", offset=start)
        seen.add(key)
        if key == b"version":
            version, position = _version(data, position)
        elif key == b"roots":
            roots, position = _roots(data, position)
        else:
            _, position = cbor_scan.scan(data, position, _MAX_HEADER_DEPTH)
    if position != len(data):
        raise MalformedError(
            f"expected the end of the CAR header, found {len(data) - position} more bytes", offset=position
        )
    if version is None:
        raise MalformedError("expected a version in the CAR header, found none", offset=0)
    if version != 1:
        return Header(version, [])
    if roots is None:
        raise MalformedError("expected roots in the CAR header, found none", offset=0)
    return Header(version, roots)


def _key(data: bytes, start: int) -> tuple[bytes, int]:
    major, size, position = cbor_scan.head(data, start)
    if major != cbor_scan.TEXT:
        raise MalformedError(f"expected text as key in the CAR header, found major type {major}", offset=start)
    end = cbor_scan.string_end(data, start, position, size)
    return data[position:end], end


def _version(data: bytes, start: int) -> tuple[int, int]:
    major, version, position = cbor_scan.head(data, start)
    if major != cbor_scan.UNSIGNED:
        raise MalformedError(f"expected a number as CAR version, found an item of major type {major}", offset=start)
    return version, position


def _roots(data: bytes, start: int) -> tuple[list[bytes], int]:
    major, size, position = cbor_scan.head(data, start)
    if major != cbor_scan.LIST:
        raise MalformedError(
            f"expected a list of CIDs as roots in the CAR header, found an item of major type {major}", offset=start
        )
    roots: list[bytes] = []
    for _ in range(cbor_scan.check_count(data, start, position, size)):
        root, position = cbor_scan.link(data, position)
        roots.append(root)
    return roots, position


def encode_v2_header(header: V2Header) -> bytes:
    """Return the first 51 bytes of a CARv2: pragma, characteristics and offsets.

    >>> encode_v2_header(V2Header(True, 51, 18, 69))[27:].hex(" ", 8)
    '3300000000000000 1200000000000000 4500000000000000'
    """
    characteristics = bytes((0x80 if header.fully_indexed else 0,)) + bytes(15)
    return PRAGMA + characteristics + struct.pack("<QQQ", header.data_offset, header.data_size, header.index_offset)


def decode_v2_header(data: bytes) -> V2Header:
    """Decode the 40 bytes after the pragma of a CARv2.

    :raises CarError: if the offsets contradict each other
    """
    characteristics, data_offset, data_size, index_offset = struct.unpack("<16sQQQ", data)
    if not data_offset and not data_size:
        raise TruncatedError("expected a finished CARv2, found one whose writer stopped before it wrote the header")
    if max(data_offset, data_size, index_offset, data_offset + data_size) >= _MAX_OFFSET:
        raise MalformedError(
            f"expected offsets below 2^63 in the CARv2 header, found data at {data_offset}, "
            f"{data_size} bytes, index at {index_offset}"
        )
    if data_offset < len(PRAGMA) + V2_HEADER_SIZE:
        raise MalformedError(
            f"expected the data of a CARv2 at {len(PRAGMA) + V2_HEADER_SIZE} or later, found {data_offset}"
        )
    if not data_size:
        raise MalformedError("expected data in the CARv2, found a data size of 0")
    if index_offset and index_offset < data_offset + data_size:
        raise MalformedError(
            f"expected the index of a CARv2 after its data, which end at {data_offset + data_size}; "
            f"found {index_offset}"
        )
    return V2Header(bool(characteristics[0] & 0x80), data_offset, data_size, index_offset)


def check_inner(header: Header) -> None:
    """Check that the header inside a CARv2 is that of a CARv1.

    :raises MalformedError: if it is not
    """
    if header.version != 1:
        raise MalformedError(f"expected a CARv1 inside the CARv2, found version {header.version}")
