"""One bucket of an index that is far away: a few ranges of it find any digest.

The digests of a bucket are sorted, and good hash functions spread them evenly: of n digests, the one at the fraction p
of all values has a rank near p * n, and the standard deviation of that rank is sqrt(n * p * (1 - p)), the one of a
binomial distribution. So one range of a few standard deviations holds it. What was read divides the bucket into gaps,
in which the same holds with the smaller n of the gap.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Final, NamedTuple

from ipld_car._car.index import OFFSET_BYTES, Bucket
from ipld_car.errors import MalformedError
from ipld_car.lru import LRU

_DEVIATIONS: Final = 4.5
"""Standard deviations to each side that a range spans; 7 of a million digests lie outside."""
_LEAST_ENTRIES: Final = 64
_MAX_BYTES: Final = 1 << 20
"""Bytes of the largest range."""
_INTERPOLATIONS: Final = 2
"""Ranges that are guessed by interpolation. Where they fail the digests are not spread evenly, and each further range
halves the gap."""
_MAX_COPIES: Final = 64
"""Entries with one digest that are looked at."""


class _Piece(NamedTuple):
    """A range of the bucket that was read. Its bytes are dropped when others are needed more."""

    first: int
    """Rank of its first entry."""
    stop: int
    """Rank behind its last entry."""
    low: bytes
    """The first digest."""
    high: bytes
    """The last digest."""


class _Gap(NamedTuple):
    """Ranks between two pieces, and the first 8 bytes of the digests beside them as numbers."""

    start: int
    stop: int
    low: int
    high: int


class BucketSearch:
    """Finds digests in one bucket. Any number of threads may use it.

    :param read: reads a range of the archive, by offset and size
    :param bucket: where the entries are, in bytes from the start of the archive
    :param cache_bytes: the most bytes of entries that are kept
    """

    def __init__(self, read: Callable[[int, int], bytes], bucket: Bucket, cache_bytes: int) -> None:
        self._read = read
        self._bucket = bucket
        self._size = bucket.width - OFFSET_BYTES
        self._lock = threading.Lock()
        self._pieces: list[_Piece] = []
        """In their order; no two overlap."""
        self._data: LRU[int, bytes] = LRU(cache_bytes)
        """The bytes of pieces, by the rank of their first entry, the one used last at the end."""

    def find(self, digest: bytes) -> list[int]:
        """Return the offsets of a digest, from the start of the CARv1, in the order of the index.

        :raises MalformedError: if the entries are found to be out of order
        """
        step = 0
        while True:
            place = self._place_of(digest)
            if isinstance(place, _Piece):
                return self._offsets(place, digest)
            if place.start == place.stop:
                return []
            # Each range makes the gap smaller, so this ends; from the third on it is halved at least.
            self._fetch(self._range(digest, place, step))
            step += 1

    # -- where to look --

    def _place_of(self, digest: bytes) -> _Piece | _Gap:
        """Return the piece that holds a digest, if it is in the bucket; else the gap where it can be."""
        with self._lock:
            pieces = self._pieces
            at = bisect_left(pieces, digest, key=lambda piece: piece.high)
            behind = pieces[at] if at < len(pieces) else None
            if behind is not None and behind.low <= digest:
                return behind
            before = pieces[at - 1] if at else None
        return _Gap(
            0 if before is None else before.stop,
            self._bucket.entries if behind is None else behind.first,
            0 if before is None else _value(before.high),
            1 << 64 if behind is None else _value(behind.low),
        )

    def _range(self, digest: bytes, gap: _Gap, step: int) -> range:
        """Return the ranks to read for a digest in a gap."""
        size = gap.stop - gap.start
        spread = gap.high - gap.low
        fraction = min(max((_value(digest) - gap.low) / spread, 0.0), 1.0) if spread else 0.5
        deviation = math.sqrt(size * fraction * (1 - fraction))
        half = int(_DEVIATIONS * deviation) + _LEAST_ENTRIES // 2
        half = min(half << 2 * min(step, _INTERPOLATIONS), _MAX_BYTES // self._bucket.width // 2)
        middle = gap.start + (int(fraction * size) if step < _INTERPOLATIONS else size // 2)
        first = max(min(middle - half, gap.stop - 2 * half), gap.start)
        return range(first, min(first + 2 * half, gap.stop))

    # -- what was read --

    def _fetch(self, ranks: range) -> _Piece:
        """Read entries and keep them, as far as no other thread has read some of them meanwhile."""
        width, size = self._bucket.width, self._size
        data = self._read(self._bucket.start + ranks.start * width, len(ranks) * width)
        piece = _Piece(ranks.start, ranks.stop, data[:size], data[-width : size - width])
        if piece.low > piece.high:
            raise self._unsorted(ranks)
        with self._lock:
            at = bisect_right(self._pieces, piece.first, key=lambda each: each.first)
            before = self._pieces[at - 1] if at else None
            behind = self._pieces[at] if at < len(self._pieces) else None
            is_free = (before is None or before.stop <= piece.first) and (behind is None or piece.stop <= behind.first)
            if before == piece:
                self._data.put(piece.first, data, len(data))
            elif is_free:
                if (before and before.high > piece.low) or (behind and piece.high > behind.low):
                    raise self._unsorted(ranks)
                self._pieces.insert(at, piece)
                self._data.put(piece.first, data, len(data))
        return piece

    def _unsorted(self, ranks: range) -> MalformedError:
        return MalformedError(
            f"expected the entries of an index in the order of their digests, found others among the entries "
            f"{ranks.start} to {ranks.stop}",
            offset=self._bucket.start,
        )

    def _bytes_of(self, piece: _Piece) -> bytes:
        with self._lock:
            data = self._data.get(piece.first)
        if data is not None:
            return data
        width = self._bucket.width
        data = self._read(self._bucket.start + piece.first * width, (piece.stop - piece.first) * width)
        with self._lock:
            self._data.put(piece.first, data, len(data))
        return data

    def _offsets(self, piece: _Piece, digest: bytes) -> list[int]:
        """Return the offsets of a digest in a piece, and of copies that lie across its ends."""
        found = self._offsets_in(self._bytes_of(piece), digest)
        if piece.low == digest and piece.first:
            beside = range(max(piece.first - _MAX_COPIES, 0), piece.first)
            found = self._offsets_in(self._entries(beside), digest) + found
        if piece.high == digest and piece.stop < self._bucket.entries:
            beside = range(piece.stop, min(piece.stop + _MAX_COPIES, self._bucket.entries))
            found += self._offsets_in(self._entries(beside), digest)
        return found[:_MAX_COPIES]

    def _entries(self, ranks: range) -> bytes:
        width = self._bucket.width
        return self._read(self._bucket.start + ranks.start * width, len(ranks) * width)

    def _offsets_in(self, data: bytes, digest: bytes) -> list[int]:
        width, size = self._bucket.width, self._size
        first = bisect_left(range(len(data) // width), digest, key=lambda at: data[at * width : at * width + size])
        offsets: list[int] = []
        for at in range(first * width, len(data), width):
            if not data.startswith(digest, at) or len(offsets) == _MAX_COPIES:
                break
            offsets.append(int.from_bytes(data[at + size : at + width], "little"))
        return offsets


def _value(digest: bytes) -> int:
    """Return the first 8 bytes of a digest as a number."""
    return int.from_bytes(digest[:8].ljust(8, b"\0"))
