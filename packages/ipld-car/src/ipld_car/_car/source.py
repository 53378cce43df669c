"""Bytes from anywhere, through a buffer that never grows past what is asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from io import BufferedIOBase
from typing import Final

from ipld_car.errors import TruncatedError
from ipld_car.streams import Readable, Source

STEP: Final = 1 << 16
"""Bytes that are asked of a stream at once; small enough to stay in the processor's cache."""


# Pieces of a section that are held apart before they are put together: a stream may give single bytes.
_MAX_PARTS: Final = 1024


def _reader(source: Readable | bytearray | memoryview) -> Callable[[int], bytes | None]:
    if isinstance(source, (bytearray, memoryview)):
        return _MemoryReader(source).read
    if isinstance(source, BufferedIOBase) and type(source).read1 is not BufferedIOBase.read1:
        return partial(_read_buffered, source)
    read = getattr(source, "read", None)
    if read is None:
        raise TypeError(f"expected bytes or a stream with read(), found {type(source).__name__}")
    return source.read


def _read_buffered(stream: BufferedIOBase, size: int) -> bytes | None:
    """What a pipe has now, instead of waiting for all that is asked for."""
    # read1() says b"" for a stream that does not block and has nothing, too; read() tells it from the end.
    return stream.read1(size) or stream.read(size)


class _MemoryReader:
    """Reads memory step by step, so that it is neither copied whole nor held while nobody reads."""

    def __init__(self, source: bytearray | memoryview) -> None:
        self._source = source.cast("B") if isinstance(source, memoryview) else source
        self._position = 0

    def read(self, size: int) -> bytes:
        with memoryview(self._source) as view:
            data = bytes(view[self._position : self._position + size])
        self._position += len(data)
        return data


class BufferedSource:
    """The bytes of a source from a position on, as far as they are needed.

    ``buffer[position:stop]`` is what has been read and not yet used. A declared length never allocates: a
    stream is read in steps, and ends where it ends.
    """

    def __init__(self, source: Source) -> None:
        self.buffer = b""
        self.position = 0
        self.base = 0
        """Offset of ``buffer[0]`` in the source."""
        self.missing: int | None = None
        """Bytes that a limit allows beyond those read; at the end of the source, the bytes that lack."""
        self._read: Callable[[int], bytes | None] | None = None
        if isinstance(source, bytes):
            self.buffer = source
        else:
            self._read = _reader(source)
        self.stop = len(self.buffer)
        """End of what may be used of the buffer."""

    @property
    def offset(self) -> int:
        """The offset of the next byte in the source."""
        return self.base + self.position

    def limit(self, size: int) -> None:
        """End the source ``size`` bytes from here: what stands behind is not seen."""
        have = self.stop - self.position
        self.missing = max(size - have, 0)
        self.stop = min(self.stop, self.position + size)

    def startswith(self, start: bytes) -> bool:
        """Whether ``start`` comes next, as far as the buffer is filled."""
        return self.buffer.startswith(start, self.position, self.stop)

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
        data = bytes(data)
        if len(data) > wanted:
            raise OSError(f"expected at most {wanted} bytes from the stream, found {len(data)}")
        if self.missing is not None:
            self.missing -= len(data)
        return data

    def _gather(self, size: int, least: int) -> bytes:
        """What is in the buffer, and of the stream until there are ``size`` bytes; asks for ``least`` at once."""
        parts = [self.buffer[self.position : self.stop]]
        have = self.stop - self.position
        loose = 1  # parts before this one are large
        while have < size:
            data = self._more(min(max(size - have, least), 8 * STEP))
            if not data:
                break
            parts.append(data)
            have += len(data)
            if len(parts) - loose > _MAX_PARTS:
                parts[loose:] = [b"".join(parts[loose:])]
                loose += 1
        return b"".join(parts)

    def fill(self, size: int) -> int:
        """Have ``size`` bytes in the buffer, or all up to the end; returns how many there are."""
        have = self.stop - self.position
        if have >= size or self._read is None:
            return have
        self.buffer = self._gather(size, STEP)
        self.base += self.position
        self.position, self.stop = 0, len(self.buffer)
        return self.stop

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes, or all up to the end; they are copied once, and nothing behind them is read."""
        if self.stop - self.position >= size or self._read is None:
            data = self.buffer[self.position : min(self.position + size, self.stop)]
            self.position += len(data)
            return data
        data = self._gather(size, 1)
        self.base += self.position + len(data)
        self.buffer, self.position, self.stop = b"", 0, 0
        return data

    def skip(self, size: int) -> None:
        """Go on ``size`` bytes without holding them.

        :raises TruncatedError: if the source ends before
        """
        while size:
            have = self.fill(min(size, STEP))
            if not have:
                raise TruncatedError(f"expected {size} more bytes, found the end", offset=self.offset)
            step = min(size, have)
            self.position += step
            size -= step
