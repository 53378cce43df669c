"""The headers of an archive that is read by ranges."""

from __future__ import annotations

from ipld_car import cids
from ipld_car._car.header import PRAGMA, decode_v2_header
from ipld_car._car.reader import CarReader
from ipld_car._file.layout import FIXED_SIZE, Layout
from ipld_car.errors import CarError, MalformedError, TruncatedError

from .source import RangeSource, RangeStream


def read_range_layout(source: RangeSource, head: bytes, *, allow_truncated: bool = False) -> Layout:
    """Read the headers of an archive. What lies between them is not read.

    :param head: the first bytes of the archive
    :param allow_truncated: take a CARv2 that ends before its data do
    :raises CarError: if there is no archive, or one that ends before its data do
    """
    size = source.size
    if not head.startswith(PRAGMA):
        reader = CarReader(RangeStream(source, head, 0, size))
        return Layout(1, _roots(reader), 0, reader.header_end, size, None, b"")
    fixed = head[:FIXED_SIZE]
    if len(fixed) < FIXED_SIZE:
        raise TruncatedError(f"expected {FIXED_SIZE} bytes before the data of a CARv2, found {len(fixed)}", offset=0)
    try:
        header = decode_v2_header(fixed[len(PRAGMA) :])
    except CarError as error:
        raise error.at(len(PRAGMA)) from None
    start, end = header.data_offset, header.data_offset + header.data_size
    is_cut = end > size and allow_truncated
    if end > size and not allow_truncated:
        raise TruncatedError(f"expected data up to offset {end}, found the end of the archive", offset=size)
    try:
        reader = CarReader(RangeStream(source, head, start, min(end, size)))
    except CarError as error:
        error.offset = start + (error.offset or 0)
        raise
    if reader.version != 1:
        raise MalformedError("expected a CARv1 inside the CARv2, found version 2", offset=start)
    return Layout(2, _roots(reader), start, start + reader.header_end, min(end, size), header, fixed, is_cut)


def _roots(reader: CarReader) -> list[bytes]:
    return [cids.to_bytes(root) for root in reader.roots]
