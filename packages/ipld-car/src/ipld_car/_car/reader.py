"""Read archives from streams and buffers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from multiformats import CID

from ipld_car import cids, varint
from ipld_car.cids import _BinaryCID as BinaryCID
from ipld_car.errors import CarError, LimitError, MalformedError, TruncatedError, without_frames
from ipld_car.hashes import verify_digest
from ipld_car.messages import Message, Term
from ipld_car.streams import Source

from .block import Block, BlockLocation
from .header import PRAGMA, V2_HEADER_SIZE, Header, V2Header, check_inner, decode_header, decode_v2_header
from .limits import EMPTY_SECTION, MAX_HEADER_BYTES, MAX_SECTION_BYTES
from .source import BufferedSource

# The payload of a longer section is read by itself, not through the buffer: it is not copied, and not held twice.
# Of a shorter one, a copy costs less than two reads.
_LARGE = 1 << 15

# These make objects in half the time of the constructors.
_new_object, _new_tuple = object.__new__, tuple.__new__

# A gateway that fails in mid-response appends this. As a section it has length 10 and CID version 10.
_GATEWAY_MARK = b"\n\n[Gateway Error:"


class CarReader:
    """Reads an archive, CARv1 or CARv2, from start to end.

    Iterate over the reader for each :class:`Block`, in the order of the archive. The format has no end mark, so an
    archive that was cut between two sections looks like a shorter one. The roots are those of the header; the archive
    need not hold their blocks. The reader never seeks, and holds one section and a buffer of bounded size. A reader
    that has failed raises an equal error again.

    One thread at a time may iterate.

    :param source: the archive as bytes, or a binary stream: anything with ``read(size)``
    :param verify: check each block against its CID
    :param max_header_bytes: the longest header that is accepted
    :param max_section_bytes: the longest section (CID and block) that is accepted
    :param zero_length_section_as_eof: take a section of length zero for the end of the archive instead of an error, as
        archives that are padded with zeros need it
    :raises CarError: with the offset, for a bad header; while iterating, with offset and block number, one of
        :class:`TruncatedError`, :class:`MalformedError`, :class:`LimitError`, :class:`HashMismatchError`,
        :class:`UnverifiableError`
    :raises TypeError: if the source is neither bytes nor a binary stream
    :raises BlockingIOError: if the stream does not block and has no bytes ready
    :raises OSError: if the stream raises it

    >>> reader = CarReader(bytes.fromhex("11a265726f6f7473806776657273696f6e01"))
    >>> reader.version, reader.roots, list(reader)
    (1, [], [])
    """

    version: int
    """1 or 2."""
    v2_header: V2Header | None
    """The offsets of data and index of a CARv2; None for a CARv1."""
    header_end: int
    """Bytes from the start of the source to the first section."""

    def __init__(
        self,
        source: Source,
        *,
        verify: bool = True,
        max_header_bytes: int = MAX_HEADER_BYTES,
        max_section_bytes: int = MAX_SECTION_BYTES,
        zero_length_section_as_eof: bool = False,
    ) -> None:
        self._source = BufferedSource(source)
        self._verify = verify
        self._max_header_bytes = max_header_bytes
        self._max_section_bytes = max_section_bytes
        self._zero_is_end = zero_length_section_as_eof
        self.v2_header = None
        self._failure: Exception | None = None
        self._blocks: Iterator[Block] | None = None
        self._read_headers()

    @property
    def roots(self) -> list[CID]:
        """Return the roots in the header."""
        return [cids.from_bytes(root) for root in self._roots]

    def __iter__(self) -> Iterator[Block]:
        if self._failure is not None:
            raise without_frames(self._failure)
        if self._blocks is None:
            self._blocks = self._read_blocks(triples=False)
        return self._blocks

    # -- headers --

    def _read_headers(self) -> None:
        source = self._source
        place = 0  # offset of the header that is read
        try:
            source.fill(len(PRAGMA))
            is_v2 = source.startswith(PRAGMA)
            if is_v2:
                place = len(PRAGMA)
                source.skip(place)
                data = source.take(V2_HEADER_SIZE)
                if len(data) < V2_HEADER_SIZE:
                    raise TruncatedError(f"expected a CARv2 header of {V2_HEADER_SIZE} bytes, found {len(data)}")
                header = decode_v2_header(data)
                source.skip(header.data_offset - source.offset)
                source.limit(header.data_size)
                self.v2_header = header
            place = source.offset
            inner = self._inner_header()
            if is_v2:
                check_inner(inner)
            elif inner.version == 2:
                raise MalformedError("expected the header of CARv2 to be the one that the format fixes, found another")
            elif inner.version != 1:
                raise MalformedError(f"expected an archive of CAR version 1 or 2, found version {inner.version}")
        except CarError as error:
            raise error.at(place) from None
        self.version = 2 if is_v2 else 1
        self.header_end = source.offset
        self._roots = inner.roots

    def _inner_header(self) -> Header:
        """Read the CARv1 header that begins here."""
        source = self._source
        if not source.fill(varint.MAX_BYTES):
            raise TruncatedError("expected a CAR header, found no bytes at all")
        size, start = varint.decode(source.buffer, source.position, source.stop)
        if not size:
            raise MalformedError("expected a CAR header, found one of length zero")
        if size > self._max_header_bytes:
            raise LimitError(f"expected a header of at most {self._max_header_bytes} bytes, found one of {size}")
        source.position = start
        start = source.offset
        data = source.take(size)
        if len(data) < size:
            raise TruncatedError(f"expected a header of {size} bytes, found {len(data)}", offset=start)
        try:
            return decode_header(data)
        except CarError as error:
            error.offset = start + (error.offset or 0)
            raise

    # -- sections --

    def _read_blocks(self, *, triples: bool) -> Iterator[Any]:  # noqa: PLR0912 - calls cost a third more
        """Iterate over the blocks: the hot loop, fast for sections in the buffer whose CID is like the previous one.

        :param triples: yield a tuple of CID, bytes and location for each block, instead of a :class:`Block`
        """
        source, verify, max_section = self._source, self._verify, self._max_section_bytes
        buffer, position, stop, base = source.buffer, source.position, source.stop, source.base
        number = cid_size = offset = 0
        # Of the previous CID. The same prefix means the same sizes and hash function, if the section is long enough.
        prefix, enough, is_sha256 = b"", sys.maxsize, False
        try:
            while True:
                offset = base + position
                # A minimal length of two bytes, as sections from 128 bytes to 16 KiB have, is decoded in place.
                if position + 1 < stop and (first := buffer[position]) > 0x7F > (second := buffer[position + 1]) > 0:
                    size, varint_size = first & 0x7F | second << 7, 2
                else:
                    source.position = position
                    size, varint_size = self._length()
                    if not size:
                        return
                    buffer, position, stop, base = source.buffer, source.position, source.stop, source.base
                if position + varint_size + size > stop or size > max_section:
                    source.position = position
                    self._fill_section(size, varint_size, prefix, cid_size)
                    buffer, position, stop, base = source.buffer, source.position, source.stop, source.base
                start = position + varint_size
                end = start + size
                if size < enough or not buffer.startswith(prefix, start):
                    prefix, enough, cid_size, is_sha256 = self._cid_form(start, min(end, stop))
                split = start + cid_size
                cid = buffer[start:split]
                if end <= stop:
                    data, position = buffer[split:end], end
                else:
                    source.position = split
                    data = self._large_payload(size, cid_size, varint_size)
                    buffer, position, stop, base = source.buffer, source.position, source.stop, source.base
                # Nearly all blocks have sha2-256, which is checked in place.
                if verify and not (is_sha256 and cid.endswith(sha256(data).digest())):
                    verify_digest(cid, data)
                if triples:
                    name = _new_object(BinaryCID)
                    name._binary = cid  # noqa: SLF001 - as cids.from_validated does
                    yield name, data, _new_tuple(BlockLocation, (offset, varint_size, cid_size, size - cid_size))
                else:
                    yield Block(cid, data, offset, varint_size)
                number += 1
        except Exception as error:  # of the stream too: to go on would begin in the middle of a section
            if isinstance(error, CarError):
                error.at(offset, number)
            self._failure = without_frames(error)
            raise

    def _length(self) -> tuple[int, int]:
        """Read the length of the next section; return it and the size of its varint, or (0, 0) at the end."""
        source = self._source
        # Three bytes, as sections from 16 KiB to 2 MiB have them, are decoded in place.
        if source.fill(1) >= 3:
            first, second, third = source.buffer[source.position : source.position + 3]
            if first > 0x7F < second and 0 < third < 0x80:
                return first & 0x7F | (second & 0x7F) << 7 | third << 14, 3
        # Byte by byte: the program that writes a pipe may send a section of fewer than 9 bytes and wait for an answer.
        for varint_size in range(1, varint.MAX_BYTES + 1):
            if source.fill(varint_size) < varint_size:
                if varint_size > 1:
                    raise TruncatedError(
                        f"expected the length of a section, found its first {varint_size - 1} bytes and then the end"
                    )
                if source.missing:
                    raise TruncatedError(f"expected {source.missing} more bytes of payload, found the end of the file")
                return 0, 0
            if source.buffer[source.position + varint_size - 1] < 0x80:
                break
        size, end = varint.decode(source.buffer, source.position, source.stop)
        if not size:
            if self._zero_is_end:
                return 0, 0
            raise MalformedError(EMPTY_SECTION)
        return size, end - source.position

    def _fill_section(self, size: int, varint_size: int, prefix: bytes, cid_size: int) -> None:
        """Fill the buffer with the next section, or with the CID of a large one.

        :param size: bytes of CID and payload
        :param prefix: the prefix of the previous CID, which this one is likely to have
        :param cid_size: bytes of that CID
        """
        source = self._source
        if size > self._max_section_bytes:
            raise LimitError(
                Message(
                    f"expected a section of at most {self._max_section_bytes} bytes, found a length of {size}",
                    Term("max_section_bytes", " (max_section_bytes raises the limit)"),
                )
            )
        head = varint_size + cid_size
        if size <= _LARGE:
            wanted = varint_size + size
        elif source.stop - source.position >= head > varint_size and source.buffer.startswith(
            prefix, source.position + varint_size
        ):
            return
        else:
            wanted = varint_size + cids.MAX_CID_BYTES
        have = source.fill(wanted)
        if have < wanted:
            if source.startswith(_GATEWAY_MARK):
                raise _truncated_response()
            raise _truncated_section(size, have - varint_size)

    def _large_payload(self, size: int, cid_size: int, varint_size: int) -> bytes:
        """Return the payload of a section that is not all in the buffer, from behind its CID."""
        source = self._source
        data = source.take(size - cid_size)
        if cid_size + len(data) < size:
            raise _truncated_section(size, cid_size + len(data))
        # Large sections come in rows. The next head by itself leaves all of the next payload to one read.
        source.next_read = varint_size + cid_size
        return data

    def _cid_form(self, start: int, end: int) -> tuple[bytes, int, int, bool]:
        """Parse the prefix of the CID of the section from ``start`` to ``end``.

        :returns: the prefix, the size of sections from which on the same prefix means a CID of the same form, the size
            of the CID, and whether its hash function is sha2-256
        """
        buffer = self._source.buffer
        try:
            form = cids.prefix_of(buffer, start, end)
        except TruncatedError as error:
            raise MalformedError(f"expected a section with a whole CID: {error.message}") from None
        except MalformedError:
            self._source.fill(len(_GATEWAY_MARK))
            if self._source.startswith(_GATEWAY_MARK):
                raise _truncated_response() from None
            raise
        is_sha256 = form.hash_code == cids.SHA2_256 and form.digest_size == 32
        return (
            buffer[start : start + form.size],
            form.cid_size if form.version else sys.maxsize,
            form.cid_size,
            is_sha256,
        )


def _truncated_section(size: int, found: int) -> TruncatedError:
    return TruncatedError(f"expected a section of {size} bytes, found {found} and then the end")


def _truncated_response() -> TruncatedError:
    return TruncatedError(
        "truncated response: the gateway that sent this archive failed, and wrote an error message into it"
    )


def read_car(
    source: Source,
    *,
    verify: bool = True,
    max_header_bytes: int = MAX_HEADER_BYTES,
    max_section_bytes: int = MAX_SECTION_BYTES,
    zero_length_section_as_eof: bool = False,
) -> tuple[list[CID], Iterator[tuple[CID, bytes, BlockLocation]]]:
    """Return the roots of an archive, and an iterator over its blocks: CID, bytes and location of each.

    The blocks are read while the iterator is used. Arguments and errors are those of :class:`CarReader`.

    >>> roots, blocks = read_car(bytes.fromhex("11a265726f6f7473806776657273696f6e01"))
    >>> roots, list(blocks)
    ([], [])
    """
    reader = CarReader(
        source,
        verify=verify,
        max_header_bytes=max_header_bytes,
        max_section_bytes=max_section_bytes,
        zero_length_section_as_eof=zero_length_section_as_eof,
    )
    return reader.roots, reader._read_blocks(triples=True)  # noqa: SLF001 - its own module
