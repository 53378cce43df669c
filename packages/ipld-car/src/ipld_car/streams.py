"""The streams that archives and files are read from and written to.

Any object with the one method counts. Nothing here seeks.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["Readable", "Source", "Writable"]


class Readable(Protocol):
    """A binary stream to read: a file, a pipe, ``socket.makefile("rb")``, the body of an HTTP response."""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, at least one unless the stream has ended."""
        ...


class Writable(Protocol):
    """A binary stream to write: a file, a pipe, ``socket.makefile("wb")``."""

    def write(self, data: bytes, /) -> object:
        """Write ``data``; return how many bytes were taken, where the stream may take fewer than all."""
        ...


Source = bytes | bytearray | memoryview | Readable
"""An archive: its bytes in memory, or a stream that gives them."""
