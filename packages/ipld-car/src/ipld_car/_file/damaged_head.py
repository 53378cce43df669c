"""Where a section is whose length or CID is damaged, as the index and the sections beside it tell."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from ipld_car import varint
from ipld_car.errors import CarError, HashMismatchError
from ipld_car.hashes import verify_digest

from .block_table import BlockTable, key_of
from .layout import Buffer
from .scan import check_length, cid_at, length_at

_DIGEST: Final = re.compile(rb"[\x12\x1e]\x20")
"""How the multihash of nearly all blocks begins: SHA-256 or BLAKE3, with 32 bytes."""
_BEFORE_DIGEST: Final = (2, 0, 3)
"""Bytes of a CID before its multihash: of version 1 with a codec of one byte, of version 0, with a codec of two."""
_MOST_HASHED: Final = 8
"""How often the bytes of a tail are hashed, at most: a file may be made to look like many sections."""
_MOST_TRIES: Final = 100_000
"""Sections that are looked for in a tail, at most."""


def offsets_of(table: BlockTable) -> list[int]:
    """Return where the index has sections, in the order of the file."""
    return sorted({table.layout.start + entry.offset for entry in table.index})


def place_of(table: BlockTable, offsets: list[int], key: bytes, size: int) -> int | None:
    """Return the offset at which a section can be written over a damaged one; None if that is not certain.

    The index must name the offset, up to the next one there must be the bytes of the section and no more, and the
    sections before it must end there.

    :param offsets: see :func:`offsets_of`
    :param key: the multihash of the block
    :param size: bytes of the section
    """
    for found in table.index.find(key):
        offset = table.layout.start + found
        at = bisect_left(offsets, offset)
        behind = offsets[at + 1] if at + 1 < len(offsets) else table.layout.end
        if behind - offset == size and _begins(table, offsets, at):
            return offset
    return None


def _begins(table: BlockTable, offsets: list[int], at: int) -> bool:
    """Return whether a section begins where the index says: the nearest one before that is whole leads there."""
    for before in range(at - 1, -1, -1):
        end = _end_of(table, offsets[before])
        if end is not None:
            return end == offsets[before + 1]
    return offsets[0] == table.layout.first


def _end_of(table: BlockTable, offset: int) -> int | None:
    """Return where a section ends; None if its head is not that of a block of the index there."""
    buffer, stop = table.buffer, table.layout.end
    try:
        size, width = length_at(buffer, offset, stop)
        check_length(size, stop - offset - width)
        cid = cid_at(buffer, offset + width, size)
    except CarError:
        return None
    is_named = offset - table.layout.start in table.index.find(key_of(cid))
    return offset + width + size if is_named else None


def whole_section_in(buffer: Buffer, start: int, stop: int) -> int | None:
    """Return the offset of a whole section between two positions, neither of which has to be the end of one.

    It is found by what CIDs look like, and by its hash. If more looks like sections than is there without bad intent,
    the next that does is returned.
    """
    tail = bytes(buffer[start:stop])
    bytes_left, tries_left = _MOST_HASHED * len(tail), _MOST_TRIES
    for found in _DIGEST.finditer(tail):
        for before in _BEFORE_DIGEST:
            for begin in _lengths_before(tail, found.start() - before):
                section = _section_at(tail, begin)
                tries_left -= 1
                bytes_left -= len(section[1]) if section else 0
                if tries_left < 0 or bytes_left < 0 or (section and _is_whole(*section)):
                    return start + begin
    return None


def _lengths_before(tail: bytes, end: int) -> Iterator[int]:
    """Yield the offsets of varints that end at a position and are not zero."""
    if end < 1 or not 0 < tail[end - 1] < 0x80:
        return
    yield end - 1
    for begin in range(end - 2, max(end - varint.MAX_BYTES, 0) - 1, -1):
        if tail[begin] < 0x80:
            return
        yield begin


def _section_at(tail: bytes, begin: int) -> tuple[bytes, bytes] | None:
    """Return the CID and the bytes of the section that begins there; None if none can."""
    try:
        size, width = length_at(tail, begin, len(tail))
        start = begin + width
        check_length(size, len(tail) - start)
        cid = cid_at(tail, start, size)
    except CarError:
        return None
    return cid, tail[start + len(cid) : start + size]


def _is_whole(cid: bytes, data: bytes) -> bool:
    try:
        verify_digest(cid, data)
    except HashMismatchError:
        return False
    return True
