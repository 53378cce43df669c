"""Where in a file the parts of an archive are, as its headers say."""

from __future__ import annotations

import os
import sys
from io import FileIO
from typing import Final, NamedTuple

from ipld_car._car.header import PRAGMA, V2_HEADER_SIZE
from ipld_car._car.reader import CarReader
from ipld_car.errors import TruncatedError

FIXED_SIZE: Final = len(PRAGMA) + V2_HEADER_SIZE
"""Bytes of a CARv2 before anything else: pragma, characteristics and offsets."""


_MAX_BUFFERS: Final = 1024
"""Buffers that one system call takes."""


class Layout(NamedTuple):
    """What the headers of an archive say; offsets in bytes from the start of the file."""

    version: int
    fixed: bytes
    """The first 51 bytes of a CARv2, as they are."""
    start: int
    """Where the CARv1 begins."""
    first: int
    """Where its first section begins."""
    end: int
    """Behind the last byte that the headers vouch for: of a CARv1, and of one that is not finished, none."""
    index_offset: int
    """0 without an index."""
    fully_indexed: bool
    roots: list[bytes]
    finished: bool
    """False for a CARv2 whose writer never came to its header."""


if sys.platform == "win32":

    def read_at(file: FileIO, position: int, size: int) -> bytes:
        """``size`` bytes at a position, or all up to the end of the file."""
        file.seek(position)
        return file.read(size)
else:

    def read_at(file: FileIO, position: int, size: int) -> bytes:
        """``size`` bytes at a position, or all up to the end of the file."""
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


class _Stream:
    """A file from a position on, as a reader of archives wants it."""

    def __init__(self, file: FileIO, position: int) -> None:
        self._file = file
        self._position = position

    def read(self, size: int, /) -> bytes:
        data = read_at(self._file, self._position, size)
        self._position += len(data)
        return data


def size_of(file: FileIO) -> int:
    """Bytes of the file now."""
    return os.fstat(file.fileno()).st_size


def read_layout(file: FileIO) -> Layout:
    """Read the headers of an archive.

    :raises CarError: as :class:`CarReader`, and if the data of a CARv2 are not all there
    """
    while True:
        fixed = read_at(file, 0, FIXED_SIZE)
        layout = _read(file, fixed)
        if read_at(file, 0, len(fixed)) == fixed:  # no writer was at it just then
            return layout


def _read(file: FileIO, fixed: bytes) -> Layout:
    if fixed == PRAGMA + bytes(V2_HEADER_SIZE):  # what go-car leaves when it is stopped
        reader = CarReader(_Stream(file, FIXED_SIZE))
        first = FIXED_SIZE + reader.header_end
        return Layout(2, fixed, FIXED_SIZE, first, first, 0, False, _binary(reader), False)
    reader = CarReader(_Stream(file, 0))
    header = reader.v2_header
    if header is None:
        return Layout(1, b"", 0, reader.header_end, reader.header_end, 0, False, _binary(reader), True)
    start, size = header.data_offset, size_of(file)
    end = start + header.data_size
    if end > size:
        raise TruncatedError(f"expected {end - size} more bytes of payload, found the end of the file", offset=size)
    return Layout(
        *(2, fixed, start, reader.header_end, end, header.index_offset, header.fully_indexed),
        *(_binary(reader), True),
    )


def _binary(reader: CarReader) -> list[bytes]:
    return [bytes(root) for root in reader.roots]
