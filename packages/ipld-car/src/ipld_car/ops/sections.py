"""The sections of an archive in memory, from one to the next, over their payloads."""

from __future__ import annotations

from collections.abc import Iterator
from mmap import mmap
from typing import Final

from ipld_car import cids, varint
from ipld_car._car.limits import MAX_SECTION_BYTES
from ipld_car._cli.progress import progress
from ipld_car.errors import CarError, LimitError, MalformedError, TruncatedError

from .layout import Layout

Buffer = bytes | mmap

_HEAD: Final = 3 + cids.CIDV1_SHA256_SIZE
_LOOK_BYTES: Final = 1 << 18
"""Bytes between two looks at whether there is progress to show."""


Section = tuple[int, bytes, int, int]
"""Where a block is: the offset of its section in the file, its CID, the offset of the block itself, and its bytes.

No NamedTuple: to make one takes a third of the time that a section takes.
"""


def length_at(buffer: Buffer, position: int, stop: int) -> tuple[int, int]:
    """The length of the section at a position, and the bytes that it takes itself.

    :raises CarError: if there is no whole length
    """
    head = buffer[position : min(position + varint.MAX_BYTES, stop)]
    try:
        return varint.decode(head)
    except TruncatedError:
        raise TruncatedError(
            f"expected the length of a section, found its first {len(head)} bytes and then the end"
        ) from None


def check_length(size: int, left: int) -> None:
    """Refuse a section that cannot be.

    :param size: what its length says
    :param left: bytes from behind the length to the end of the archive
    :raises CarError: if it is empty, longer than a section may be, or cut short
    """
    if not size:
        raise MalformedError("expected a section, found one of length zero")
    if size > MAX_SECTION_BYTES:
        raise LimitError(f"expected a section of at most {MAX_SECTION_BYTES} bytes, found a length of {size}")
    if size > left:
        raise TruncatedError(f"expected a section of {size} bytes, found {left} and then the end")


def cid_at(buffer: Buffer, start: int, size: int) -> bytes:
    """The CID, of any form, that begins a section; ``size`` is what the section's length says.

    :raises CarError: if there is no CID, or no whole one
    """
    head = buffer[start : start + min(size, cids.MAX_CID_BYTES)]
    try:
        return head[: cids.prefix_of(head).cid_size]
    except TruncatedError as error:
        raise MalformedError(f"expected a section with a whole CID: {error.message}") from None


def sections(buffer: Buffer, layout: Layout, *, zero_is_end: bool = False) -> Iterator[Section]:
    """The sections of an archive, in their order; who looks on sees how far it is.

    :param zero_is_end: a section of length zero is the end, as of archives that are padded with zeros
    :raises CarError: with the place of what is no section
    """
    position, stop, number = layout.first, layout.end, 0
    look, usual, least, most = position, cids.CIDV1_SHA256_PREFIXES, cids.CIDV1_SHA256_SIZE, MAX_SECTION_BYTES
    try:
        with progress("reading", stop - position) as bar:
            while position < stop:
                head = buffer[position : position + _HEAD]
                # Lengths of two bytes, or one; with them, the CID that nearly all blocks have.
                first, second = (head[0], head[1]) if position + _HEAD <= stop else (0, 0)
                if first > 0x7F > second > 0:
                    size, width = first & 0x7F | second << 7, 2
                elif 0 < first < 0x80:
                    size, width = first, 1
                else:
                    size, width = length_at(buffer, position, stop)
                start = position + width
                cid = head[width : width + least]
                if not least <= size <= most or size > stop - start or cid[:4] not in usual:
                    if not size and zero_is_end:
                        return
                    check_length(size, stop - start)
                    cid = cid_at(buffer, start, size)
                elif len(cid) < least:  # behind a longer length
                    cid = buffer[start : start + least]
                yield position, cid, start + len(cid), size - len(cid)
                position = start + size
                number += 1
                if position > look:
                    bar.reach(position - layout.first)
                    look = position + _LOOK_BYTES
    except CarError as error:
        raise error.at(position, number) from None
