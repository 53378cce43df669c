"""Blocks that one thread fetches and others wait for."""

from __future__ import annotations

import threading


class BlockFetch:
    """One fetch of several blocks, which arrive in any order. Threads wait for the block that they want.

    The single-flight of :mod:`ipld_castore.concurrency` is for calls with one result. A fetch brings many blocks. Each
    is wanted as soon as it arrives, and which ones it brings is known only while it runs.
    """

    def __init__(self) -> None:
        self.registered: list[bytes] = []
        """CIDs of the blocks that the fetch may bring; the lock of the reader guards it."""
        self._change = threading.Condition()
        self._arrived: dict[bytes, bytes] = {}
        self._wanted: set[bytes] = set()
        """CIDs that threads wait for: to wake them for each of thousands of blocks takes longer than to fetch these."""
        self._finished = False

    def deliver(self, cid: bytes, data: bytes) -> None:
        """Give a block to the threads that wait for it."""
        with self._change:
            self._arrived[cid] = data
            if cid in self._wanted:
                self._change.notify_all()

    def finish(self) -> None:
        """Tell all waiting threads that no more blocks arrive."""
        with self._change:
            self._finished = True
            self._change.notify_all()

    def wait_for(self, cid: bytes) -> bytes | None:
        """Return a block as soon as it arrives; None if the fetch ends without it."""
        with self._change:
            self._wanted.add(cid)
            self._change.wait_for(lambda: self._finished or cid in self._arrived)
            return self._arrived.get(cid)
