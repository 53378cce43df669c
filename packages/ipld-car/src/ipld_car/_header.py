"""The headers of CARv1 and CARv2.

Sources: https://ipld.io/specs/transport/car/carv1/ and .../carv2/.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

import libipld

from . import dagcbor, varint
from ._errors import MalformedError, TruncatedError

PRAGMA: Final = bytes.fromhex("0aa16776657273696f6e02")
"""The first bytes of every CARv2: the header section of a CAR of version 2 without roots."""
V2_HEADER_SIZE: Final = 40

_MAX_HEADER_DEPTH: Final = 32
_MAX_OFFSET: Final = 1 << 63


class Header(NamedTuple):
    """What the header section of a CAR says."""

    version: int
    roots: list[bytes]
    """Binary CIDs."""


class V2Header(NamedTuple):
    """The fixed part of a CARv2, all offsets from the start of the file in bytes."""

    fully_indexed: bool
    data_offset: int
    data_size: int
    index_offset: int
    """0 if there is no index."""


def encode_header(roots: Iterable[bytes]) -> bytes:
    """The canonical header section of a CARv1, its length included."""
    header = dagcbor.encode_node({"roots": list(roots), "version": 1})
    return varint.encode(len(header)) + header


def decode_header(data: bytes) -> Header:
    """The header of a CARv1, or the version of a later one, from its DAG-CBOR bytes.

    Lenient in what does no harm: extra keys, integers that are not minimal.

    :raises CarError: if it is no header of a CAR
    """
    links = dagcbor.scan(data, max_depth=_MAX_HEADER_DEPTH)
    try:
        value = libipld.decode_dag_cbor(data)
    except ValueError as error:
        raise MalformedError(f"expected a CAR header in DAG-CBOR: {error}") from None
    if not isinstance(value, dict):
        raise MalformedError(f"expected a CAR header, a map; found {type(value).__name__}")
    version = value.get("version")
    if type(version) is not int:
        raise MalformedError(f"expected the version in the CAR header, found {version!r}")
    if version != 1:
        return Header(version, [])
    roots = value.get("roots")
    if not isinstance(roots, list) or not all(type(root) is bytes and root in links for root in roots):
        raise MalformedError("expected a list of CIDs as roots in the CAR header, found something else")
    return Header(version, roots)


def decode_v2_header(data: bytes) -> V2Header:
    """The 40 bytes behind the pragma of a CARv2.

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
            f"expected the index of a CARv2 behind its data, which end at {data_offset + data_size}; found {index_offset}"
        )
    return V2Header(bool(characteristics[0] & 0x80), data_offset, data_size, index_offset)


def check_inner(header: Header) -> None:
    """The payload of a CARv2 must be a CARv1.

    :raises CarError: if it is not
    """
    if header.version != 1:
        raise MalformedError(f"expected a CARv1 inside the CARv2, found version {header.version}")
