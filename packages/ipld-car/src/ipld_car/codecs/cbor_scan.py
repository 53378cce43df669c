"""Scan the structure of CBOR in untrusted bytes, without making its values.

Sources: RFC 8949, section 3, and for the items that are allowed https://ipld.io/specs/codecs/dag-cbor/spec/.
"""

from __future__ import annotations

from typing import Final

from ipld_car import cids
from ipld_car.errors import CarError, LimitError, MalformedError, TruncatedError

UNSIGNED: Final = 0
BYTES: Final = 2
TEXT: Final = 3
LIST: Final = 4
MAP: Final = 5
TAG: Final = 6
SIMPLE: Final = 7

LINK_TAG: Final = 42

_HEAD_BYTES: Final = {24: 1, 25: 2, 26: 4, 27: 8}
# false, true, null and floats; the width of a float is left to the strict decoder
_SIMPLE_ITEMS: Final = frozenset((20, 21, 22, 25, 26, 27))


def head(data: bytes, position: int) -> tuple[int, int, int]:
    """Return the major type and argument of the item at ``position``, and the position after its head.

    :raises CarError: if the head is cut short or of indefinite length
    """
    if position >= len(data):
        raise TruncatedError("expected a CBOR item, found the end of the block", offset=position)
    first = data[position]
    major, argument = first >> 5, first & 31
    if argument < 24:
        return major, argument, position + 1
    size = _HEAD_BYTES.get(argument)
    if size is None:
        raise MalformedError("expected an item of definite length, as DAG-CBOR has only these", offset=position)
    end = position + 1 + size
    if end > len(data):
        raise TruncatedError("expected the head of a CBOR item, found the end of the block", offset=position)
    return major, int.from_bytes(data[position + 1 : end]), end


def string_end(data: bytes, start: int, position: int, size: int) -> int:
    """Return where a string ends: its item begins at ``start``, its ``size`` bytes at ``position``.

    :raises TruncatedError: if there are fewer bytes
    """
    if size > len(data) - position:
        raise TruncatedError(f"expected {size} bytes, found {len(data) - position}", offset=start)
    return position + size


def check_count(data: bytes, start: int, position: int, count: int) -> int:
    """Return ``count`` if that many items fit after ``position``, where each takes at least one byte.

    :raises TruncatedError: if they do not
    """
    if count > len(data) - position:
        raise TruncatedError(f"expected {count} items, found {len(data) - position} bytes for them", offset=start)
    return count


def scan(data: bytes, position: int, max_depth: int) -> tuple[list[bytes], int]:
    """Return the binary CIDs of the links in the item at ``position``, in order, and the end of the item.

    No value is made. Each declared length is compared with the bytes that are left. Not checked are the order of keys,
    UTF-8, minimal integers, and the width and value of floats.

    :raises CarError: with the offset in ``data``, if the item is not one that DAG-CBOR allows
    """
    found: list[bytes] = []
    open_items = [1]  # for each open container, the items that are still to come
    while open_items:
        if not open_items[-1]:
            open_items.pop()
            continue
        open_items[-1] -= 1
        start = position
        major, argument, position = head(data, position)
        if major in (BYTES, TEXT):
            position = string_end(data, start, position, argument)
        elif major in (LIST, MAP):
            count = check_count(data, start, position, argument if major == LIST else 2 * argument)
            if len(open_items) > max_depth:
                raise LimitError(f"expected maps and lists nested at most {max_depth} deep, found more", offset=start)
            open_items.append(count)
        elif major == TAG:
            cid, position = link(data, start)
            found.append(cid)
        elif major == SIMPLE and data[start] & 31 not in _SIMPLE_ITEMS:
            raise MalformedError("expected false, true, null or a float, found another simple value", offset=start)
    return found, position


def link(data: bytes, start: int) -> tuple[bytes, int]:
    """Return the binary CID of the link at ``start``, and the end of the link.

    :raises CarError: with the offset in ``data``, if there is no whole link
    """
    major, tag, position = head(data, start)
    if major != TAG or tag != LINK_TAG:
        found = f"tag {tag}" if major == TAG else f"an item of major type {major}"
        raise MalformedError(f"expected a link, tag {LINK_TAG}; found {found}", offset=start)
    major, size, position = head(data, position)
    if major != BYTES:
        raise MalformedError(f"expected a link as a byte string, found major type {major}", offset=start)
    end = string_end(data, start, position, size)
    if not size or data[position]:
        raise MalformedError("expected a link as a byte string that begins with zero", offset=start)
    cid = data[position + 1 : end]
    try:
        cids.check(cid)
    except CarError as error:
        raise type(error)(error.message, offset=start) from None
    return cid, end
