"""When this process has put which block: in stores that keep no times themselves, a mapping and a CAR file.

Blocks that were there before the store was opened have no time: no thread of this process is about to link them.
"""

from __future__ import annotations

import math
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, Generic, TypeVar
from weakref import WeakKeyDictionary

from ipld_car import CarFile, cids
from multiformats import CID

from ipld_castore.concurrency import ForkLocal

K = TypeVar("K")

_GRAIN: Final = 1.0
"""Seconds between two notes of where a file ends."""


class KeyTimes(Generic[K]):
    """The time of the last put of each key, and a way to delete keys that are old. Safe with threads.

    Putting is two steps, :meth:`note` and then the put itself, so that it holds no lock: a deletion that has begun
    before the note is waited for, and one that begins later sees the note.
    """

    def __init__(self) -> None:
        self._times: dict[K, float] = {}
        self._deleting = False
        self._lock: Final = ForkLocal(threading.Lock)
        """Held while keys are deleted."""

    def note(self, key: K) -> None:
        """Note that a key is being put now; call it before the put."""
        self._times[key] = time.time()
        if self._deleting:
            with self._lock.value:
                self._times[key] = time.time()

    def since(self, limit: float) -> Iterator[K]:
        """Return the keys that were put at a time or later."""
        times = self._times
        return (key for key in list(times) if times.get(key, limit - 1) >= limit)

    @contextmanager
    def deleting(self, before: float) -> Iterator[Callable[[K], bool]]:
        """Hold off puts, and yield what forgets the time of a key that is older, or returns False."""

        def forget(key: K) -> bool:
            if self._times.get(key, before - 1) >= before:
                return False
            self._times.pop(key, None)
            return True

        with self._lock.value:
            self._deleting = True
            try:
                yield forget
            finally:
                self._deleting = False


class OffsetTimes:
    """When the blocks of a CAR file were put, by where they lie: the file grows at its end.

    Callers hold :attr:`lock`, but for :meth:`recent`.
    """

    def __init__(self) -> None:
        self.lock: Final = ForkLocal(threading.Lock)
        """Held while a block is put, and while the file is replaced."""
        self.swapping: Final = ForkLocal(threading.Lock)
        """Held while the head of the file is compared and replaced, and so while the file is rewritten."""
        self._times: list[float] = []
        self._offsets: list[int] = []
        """What was put at a time or later lies at the offset of that time or behind it."""
        self._mark: float | None = None
        """A time since when no block was put that the file did not have; None where that is not known."""
        self._again: dict[bytes, float] = {}
        """By multihash, the last put of blocks that lie elsewhere: they were there, or the file was rewritten."""

    def note(self, file: CarFile, cid: CID, *, is_new: bool) -> None:
        """Note that a block has just been put.

        :param is_new: whether the file did not have it
        """
        now = time.time()
        if not is_new:
            self._again[cids.multihash_of(bytes(cid))] = now
        elif self._mark is not None or not self._times or now - self._times[-1] >= _GRAIN:
            begin, self._mark = now if self._mark is None else self._mark, None
            # The mark, then offsets, then times: recent() holds no lock, and must not miss the block.
            self._offsets.append(file.location(cid).offset)
            self._times.append(begin)

    def now(self) -> float:
        """Return the time, by which blocks that are put from now on differ from older ones.

        Where the next block will be is not known: the file may end with an index, which blocks overwrite.
        """
        now = time.time()
        if self._times:  # else this process has put nothing
            self._mark = now
        return now

    def recent(self, file: CarFile, since: float) -> Iterator[tuple[CID, float]]:
        """Yield the blocks that were put at a time or later, and when they were put at the latest.

        Of those that were put up to a second before, some are among them.
        """
        times, offsets = self._times.copy(), self._offsets.copy()
        mark = self._mark
        again = {digest: put_at for digest, put_at in list(self._again.items()) if put_at >= since}
        if not times and not again:
            return
        is_none_new = not times or (mark is not None and since >= mark)
        begin = math.inf if is_none_new else offsets[max(0, bisect_right(times, since) - 1)]
        latest = time.time() if mark is None else mark
        for cid, location in file:
            put_at = again.get(cids.multihash_of(bytes(cid))) if again else None
            if put_at is None and location.offset >= begin:
                after = bisect_right(offsets, location.offset)
                put_at = times[after] if after < len(times) else latest
            if put_at is not None:
                yield cid, put_at

    def restart(self, recent: Iterable[tuple[CID, float]]) -> None:
        """Go on with a file in which these blocks lie elsewhere."""
        self._again = {cids.multihash_of(bytes(cid)): put_at for cid, put_at in recent}
        self._times, self._offsets, self._mark = [], [], None


_offset_times: Final[WeakKeyDictionary[CarFile, OffsetTimes]] = WeakKeyDictionary()
"""The times of each file: stores out of pickles put into the same file."""


def times_of(file: CarFile) -> OffsetTimes:
    """Return the times of a file; they are the same for all stores over it."""
    return _offset_times.setdefault(file, OffsetTimes())


def hand_over(old: CarFile, new: CarFile) -> None:
    """Move the times of a file to its replacement; a store that is just being made may ask for the old file."""
    _offset_times[new] = times_of(old)
