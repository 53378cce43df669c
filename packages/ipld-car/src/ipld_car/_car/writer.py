"""Write archives to streams."""

from __future__ import annotations

from collections.abc import Iterable
from io import RawIOBase
from types import TracebackType
from typing import Self

from multiformats import CID

from ipld_car import cids, varint
from ipld_car.errors import LimitError
from ipld_car.hashes import verify_digest
from ipld_car.streams import Writable

from .block import BlockLocation
from .header import encode_header
from .limits import MAX_HEADER_BYTES, MAX_SECTION_BYTES

# What is left of a section that a raw stream took in part is offered in pieces of this size.
_PIECE = 1 << 20


class CarWriter:
    """Writes a CARv1 to a stream, block by block.

    The constructor writes the header, so the roots must be known. Offsets count from the start of the archive.
    Duplicate blocks are written again. The writer does not close the stream.

    One thread at a time may write.

    :param stream: anything with ``write(bytes)``
    :param roots: the CIDs that the header names
    :param verify: check each block against its CID before it is written
    :param max_header_bytes: the longest header; by default readers refuse one over 32 MiB
    :param max_section_bytes: the longest section (CID and block); by default readers refuse one over 8 MiB
    :raises CarError: if a root is no CID, or there are too many

    >>> from io import BytesIO
    >>> stream = BytesIO()
    >>> with CarWriter(stream, ["bafkqaaa"]) as writer:
    ...     location = writer.write("bafkqaaa", b"")
    >>> location.offset, len(stream.getvalue())
    (26, 31)
    """

    def __init__(
        self,
        stream: Writable,
        roots: Iterable[CID | str | bytes],
        *,
        verify: bool = True,
        max_header_bytes: int = MAX_HEADER_BYTES,
        max_section_bytes: int = MAX_SECTION_BYTES,
    ) -> None:
        header = encode_header([cids.to_bytes(root) for root in roots])
        if len(header) > max_header_bytes:
            raise LimitError(f"expected a header of at most {max_header_bytes} bytes, found {len(header)}")
        self._stream = stream
        self._verify = verify
        self._max_section_bytes = max_section_bytes
        self._closed = False
        self._broken = False
        self._offset = 0
        self._put(header)

    def _put(self, data: bytes) -> None:
        self._broken = True  # until all of it is written: an archive with half a section is damaged
        position = 0
        while position < len(data):
            piece = data[position : position + _PIECE] if position else data
            written = self._stream.write(piece)
            if written is None and isinstance(self._stream, RawIOBase):
                raise BlockingIOError("expected a stream that blocks, found one that takes no bytes now")
            if not isinstance(written, int):  # a stream that returns no count has taken all
                written = len(piece)
            if not 0 < written <= len(piece):
                raise OSError(f"expected a stream that takes 1 to {len(piece)} bytes, found one that took {written}")
            position += written
        self._offset += len(data)
        self._broken = False

    def write(self, cid: CID | str | bytes, data: bytes) -> BlockLocation:
        """Write a block and return its location.

        :param cid: the CID of the block, as object, text or bytes
        :param data: the bytes of the block
        :raises HashMismatchError: if the block has another digest than its CID; nothing is written
        :raises LimitError: if the section would be longer than ``max_section_bytes``; nothing is written
        :raises ValueError: if the writer is closed, or an earlier write to the stream has failed
        """
        if self._closed:
            raise ValueError("expected an open CarWriter, found a closed one")
        if self._broken:
            raise ValueError("a write has failed, so the archive ends in the middle of a section: begin a new one")
        if not isinstance(data, bytes):
            data = bytes(memoryview(data))
        binary = cids.to_bytes(cid)
        if self._verify:
            verify_digest(binary, data)
        size = len(binary) + len(data)
        if size > self._max_section_bytes:
            raise LimitError(f"expected a section of at most {self._max_section_bytes} bytes, found {size}")
        length = varint.encode(size)
        location = BlockLocation(self._offset, len(length), len(binary), len(data))
        self._put(b"".join((length, binary, data)))
        return location

    def close(self) -> None:
        """Close the writer and flush the stream. The stream stays open."""
        if not self._closed:
            self._closed = True
            flush = getattr(self._stream, "flush", None)
            if flush is not None:
                flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
