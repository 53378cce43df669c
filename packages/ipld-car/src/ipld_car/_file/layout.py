"""Where the parts of an archive are, as its headers say."""

from __future__ import annotations

import os
import sys
from io import FileIO
from mmap import mmap
from typing import Final, NamedTuple

from ipld_car import cids
from ipld_car._car.header import PRAGMA, V2_HEADER_SIZE, V2Header
from ipld_car._car.reader import CarReader
from ipld_car.errors import TruncatedError

FIXED_SIZE: Final = len(PRAGMA) + V2_HEADER_SIZE
"""Bytes of a CARv2 before anything else: pragma, characteristics and offsets."""
_MAX_BUFFERS: Final = 1024
"""Buffers that one system call takes."""
_STEP: Final = 1 << 16
_LARGE: Final = 1 << 12
"""Bytes of a payload that take as long to read, with those around it, as another system call does."""


if sys.platform == "win32":

    def read_at(file: FileIO, position: int, size: int) -> bytes:
        """Return ``size`` bytes at a position, or all up to the end of the file."""
        file.seek(position)
        return file.read(size)
else:

    def read_at(file: FileIO, position: int, size: int) -> bytes:
        """Return ``size`` bytes at a position, or all up to the end of the file."""
        return os.pread(file.fileno(), size, position)  # the handle's own position is shared with forked processes


def write_at(file: FileIO, position: int, pieces: list[bytes]) -> None:
    """Write all of the pieces, one behind the other, from a position on."""
    file.seek(position)
    if 1 < len(pieces) <= _MAX_BUFFERS and sys.platform != "win32":
        done = os.writev(file.fileno(), pieces)
        if done == sum(map(len, pieces)):
            return
        left = memoryview(b"".join(pieces))[done:]
    else:
        left = memoryview(b"".join(pieces))
    while left:
        left = left[file.write(left) :]


def size_of(file: FileIO) -> int:
    """Return how many bytes the file has now."""
    return os.fstat(file.fileno()).st_size


class FileBuffer:
    """The bytes of a file as slices, read when they are asked for.

    A file that another process makes shorter gives shorter slices, where touching a map of it would be a SIGBUS.
    Slices that follow each other are taken from pieces of 64 KiB. One thread may use it.
    """

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._base = self._size = 0
        self._piece = b""

    def __len__(self) -> int:
        return size_of(self._file)

    def __getitem__(self, part: slice) -> bytes:
        at, end = part.start - self._base, part.stop - self._base
        if at >= 0 and end <= self._size:
            return self._piece[at:end]
        return self.piece_at(part.start, end - at)[: end - at]

    def piece_at(self, position: int, least: int) -> bytes:
        """Return ``least`` bytes at a position, or more that follow them; fewer at the end of the file."""
        # Behind a large payload read only what is asked for: the blocks may all be large.
        size = least if position - self._base - self._size > _LARGE else max(least, _STEP)
        self._base, self._piece = position, read_at(self._file, position, size)
        self._size = len(self._piece)
        return self._piece


Buffer = bytes | mmap | FileBuffer
"""An archive whose bytes are got as slices ``buffer[start:stop]``."""


Lost = tuple[int, int]
"""A range of bytes in which no whole section was found: its start, and the position behind it."""


class Layout(NamedTuple):
    """The layout of an archive as its headers give it; offsets in bytes from the start of the file."""

    version: int
    roots: list[bytes]
    start: int
    """Where the CARv1 begins."""
    first: int
    """Where its first section begins."""
    end: int
    """Behind its last byte: that of the file for a CARv1; ``first`` for a CARv2 that is not finished."""
    v2_header: V2Header | None
    """None for a CARv1, and for a CARv2 that is not finished."""
    fixed: bytes
    """The first 51 bytes of a CARv2, as they are."""
    is_cut: bool = False
    """Whether a CARv2 ends before its header says. ``end`` is behind what is there then, and it has no index."""

    @property
    def finished(self) -> bool:
        """False for a CARv2 whose writer never wrote the header."""
        return self.version == 1 or self.v2_header is not None

    @property
    def index_offset(self) -> int:
        """Where the index begins; 0 if there is none."""
        return 0 if self.v2_header is None or self.is_cut else self.v2_header.index_offset

    @property
    def fully_indexed(self) -> bool:
        """Whether the header says that the index has every block."""
        return self.v2_header is not None and self.v2_header.fully_indexed


class _Stream:
    """A buffer as the stream that :class:`CarReader` reads."""

    def __init__(self, buffer: Buffer, position: int) -> None:
        self._buffer = buffer
        self._position = position

    def read(self, size: int, /) -> bytes:
        data = self._buffer[self._position : self._position + size]
        self._position += len(data)
        return data


def read_layout(buffer: Buffer, *, allow_unfinished: bool = False, allow_truncated: bool = False) -> Layout:
    """Read the headers of an archive.

    :param buffer: the whole archive
    :param allow_unfinished: take a CARv2 whose header is all zeros, which go-car leaves when it is stopped
    :param allow_truncated: take a CARv2 that ends before its data do
    :raises CarError: what :class:`CarReader` raises, and if a CARv2 ends before its data do
    """
    fixed = buffer[0:FIXED_SIZE]
    if allow_unfinished and fixed == PRAGMA + bytes(V2_HEADER_SIZE):
        reader = CarReader(_Stream(buffer, FIXED_SIZE))
        first = FIXED_SIZE + reader.header_end
        return Layout(2, _roots(reader), FIXED_SIZE, first, first, None, fixed)
    reader = CarReader(_Stream(buffer, 0))
    header, size = reader.v2_header, len(buffer)
    if header is None:
        return Layout(1, _roots(reader), 0, reader.header_end, size, None, b"")
    end = header.data_offset + header.data_size
    if end > size and allow_truncated:
        return Layout(2, _roots(reader), header.data_offset, reader.header_end, size, header, fixed, is_cut=True)
    if end > size:
        raise TruncatedError(f"expected {end - size} more bytes of payload, found the end of the file", offset=size)
    return Layout(2, _roots(reader), header.data_offset, reader.header_end, end, header, fixed)


def _roots(reader: CarReader) -> list[bytes]:
    return [cids.to_bytes(root) for root in reader.roots]
