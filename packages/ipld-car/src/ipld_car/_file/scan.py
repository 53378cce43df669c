"""Where in a file the blocks are, found without an index: from section to section, over the payloads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Final

from ipld_car import cids, varint
from ipld_car._car.index import MULTIHASH_INDEX_SORTED, CarIndex
from ipld_car._car.index_writer import IndexWriter
from ipld_car._car.limits import MAX_SECTION_BYTES
from ipld_car.errors import CarError, MalformedError, TruncatedError, UnverifiableError
from ipld_car.hashes import verify_digest

Read = Callable[[int, int], bytes]
"""Gives bytes of the file by position and size."""
Section = tuple[int, int, bytes, int]
"""Position in the file, bytes of the length varint, binary CID, bytes of the payload."""

_HEAD: Final = varint.MAX_BYTES + cids.MAX_CID_BYTES
_STEP: Final = 1 << 16
_NULS: Final = 1 << 20


def sections(read: Read, start: int, stop: int) -> Iterator[Section]:
    """The sections between two positions, in their order; payloads longer than 64 KiB are not read.

    :raises TruncatedError: if one goes on behind ``stop``, with its position
    :raises CarError: if something there is no section, with its position
    """
    buffer, base, position = b"", start, start
    while position < stop:
        at = position - base
        if at + _HEAD > len(buffer) and base + len(buffer) < stop:
            # Behind a large payload only the head of the next section: the blocks may all be large.
            step = min(_STEP if at <= len(buffer) else _HEAD, stop - position)
            buffer, base, at = read(position, step), position, 0
        try:
            size, begin = varint.decode(buffer, at)
            if not size:
                raise MalformedError("expected a section, found one of length zero")
            end = base + begin + size
            if end > stop:
                found = f"expected a section of {size} bytes, found {stop - base - begin} to the end"
                if size > MAX_SECTION_BYTES:
                    raise MalformedError(f"{found}, and no writer makes one that long")
                raise TruncatedError(found)
            try:
                cid_size = cids.prefix_of(buffer, begin, min(begin + size, len(buffer))).cid_size
            except TruncatedError as error:
                raise MalformedError(f"expected a section with a whole CID: {error.message}") from None
        except CarError as error:
            raise error.at(position) from None
        yield position, begin - at, buffer[begin : begin + cid_size], size - cid_size
        position = end


def sections_until_torn(read: Read, start: int, stop: int) -> Iterator[Section]:
    """The sections up to the end of a file, but for the last if its writer was stopped in the middle of it.

    :raises CarError: if something else there is no section, with its position
    """
    try:
        yield from sections(read, start, stop)
    except TruncatedError:
        return
    except CarError as error:
        if error.offset is None or not is_nothing(read, error.offset, stop):
            raise


def whole_sections(read: Read, start: int, stop: int) -> Iterator[Section]:
    """The sections between two positions whose blocks are what their CIDs say, up to the first that is not.

    For what a writer left that was stopped: it cannot be told where the last section ends that is all there. One whose
    hash function is not known here is taken if one that is whole comes behind it, or the very end.
    """
    unknown: list[Section] = []
    try:
        for section in sections(read, start, stop):
            position, varint_size, cid, size = section
            if size > MAX_SECTION_BYTES:
                return
            try:
                verify_digest(cid, read(position + varint_size + len(cid), size))
            except UnverifiableError:
                unknown.append(section)
                if position + varint_size + len(cid) + size < stop:
                    continue
            else:
                unknown.append(section)
            yield from unknown
            unknown.clear()
    except CarError:  # that is where it was stopped
        return


def index_of(found: Iterator[Section], start: int, end: int) -> tuple[CarIndex, int, bool]:
    """An index of sections, in memory; the position behind the last of them; and whether it has every one.

    :param start: where the CARv1 begins
    :param end: the position behind the last section if there is none
    :raises CarError: what ``found`` raises
    """
    writer, stream = IndexWriter(), BytesIO()
    complete = True
    for position, varint_size, cid, size in found:
        writer.add(cid, position - start)
        end = position + varint_size + len(cid) + size
        complete = complete and not is_identity(cid)
    writer.write(stream)
    return CarIndex(stream.getvalue()), end, complete


def is_identity(cid: bytes) -> bool:
    """Whether a CID holds its bytes itself."""
    return not cids.is_cidv1_sha256(cid) and cids.prefix_of(cid).hash_code == cids.IDENTITY


def is_nothing(read: Read, start: int, stop: int) -> bool:
    """Whether there are only zeros between two positions: what a crash leaves of bytes that were never written."""
    return not any(any(read(at, min(_NULS, stop - at))) for at in range(start, stop, _NULS))


def is_index_of(index: CarIndex, found: Iterator[Section], start: int) -> bool:
    """Whether an index is in order and has the sections, each of them and nothing else, but for identity CIDs.

    Holds neither: what is compared are sums of hashes, which nobody can foresee.

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
    for position, _, cid, _ in found:
        prefix = cids.prefix_of(cid)
        code = prefix.hash_code if by_hash else None
        value = hash((code, cid[prefix.size :], position - start))
        if prefix.hash_code == cids.IDENTITY:
            inline += value
        else:
            total -= value
    return total in (0, inline)
