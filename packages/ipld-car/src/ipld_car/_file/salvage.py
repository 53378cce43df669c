"""The whole sections of an archive that is damaged, found behind the damage by what CIDs look like and by their hashes.

A section whose length is damaged leads to where none begins. Nothing tells then where the next one begins, but its
bytes: a length, a CID with SHA-256 or BLAKE3, and a block that has this hash. Of any other hash function nothing is
looked for, as it may prove nothing.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from ipld_car._car.limits import MAX_SECTION_BYTES
from ipld_car.errors import CarError, HashMismatchError, UnverifiableError
from ipld_car.hashes import verify_digest

from .layout import Buffer, Lost
from .scan import Section, cid_at, is_zeros, sections

_DIGEST: Final = re.compile(rb"[\x12\x1e]\x20")
"""How the multihash of nearly all blocks begins: SHA-256 or BLAKE3, with 32 bytes."""
_FIRST_PIECE: Final = 1 << 12
_PIECE: Final = 1 << 20
_HEAD: Final = 8
"""Bytes of a section before its multihash, at most: a length of 4 bytes and a CID with a codec of 2."""
_MOST_RECENT: Final = 1000
"""Sections before an error that may not be there, as a damaged length has led to them."""
_LEAST_TRIES: Final = 100_000
_BYTES_A_TRY: Final = 64
"""Of so many bytes one may look like the beginning of a section."""
_MOST_HASHED: Final = 8
"""How often the bytes of an archive are hashed in vain, at most."""


def undamaged_sections(
    buffer: Buffer,
    first: int,
    stop: int,
    lost: list[Lost],
    *,
    zero_is_end: bool = False,
    verifies_end: bool = False,
    verifies_all: bool = False,
) -> Iterator[Section]:
    """Yield the sections between two positions, also those behind damage.

    Where all is well, nothing is hashed. Time is in proportion to the bytes, whatever they are: each is hashed at most
    some ten times, and one in 64 is tried for the beginning of a section. When that is used up, the rest is lost.

    :param lost: takes the ranges that are lost, in their order
    :param zero_is_end: see :func:`sections`; a length of zero before anything but zeros is damage
    :param verifies_end: drop the last section if its block is not what its CID says, as its end may never have been
        written
    :param verifies_all: drop each such section; one whose hash function is not known here stays where it leads to one
        that is right, or to the end
    """
    search = _Search(buffer, first, stop)
    position = first
    while True:
        found = sections(buffer, position, stop, zero_is_end=zero_is_end, limit=sys.maxsize)
        recent: list[Section] = []
        end, is_damaged = position, False
        try:
            for batch in _right(buffer, found, recent, search) if verifies_all else _all_but_last(found, recent):
                yield from batch
                end = _end_of(batch[-1])
        except CarError:
            is_damaged = True
        count = len(recent)
        if is_damaged and verifies_all:
            count = 0  # nothing shows that they are there
        elif is_damaged or verifies_end:
            count = _count_there(buffer, recent)
        search.spend(recent[count:])
        if count:
            yield from recent[:count]
            end = _end_of(recent[count - 1])
        if not is_damaged and count == len(recent) and not (zero_is_end and _is_damaged_length(buffer, end, stop)):
            return
        whole = search.find_whole(end)
        lost.append((end, stop if whole is None else whole))
        if whole is None:
            return
        position = whole


def _all_but_last(found: Iterator[Section], recent: list[Section]) -> Iterator[list[Section]]:
    """Yield sections in batches, and keep the last ones back.

    :param found: if it raises, the sections before are among those that were given or kept back
    :param recent: takes the sections that are kept back
    """
    size = -1
    while len(recent) > size:
        size = len(recent)
        recent.extend(islice(found, _MOST_RECENT))  # which keeps what came before an error
        if len(recent) > _MOST_RECENT:
            batch = recent[:-_MOST_RECENT]
            del recent[:-_MOST_RECENT]
            size = len(recent) - 1
            yield batch


def _right(buffer: Buffer, found: Iterator[Section], recent: list[Section], search: _Search) -> Iterator[list[Section]]:
    """Yield sections whose blocks are what their CIDs say, and those before them whose hash function is not known.

    :param recent: takes sections of unknown hash functions, until a right one follows
    :param search: is told what was hashed in vain
    :raises HashMismatchError: at a section that is wrong
    """
    for section in found:
        proof = _proof(buffer, section)
        if proof is False:
            search.spend([section])
            raise HashMismatchError(f"expected the bytes that the CID names, found others at offset {section[0]}")
        recent.append(section)
        if proof or len(recent) > _MOST_RECENT:
            yield recent.copy()
            recent.clear()


def stretches(first: int, stop: int, lost: Iterable[Lost]) -> Iterator[tuple[int, int]]:
    """Yield the ranges of bytes between two positions that are not lost."""
    position = first
    for start, behind in lost:
        yield position, start
        position = behind
    yield position, stop


def described(lost: list[Lost]) -> str:
    """Return ranges of bytes in words."""
    shown = ", ".join(f"{start} to {behind}" for start, behind in lost[:5])
    more = f" and {len(lost) - 5} more ranges" if len(lost) > 5 else ""  # as many as are shown
    size = sum(behind - start for start, behind in lost)
    return f"no whole section is in the bytes {shown}{more}, {size} bytes"


def _is_damaged_length(buffer: Buffer, end: int, stop: int) -> bool:
    """Return whether a length of zero is none that ends an archive, as it is not followed by zeros alone."""
    return end < stop and not is_zeros(buffer, end, stop)


def _end_of(section: Section) -> int:
    return section[2] + section[3]


def _proof(buffer: Buffer, section: Section) -> bool | None:
    """Return whether a block is what its CID says; None if its hash function is not known here."""
    _, cid, begin, size = section
    try:
        verify_digest(cid, buffer[begin : begin + size])
    except UnverifiableError:
        return None
    except HashMismatchError:
        return False
    return True


def _count_there(buffer: Buffer, recent: list[Section]) -> int:
    """Return how many of the sections before an error are there: up to the last whose block is what its CID says.

    Where there is none, as their hash functions are not known here, up to the first that is wrong.
    """
    count = len(recent)
    for number in range(len(recent) - 1, -1, -1):
        proof = _proof(buffer, recent[number])
        if proof:
            return number + 1
        if proof is False:
            count = number
    return count


class _Search:
    """Looks for whole sections in an archive, within bounds for all of it.

    :param buffer: the archive
    :param first: where its sections begin
    :param stop: where they end
    """

    def __init__(self, buffer: Buffer, first: int, stop: int) -> None:
        self._buffer = buffer
        self._stop = stop
        self._tries = _LEAST_TRIES + (stop - first) // _BYTES_A_TRY
        self._bytes = _MOST_HASHED * (stop - first)

    def spend(self, dropped: Iterable[Section]) -> None:
        """Count sections that were looked at and are not there: damage may lead to the same ones many times."""
        for _, _, _, size in dropped:
            self._tries -= 1
            self._bytes -= size

    def find_whole(self, start: int) -> int | None:
        """Return the offset of the first whole section that begins at a position or behind it; None without one."""
        base, length = start, _FIRST_PIECE  # mostly it is near
        while base < self._stop:
            # With what may stand before a multihash in the piece before, and one byte of the next.
            begin = max(base - _HEAD, start)
            piece = bytes(self._buffer[begin : min(base + length + 1, self._stop)])
            for found in _DIGEST.finditer(piece, base - begin):
                self._tries -= 1
                if self._tries < 0 or self._bytes < 0:
                    return None
                for at, width, size in _lengths_before(piece, found.start()):
                    if self._is_whole(begin + at, width, size):
                        return begin + at
            base, length = base + length, min(2 * length, _PIECE)
        return None

    def _is_whole(self, offset: int, width: int, size: int) -> bool:
        start = offset + width
        if size > min(MAX_SECTION_BYTES, self._stop - start):
            return False
        self._tries -= 1
        try:
            cid = cid_at(self._buffer, start, size)
        except CarError:
            return False
        self._bytes -= size - len(cid)
        return _proof(self._buffer, (offset, cid, start + len(cid), size - len(cid))) is True


def _lengths_before(piece: bytes, multihash: int) -> Iterator[tuple[int, int, int]]:
    """Yield lengths that may begin a section with a multihash at a position: offset, bytes of the length, length."""
    for before in (2, 0, 3):  # a CID of version 1 with a codec of one byte, of version 0, of version 1 with two
        end = multihash - before
        if end < 1 or (before and (piece[end] != 1 or (piece[end + 1] > 0x7F) is not (before == 3))):
            continue
        last = piece[end - 1]
        if not 0 < last < 0x80:  # the last byte of a varint, in its shortest form
            continue
        size, at = last, end - 1
        least = before + 34
        if size >= least:
            yield at, 1, size
        while at and piece[at - 1] > 0x7F and end - at < 4:  # a length of 4 bytes is over every limit
            at -= 1
            size = size << 7 | piece[at] & 0x7F
            if size >= least:
                yield at, end - at, size
