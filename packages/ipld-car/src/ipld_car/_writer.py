"""Writing archives as streams."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Protocol, Self

from multiformats import CID

from . import cids, varint
from ._block import BlockLocation
from ._errors import LimitError
from ._header import encode_header
from ._reader import MAX_SECTION_BYTES
from .hashes import verify_digest


class Writable(Protocol):
    """A stream to write to: a file, a pipe, ``socket.makefile("wb")``."""

    def write(self, data: bytes, /) -> object: ...


class CarWriter:
    """Writes a CARv1 to a stream, a block at a time.

    The header is written at once, so the roots must be known. Locations count from where the archive
    begins. The stream stays open: it belongs to the caller. Blocks are written as they come, duplicates too.

    One thread at a time may write.

    :param stream: anything with ``write(bytes)``
    :param roots: the CIDs that the header names
    :param verify: check every block against its CID before it is written
    :param max_section_bytes: the longest section; readers refuse those over 8 MiB
    :raises CarError: if a root is no CID

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
        max_section_bytes: int = MAX_SECTION_BYTES,
    ) -> None:
        header = encode_header([cids.to_bytes(root) for root in roots])
        self._stream = stream
        self._verify = verify
        self._max_section_bytes = max_section_bytes
        self._closed = False
        self._put(header)
        self._offset = len(header)

    def _put(self, data: bytes) -> None:
        written = self._stream.write(data)
        # A raw stream may take a part of what it is given; half a section would spoil the archive.
        while isinstance(written, int) and written < len(data):
            data = data[written:]
            written = self._stream.write(data)

    def write(self, cid: CID | str | bytes, data: bytes) -> BlockLocation:
        """Write one block; returns where it is.

        :param cid: the CID of the block, as object, text or bytes
        :raises HashMismatchError: if these are not the bytes that the CID names; nothing is written
        :raises LimitError: if the section would be longer than ``max_section_bytes``; nothing is written
        :raises ValueError: if the writer is closed
        """
        if self._closed:
            raise ValueError("expected an open CarWriter, found a closed one")
        binary = cids.to_bytes(cid)
        if self._verify:
            verify_digest(binary, data)
        size = len(binary) + len(data)
        if size > self._max_section_bytes:
            raise LimitError(f"expected a section of at most {self._max_section_bytes} bytes, found {size}")
        length = varint.encode(size)
        location = BlockLocation(self._offset, len(length), len(binary), len(data))
        self._put(b"".join((length, binary, data)))
        self._offset += location.size
        return location

    def close(self) -> None:
        """End the archive and flush the stream; further writing is an error."""
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
