"""Where in an archive its parts are, as its headers say."""

from __future__ import annotations

from mmap import mmap
from typing import NamedTuple

from ipld_car import cids
from ipld_car._car.header import V2Header
from ipld_car._car.reader import CarReader
from ipld_car.errors import TruncatedError


class Layout(NamedTuple):
    """What the headers of an archive say; positions in bytes from the start of the file."""

    version: int
    roots: list[bytes]
    start: int
    """Where the CARv1 begins."""
    first: int
    """Where its first section begins."""
    end: int
    """Where it ends."""
    v2_header: V2Header | None


def read_layout(buffer: mmap | bytes) -> Layout:
    """Read the headers of an archive in memory.

    :raises CarError: as :class:`CarReader`, and if the data of a CARv2 are not all there
    """
    if isinstance(buffer, mmap):
        buffer.seek(0)
    reader = CarReader(buffer)
    header = reader.v2_header
    roots = [cids.to_bytes(root) for root in reader.roots]
    if header is None:
        return Layout(1, roots, 0, reader.header_end, len(buffer), None)
    end = header.data_offset + header.data_size
    if end > len(buffer):
        raise TruncatedError(
            f"expected data up to {end}, as the CARv2 header says; found the end of the file", offset=len(buffer)
        )
    return Layout(2, roots, header.data_offset, reader.header_end, end, header)
