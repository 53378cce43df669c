"""Which files have changed since they were referenced."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import NamedTuple

from ipld_car import cids, hashes
from multiformats import CID

from ipld_castore.errors import BackendUnavailableError

from .index import ReferenceIndex
from .ranges import FileRanges


class ChangedFile(NamedTuple):
    """A file that no longer has the blocks that it had when it was referenced."""

    name: str
    """Its path or URL, as the index has it."""
    problem: str
    """What was found, in words."""
    offset: int
    """Position of the first block that is not there any more."""
    cid: CID
    """The CID of that block."""
    changed: int
    """Number of blocks that are not there any more."""
    blocks: int
    """Number of blocks that the index has in the file."""

    def __repr__(self) -> str:
        return cids.record_repr(self)


def changed_files(index: ReferenceIndex, ranges: FileRanges) -> Iterator[ChangedFile]:
    """Yield the files of an index that have changed, in the order of their numbers.

    :raises FileRefusedError: if a file may not be opened
    """
    starts, numbers = _by_file(index)
    for number, file in enumerate(index.files()):
        records = sorted(
            (index.record(record) for record in numbers[starts[number] : starts[number + 1]]), key=lambda each: each[1]
        )
        resolved = ranges.resolve(file.name, index.path.parent, exempt=index.made_here)
        first: tuple[str, int, CID] | None = None
        changed = 0
        for digest, place in records:
            try:
                data = ranges.read(resolved, place.offset, place.length, exempt=index.made_here)
                found = f"{len(data)} bytes" if len(data) != place.length else "other bytes"
                is_same = hashes.sha2_256(data) == digest
            except BackendUnavailableError as error:
                found, is_same = str(error), False
            if not is_same:
                changed += 1
                if first is None:
                    cid = cids.from_validated(cids.make(cids.RAW, digest))
                    problem = f"expected the block {cid}, {place.length} bytes at {place.offset}; found {found}"
                    first = problem, place.offset, cid
        if first is not None:
            yield ChangedFile(file.name, *first, changed, len(records))


def _by_file(index: ReferenceIndex) -> tuple[array[int], array[int]]:
    """Return where the records of each file begin, and the positions of all records, by file."""
    starts = array("Q", bytes(8 * (index.file_count + 1)))
    for number in range(len(index)):
        starts[index.record(number)[1].file + 1] += 1
    for file in range(index.file_count):
        starts[file + 1] += starts[file]
    free, numbers = array("Q", starts), array("Q", bytes(8 * len(index)))
    for number in range(len(index)):
        file = index.record(number)[1].file
        numbers[free[file]] = number
        free[file] += 1
    return starts, numbers
