"""Sources of bytes that are read by ranges, and their bytes as slices."""

from __future__ import annotations

from typing import Final, Protocol

from ipld_car._file.layout import FileBuffer
from ipld_car.errors import LimitError, TruncatedError

_STEP: Final = 4 << 20
"""Bytes that a scan reads at once."""
_MOST_SALVAGED: Final = 4
"""How often the bytes of an archive are read, at most, to find what is whole behind damage."""
_HEAD_STEP: Final = 4 << 10
"""Bytes that are read at once to find the heads of an index."""
_MAX_HEADS: Final = 64
"""Reads for the heads of an index; archives have one or two buckets, and each bucket may cost a read."""


class RangeSource(Protocol):
    """An archive of which any range of bytes can be read, such as a file on an HTTP server.

    Any number of threads may read at once. What a source raises passes through :class:`ipld_car.CarRangeReader` as it
    is.
    """

    @property
    def size(self) -> int:
        """Bytes of the whole archive, which stay the same."""
        ...

    def read(self, offset: int, size: int, /) -> bytes:
        """Return ``size`` bytes from ``offset`` on.

        :param offset: bytes from the start of the archive
        :param size: at least 1; ``offset + size`` is at most :attr:`size`
        """
        ...


def read_exactly(source: RangeSource, offset: int, size: int) -> bytes:
    """Return ``size`` bytes of a source.

    :raises TruncatedError: if the source gives more or fewer bytes
    """
    if size <= 0:
        return b""
    data = source.read(offset, size)
    if len(data) != size:
        raise TruncatedError(f"expected {size} bytes from the source, found {len(data)}", offset=offset)
    return data


class RangeStream:
    """A part of a source as the stream that :class:`ipld_car.CarReader` reads.

    :param source: the archive
    :param head: its first bytes, which are not read again
    :param position: where the stream begins
    :param stop: where it ends
    """

    def __init__(self, source: RangeSource, head: bytes, position: int, stop: int) -> None:
        self._source = source
        self._head = head
        self._position = position
        self._stop = stop

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes; none at the end."""
        size = min(size, self._stop - self._position)
        data = self._head[self._position : self._position + size]
        if not data:
            data = read_exactly(self._source, self._position, size)
        self._position += len(data)
        return data


class ScanBuffer(FileBuffer):
    """The bytes of a source as slices, for a scan from start to end: read in pieces of 4 MiB.

    One thread may use it.

    :param stop: where the scan ends
    :param piece: bytes that are known already
    :param base: where these begin
    """

    def __init__(self, source: RangeSource, stop: int, piece: bytes = b"", base: int = 0) -> None:
        self._source = source
        self._stop = stop
        self._piece, self._base, self._size = piece, base, len(piece)

    def __len__(self) -> int:
        return self._stop

    def piece_at(self, position: int, least: int) -> bytes:
        """Return ``least`` bytes at a position, or more that follow them; fewer at the end."""
        least, at = min(least, self._stop - position), position - self._base
        if 0 <= at <= self._size - least:
            return self._piece[at:]
        # Behind damage, sections are looked at from the last one to the first.
        base = min(position, max(0, position + least - _STEP)) if position < self._base else position
        self._piece = self._read_piece(base, position + least - base)
        self._base, self._size = base, len(self._piece)
        return self._piece[position - base :]

    def _read_piece(self, position: int, least: int) -> bytes:
        return read_exactly(self._source, position, min(max(least, _STEP), self._stop - position))


class SalvageBuffer(ScanBuffer):
    """The bytes of a damaged source as slices: looking for whole sections reads some of them more than once.

    :param stop: where the scan ends
    :param piece: bytes that are known already
    :param base: where these begin
    """

    def __init__(self, source: RangeSource, stop: int, piece: bytes = b"", base: int = 0) -> None:
        super().__init__(source, stop, piece, base)
        self._left = _MOST_SALVAGED * stop + 16 * _STEP

    def _read_piece(self, position: int, least: int) -> bytes:
        """Read some bytes.

        :raises LimitError: if too many were read
        """
        data = super()._read_piece(position, least)
        self._left -= len(data)
        if self._left < 0:
            raise LimitError(
                f"expected to find what is whole by reading the archive {_MOST_SALVAGED} times, found more damage "
                f"than that: get a copy of it, and repair that",
                offset=position,
            )
        return data


class HeadsBuffer(ScanBuffer):
    """The bytes of a source as slices, for the heads of an index: read in small pieces, and not many of them."""

    _left = _MAX_HEADS

    def _read_piece(self, position: int, least: int) -> bytes:
        """Read some bytes.

        :raises LimitError: if there were too many reads
        """
        if not self._left:
            raise LimitError(f"expected an index whose heads are found in {_MAX_HEADS} reads, found more buckets")
        self._left -= 1
        return read_exactly(self._source, position, min(max(least, _HEAD_STEP), self._stop - position))
