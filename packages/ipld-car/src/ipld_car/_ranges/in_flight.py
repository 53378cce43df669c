"""Reads that are under way, so that threads that want neighbours do not read the same bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable


class _Read:
    """A read that is under way."""

    def __init__(self, start: int, stop: int) -> None:
        self.start = start
        self.stop = stop
        self.done = threading.Event()


class ReadsInFlight:
    """The reads of an archive that are under way. Any number of threads may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reads: list[_Read] = []

    def run_or_wait(self, offset: int, size: int, needed: int, action: Callable[[], object]) -> None:
        """Run an action that reads a range; or wait for one under way that reads what is needed of it.

        :param needed: bytes from ``offset`` on
        :raises Exception: what the action raises; the error of another thread's action is not raised here
        """
        with self._lock:
            other = next((each for each in self._reads if each.start <= offset and offset + needed <= each.stop), None)
            if other is None:
                own = _Read(offset, offset + size)
                self._reads.append(own)
        if other is not None:
            other.done.wait()
            return
        try:
            action()
        finally:
            with self._lock:
                self._reads.remove(own)
            own.done.set()
