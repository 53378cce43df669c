"""DAG-PB blocks, the protobuf codec of UnixFS files and directories.

Encoding is canonical. Decoding is strict, except that links and data may come in either order, as the specification
lets readers decide. Source: https://ipld.io/specs/codecs/dag-pb/spec/.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from ipld_car import cids, varint
from ipld_car.errors import CarError, MalformedError, TruncatedError

__all__ = ["PBLink", "PBNode", "decode", "encode", "encode_field", "fields", "links"]

_VARINT: Final = 0
_BYTES: Final = 2


class PBLink(NamedTuple):
    """A link of a node."""

    cid: bytes
    """Binary CID."""
    name: str | None = None
    size: int | None = None
    """Bytes of the whole graph below (``Tsize``), as the writer of the link claims. It is never relied on."""


class PBNode(NamedTuple):
    """A decoded node."""

    links: list[PBLink]
    data: bytes | None


def fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Iterate over the fields of a protobuf message: number, offset in the message, and value.

    :raises CarError: with the offset in the message, if a field is cut short or has a wire type other than varint
        and bytes
    """
    position = 0
    while position < len(data):
        start = position
        try:
            key, position = varint.decode(data, position)
            value, position = varint.decode(data, position)
        except CarError as error:
            raise error.at(start) from None
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            yield number, start, value
        elif wire_type == _BYTES:
            if value > len(data) - position:
                raise TruncatedError(f"expected {value} bytes, found {len(data) - position}", offset=start)
            yield number, start, data[position : position + value]
            position += value
        else:
            raise MalformedError(f"expected a varint or bytes, found wire type {wire_type}", offset=start)


def decode(block: bytes) -> PBNode:
    """Return the node of a DAG-PB block.

    :raises CarError: with the offset in the block, if the block is not DAG-PB
    """
    links: list[PBLink] = []
    data: bytes | None = None
    for part in _parts(block):
        if isinstance(part, PBLink):
            links.append(part)
        else:
            data = part
    return PBNode(links, data)


def links(block: bytes) -> list[bytes]:
    """Return the binary CIDs that a DAG-PB block links to, in the order of their encoding.

    :raises CarError: as :func:`decode`
    """
    return [part.cid for part in _parts(block) if isinstance(part, PBLink)]


def _parts(block: bytes) -> Iterator[PBLink | bytes]:
    """Iterate over the links and the data of a block, in the order of their encoding."""
    has_data = False
    for number, offset, value in fields(block):
        if number == 2 and isinstance(value, bytes):
            try:
                yield _link(value)
            except CarError as error:
                raise type(error)(error.message, offset=offset) from None
        elif number == 1 and isinstance(value, bytes) and not has_data:
            has_data = True
            yield value
        else:
            raise MalformedError(f"expected links and at most one data field, found field {number}", offset=offset)


def _link(message: bytes) -> PBLink:
    found: dict[int, int | bytes] = {}
    for number, _, value in fields(message):
        if number not in (1, 2, 3) or (found and number <= max(found)):
            raise MalformedError(f"expected hash, name and size of a link in this order, found field {number}")
        if isinstance(value, int) is not (number == 3):
            raise MalformedError(f"expected another wire type for field {number} of a link")
        found[number] = value
    cid, name, size = found.get(1), found.get(2), found.get(3)
    if not isinstance(cid, bytes):
        raise MalformedError("expected a link with the CID of a block, found none")
    if not cids.is_cidv1_sha256(cid):
        cids.check(cid)
    try:
        text = name.decode() if isinstance(name, bytes) else None
    except UnicodeDecodeError as error:
        raise MalformedError(f"expected the name of a link in UTF-8: {error}") from None
    return PBLink(cid, text, size if isinstance(size, int) else None)


def encode_field(number: int, value: bytes | int) -> bytes:
    """Return the encoding of one field of a protobuf message."""
    if isinstance(value, int):
        return varint.encode(number << 3 | _VARINT) + varint.encode(value)
    return varint.encode(number << 3 | _BYTES) + varint.encode(len(value)) + value


def encode(links: Iterable[PBLink], data: bytes | None = None) -> bytes:
    """Return the DAG-PB block of these links, in this order, and this data.

    :raises CarError: if the CID of a link is no CID

    >>> encode([], b"").hex()
    '0a00'
    """
    parts = []
    for link in links:
        cids.check(link.cid)
        message = encode_field(1, link.cid)
        if link.name is not None:
            message += encode_field(2, link.name.encode())
        if link.size is not None:
            message += encode_field(3, link.size)
        parts.append(encode_field(2, message))
    if data is not None:
        parts.append(encode_field(1, data))
    return b"".join(parts)
