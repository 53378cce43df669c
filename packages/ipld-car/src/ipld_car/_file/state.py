"""What a file has, found out as a whole before anybody is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from io import FileIO
from itertools import chain
from mmap import ACCESS_READ, mmap

from ipld_car._car.index import CarIndex
from ipld_car.errors import CarError

from .layout import Layout, read_at, read_layout, size_of
from .scan import index_of, is_nothing, sections, sections_until_torn, whole_sections


@dataclass(frozen=True)
class State:
    """A file as its headers, and its index or a look at all sections, show it."""

    layout: Layout
    map: mmap
    index: CarIndex
    end: int
    """Behind the last section that is in the file."""
    is_complete: bool
    """Whether the index has every section, as far as is known."""
    scan_reason: str | None = None
    """Why the index is not the file's own."""
    warns: bool = False
    """Whether that is something people should hear of."""


def map_of(file: FileIO, end: int) -> mmap:
    """A map up to ``end``; what lies behind it a writer may cut off, and to touch it then would be our death."""
    return mmap(file.fileno(), end, access=ACCESS_READ)


def read_state(file: FileIO, *, for_writing: bool) -> State:
    """The state of a file: with its index if it has one that can be read, else with one made of its sections.

    :raises CarError: if it is no archive, or one without index that is damaged
    """
    layout = read_layout(file)
    while layout.index_offset:
        mapped = map_of(file, size_of(file))
        try:
            index = CarIndex(mapped, layout.index_offset)
        except CarError as error:
            before, layout = layout, read_layout(file)
            if layout == before:
                return scan(file, layout, f"its index cannot be read: {error}", for_writing=for_writing, warns=True)
        else:
            return State(layout, mapped, index, layout.end, layout.fully_indexed)
    if not layout.finished:
        reason, warns = "its writer was stopped before it wrote the header", not for_writing
    else:
        reason, warns = "a CARv1 has no index" if layout.version == 1 else "it has no index", False
    return scan(file, layout, reason, for_writing=for_writing, warns=warns)


def scan(
    file: FileIO, layout: Layout, reason: str, *, for_writing: bool, warns: bool = False, least_end: int = 0
) -> State:
    """The state of a file with an index of the sections that are there.

    :param reason: why it is scanned
    :param for_writing: take up what a writer left that was stopped
    :param least_end: up to where there are sections, as is known already
    :raises CarError: if it is damaged
    """
    read, size = partial(read_at, file), size_of(file)
    found = sections(read, layout.first, layout.end)
    if layout.version == 1:
        found = sections_until_torn(read, layout.first, size)
    elif not layout.finished or (for_writing and not layout.index_offset):
        found = chain(found, whole_sections(read, layout.end, size))
    index, end, is_complete = index_of(found, layout.start, layout.end)
    if layout.version == 1 and end < size:
        reason, warns = f"it ends in the middle of a section, at offset {end}", True
        if for_writing:
            reason += f", and closing it cuts off the {size - end} bytes from there"
            warns = not is_nothing(read, end, size)
    end = max(least_end, end)  # a writer may have come further
    return State(layout, map_of(file, end), index, end, is_complete, reason, warns)
