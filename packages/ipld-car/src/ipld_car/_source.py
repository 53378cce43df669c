"""Bytes from anywhere, through a window that never grows past what is asked for."""

from __future__ import annotations

from collections.abc import Callable
from io import BufferedIOBase, BytesIO
from typing import Final, Protocol

from ._errors import TruncatedError

STEP: Final = 1 << 15
"""Bytes that are asked of a stream at once; small enough to stay in the processor's cache."""


class Readable(Protocol):
    """A stream: a file, a pipe, ``socket.makefile("rb")``, the body of a response."""

    def read(self, size: int, /) -> bytes: ...


Source = bytes | bytearray | memoryview | Readable


def _reader(source: Readable | bytearray | memoryview) -> Callable[[int], bytes]:
    if isinstance(source, (bytearray, memoryview)):
        return BytesIO(source).read
    if isinstance(source, BufferedIOBase):
        return source.read1  # what a pipe has now, instead of waiting for a whole step
    read = getattr(source, "read", None)
    if read is None:
        raise TypeError(f"expected bytes or a stream with read(), found {type(source).__name__}")
    return source.read


class Window:
    """The bytes of a source from a position on, as far as they are needed.

    ``buffer[position:]`` is what has been read and not yet used. A declared length never allocates: a
    stream is read in steps, and ends where it ends.
    """

    def __init__(self, source: Source) -> None:
        self.buffer = b""
        self.position = 0
        self.missing: int | None = None
        """Bytes that a limit allows beyond those read; at the end of the source, the bytes that lack."""
        self.base = 0
        """Offset of ``buffer[0]`` in the source."""
        self._read: Callable[[int], bytes] | None = None
        if isinstance(source, bytes):
            self.buffer = source
        else:
            self._read = _reader(source)

    @property
    def offset(self) -> int:
        """The offset of the next byte in the source."""
        return self.base + self.position

    def limit(self, size: int) -> None:
        """End the source ``size`` bytes from here: what stands behind is not seen."""
        have = len(self.buffer) - self.position
        self.missing = max(size - have, 0)
        if have > size:
            self.buffer = self.buffer[: self.position + size]

    def _more(self, size: int) -> bytes:
        """Up to ``size`` bytes of the stream, at least one unless it has ended."""
        if self._read is None:
            return b""
        wanted = size if self.missing is None else min(size, self.missing)
        data = self._read(wanted) if wanted else b""
        if data is None:
            raise BlockingIOError("expected a stream that blocks, found one that has no bytes ready")
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"expected a binary stream, found one that gives {type(data).__name__}")
        if len(data) > wanted:
            raise OSError(f"expected at most {wanted} bytes from the stream, found {len(data)}")
        if self.missing is not None:
            self.missing -= len(data)
        return bytes(data)

    def fill(self, size: int) -> int:
        """Have ``size`` bytes in the window, or all up to the end; returns how many there are."""
        have = len(self.buffer) - self.position
        if have >= size or self._read is None:
            return have
        parts = [self.buffer[self.position :]]
        self.base += self.position
        self.position = 0
        while have < size:
            # Of a large section exactly what it lacks, so that it is copied once.
            data = self._more(min(max(size - have, STEP), 8 * STEP))
            if not data:
                break
            parts.append(data)
            have += len(data)
        self.buffer = b"".join(parts)
        return have

    def take(self, size: int, what: str) -> bytes:
        """The next ``size`` bytes.

        :raises TruncatedError: if the source ends before
        """
        have = self.fill(size)
        if have < size:
            raise TruncatedError(f"expected {what} of {size} bytes, found {have}", offset=self.offset)
        data = self.buffer[self.position : self.position + size]
        self.position += size
        return data

    def skip(self, size: int) -> None:
        """Go on ``size`` bytes without holding them.

        :raises TruncatedError: if the source ends before
        """
        while size:
            step = min(size, STEP)
            have = self.fill(step)
            if not have:
                raise TruncatedError(f"expected {size} more bytes, found the end", offset=self.offset)
            step = min(step, have)
            self.position += step
            size -= step
