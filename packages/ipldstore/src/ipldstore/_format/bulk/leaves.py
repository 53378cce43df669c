"""Leaves of a chunk index from arrays of coordinates and CIDs: their DAG-CBOR, without an object for each key.

A leaf is the plain map of its keys (format, section 4). Each chunk is a row of a matrix of bytes, with all that may
stand before its link; a mask says which bytes do. The bytes under the mask, row by row, are the encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from ipldstore._format.chunk_form import ChunkForm

from .codes import AxisTable, Bytes, Numbers, combined_order, digits_of, text_rank

CID_BYTES: Final = 36
_LINK_HEAD: Final = b"\xd8\x2a\x58\x25\x00"
"""Tag 42, and a byte string of 37 bytes that begins with zero."""
_ROWS: Final = 1 << 16
"""Chunks that are encoded at a time: some 10 MB."""

Mask = npt.NDArray[np.bool_]


def encode_leaves(
    form: ChunkForm, coordinates: Numbers, links: Bytes, rows: npt.NDArray[np.intp], sizes: list[int]
) -> Iterator[bytes]:
    """Yield the blocks of leaves.

    :param coordinates: those of all chunks
    :param links: their binary CIDs, 36 bytes each
    :param rows: the positions of the chunks, leaf by leaf
    :param sizes: the number of chunks of each leaf
    """
    start = at = 0
    while at < len(sizes):
        count = 0
        own: list[int] = []
        while at < len(sizes) and (not own or count + sizes[at] <= _ROWS):
            own.append(sizes[at])
            count += sizes[at]
            at += 1
        these = rows[start : start + count]
        yield from _encode(form, coordinates[these], links[these], np.array(own))
        start += count


def _encode(form: ChunkForm, coordinates: Numbers, links: Bytes, sizes: Numbers) -> Iterator[bytes]:
    leaf = np.repeat(np.arange(len(sizes)), sizes)
    tables = [AxisTable.of(coordinates[:, axis]) for axis in range(form.axes)]
    if form.separator == "/":
        order = combined_order([leaf, *(table.at for table in tables)])
    else:
        length = sum((digits_of(table).length for table in tables), np.zeros(len(leaf), np.int64))
        order = combined_order([leaf, length, *(text_rank(table) for table in tables)])
    columns = _Columns(len(leaf))
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    is_first = np.zeros(len(leaf), np.bool_)
    is_first[starts] = True
    if form.separator == "/":
        _add_nested_keys(columns, form, coordinates[order], is_first)
    else:
        _add_flat_keys(columns, form, coordinates[order], is_first, sizes)
    columns.add_constant(_LINK_HEAD)
    columns.add(links[order])
    data, lengths = columns.joined()
    stops = np.cumsum(np.add.reduceat(lengths, starts))
    begin = 0
    for stop in stops.tolist():
        yield data[begin:stop]
        begin = stop


class _Columns:
    """The matrix of bytes, and its mask."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._parts: list[Bytes] = []
        self._masks: list[Mask] = []

    def add(self, part: Bytes, mask: Mask | None = None) -> None:
        """Add bytes to each row, of which those under the mask count."""
        self._parts.append(part)
        self._masks.append(np.ones(part.shape, np.bool_) if mask is None else mask)

    def add_constant(self, data: bytes, rows: Mask | None = None) -> None:
        """Add the same bytes to each row, or to some."""
        shape = self._rows, len(data)
        part = np.broadcast_to(np.frombuffer(data, np.uint8), shape)
        self.add(part, None if rows is None else np.broadcast_to(rows[:, None], shape))

    def add_map_head(self, rows: Mask, counts: Numbers) -> None:
        """Add the head of a map to some rows.

        :param counts: the number of entries of the map of each of these rows, at most 65,535
        """
        part = np.zeros((self._rows, 3), np.uint8)
        mask = np.zeros((self._rows, 3), np.bool_)
        at = np.flatnonzero(rows)
        part[at, 2] = np.where(counts < 24, 0xA0 + counts, counts & 0xFF)
        part[at, 1] = np.where(counts < 256, 0xB8, counts >> 8)
        part[at, 0] = 0xB9
        mask[at, 2] = True
        mask[at, 1] = counts >= 24
        mask[at, 0] = counts >= 256
        self.add(part, mask)

    def add_digits(self, column: Numbers, rows: Mask | None = None, *, with_head: bool = False) -> None:
        """Add numbers of one axis as texts to each row, or to some.

        :param with_head: put the head of a DAG-CBOR text before it
        """
        digits = digits_of(AxisTable.of(column))
        width = digits.matrix.shape[1]
        mask = np.arange(width) >= (width - digits.length)[:, None]
        if with_head:
            self.add((0x60 + digits.length).astype(np.uint8)[:, None], None if rows is None else rows[:, None])
        self.add(digits.matrix, mask if rows is None else mask & rows[:, None])

    def joined(self) -> tuple[bytes, Numbers]:
        """Return the bytes under the mask, row by row, and how many each row has."""
        mask = np.concatenate(self._masks, axis=1)
        return np.concatenate(self._parts, axis=1)[mask].tobytes(), mask.sum(axis=1)


def _add_nested_keys(columns: _Columns, form: ChunkForm, coordinates: Numbers, is_first: Mask) -> None:
    """Add the heads and keys of nested maps, one level for each axis.

    :param coordinates: in the order of the encoding, which is the order of the numbers
    :param is_first: whether a chunk is the first of its leaf
    """
    if form.prefix:
        columns.add_constant(b"\xa1\x61c", is_first)
    begins_map = is_first
    for axis in range(form.axes):
        column = coordinates[:, axis]
        begins_entry = begins_map.copy()
        begins_entry[1:] |= column[1:] != column[:-1]
        counts = np.add.reduceat(begins_entry, np.flatnonzero(begins_map), dtype=np.int64)
        columns.add_map_head(begins_map, counts)
        columns.add_digits(column, begins_entry, with_head=True)
        begins_map = begins_entry


def _add_flat_keys(columns: _Columns, form: ChunkForm, coordinates: Numbers, is_first: Mask, sizes: Numbers) -> None:
    """Add the head of the one map of a leaf, and keys that are one text each."""
    columns.add_map_head(is_first, sizes)
    length = np.full(len(coordinates), len(form.prefix) + form.axes - 1, np.int64)
    for axis in range(form.axes):
        length += digits_of(AxisTable.of(coordinates[:, axis])).length
    is_long = length >= 24
    head = np.stack([np.full(len(length), 0x78), np.where(is_long, length, 0x60 + length)], axis=1).astype(np.uint8)
    columns.add(head, np.stack([is_long, np.ones(len(length), np.bool_)], axis=1))
    columns.add_constant(form.prefix.encode())
    for axis in range(form.axes):
        if axis:
            columns.add_constant(form.separator.encode())
        columns.add_digits(coordinates[:, axis])
