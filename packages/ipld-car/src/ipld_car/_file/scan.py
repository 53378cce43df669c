"""The sections of an archive, found from one to the next without reading the payloads.

A section is a varint, the CID and the block; the varint is the length of the other two.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from io import BytesIO
from mmap import mmap
from typing import Final

from ipld_car import cids, varint
from ipld_car._car.index import MULTIHASH_INDEX_SORTED, CarIndex
from ipld_car._car.index_writer import IndexWriter
from ipld_car._car.limits import EMPTY_SECTION, MAX_SECTION_BYTES
from ipld_car.errors import CarError, LimitError, MalformedError, TruncatedError, UnverifiableError
from ipld_car.hashes import verify_digest

from .layout import Buffer, FileBuffer

Section = tuple[int, bytes, int, int]
"""Offset of the section in the file, binary CID, offset of the block itself, bytes of the block.

No NamedTuple: to make one takes a third of the time that a section takes.
"""

_HEAD: Final = 3 + cids.CIDV1_SHA256_SIZE
_PIECE: Final = 1 << 20
_FEW: Final = 1 << 14
"""Bytes to look at where the first of them mostly tell."""


def length_at(buffer: Buffer, position: int, stop: int) -> tuple[int, int]:
    """Return the length of the section at a position, and the bytes that this length takes itself.

    :raises CarError: if there is no whole length
    """
    head = buffer[position : min(position + varint.MAX_BYTES, stop)]
    try:
        return varint.decode(head)
    except TruncatedError:
        raise TruncatedError(
            f"expected the length of a section, found its first {len(head)} bytes and then the end"
        ) from None


def check_length(size: int, left: int, limit: int = MAX_SECTION_BYTES) -> None:
    """Refuse a section that cannot be.

    :param size: what its length says
    :param left: bytes from behind the length to the end of the archive
    :param limit: the longest section that is taken
    :raises CarError: if it is empty, longer than that, or cut short
    """
    if not size:
        raise MalformedError(EMPTY_SECTION)
    if size > limit:
        raise LimitError(f"expected a section of at most {limit} bytes, found a length of {size}")
    if size > left:
        found = f"expected a section of {size} bytes, found {left} and then the end"
        if size > MAX_SECTION_BYTES:
            raise MalformedError(f"{found}, and no writer makes one that long")
        raise TruncatedError(found)


def cid_at(buffer: Buffer, start: int, size: int) -> bytes:
    """Return the CID, of any form, that begins a section; ``size`` is what the section's length says.

    :raises CarError: if there is no CID, or no whole one
    """
    head = buffer[start : start + min(size, cids.MAX_CID_BYTES)]
    try:
        return head[: cids.prefix_of(head).cid_size]
    except TruncatedError as error:
        raise MalformedError(f"expected a section with a whole CID: {error.message}") from None


def sections(
    buffer: Buffer,
    start: int,
    stop: int,
    *,
    zero_is_end: bool = False,
    limit: int = MAX_SECTION_BYTES,
) -> Iterator[Section]:
    """Yield the sections between two positions, in their order.

    :param zero_is_end: take a section of length zero for the end, as archives that are padded with zeros need it
    :param limit: the longest section that is taken
    :raises CarError: with the place of what is no section; a :class:`TruncatedError` if a section goes on behind
        ``stop``
    """
    position, number = start, 0
    usual, least, most = cids.CIDV1_SHA256_PREFIXES, cids.CIDV1_SHA256_SIZE, min(limit, MAX_SECTION_BYTES)
    # To slice a FileBuffer costs more than all else here. `last` is where a whole head in the piece begins at most.
    file = buffer if isinstance(buffer, FileBuffer) else None
    piece: bytes | mmap
    piece, base, last = (b"", 0, -1) if isinstance(buffer, FileBuffer) else (buffer, 0, min(len(buffer), stop) - _HEAD)
    try:
        while position < stop:
            if position > last and file is not None:
                piece, base = file.piece_at(position, _HEAD), position
                last = min(base + len(piece), stop) - _HEAD
            at = position - base
            # Lengths of two bytes, or one; with them, the CID that nearly all blocks have.
            if position <= last and (first := piece[at]) > 0x7F > (second := piece[at + 1]) > 0:
                size, width = first & 0x7F | second << 7, 2
            elif position <= last and 0 < first < 0x80:
                size, width = first, 1
            else:
                size, width = length_at(buffer, position, stop)
            begin = position + width
            at += width
            cid = piece[at : at + least]
            if not least <= size <= most or size > stop - begin or cid[:4] not in usual:
                if not size and zero_is_end:
                    return
                check_length(size, stop - begin, limit)
                cid = cid_at(buffer, begin, size)
            elif len(cid) < least:  # behind a longer length
                cid = buffer[begin : begin + least]
            yield position, cid, begin + len(cid), size - len(cid)
            position = begin + size
            number += 1
    except CarError as error:
        raise error.at(position, number) from None


# -- what a writer left that was stopped -----------------------------------------------------------------


def sections_until_torn(buffer: Buffer, start: int, stop: int, *, zero_is_end: bool = False) -> Iterator[Section]:
    """Yield the sections up to the end of a file, but for the last if its writer was stopped in the middle of it.

    :param zero_is_end: see :func:`sections`
    :raises CarError: if something else there is no section, with its place
    """
    try:
        yield from sections(buffer, start, stop, zero_is_end=zero_is_end, limit=sys.maxsize)
    except TruncatedError:
        return
    except CarError as error:
        if error.offset is None or not is_zeros(buffer, error.offset, stop):
            raise


def whole_sections(buffer: Buffer, start: int, stop: int) -> Iterator[Section]:
    """Yield the sections whose blocks are what their CIDs say, up to the first that is not.

    For what a writer left that was stopped: only hashing tells where the last section ends that is all there. A block
    whose hash function is not known here is taken if a whole one comes behind it, or the very end.
    """
    unknown: list[Section] = []
    try:
        for section in sections(buffer, start, stop):
            _, cid, begin, size = section
            try:
                verify_digest(cid, buffer[begin : begin + size])
            except UnverifiableError:
                unknown.append(section)
                if begin + size < stop:
                    continue
            else:
                unknown.append(section)
            yield from unknown
            unknown.clear()
    except CarError:  # that is where it was stopped
        return


def is_zeros(buffer: Buffer, start: int, stop: int) -> bool:
    """Return whether there are only zeros between two positions: what a crash leaves of bytes never written."""
    return not any(any(buffer[at : min(at + _FEW, stop)]) for at in range(start, stop, _FEW))


# -- indexes made of sections ----------------------------------------------------------------------------


def index_of(found: Iterator[Section], start: int, end: int) -> tuple[CarIndex, int, bool]:
    """Return an index of sections, in memory; the position behind the last of them; and whether it has every one.

    :param start: where the CARv1 begins
    :param end: the position to return if there is no section
    :raises CarError: what ``found`` raises
    """
    writer, stream = IndexWriter(), BytesIO()
    complete = True
    for position, cid, begin, size in found:
        end = begin + size
        if cids.is_cidv1_sha256(cid):
            writer.add_digest(cids.SHA2_256, cid[4:], position - start)
        else:
            writer.add(cid, position - start)
            complete = complete and not is_identity(cid)
    writer.write(stream)
    return CarIndex(stream.getvalue()), end, complete


def is_identity(cid: bytes) -> bool:
    """Return whether a CID holds its bytes itself."""
    return not cids.is_cidv1_sha256(cid) and cids.prefix_of(cid).hash_code == cids.IDENTITY


def is_index_of(index: CarIndex, found: Iterator[Section], start: int) -> bool:
    """Return whether an index is in order and has the sections, each of them and nothing else, but for identity CIDs.

    Neither is held in memory: sums of hashes are compared. Python's hash of bytes has a random key in each process,
    so an attacker cannot make an index that is wrong and has the right sum.

    :param start: where the CARv1 begins
    """
    by_hash = index.codec == MULTIHASH_INDEX_SORTED
    total, bucket, last = 0, None, b""
    for entry in index:
        if bucket == (entry.hash_code, len(entry.digest)) and entry.digest < last:
            return False
        bucket, last = (entry.hash_code, len(entry.digest)), entry.digest
        total += hash(entry)
    inline = 0
    for position, cid, _, _ in found:
        prefix = cids.prefix_of(cid)
        code = prefix.hash_code if by_hash else None
        value = hash((code, cid[prefix.size :], position - start))
        if prefix.hash_code == cids.IDENTITY:
            inline += value
        else:
            total -= value
    return total in (0, inline)
