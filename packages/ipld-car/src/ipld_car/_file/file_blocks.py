"""The blocks of a file that is open, while it grows, or is found to be other than its index says."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from io import FileIO
from itertools import chain
from threading import RLock
from typing import Final

from ipld_car import varint
from ipld_car._car.index import MULTIHASH_INDEX_SORTED, CarIndex
from ipld_car.errors import CarError, CarWarning, MalformedError

from .block_table import BlockTable, SectionRef, WrongIndexError, key_of
from .layout import Lost
from .salvage import stretches
from .scan import Section, is_index_of, sections
from .state import Access, Opened, map_of, read_file_layout, read_table, scan_table, sections_of

# Up to so many bytes of data an index is compared with them before a block is taken for absent; in a
# larger file, if its header says that the index has all blocks, the index is trusted at once.
_AUDIT_BYTES: Final = 1 << 30


class Additions:
    """The sections that are in no index, by multihash. One thread at a time may add."""

    def __init__(self) -> None:
        self.offsets: dict[bytes, int | tuple[int, ...]] = {}
        """The newest first."""
        self.count = 0

    def add(self, key: bytes, offset: int) -> None:
        """Note a section."""
        known = self.offsets.get(key)
        newest = offset if known is None else (offset, *((known,) if isinstance(known, int) else known))
        self.offsets[key] = newest
        self.count += 1

    def find(self, key: bytes) -> tuple[int, ...]:
        """Return the offsets of the sections with a multihash, the newest first."""
        found = self.offsets.get(key, ())
        return (found,) if isinstance(found, int) else found

    def copy(self) -> Additions:
        """Return another one with the same sections."""
        made = Additions()
        made.offsets, made.count = self.offsets.copy(), self.count
        return made


class FileBlocks:
    """The blocks of a file: its table, and the sections that were added since.

    Any number of threads may look and read. Each takes :attr:`table` once and stays with it; what is found out about
    the file makes another table, which takes the place of this one whole.

    :param file: the file, to read; it stays open, as the map must follow a file that grows
    :param access: how the file is opened
    :raises CarError: if it is no archive, or one without index that is damaged
    """

    def __init__(self, file: FileIO, access: Access) -> None:
        self._file = file
        self._access = access
        self._path = os.fsdecode(file.name)
        self._lock = RLock()
        self.held: dict[int, tuple[bytes, bytes]] = {}
        """CID and bytes by offset, of sections that are not in the file yet."""
        self._next_offset = 0
        """Behind the block that was read last; a hint that any thread sets, and every use of it is checked."""
        self._is_run = False
        """Whether blocks are read in the order of the file; a hint likewise."""
        opened = read_table(file, access)
        self._state: tuple[BlockTable, Additions] = opened.table, Additions()
        try:
            self._warn(opened)
        except CarWarning:  # where warnings are errors
            self.close()
            raise

    @property
    def table(self) -> BlockTable:
        """What is known of the file."""
        return self._state[0]

    @property
    def added(self) -> Additions:
        """The sections that are in no index."""
        return self._state[1]

    # -- what the file has --

    def _warn(self, opened: Opened) -> None:
        if opened.warns:
            reason = opened.table.scan_reason
            warnings.warn(f"{self._file.name} was scanned: {reason}", CarWarning, stacklevel=2)

    def _publish(self, opened: Opened, added: Additions | None = None) -> None:
        """Show all threads what was found out, by one assignment."""
        table = replace(opened.table, generation=self.table.generation + 1)
        self._state = table, self.added if added is None else added
        self._warn(opened)

    def _replace(self, table: BlockTable) -> None:
        self._state = table, self.added

    def restore(self, table: BlockTable) -> None:
        """Go back to a table of before, as what was damaged was repaired."""
        with self._lock:
            self._replace(replace(table, generation=self.table.generation + 1))

    def _scan(self, reason: str, *, warns: bool = True) -> None:
        """Take an index of the sections that are there, instead of the file's own."""
        table = self.table
        try:
            found = scan_table(self._file, table.layout, reason, self._access, warns=warns, least_end=table.end)
        except CarError as error:
            error.of_file(self._path)
            raise
        self._publish(found)

    def fill(self, lost: Lost) -> None:
        """Note that there is a section in a range of bytes that was damaged."""
        with self._lock:
            left = tuple(each for each in self.table.lost if each != lost)
            self._replace(replace(self.table, lost=left))

    def grow(self, end: int) -> None:
        """Note that there are sections up to ``end`` in the file now."""
        with self._lock:
            self._replace(replace(self.table, end=end))

    def _table_beyond(self, offset: int) -> BlockTable:
        """Return the table, mapped again if the section at an offset is newer: a map ends where a section did."""
        table = self.table
        if offset >= len(table.buffer):
            with self._lock:
                table = self.table
                if len(table.buffer) <= offset < table.end:
                    table = replace(table, buffer=map_of(self._file, table.end))
                    self._replace(table)
        return table

    def hold_index(self) -> None:
        """Copy the index into memory: its place in the file is going to be overwritten."""
        with self._lock:
            index = self.table.index
            if index.codec != MULTIHASH_INDEX_SORTED:
                self._scan("its index does not tell hash functions", warns=False)
            elif index.buffer is self.table.buffer:
                index = CarIndex(index.buffer[index.start : index.end])
                self._replace(replace(self.table, index=index))
            # A thread that looks into the old index now must look again.
            mapped = map_of(self._file, self.table.end)
            self._replace(replace(self.table, buffer=mapped, generation=self.table.generation + 1))

    def revalidate(self, generation: int) -> bool:
        """Return whether there is reason to look again for a block that was not found.

        A block is taken for absent if the file has not changed meanwhile, and the index has all that there is.

        :param generation: that of the table in which the block was looked for
        :raises CarError: if the file turns out to be damaged
        """
        table = self.table
        if table.is_checked and generation == table.generation and not self._has_changed(table):
            return False
        with self._lock:
            table = self.table
            if generation != table.generation:
                return True
            if self._has_changed(table):
                self._reload()
            elif table.is_checked or self._is_trusted(table):
                self._replace(replace(self.table, is_checked=True))
                return False
            else:
                self._scan("its index lacks blocks that are there, or has some that are not")
            return True

    def audit(self) -> None:
        """Compare the index with the sections, and replace it if it lacks some."""
        while self.revalidate(self.table.generation):
            pass

    def _has_changed(self, table: BlockTable) -> bool:
        """Return whether another process has written to the file, as far as its header tells."""
        fixed = table.layout.fixed
        return not self._access.for_writing and table.buffer[: len(fixed)] != fixed

    def _is_trusted(self, table: BlockTable) -> bool:
        layout = table.layout
        if table.is_complete and layout.end - layout.start > _AUDIT_BYTES:
            return True
        try:
            return is_index_of(table.index, sections_of(self._file, layout, self._access), layout.start)
        except CarError:
            if self._access.allow_truncated:
                return False  # an index of what is whole takes its place
            raise

    def _reload(self) -> None:
        """Read what a writer has flushed; it may have overwritten an index that is mapped."""
        table, layout = self.table, read_file_layout(self._file, self._access)
        if layout.index_offset or table.scan_reason is None:
            self._publish(read_table(self._file, self._access), Additions())
            return
        added = self.added.copy()
        for offset, cid, _, _ in sections_of(self._file, layout, self._access, start=table.end):
            added.add(key_of(cid), offset)
        mapped = map_of(self._file, layout.end)
        grown = replace(table, layout=layout, buffer=mapped, end=layout.end)
        self._publish(Opened(grown, warns=False), added)

    # -- what is looked for --

    def find(self, key: bytes) -> list[SectionRef]:
        """Return the sections with a multihash, the newest first.

        :raises CarError: if the file turns out to be damaged
        """
        try:
            newer = [self._added_section(offset, key) for offset in self.added.find(key)]
        except WrongIndexError as error:
            message = f"the archive is not what was written to it: {error}"
            raise MalformedError(message, path=self._path) from None
        return newer + self._indexed(key)

    def _added_section(self, offset: int, key: bytes) -> SectionRef:
        held = self.held.get(offset)
        if held is not None:
            cid, data = held
            return SectionRef(offset, len(varint.encode(len(cid) + len(data))), cid, len(data), data)
        return self._table_beyond(offset).section_at(offset, key)

    def _indexed(self, key: bytes) -> list[SectionRef]:
        while True:
            table = self.table
            try:
                return table.find(key)
            except WrongIndexError as error:
                self._mend(table.generation, str(error))

    def _mend(self, generation: int, what: str) -> None:
        """Replace an index that was found to be wrong."""
        with self._lock:
            table = self.table
            if generation != table.generation:
                return
            if self._has_changed(table):
                self._reload()
            elif table.scan_reason is None:
                self._scan(f"its index is wrong: {what}")
            else:
                raise MalformedError(f"the archive has changed since it was scanned: {what}", path=self._path)

    def read_sequential(self, key: bytes) -> bytes | None:
        """Return the bytes, unverified, of a block that is where it is expected; the short way.

        That is behind the block that was read before it, where blocks are read in the order of the file, as arrays
        are, and else where the index says.

        :param key: a multihash of sha2-256
        :return: None says nothing about the block: :meth:`find` does
        """
        table, added = self._state
        if key in added.offsets:
            return None
        expected = self._next_offset
        found = table.read_at(expected, key) if self._is_run else None
        if found is None:
            offsets = table.index.find(key)
            if len(offsets) != 1:
                return None
            offset = table.layout.start + offsets[0]
            self._is_run = offset == expected
            found = table.read_at(offset, key)
            if found is None:
                return None
        data, self._next_offset = found
        return data

    def read(self, section: SectionRef) -> bytes:
        """Return the bytes of a block, unverified."""
        return self._table_beyond(section.offset).read(section)

    def sections(self) -> Iterator[Section]:
        """Yield all that is in the file, in its order, as it is now; nothing may be held."""
        table = self._table_beyond(self.table.end - 1)
        zero_is_end = self._access.zero_is_end and not self._access.for_writing
        parts = stretches(table.layout.first, table.end, table.lost)
        return chain.from_iterable(
            sections(table.buffer, start, stop, zero_is_end=zero_is_end, limit=sys.maxsize) for start, stop in parts
        )

    def leave_fork(self) -> None:
        """Make a new lock in a forked process: the thread that held the old one is not here."""
        self._lock = RLock()

    def close(self) -> None:
        """Close the map and the file."""
        buffer = self.table.buffer
        if not isinstance(buffer, bytes):
            buffer.close()
        self._file.close()
