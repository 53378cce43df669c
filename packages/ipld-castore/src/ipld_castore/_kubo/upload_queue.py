"""Blocks on their way to where they are stored: collected, sent together, and there for readers until they arrive."""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from ipld_car import HashMismatchError, UnverifiableError, cids, hashes

from ipld_castore.errors import BackendUnavailableError, BlockCorruptError, CAStoreError

Pairs = Sequence[tuple[bytes, bytes]]
"""Binary CIDs and their blocks."""

_OVERHEAD: Final = 200
"""Bytes of memory that a block takes beside its own."""


class _Batch:
    """Blocks that are sent together, by their multihashes."""

    __slots__ = ("error", "keys", "size")

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.size = 0
        self.error: CAStoreError | None = None
        """Why it did not arrive."""


class Outbox:
    """Collects blocks into batches and sends each in a thread of its own, while others are collected.

    Threads may share it. Nothing is forgotten before it has arrived: what could not be sent is kept and tried again by
    :meth:`flush`, and by :meth:`put` when there is no room for more. Memory is bounded: one batch more than may be
    under way.

    :param send: delivers blocks and returns when they are there; to send a block again must do no harm
    :param batch_bytes: bytes of the blocks in a batch
    :param in_flight: the most batches under way at a time
    """

    def __init__(self, send: Callable[[Pairs], None], batch_bytes: int, in_flight: int) -> None:
        self._send = send
        self._batch_bytes = batch_bytes
        self._in_flight = in_flight
        self._held: dict[bytes, tuple[bytes, bytes]] = {}  # by multihash: the truth; all else can be made from it
        self._begin()
        _LIVE.add(self)

    def _begin(self) -> None:
        """Forget who waits and sends, and put what is held into batches anew."""
        self._changed = threading.Condition()
        self._open = _Batch()
        self._ready: deque[_Batch] = deque()
        self._active: set[_Batch] = set()
        self._failed: list[_Batch] = []
        self._dropped: list[CAStoreError] = []  # what nobody was told of blocks that are not what they should be
        self._untold: list[CAStoreError] = []  # the same of batches that wait in _failed
        self._bytes = 0
        for key, (_, data) in list(self._held.items()):
            self._collect(key, len(data))

    def __len__(self) -> int:
        """How many blocks have not arrived yet."""
        return len(self._held)

    def get(self, key: bytes) -> bytes | None:
        """The block of a multihash, if it has not arrived yet."""
        held = self._held.get(key)
        return None if held is None else held[1]

    def put(self, key: bytes, cid: bytes, data: bytes, *, wait: bool = True) -> bool:
        """Take a block; waits while there is no room for it. Returns whether it was taken.

        :param key: the multihash of its CID
        :param wait: False takes it only if there is room now
        :raises CAStoreError: if blocks that were put before did not arrive; they are kept, this one is not taken
        """
        with self._changed:
            if key in self._held:
                return True
            self._tell()
            while self._bytes and self._bytes + len(data) + _OVERHEAD > self._batch_bytes * (self._in_flight + 1):
                if not wait:
                    return False
                if not self._ready and not self._active:
                    self._seal()
                    self._try_again()
                self._start()
                self._changed.wait()
                self._tell()
            self._held[key] = cid, data
            self._collect(key, len(data))
            self._start()
            return True

    def flush(self) -> None:
        """Return when all that was put before has arrived.

        :raises CAStoreError: if some did not; it is kept, and the next call tries again
        """
        with self._changed:
            self._seal()
            self._try_again()
            mine = {*self._ready, *self._active}
            self._start()
            while mine & (self._active | set(self._ready)):
                self._changed.wait()
                self._start()
            self._untold[:0] = [batch.error for batch in self._failed if batch in mine and batch.error is not None]
            if self._dropped or mine & set(self._failed):
                self._tell()

    # -- with the lock --

    def _collect(self, key: bytes, size: int) -> None:
        self._open.keys.append(key)
        self._open.size += size + _OVERHEAD
        self._bytes += size + _OVERHEAD
        if self._open.size >= self._batch_bytes:
            self._seal()

    def _seal(self) -> None:
        if self._open.keys:
            self._ready.append(self._open)
            self._open = _Batch()

    def _try_again(self) -> None:
        """Have what did not arrive sent once more; before anything newer."""
        for batch in self._failed:
            batch.error = None
        self._ready.extendleft(reversed(self._failed))
        self._failed.clear()
        self._untold.clear()

    def _start(self) -> None:
        while self._ready and len(self._active) < self._in_flight:
            batch = self._ready.popleft()
            self._active.add(batch)
            try:
                threading.Thread(target=self._deliver, args=(batch,), name="ipld-castore-outbox").start()
            except RuntimeError as error:  # no more threads: too many, or Python is about to end
                self._active.discard(batch)
                self._ready.appendleft(batch)
                raise BackendUnavailableError(f"cannot start a thread to send blocks in: {error}") from error

    def _tell(self) -> None:
        """Raise what went wrong since somebody was told."""
        told = [*self._dropped, *self._untold]
        self._dropped.clear()
        self._untold.clear()
        if told:
            raise told[0]

    # -- in a thread of its own --

    def _deliver(self, batch: _Batch) -> None:
        error: CAStoreError | None = None
        pairs = [self._held[key] for key in batch.keys]
        try:
            self._send(pairs)
        except CAStoreError as caught:
            error = caught
        except Exception as caught:  # noqa: BLE001  # whatever it is, somebody waits for this batch
            error = CAStoreError(f"sending {len(pairs)} blocks: {caught!r}")
            error.__cause__ = caught
        wrong = [] if error is None else [key for key in batch.keys if _is_wrong(*self._held[key])]
        with self._changed:
            self._active.discard(batch)
            if wrong:  # they would keep the others from ever arriving
                self._dropped.append(
                    BlockCorruptError(
                        f"expected bytes with the hash of {cids.to_text(self._held[wrong[0]][0])}, found others: "
                        f"{len(wrong)} of the blocks that were put are not what their CIDs name, and are dropped"
                    )
                )
            elif error is not None:
                self._untold.append(error)
            self._forget(batch, batch.keys if error is None else wrong)
            if batch.keys:
                batch.error = error
                self._failed.append(batch)
            self._changed.notify_all()
            if error is None:
                self._start()

    def _forget(self, batch: _Batch, keys: list[bytes]) -> None:
        size = sum(len(self._held.pop(key)[1]) + _OVERHEAD for key in keys)
        gone = set(keys)
        batch.keys = [key for key in batch.keys if key not in gone]
        batch.size -= size
        self._bytes -= size

    # -- other processes --

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("an outbox stays where its blocks are")


def _is_wrong(cid: bytes, data: bytes) -> bool:
    try:
        hashes.verify_digest(cid, data)
    except HashMismatchError:
        return True
    except UnverifiableError:  # the node knows better
        return False
    return False


_LIVE: weakref.WeakSet[Outbox] = weakref.WeakSet()


def _begin_all() -> None:
    """In the child of a fork: the threads that sent, or held a lock, are not there."""
    for outbox in list(_LIVE):
        outbox._begin()  # noqa: SLF001  # this module's own class


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_all)
