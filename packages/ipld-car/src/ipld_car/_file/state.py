"""The table of a file, found out as a whole before any thread sees it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from io import FileIO
from itertools import chain
from mmap import ACCESS_READ, mmap
from typing import NamedTuple

from ipld_car._car.index import CarIndex
from ipld_car.errors import CarError, MalformedError

from .block_table import BlockTable
from .damaged_head import whole_section_in
from .layout import FIXED_SIZE, Buffer, FileBuffer, Layout, Lost, read_at, read_layout, size_of
from .salvage import described, undamaged_sections
from .scan import (
    Section,
    index_of,
    is_zeros,
    sections,
    sections_until_torn,
    whole_sections,
)


class Access(NamedTuple):
    """How a file is opened."""

    for_writing: bool = False
    """Take up what a writer left that was stopped."""
    zero_is_end: bool = False
    """Take a section of length zero for the end of the archive."""
    allow_truncated: bool = False
    """Take the whole sections of an archive that was cut off, or is damaged."""


class Opened(NamedTuple):
    """A table, and whether people should hear of why the file was scanned."""

    table: BlockTable
    warns: bool


def map_of(file: FileIO, end: int) -> mmap:
    """Map a file up to ``end``: a writer may cut off what is behind it, and to touch that would be a SIGBUS."""
    return mmap(file.fileno(), end, access=ACCESS_READ)


def read_file_layout(file: FileIO, access: Access) -> Layout:
    """Read the headers of a file that another process may be writing to.

    :raises CarError: see :func:`read_layout`
    """
    while True:
        fixed = read_at(file, 0, FIXED_SIZE)
        layout = read_layout(FileBuffer(file), allow_unfinished=True, allow_truncated=access.allow_truncated)
        if read_at(file, 0, len(fixed)) == fixed:  # no writer changed it just then
            return layout


def sections_of(file: FileIO, layout: Layout, access: Access, *, start: int | None = None) -> Iterator[Section]:
    """Yield the sections that the header vouches for.

    :param start: where to begin, by default at the first
    :raises CarError: if something there is no section
    """
    begin = layout.first if start is None else start
    zero_is_end = access.zero_is_end and not access.for_writing
    return sections(FileBuffer(file), begin, layout.end, zero_is_end=zero_is_end, limit=sys.maxsize)


def read_table(file: FileIO, access: Access) -> Opened:
    """Read a file: with its index if it has one that can be read, else with one made of its sections.

    :raises CarError: if it is no archive, or one without index that is damaged
    """
    layout = read_file_layout(file, access)
    while layout.index_offset:
        mapped = map_of(file, size_of(file))
        try:
            index = CarIndex(mapped, layout.index_offset)
        except CarError as error:
            mapped.close()
            before, layout = layout, read_file_layout(file, access)
            if layout == before:
                # What has taken the index may have taken the end of the data, too.
                layout = layout._replace(is_cut=access.allow_truncated)
                return scan_table(file, layout, f"its index cannot be read: {error}", access, warns=True)
        else:
            return Opened(BlockTable(layout, mapped, index, layout.end, layout.fully_indexed), warns=False)
    if layout.is_cut:
        reason, warns = "it was cut off before the end that its header says", True
    elif not layout.finished:
        reason, warns = "its writer was stopped before it wrote the header", not access.for_writing
    else:
        reason, warns = "a CARv1 has no index" if layout.version == 1 else "it has no index", False
    return scan_table(file, layout, reason, access, warns=warns)


def scan_table(
    file: FileIO, layout: Layout, reason: str, access: Access, *, warns: bool = False, least_end: int = 0
) -> Opened:
    """Return a table whose index is made of the sections that are there.

    :param reason: why the file is scanned
    :param least_end: up to where there are sections, as is known already
    :raises CarError: if it is damaged
    """
    buffer, size = FileBuffer(file), size_of(file)
    lost: list[Lost] = []
    vouched = layout.first if layout.version == 1 or layout.is_cut else layout.end
    zero_is_end = access.zero_is_end and not access.for_writing
    if access.allow_truncated and (layout.version == 1 or layout.finished):
        stop, cut = size if layout.version == 1 else layout.end, layout.is_cut
        found = undamaged_sections(buffer, layout.first, stop, lost, zero_is_end=zero_is_end, verifies_end=cut)
    elif layout.version == 1:
        found = sections_until_torn(buffer, layout.first, size, zero_is_end=zero_is_end)
    elif not layout.finished or (access.for_writing and not layout.index_offset):
        found = chain(sections_of(file, layout, access), whole_sections(buffer, layout.end, size))
    else:
        found = sections_of(file, layout, access)
    index, end, is_complete = index_of(found, layout.start, vouched)
    if layout.version == 1 and end < size:
        reason, warns = _tail(buffer, end, size, access)
    if access.for_writing and (layout.version == 1 or layout.is_cut):
        _require_torn(buffer, end, size if layout.version == 1 else layout.end)
    between = [each for each in lost if each[1] <= end]
    told = between if layout.version == 1 or layout.is_cut else lost  # for these the reason tells of the end
    if told:
        reason, warns = f"{reason}; it is damaged: {described(told)}", True
    if layout.is_cut:
        layout = layout._replace(end=end)
    end = max(least_end, end)  # a writer may have come further
    table = BlockTable(layout, map_of(file, end), index, end, is_complete, reason, is_checked=True, lost=tuple(between))
    return Opened(table, warns)


def _require_torn(buffer: Buffer, end: int, stop: int) -> None:
    """Refuse to cut off what is behind the last section that was found, if whole sections are there.

    A section whose length is damaged looks like one that was cut off, if the length leads behind the end.

    :raises MalformedError: if one is
    """
    behind = whole_section_in(buffer, end, stop)
    if behind is not None:
        raise MalformedError(
            f"expected a section, found a length that leads behind the end, and a whole section at offset {behind}. "
            f"Opening the file to write would cut off all from here; copy it first, and cut it off at offset {end} if "
            f"that is what you want",
            offset=end,
        )


def _tail(buffer: FileBuffer, end: int, size: int, access: Access) -> tuple[str, bool]:
    """Return why a CARv1 has more bytes behind its last section, and whether that is a warning."""
    if is_zeros(buffer, end, size):
        reason = f"a CARv1 has no index, and this one ends in {size - end} zeros, from offset {end}"
        if access.for_writing:
            return f"{reason}, which closing it cuts off", False
        return reason, not access.zero_is_end
    if access.zero_is_end and not access.for_writing and buffer[end : end + 1] == b"\0":
        return f"a CARv1 has no index, and a section of length zero ends this one at offset {end}", False
    reason = f"it ends in the middle of a section, at offset {end}"
    if access.for_writing:
        reason += f", and closing it cuts off the {size - end} bytes from there"
    return reason, True
