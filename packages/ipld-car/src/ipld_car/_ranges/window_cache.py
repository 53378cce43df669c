"""Ranges of an archive that were read, and the blocks in them."""

from __future__ import annotations

import threading
from typing import Final, NamedTuple

from ipld_car._car.block import BlockLocation
from ipld_car._car.limits import MAX_SECTION_BYTES
from ipld_car._file.block_table import key_of
from ipld_car._file.scan import sections
from ipld_car.errors import CarError
from ipld_car.lru import LRU

_ENTRY_BYTES: Final = 200
"""Bytes of memory that the place of a block takes."""


class CachedBlock(NamedTuple):
    """A block in a window. It is not verified."""

    location: BlockLocation
    data: bytes

    @property
    def offset(self) -> int:
        """Where its section begins, from the start of the archive."""
        return self.location.offset

    @property
    def next_offset(self) -> int:
        """Where the next section begins."""
        return self.location.offset + self.location.size


class Window:
    """A range of an archive that begins with a section, and the whole sections in it.

    :param base: where the bytes begin, from the start of the archive
    :param data: the bytes
    :param start: where in the bytes the first section begins
    """

    def __init__(self, base: int, data: bytes, start: int = 0) -> None:
        self.base = base
        self._data = data
        self.blocks: dict[bytes, tuple[int, bytes, int, int]] = {}
        """Start of the section, CID, start of the block and its length, by multihash; positions in the bytes."""
        end = start
        try:
            for section in sections(data, start, len(data), limit=MAX_SECTION_BYTES):
                self.blocks.setdefault(key_of(section[1]), section)
                end = section[2] + section[3]
        except CarError:
            pass  # the window ends in the middle of a section; what else is wrong there is found when it is read
        self.next_offset = base + end
        """Behind the last whole section, from the start of the archive."""

    @property
    def size(self) -> int:
        """Bytes of memory that it takes."""
        return len(self._data) + _ENTRY_BYTES * len(self.blocks)

    def get(self, key: bytes) -> CachedBlock | None:
        """Return the block with a multihash; None if it is not here."""
        found = self.blocks.get(key)
        if found is None:
            return None
        position, cid, begin, size = found
        location = BlockLocation(self.base + position, begin - len(cid) - position, len(cid), size)
        return CachedBlock(location, self._data[begin : begin + size])


class WindowCache:
    """The windows that were used last, within a limit of bytes. Any number of threads may use it.

    :param max_bytes: the most bytes of all windows; the one that was read last is always kept
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._windows: LRU[int, Window] = LRU(max_bytes)
        self._by_key: dict[bytes, int] = {}
        """The base of the window that has a block."""

    def get(self, key: bytes) -> CachedBlock | None:
        """Return the block with a multihash; None if it is in no window."""
        with self._lock:
            base = self._by_key.get(key)
            window = None if base is None else self._windows.get(base)
            return None if window is None else window.get(key)

    def __contains__(self, key: bytes) -> bool:
        return key in self._by_key

    def add(self, window: Window) -> None:
        """Keep a window, and drop those that were not used for the longest time."""
        with self._lock:
            before = self._windows.peek(window.base)
            if before is not None:
                self._forget(before)
            for key in window.blocks:
                self._by_key.setdefault(key, window.base)
            for _, dropped in self._windows.put(window.base, window, window.size):
                self._forget(dropped)

    def _forget(self, window: Window) -> None:
        for key in window.blocks:
            if self._by_key.get(key) == window.base:
                del self._by_key[key]
