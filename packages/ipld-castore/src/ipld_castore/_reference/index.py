"""Reading an index file where it lies."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from ipld_castore.errors import BackendUnavailableError, BlockMalformedError

from .layout import GROUP, HEADER, MAGIC, MAX_LENGTH, MAX_NAME_BYTES, RECORD, Place, ReferencedFile, decode_names

_SIZE: Final = RECORD.size
_MAX_GROUP_BYTES: Final = GROUP * (MAX_NAME_BYTES + 512)

_Identity = tuple[int, int, int, int]
_made_here: set[_Identity] = set()
"""Index files that this process has written, by device, inode, size and time."""


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def register(path: Path) -> None:
    """Note that this process has just written an index file of ranges that it has read itself."""
    _made_here.add(_identity(path.stat()))


class ReferenceIndex:
    """An index file, searched where it lies: nothing of it is loaded when it is opened.

    Threads may share an index. A pickle opens the file again. See ``docs/formats/references.md`` for the layout.

    :param path: the file
    :raises BackendUnavailableError: if it cannot be read
    :raises BlockMalformedError: if it is no index file
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.abspath(path))  # noqa: PTH100  # as names relative to its folder are meant
        """The file."""
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if status.st_size else b""
        except (OSError, ValueError) as error:
            raise BackendUnavailableError(f"cannot read the index {self.path}: {error}") from error
        self.made_here = _identity(status) in _made_here
        """Whether this process has written the file itself."""
        if len(self._map) < HEADER.size or self._map[: len(MAGIC)] != MAGIC:
            raise BlockMalformedError(f"expected an index of references, found another file: {self.path}")
        _, self._records, self._files, names = HEADER.unpack(self._map[: HEADER.size])
        self._starts_at = HEADER.size + _SIZE * self._records
        self._names_at = self._starts_at + 8 * -(-self._files // GROUP)
        if self._names_at + names != len(self._map):
            raise BlockMalformedError(
                f"expected an index of {self._names_at + names} bytes, as its header says; found {len(self._map)} "
                f"bytes: {self.path}"
            )

    def __len__(self) -> int:
        """Return the number of records; a block that is in several places has one for each."""
        return int(self._records)

    @property
    def file_count(self) -> int:
        """Number of files."""
        return int(self._files)

    def places(self, digest: bytes) -> Iterator[Place]:
        """Yield the places of a block, in the order of files and offsets.

        :param digest: the sha2-256 digest of the block, 32 bytes
        :raises BlockMalformedError: if a record breaks a bound of the layout
        """
        data, low, high = self._map, 0, self._records
        while low < high:  # at most 64 steps, whatever is in the file
            middle = (low + high) // 2
            start = HEADER.size + _SIZE * middle
            if data[start : start + 32] < digest:
                low = middle + 1
            else:
                high = middle
        for number in range(low, self._records):
            found, place = self.record(number)
            if found != digest:
                return
            yield place

    def has(self, digest: bytes) -> bool:
        """Return whether the index has a place for a digest."""
        return next(self.places(digest), None) is not None

    def record(self, number: int) -> tuple[bytes, Place]:
        """Return digest and place of a record, by its position.

        :raises BlockMalformedError: if it breaks a bound of the layout
        """
        digest, file, offset, length = RECORD.unpack_from(self._map, HEADER.size + _SIZE * number)
        if file >= self._files or length > MAX_LENGTH:
            raise BlockMalformedError(
                f"expected a block of at most {MAX_LENGTH} bytes in one of {self._files} files, found {length} bytes "
                f"in file {file}: record {number} of {self.path}"
            )
        return digest, Place(file, offset, length)

    def file(self, number: int) -> ReferencedFile:
        """Return a file by its number.

        :raises BlockMalformedError: if the names of the index are damaged
        """
        *_, found = decode_names(self._group(number // GROUP), number % GROUP + 1)
        return found

    def files(self) -> Iterator[ReferencedFile]:
        """Yield all files in the order of their numbers.

        :raises BlockMalformedError: if the names of the index are damaged
        """
        for group in range(-(-self._files // GROUP)):
            yield from decode_names(self._group(group), min(GROUP, self._files - group * GROUP))

    def _group(self, group: int) -> bytes:
        at = self._starts_at + 8 * group
        start = self._names_at + int.from_bytes(self._map[at : at + 8])
        return self._map[start : start + _MAX_GROUP_BYTES]

    def raw_records(self, start: int, stop: int) -> bytes:
        """Return records as they stand in the file, 48 bytes each, by their positions."""
        stop = min(stop, self._records)
        return self._map[HEADER.size + _SIZE * start : HEADER.size + _SIZE * stop]

    def raw_names(self) -> bytes:
        """Return where the groups of file names begin, and the names, as they stand in the file."""
        return self._map[self._starts_at :]

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (str(self.path), self.made_here)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ReferenceIndex):
            return NotImplemented
        return self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self)} places in {self.file_count} files, {self.path}>"


def _reopened(path: str, made_here: bool) -> ReferenceIndex:
    index = ReferenceIndex(path)
    index.made_here = made_here  # a pickle is trusted, as it could run any code
    return index
