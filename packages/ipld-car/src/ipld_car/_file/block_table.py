"""The blocks of a file that is open: found by its index, read where they are mapped."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from io import FileIO
from mmap import mmap
from threading import RLock
from typing import Final, NamedTuple

from ipld_car import cids, varint
from ipld_car._car.block import BlockLocation
from ipld_car._car.index import MULTIHASH_INDEX_SORTED, CarIndex
from ipld_car.errors import CarError, CarWarning, MalformedError

from .layout import read_at, read_layout
from .scan import Section, is_index_of, sections
from .state import State, map_of, read_state, scan

# Up to so many bytes of data an index is compared with them before it is believed that a block is absent; in a
# larger file, if its header says that the index has all blocks, it is believed at once.
_AUDIT_BYTES: Final = 1 << 30
_HEAD: Final = 2 * varint.MAX_BYTES + 1
"""Bytes before the multihash of a section at most: length, CID version and codec."""


class Found(NamedTuple):
    """A section with the multihash that was looked for."""

    offset: int
    varint_size: int
    cid: bytes
    size: int
    """Bytes of the payload."""
    data: bytes | None = None
    """The payload, if it is not in the file yet."""

    @property
    def location(self) -> BlockLocation:
        return BlockLocation(self.offset, self.varint_size, len(self.cid), self.size)


class _LieError(Exception):
    """An index says that a block is where it is not."""


def key_of(cid: bytes) -> bytes:
    """What a block is found by: the multihash of its CID."""
    return cid[2:] if cids.is_cidv1_sha256(cid) else cids.multihash_of(cid)


def _length(head: bytes) -> tuple[int, int]:
    """The length that a section begins with, and the position behind it."""
    if len(head) > 2 and (first := head[0]) > 0x7F > (second := head[1]) > 0:  # two bytes, as most are
        return first & 0x7F | second << 7, 2
    return varint.decode(head)


def _add(added: dict[bytes, int | tuple[int, ...]], key: bytes, offset: int) -> None:
    known = added.get(key)
    added[key] = offset if known is None else (offset, *((known,) if isinstance(known, int) else known))


class Blocks:
    """What a file has: its index, the sections that were added since, and the map that all are read from.

    Any number of threads may look and read. When the index turns out to be wrong, or the file to have grown, ``map`` is
    replaced first and ``index`` then: every map covers the data that an older index tells of.

    :param file: to read; it stays open, as the map must follow a file that grows
    :param for_writing: take up what a writer left that was stopped
    :raises CarError: if it is no archive, or one without index that is damaged
    """

    def __init__(self, file: FileIO, *, for_writing: bool = False) -> None:
        self._file = file
        self._for_writing = for_writing
        self._lock = RLock()
        self.added: dict[bytes, int | tuple[int, ...]] = {}
        """Offsets by multihash, the newest first, of sections that are in no index."""
        self.added_count = 0
        self.held: dict[int, tuple[bytes, bytes]] = {}
        """CID and bytes by offset, of sections that are not in the file yet."""
        self.generation = 0
        """Counts up when the index is replaced."""
        self._behind = 0
        """Where the block that was read last ends; any thread changes it at any time, so what stands there counts."""
        self._is_run = False
        """Whether blocks are read in the order of the file."""
        self._publish(read_state(file, for_writing=for_writing))

    # -- what the file has --

    def _publish(self, state: State, added: dict[bytes, int | tuple[int, ...]] | None = None) -> None:
        """Let all threads have what was found out.

        Who misses a block looks at these the other way round, in :meth:`settle`: so it never believes that the half
        of this is all there is, nor does anybody if this is interrupted.
        """
        self._is_checked = False
        self.map, self.end = state.map, state.end
        if added is not None:
            self.added, self.added_count = added, sum(1 if isinstance(at, int) else len(at) for at in added.values())
        self.index, self.is_complete, self.scan_reason = state.index, state.is_complete, state.scan_reason
        self.generation += 1
        self.layout = state.layout
        self._is_checked = state.scan_reason is not None
        if state.warns:
            warnings.warn(f"{self._file.name} was scanned: {state.scan_reason}", CarWarning, stacklevel=2)

    def _scan(self, reason: str, *, warns: bool = True) -> None:
        """Have an index of the sections that are there, instead of the file's own."""
        for_writing, end = self._for_writing, self.end
        self._publish(scan(self._file, self.layout, reason, for_writing=for_writing, warns=warns, least_end=end))

    def _map_beyond(self, offset: int) -> mmap:
        """The map, made anew if what is at an offset was written since: it ends where some section ended then."""
        mapped = self.map
        if offset >= len(mapped):
            with self._lock:  # else a thread that is slow could put one that ends before in the place of this one
                if offset >= len(self.map):
                    self.map = map_of(self._file, self.end)
                mapped = self.map
        return mapped

    def hold_index(self) -> None:
        """Have the index in memory: its place in the file is going to be overwritten."""
        with self._lock:
            index = self.index
            if index.codec != MULTIHASH_INDEX_SORTED:
                self._scan("its index does not tell hash functions", warns=False)
            elif index.buffer is self.map:
                self.index = CarIndex(self.map[index.start : index.end])
            self.map = map_of(self._file, self.end)
            self.generation += 1  # who looks in the old one now must look again

    def settle(self, generation: int) -> bool:
        """Whether there is reason to look again for a block that was not found.

        That it is absent is believed if the file has not changed meanwhile, and the index has all that there is.

        :param generation: what :attr:`generation` was before the block was looked for
        :raises CarError: if the file turns out to be damaged
        """
        if self._is_checked and not self._has_changed() and generation == self.generation:
            return False
        with self._lock:
            if generation != self.generation:
                return True
            if not self._has_changed() and (self._is_checked or self._is_believed()):
                self._is_checked = True
                return False
            if self._has_changed():
                self._reload()
            else:
                self._scan("its index lacks blocks that are there, or has some that are not")
            return True

    def audit(self) -> None:
        """Have an index that has all that there is."""
        while self.settle(self.generation):
            pass

    def _has_changed(self) -> bool:
        """Whether another process has written to the file, as far as its header tells."""
        fixed = self.layout.fixed
        return not self._for_writing and self.map[: len(fixed)] != fixed

    def _is_believed(self) -> bool:
        layout = self.layout
        if self.is_complete and layout.end - layout.start > _AUDIT_BYTES:
            return True
        found = sections(partial(read_at, self._file), layout.first, layout.end)
        return is_index_of(self.index, found, layout.start)

    def _reload(self) -> None:
        """See what a writer has flushed; a map of the index it may have overwritten."""
        layout = read_layout(self._file)
        if layout.index_offset or self.scan_reason is None:
            self._publish(read_state(self._file, for_writing=False), {})
            return
        added = self.added.copy()
        for offset, _, cid, _ in sections(partial(read_at, self._file), self.end, layout.end):
            _add(added, key_of(cid), offset)
        index, reason = self.index, self.scan_reason
        self._publish(State(layout, map_of(self._file, layout.end), index, layout.end, self.is_complete, reason), added)

    def add(self, key: bytes, offset: int) -> None:
        """Note a section that is in no index."""
        _add(self.added, key, offset)
        self.added_count += 1

    # -- what is looked for --

    def find(self, key: bytes) -> list[Found]:
        """The sections with a multihash, the newest first.

        :raises CarError: if the file turns out to be damaged
        """
        added = self.added.get(key)
        if added is None:
            return self._indexed(key)
        try:
            newer = [self._section(offset, key) for offset in ((added,) if isinstance(added, int) else added)]
        except _LieError as error:
            raise MalformedError(f"the archive is not what was written to it: {error}") from None
        return newer + self._indexed(key)

    def at_first_sight(self, key: bytes) -> bytes | None:
        """The bytes, unverified, of a block that stands where it should, the short way.

        That is behind the block that was read before it, where these are read in the order of the file, as arrays
        are; and else where the index says.

        :param key: a multihash of sha2-256
        :return: None says nothing: see :meth:`find`
        """
        index, behind = self.index, self._behind  # an index before the map: see the class
        if key in self.added:
            return None
        if self._is_run:
            data = self._standing(behind, key)
            if data is not None:
                return data
        offsets = index.find(key)
        if len(offsets) != 1:
            return None
        offset = self.layout.start + offsets[0]
        self._is_run = offset == behind
        return self._standing(offset, key)

    def _standing(self, offset: int, key: bytes) -> bytes | None:
        """The bytes of the block with a multihash, if its section, with a CIDv1 of sha2-256, is at that offset."""
        mapped = self.map
        head = mapped[offset : offset + _HEAD + len(key)]
        try:
            size, begin = _length(head)
        except CarError:
            return None
        stop = offset + begin + size
        begin += 2  # a CID of version 1 whose codec has one byte, as nearly all have
        if not head.startswith(key, begin) or head[begin - 2] != 1 or head[begin - 1] > 0x7F:
            return None
        begin += offset + len(key)
        if not begin <= stop <= min(self.end, len(mapped)):
            return None
        self._behind = stop
        return mapped[begin:stop]

    def _indexed(self, key: bytes) -> list[Found]:
        while True:
            generation, index = self.generation, self.index
            try:
                offsets = sorted(index.find(key), reverse=True)
                return [self._section(self.layout.start + offset, key) for offset in offsets]
            except _LieError as error:
                self._replace(generation, str(error))

    def _replace(self, generation: int, lie: str) -> None:
        with self._lock:
            if generation != self.generation:
                return
            if self._has_changed():
                self._reload()
            elif self.scan_reason is None:
                self._scan(f"its index is wrong: {lie}")
            else:
                raise MalformedError(f"the archive has changed since it was scanned: {lie}")

    def _section(self, offset: int, key: bytes) -> Found:
        """The section at an offset, which must be one with this multihash."""
        held = self.held.get(offset)
        if held is not None:
            cid, data = held
            return Found(offset, len(varint.encode(len(cid) + len(data))), cid, len(data), data)
        if not self.layout.start <= offset < self.end:
            raise _LieError(f"nothing can be at offset {offset}")
        head = self._map_beyond(offset)[offset : offset + _HEAD + len(key)]
        try:
            size, begin = _length(head)
            # A CID of version 1 whose codec has one byte, as nearly all have.
            if head.startswith(key, begin + 2) and head[begin] == 1 and head[begin + 1] < 0x80:
                cid_size = len(key) + 2
                cid = head[begin : begin + cid_size]
            else:
                cid_size = cids.prefix_of(head, begin, min(begin + size, len(head))).cid_size
                cid = head[begin : begin + cid_size]
                if key_of(cid) != key:
                    raise _LieError(f"another block is at offset {offset}")
        except CarError as error:
            raise _LieError(f"no section of this block is at offset {offset}: {error.message}") from None
        if cid_size > size or offset + begin + size > self.end:
            raise _LieError(f"another block is at offset {offset}")
        return Found(offset, begin, cid, size - cid_size)

    def read(self, found: Found) -> bytes:
        """The bytes of a block, unverified."""
        if found.data is not None:
            return found.data
        start = found.offset + found.varint_size + len(found.cid)
        return self.map[start : start + found.size]

    def sections(self) -> Iterator[Section]:
        """All that is in the file, in its order, as it is now; the caller sees to it that nothing is held."""
        end = self.end
        mapped = self._map_beyond(end - 1)
        return sections(lambda position, size: mapped[position : position + size], self.layout.first, end)

    def leave_fork(self) -> None:
        """In a forked process: whoever held the lock is not here."""
        self._lock = RLock()

    def close(self) -> None:
        """Let go of the file."""
        self.map.close()
        self._file.close()
