"""A buffer over the source of an archive, which never grows past what is asked of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from io import BufferedIOBase
from typing import Final

from ipld_car.errors import TruncatedError
from ipld_car.streams import Readable, Source

STEP: Final = 1 << 16
"""Bytes that are asked of a stream at once; small enough to stay in the processor's cache."""

_MAX_UNSEEN: Final = 8 * STEP
"""Bytes that a read may allocate before the stream has shown that it gives that many."""

# Pieces of a section that are held apart before they are put together: a stream may give single bytes.
_MAX_PARTS: Final = 1024

_Read = Callable[[int], bytes | None]


def _read_functions(source: Readable | bytearray | memoryview) -> tuple[_Read, _Read]:
    """Return how to read what a stream has now, up to a size, and how to read a size, waiting for all of it."""
    if isinstance(source, (bytearray, memoryview)):
        read_memory = _MemoryReader(source).read
        return read_memory, read_memory
    read = getattr(source, "read", None)
    if read is None:
        raise TypeError(f"expected bytes or a stream with read(), found {type(source).__name__}")
    if isinstance(source, BufferedIOBase) and type(source).read1 is not BufferedIOBase.read1:
        return partial(_read_available, source), read
    return read, read


def _read_available(stream: BufferedIOBase, size: int) -> bytes | None:
    """Read what a pipe has now, instead of waiting for all that is asked for."""
    # read1() returns b"" for a non-blocking stream that has nothing, too; read() tells it from the end.
    return stream.read1(size) or stream.read(size)


def _checked(data: object, size: int) -> bytes:
    """Return what a stream gave for ``size`` bytes as bytes.

    :raises BlockingIOError: if it gave None
    :raises TypeError: if it gave something that is no bytes
    :raises OSError: if it gave more
    """
    if data is None:
        raise BlockingIOError("expected a stream that blocks, found one that has no bytes ready")
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"expected a binary stream, found one that gives {type(data).__name__}")
    data = bytes(data)
    if len(data) > size:
        raise OSError(f"expected at most {size} bytes from the stream, found {len(data)}")
    return data


class _MemoryReader:
    """Reads memory step by step: it is not copied whole, and nothing holds it between two reads."""

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

    ``buffer[position:stop]`` is what has been read and not yet used. No declared length is allocated: a stream is
    read in steps that are bounded by what it has already given.
    """

    def __init__(self, source: Source) -> None:
        self.buffer = b""
        self.position = 0
        self.base = 0
        """Offset of ``buffer[0]`` in the source."""
        self.missing: int | None = None
        """Bytes that a limit allows beyond those read; at the end of the source, the bytes that are missing."""
        self.next_read = STEP
        """Bytes to ask for when the buffer is next filled. It is ``STEP`` again afterwards."""
        self._read: _Read | None = None
        self._read_all: _Read | None = None
        self._largest = _MAX_UNSEEN
        if isinstance(source, bytes):
            self.buffer = source
        else:
            self._read, self._read_all = _read_functions(source)
        self.stop = len(self.buffer)
        """End of what may be used of the buffer."""

    @property
    def offset(self) -> int:
        """The offset of the next byte in the source."""
        return self.base + self.position

    def limit(self, size: int) -> None:
        """End the source ``size`` bytes from here: nothing behind them is read."""
        have = self.stop - self.position
        self.missing = max(size - have, 0)
        self.stop = min(self.stop, self.position + size)

    def startswith(self, start: bytes) -> bool:
        """Return whether ``start`` comes next, as far as the buffer is filled."""
        return self.buffer.startswith(start, self.position, self.stop)

    def _more(self, read: _Read, size: int) -> bytes:
        """Return up to ``size`` bytes of the stream, at least one unless it has ended."""
        missing = self.missing
        if missing is not None and missing < size:
            size = missing
        data = read(size) if size else b""
        if type(data) is not bytes or len(data) > size:
            data = _checked(data, size)
        if missing is not None:
            self.missing = missing - len(data)
        return data

    def _gather(self, read: _Read, size: int, least: int) -> bytes:
        """Return the buffer and what follows it in the stream, up to ``size`` bytes; read ``least`` at once."""
        first = self.buffer[self.position : self.stop] or self._more(read, min(max(size, least), self._largest))
        have = len(first)
        if have >= size or not have:
            return first
        parts = [first]
        joined = 1  # the pieces before this one are large
        while have < size:
            data = self._more(read, min(max(size - have, least), self._largest))
            if not data:
                break
            parts.append(data)
            have += len(data)
            if len(parts) - joined > _MAX_PARTS:
                parts[joined:] = [b"".join(parts[joined:])]
                joined += 1
        return b"".join(parts)

    def fill(self, size: int) -> int:
        """Fill the buffer with ``size`` bytes, or all up to the end; return how many there are."""
        have = self.stop - self.position
        if have >= size or self._read is None:
            return have
        self.buffer = self._gather(self._read, size, self.next_read)
        self.next_read = STEP
        self.base += self.position
        self.position, self.stop = 0, len(self.buffer)
        return self.stop

    def take(self, size: int) -> bytes:
        """Return the next ``size`` bytes, or all up to the end; nothing behind them is read.

        What is not in the buffer is not copied, if the stream gives it in one piece.
        """
        if self.stop - self.position >= size or self._read_all is None:
            data = self.buffer[self.position : min(self.position + size, self.stop)]
            self.position += len(data)
            return data
        data = self._gather(self._read_all, size, 1)
        self._largest = max(self._largest, len(data))
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
