"""Blocks that wait to be sent: collected into batches, sent in threads, and readable until they have arrived."""

from __future__ import annotations

import copy
import threading
import traceback
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from ipld_car import HashMismatchError, UnverifiableError, cids, hashes

from ipld_castore.concurrency import drop_tracebacks, renew_after_fork
from ipld_castore.errors import BackendUnavailableError, BlockCorruptError, CAStoreError

Pairs = Sequence[tuple[bytes, bytes]]
"""Binary CIDs and their blocks."""

_OVERHEAD: Final = 200
"""Bytes of memory that a block takes beside its own."""
_IDLE_SECONDS: Final = 0.1
"""A thread that has sent a batch waits so long for another one: to start a thread takes as long as a small request."""


class _Batch:
    """Blocks that are sent together, by their multihashes."""

    __slots__ = ("error", "flushes", "keys", "size")

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.size = 0
        self.flushes: list[_Flush] = []
        """The calls of :meth:`UploadQueue.flush` that wait for it."""
        self.error: CAStoreError | None = None
        """Why the last try to send the batch failed."""

    def has_any(self, keys: Collection[bytes] | None) -> bool:
        """Return whether one of some blocks is in the batch; None is all blocks."""
        return keys is None or any(key in keys for key in self.keys)


class _Flush:
    """A call of :meth:`UploadQueue.flush`, and what it waits for."""

    __slots__ = ("changed", "failed", "left")

    def __init__(self, lock: threading.RLock) -> None:
        self.changed = threading.Condition(lock)
        """Notified when nothing is left, and when the queue gives up."""
        self.left = 0
        """How many batches are to be sent, or under way."""
        self.failed: set[_Batch] = set()
        """The batches that failed; another flush may send them again."""


class UploadQueue:
    """Collects blocks into batches and sends several batches at a time in threads, while others are collected.

    Threads may share a queue. A block stays in the queue until it has arrived: a batch that could not be sent is kept,
    and sent again by :meth:`flush`, and by :meth:`put` when there is no room for more. Memory is bounded. When as many
    batches in a row have failed as may be under way, no other is begun until then.

    In the child of a fork the queue holds the same blocks, none of them under way.

    :param send: sends blocks and returns when they have arrived; sending a block again must do no harm
    :param batch_bytes: the bytes of the blocks in a batch; 1 sends each block on its own
    :param in_flight: the most batches under way at a time
    :param capacity: the most bytes in the queue, by default those of ``in_flight`` batches and one more
    """

    def __init__(
        self, send: Callable[[Pairs], None], batch_bytes: int, in_flight: int, capacity: int | None = None
    ) -> None:
        self._send = send
        self._batch_bytes = batch_bytes
        self._in_flight = in_flight
        self._capacity = batch_bytes * (in_flight + 1) if capacity is None else capacity
        self._held: dict[bytes, tuple[bytes, bytes]] = {}
        """All blocks of the queue, by multihash. The other attributes can be made from it, as after a fork."""
        self._begin()
        renew_after_fork(self._begin)

    def _begin(self) -> None:
        """Forget the threads, and collect the held blocks into new batches.

        In the child of a fork the threads that sent blocks, or held a lock, are not there.
        """
        self._lock = threading.RLock()
        self._room = threading.Condition(self._lock)
        """Notified when blocks have arrived or failed, for puts that wait."""
        self._work_added = threading.Condition(self._lock)
        """Notified when there are batches to send, for threads that have none."""
        self._open = _Batch()
        self._ready: deque[_Batch] = deque()
        self._active: set[_Batch] = set()
        self._failed: list[_Batch] = []
        self._dropped: list[CAStoreError] = []
        """Errors about blocks that were dropped, as they are not what their CIDs name; not raised yet."""
        self._unreported: list[CAStoreError] = []
        """Errors of the batches in ``_failed`` that were not raised yet."""
        self._threads = 0
        self._failures = 0
        """Batches that failed since one arrived."""
        self._bytes = 0
        for key, (_, data) in list(self._held.items()):
            self._collect(key, len(data))

    def __len__(self) -> int:
        """Return the number of blocks that have not arrived yet."""
        return len(self._held)

    def get(self, key: bytes) -> bytes | None:
        """Return the block of a multihash if it has not arrived yet, else None."""
        held = self._held.get(key)
        return None if held is None else held[1]

    def put(self, key: bytes, cid: bytes, data: bytes, *, wait: bool = True) -> bool:
        """Add a block and return whether it was added. Waits while there is no room for it.

        :param key: the multihash of the CID
        :param wait: False adds the block only if there is room now
        :raises CAStoreError: if blocks that were put before did not arrive; they are kept, this one is not added
        """
        with self._lock:
            if key in self._held:
                return True
            self._raise_pending()
            while self._bytes and self._bytes + len(data) + _OVERHEAD > self._capacity:
                if not wait:
                    return False
                if not self._active and (not self._ready or self._has_given_up):
                    self._seal()
                    self._retry_failed()
                self._start()
                self._room.wait()
                self._raise_pending()
            self._held[key] = cid, data
            self._collect(key, len(data))
            self._start()
            return True

    def flush(self, keys: Collection[bytes] | None = None) -> None:
        """Wait until all blocks that were put before have arrived.

        :param keys: the multihashes of blocks that are waited for; None is all
        :raises CAStoreError: if some did not; they are kept, and the next call sends them again
        """
        with self._lock:
            if keys is not None and not any(key in self._held for key in keys):
                return
            self._seal()
            self._retry_failed(keys)
            mine = _Flush(self._lock)
            for batch in (*self._ready, *self._active):
                if batch.has_any(keys):
                    batch.flushes.append(mine)
                    mine.left += 1
            self._start()
            while mine.left and (self._active or not self._has_given_up):
                mine.changed.wait()
                self._start()
            failed = [batch.error for batch in self._failed if batch in mine.failed and batch.error is not None]
            if mine.left and not failed:  # the failures of others have made it give up
                failed = [batch.error for batch in self._failed if batch.error is not None]
            self._unreported[:0] = failed
            gave_up = bool(mine.left or failed)
            self._forget_flush(mine)
            del failed[:]  # an error here would be a cycle: error, traceback, this frame
            if self._dropped or gave_up:
                self._raise_pending()

    # -- called with the lock held --

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

    def _retry_failed(self, keys: Collection[bytes] | None = None) -> None:
        """Queue the batches that failed once more, before any newer one; see :meth:`flush` for the keys."""
        again = [batch for batch in self._failed if batch.has_any(keys)]
        known = {id(batch.error) for batch in again}
        self._unreported = [] if keys is None else [each for each in self._unreported if id(each) not in known]
        self._failed = [batch for batch in self._failed if not batch.has_any(keys)]
        for batch in again:
            batch.error = None
            for flush in batch.flushes:  # they wait for it again
                flush.failed.discard(batch)
                flush.left += 1
        self._ready.extendleft(reversed(again))
        self._failures = 0

    @property
    def _has_given_up(self) -> bool:
        """Whether no batch is begun: what receives them is likely to be down."""
        return self._failures >= self._in_flight

    def _forget_flush(self, flush: _Flush) -> None:
        """Remove a call of flush that ends from all batches."""
        waited_for = (*self._ready, *self._active, *flush.failed) if flush.left else tuple(flush.failed)
        for batch in waited_for:
            batch.flushes = [each for each in batch.flushes if each is not flush]
        flush.failed.clear()

    def _start(self) -> None:
        """Wake or start threads until there is one for each batch to send."""
        if self._ready and not self._has_given_up:
            self._work_added.notify(len(self._ready))
        while self._ready and self._threads < min(self._in_flight, len(self._ready) + len(self._active)):
            if self._has_given_up:
                return
            self._threads += 1
            try:
                threading.Thread(target=self._work, name="ipld-castore-upload").start()
            except RuntimeError as error:  # there are too many threads, or Python is about to end
                self._threads -= 1
                if self._threads:
                    return  # the others go on
                raise BackendUnavailableError(f"cannot start a thread to send blocks in: {error}") from error

    def _raise_pending(self) -> None:
        """Raise the first error that was not raised yet, and forget the others."""
        pending = [*self._dropped, *self._unreported]
        self._dropped.clear()
        self._unreported.clear()
        if pending:
            del pending[1:]
            raise _copy(pending.pop())  # this frame is in the traceback, so no variable of it may hold the error

    # -- called in a thread that sends --

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            self._deliver(batch)
            del batch

    def _next(self) -> _Batch | None:
        """Return the batch to send next; None ends the thread, as none has come for a while."""
        with self._lock:
            while not self._ready or self._has_given_up:
                if not self._work_added.wait(_IDLE_SECONDS) and (not self._ready or self._has_given_up):
                    self._threads -= 1
                    return None
            batch = self._ready.popleft()
            self._active.add(batch)
            return batch

    def _deliver(self, batch: _Batch) -> None:
        error = self._try_send([self._held[key] for key in batch.keys])
        if error is not None:
            drop_tracebacks(error)  # the queue keeps the error
        wrong = [] if error is None else [key for key in batch.keys if _is_wrong(*self._held[key])]
        with self._lock:
            self._active.discard(batch)
            if wrong:  # they would keep the others from ever arriving
                self._dropped.append(
                    BlockCorruptError(
                        f"expected bytes with the hash of {cids.to_text(self._held[wrong[0]][0])}, found others: "
                        f"{len(wrong)} of the blocks that were put are not what their CIDs name, and are dropped"
                    )
                )
            elif error is not None:
                self._unreported.append(error)
            self._forget(batch, batch.keys if error is None else wrong)
            if batch.keys:
                batch.error = error
                self._failed.append(batch)
                self._failures += 1
            else:
                self._failures = 0
            for flush in batch.flushes:
                flush.left -= 1
                if batch.keys:
                    flush.failed.add(batch)
                if not flush.left:
                    flush.changed.notify()
            if not batch.keys:
                batch.flushes.clear()
            if self._has_given_up and not self._active:
                for flush in {flush for waiting in self._ready for flush in waiting.flushes}:
                    flush.changed.notify()
            self._room.notify_all()

    def _try_send(self, pairs: Pairs) -> CAStoreError | None:
        """Send blocks and return the error, if there was one: whatever it is, as a flush may wait for the batch."""
        try:
            self._send(pairs)
        except CAStoreError as caught:
            return caught
        except Exception as caught:  # noqa: BLE001  # see above
            error = _caused(CAStoreError(f"sending {len(pairs)} blocks: {caught!r}"), caught)
            error.add_note("".join(traceback.format_exception(caught)))  # as the queue drops tracebacks
            return error
        return None

    def _forget(self, batch: _Batch, keys: list[bytes]) -> None:
        size = sum(len(self._held.pop(key)[1]) + _OVERHEAD for key in keys)
        gone = set(keys)
        batch.keys = [key for key in batch.keys if key not in gone]
        batch.size -= size
        self._bytes -= size

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("cannot pickle an UploadQueue: its blocks are in this process")


def _is_wrong(cid: bytes, data: bytes) -> bool:
    try:
        hashes.verify_digest(cid, data)
    except HashMismatchError:
        return True
    except UnverifiableError:  # the node may know the hash function
        return False
    return False


def _caused(error: CAStoreError, cause: BaseException | None) -> CAStoreError:
    error.__cause__ = cause
    return error


def _copy(error: CAStoreError) -> CAStoreError:
    """Return a copy to raise. The queue keeps the error, which must not refer to the frames that it is raised in."""
    return _caused(copy.copy(error), error.__cause__)
