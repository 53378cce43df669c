"""Where a section is whose length or CID is damaged, as the index and the sections beside it tell."""

from __future__ import annotations

from bisect import bisect_left

from ipld_car.errors import CarError

from .block_table import BlockTable, key_of
from .scan import check_length, cid_at, length_at


def offsets_of(table: BlockTable) -> list[int]:
    """Return where the index has sections, in the order of the file."""
    return sorted({table.layout.start + entry.offset for entry in table.index})


def place_of(table: BlockTable, offsets: list[int], key: bytes, size: int) -> int | None:
    """Return the offset at which a section can be written over what is there; None if that is not certain.

    The index must name the offset, up to the next one there must be the bytes of the section and no more, and the
    sections before it must end there.

    :param offsets: see :func:`offsets_of`
    :param key: the multihash of the block
    :param size: bytes of the section
    """
    for found in table.index.find(key):
        offset = table.layout.start + found
        at = bisect_left(offsets, offset)
        behind = offsets[at + 1] if at + 1 < len(offsets) else table.layout.end
        if behind - offset == size and _begins(table, offsets, at):
            return offset
    return None


def _begins(table: BlockTable, offsets: list[int], at: int) -> bool:
    """Return whether a section begins where the index says: the nearest one before that is whole leads there."""
    for before in range(at - 1, -1, -1):
        end = _end_of(table, offsets[before])
        if end is not None:
            return end == offsets[before + 1]
    return offsets[0] == table.layout.first


def _end_of(table: BlockTable, offset: int) -> int | None:
    """Return where a section ends; None if its head is not that of a block of the index there."""
    buffer, stop = table.buffer, table.layout.end
    try:
        size, width = length_at(buffer, offset, stop)
        check_length(size, stop - offset - width)
        cid = cid_at(buffer, offset + width, size)
    except CarError:
        return None
    is_named = offset - table.layout.start in table.index.find(key_of(cid))
    return offset + width + size if is_named else None
