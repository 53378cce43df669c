"""The blocks of an archive that is read by ranges: what is in memory, and what the index or a scan finds."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Final

from ipld_car import cids, varint
from ipld_car._car.index import CarIndex
from ipld_car._car.limits import MAX_SECTION_BYTES
from ipld_car._file.block_table import key_of
from ipld_car._file.layout import Lost
from ipld_car._file.salvage import described, undamaged_sections
from ipld_car._file.scan import Section, index_of, sections, sections_until_torn
from ipld_car.errors import CarError, CarWarning, LimitError, MalformedError, TruncatedError, without_frames
from ipld_car.hashes import verify_digest

from .header import read_range_layout
from .in_flight import ReadsInFlight
from .range_index import RangeIndex
from .source import HeadsBuffer, RangeSource, SalvageBuffer, ScanBuffer, read_exactly
from .window_cache import CachedBlock, Window, WindowCache

_HEAD_BYTES: Final = 128 << 10
"""Bytes that the first read takes: the headers, and the blocks behind them, among which often is the root."""
_TAIL_BYTES: Final = 128 << 10
"""Bytes before the index that are read with it: the last blocks, often with the root."""
_SMALL_INDEX_BYTES: Final = 256 << 10
"""An index up to this size is read whole."""
_HEADS_BYTES: Final = 4 << 10
"""Bytes that are read of a larger one, for the heads of its buckets."""
LEAST_WINDOW: Final = 128 << 10
MOST_WINDOW: Final = 4 << 20
_MAX_COPIES: Final = 16
"""Copies of one block that are tried."""
_MAX_HITS: Final = 64
"""Places in the tail that are looked at for one block."""


class RangeBlocks:
    """The blocks of an archive by their multihashes. Any number of threads may use it.

    :param source: the archive
    :param cache_bytes: the most bytes of blocks, and of entries of each bucket of the index, that are kept
    :param zero_is_end: take a section of length zero for the end of the archive
    :param allow_truncated: take the whole sections of an archive that was cut off, or is damaged
    :raises CarError: if it is no archive, or shorter than its header says
    """

    def __init__(
        self, source: RangeSource, cache_bytes: int, *, zero_is_end: bool, allow_truncated: bool = False
    ) -> None:
        self._source = source
        self._zero_is_end = zero_is_end
        self._is_salvaged = allow_truncated
        self._cache_bytes = cache_bytes
        head = read_exactly(source, 0, min(source.size, _HEAD_BYTES))
        self._whole = head if len(head) == source.size else b""
        """The archive, if the first read has taken all of it."""
        self.layout = read_range_layout(source, head, allow_truncated=allow_truncated)
        self.end = self.layout.end
        """Behind the last section, as far as is known."""
        self.windows = WindowCache(cache_bytes)
        if self.layout.first < len(head):
            self.windows.add(Window(0, head[: self.layout.end], self.layout.first))
        self.scan_reason: str | None = None
        """Why the sections were scanned; None if they were not."""
        self._damage: CarError | None = None
        """Why a scan failed, so that the next block that is wanted does not begin another."""
        self._index: CarIndex | RangeIndex | None = None
        self._lock = threading.Lock()
        """Held while the index is opened or made."""
        self._in_flight = ReadsInFlight()
        self._tail, self._tail_base = b"", 0
        self._expected = -1
        """Behind the block that was read last; a hint that any thread sets, and every use of it is checked."""
        self._ahead = 0
        """Bytes to read there, if blocks are read in the order of the archive; 0 if they are not. A hint likewise."""

    # -- blocks --

    def copies(self, key: bytes) -> Iterator[CachedBlock]:
        """Yield the blocks with a multihash, unverified: those in memory first, then those in the index.

        :raises CarError: if the archive turns out to be damaged
        """
        near = self._near(key)
        if near is not None:
            yield near
        index = self.index()
        if near is None:
            near = self._near(key)  # it may have come with the index
            if near is not None:
                yield near
        while True:
            try:
                for offset in self.offsets(index, key):
                    if near is None or offset != near.offset:
                        yield self._block_at(offset, key)
            except (MalformedError, TruncatedError) as error:
                index = self._mend(error)
            else:
                return

    def offsets(self, index: CarIndex | RangeIndex, key: bytes) -> list[int]:
        """Return where the sections with a multihash begin, from the start of the archive.

        :raises MalformedError: if the index says something impossible
        """
        found = [self.layout.start + offset for offset in index.find(key)[:_MAX_COPIES]]
        for offset in found:
            if not self.layout.first <= offset < self.end:
                raise MalformedError(
                    f"expected offsets from {self.layout.first} to {self.end} in the index, found {offset}"
                )
        return found

    def _block_at(self, offset: int, key: bytes) -> CachedBlock:
        """Return the block with a multihash whose section begins at an offset.

        :raises MalformedError: if another block, or none, is there
        """
        block, size = self.windows.get(key), self.window_bytes()
        if block is None or block.offset != offset:
            self._ahead = LEAST_WINDOW if offset == self._expected else 0
            self._in_flight.run_or_wait(offset, size, 2 * self.mean_bytes, lambda: self.read_window(offset, size))
            block = self.windows.get(key)
        if block is None or block.offset != offset:  # it was not all in what another thread has read, or is dropped
            block = self.read_window(offset, size).get(key)
        if block is None or block.offset != offset:
            raise MalformedError("expected the block that the index names, found another", offset=offset)
        self._expected = block.next_offset
        return block

    def _near(self, key: bytes) -> CachedBlock | None:
        """Return a block without the index: one in memory, or the next one where blocks are read in order."""
        block = self.windows.get(key)
        if block is None and self._ahead and 0 <= self._expected < self.end:
            self._ahead = min(2 * self._ahead, MOST_WINDOW)
            try:
                block = self.read_window(self._expected, self._ahead).get(key)
            except (MalformedError, TruncatedError):  # where the index names that place, it is an error
                block = None
        if block is None:
            self._ahead = 0
            return self._in_tail(key) if key in self._tail else None
        self._expected = block.next_offset
        return block

    # -- reading --

    @property
    def mean_bytes(self) -> int:
        """Bytes of a section on average, as far as is known."""
        entries = 0 if self._index is None else len(self._index)
        return (self.end - self.layout.first) // entries if entries else 0

    def window_bytes(self) -> int:
        """Return how much to read for one block: more than most blocks have, so that one read is enough."""
        return min(max(LEAST_WINDOW, 2 * self.mean_bytes), MOST_WINDOW)

    def read_window(self, offset: int, size: int) -> Window:
        """Read a section, and as much of what follows it as ``size`` allows; keep all of it in memory.

        :raises CarError: if there is no section
        """
        data = self._read(offset, min(size, self.end - offset))
        length, varint_size = varint.decode(data)
        whole = varint_size + length
        if not 0 < length <= MAX_SECTION_BYTES or whole > self.end - offset:
            raise MalformedError(
                f"expected a section of at most {min(MAX_SECTION_BYTES, self.end - offset)} bytes, found a length of "
                f"{length}",
                offset=offset,
            )
        if whole > len(data):
            data += self._read(offset + len(data), whole - len(data))
        window = Window(offset, data)
        self.windows.add(window)
        return window

    def _in_tail(self, key: bytes) -> CachedBlock | None:
        """Return a block among the bytes before the index, verified.

        Where sections begin is not known there. Bytes that look like a section and have the hash are the block.
        """
        tail, at = self._tail, -1
        for _ in range(_MAX_HITS):
            at = tail.find(key, at + 1)
            if at < 0:
                break
            for cid_at in (at - 2, at):  # a CID of version 1 whose codec has one byte, or one of version 0
                begin = self._section_of(cid_at, key)
                if begin is not None:
                    window = Window(self._tail_base + begin, tail[begin:])
                    self.windows.add(window)
                    return window.get(key)
        return None

    def _section_of(self, cid_at: int, key: bytes) -> int | None:
        """Return where the section begins whose CID is at a position of the tail; None if none has this block."""
        tail = self._tail
        for begin in range(cid_at - 1, max(cid_at - 5, -1), -1):
            try:
                length, behind = varint.decode(tail, begin, cid_at)
                end = cid_at + length
                if behind != cid_at or end > len(tail):
                    continue
                payload_at = cid_at + cids.prefix_of(tail, cid_at, end).cid_size
                cid = tail[cid_at:payload_at]
                if key_of(cid) == key:
                    verify_digest(cid, tail[payload_at:end])
                    return begin
            except CarError:
                continue
        return None

    # -- the index --

    def index(self) -> CarIndex | RangeIndex:
        """Return the index, which is opened, or made of the sections, when it is needed first.

        :raises CarError: if there is none, and the archive is damaged
        """
        if self._index is None:
            with self._lock:
                if self._index is None:
                    self._index = self._open_index()
        return self._index

    def _open_index(self) -> CarIndex | RangeIndex:
        start, size = self.layout.index_offset, self._source.size
        if self.layout.is_cut:
            return self._scan("it was cut off before the end that its header says", warns=True)
        if not start:
            return self._scan("a CARv1 has no index" if self.layout.version == 1 else "it has no index")
        if start >= size:
            return self._scan("its index is cut off", warns=True)
        is_small = size - start <= _SMALL_INDEX_BYTES
        base = max(self.end - _TAIL_BYTES, self.layout.first) if start - self.end <= _TAIL_BYTES else start
        stop = size if is_small else start + _HEADS_BYTES
        piece = self._read(base, stop - base)
        self._tail, self._tail_base = piece[: max(self.end - base, 0)], base
        try:
            if is_small:
                return CarIndex(piece[start - base :])
            heads = HeadsBuffer(self._source, size, piece, base)
            return RangeIndex(self._read, heads, start, self._cache_bytes)
        except CarError as error:
            return self._scan(f"its index cannot be read: {error}", warns=True)

    def _read(self, offset: int, size: int) -> bytes:
        return self._whole[offset : offset + size] or read_exactly(self._source, offset, size)

    def _mend(self, error: CarError) -> CarIndex | RangeIndex:
        """Replace an index that was found to be wrong, and return the one that is made of the sections.

        :raises CarError: if it was made of them already, or the archive is damaged
        """
        with self._lock:
            if self.scan_reason is not None:
                raise error
            self._index = self._scan(f"its index is wrong: {error}", warns=True)
            return self._index

    def _scan(self, reason: str, *, warns: bool = False) -> CarIndex:
        """Return an index that is made of the sections; the caller holds the lock."""
        layout = self.layout
        lost: list[Lost] = []
        if self._damage is not None:
            raise without_frames(self._damage)
        try:
            index, end, _ = index_of(self.sections(lost), layout.start, layout.first)
        except (LimitError, MalformedError) as error:
            self._damage = without_frames(error)
            raise
        tells_end = layout.is_cut
        if layout.version == 1 and end < layout.end and not self._zero_is_end:
            reason = f"a CARv1 has no index, and this one ends with something else at offset {end}"
            warns = tells_end = True
        told = [each for each in lost if each[1] <= end or not tells_end]
        if told:
            reason, warns = f"{reason}; it is damaged: {described(told)}", True
        self.end, self.scan_reason = end, reason
        if warns:
            warnings.warn(f"an archive was read from start to end: {reason}", CarWarning, stacklevel=2)
        return index

    def sections(self, lost: list[Lost] | None = None) -> Iterator[Section]:
        """Yield all sections, in the order of the archive, which is read from start to end for that.

        What fits into the cache is kept there.

        :param lost: takes the ranges that are lost, where the archive may be damaged
        :raises CarError: if something there is no section; a CARv1 may end in the middle of one
        """
        layout, data = self.layout, b""
        if layout.end - layout.first <= self._cache_bytes // 2:
            places = range(layout.first, layout.end, MOST_WINDOW)
            data = b"".join(self._read(at, min(MOST_WINDOW, layout.end - at)) for at in places)
            self.windows.add(Window(layout.first, data))
        if self._is_salvaged:
            return undamaged_sections(
                SalvageBuffer(self._source, layout.end, data, layout.first),
                layout.first,
                layout.end,
                [] if lost is None else lost,
                zero_is_end=self._zero_is_end,
                verifies_end=layout.is_cut,
            )
        buffer = ScanBuffer(self._source, layout.end, data, layout.first)
        if layout.version == 1:
            return sections_until_torn(buffer, layout.first, layout.end, zero_is_end=self._zero_is_end)
        return sections(buffer, layout.first, layout.end, zero_is_end=self._zero_is_end, limit=sys.maxsize)
