"""The sharing of the dataset that coordinates a session: it takes notes in before it answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ipld_castore.concurrency import SharedCall

from ipldstore.errors import ConflictError, IPLDStoreError

from .chain import is_same_content
from .coordinator import Coordinator
from .notes import Content, Reads, describe
from .shared import SharedDataset, Sharing
from .take_in import OnConflict, TakenIn

T = TypeVar("T")


class CoordinatorSharing:
    """Takes in the notes of a session. Safe with threads.

    :param coordinator: of the session
    """

    notes_changes = False

    def __init__(self, coordinator: Coordinator) -> None:
        self.coordinator = coordinator
        self.is_watching = True
        """Whether copies may be writing what is read here: from a pickling until the freeze after it."""
        self._reads = Reads()
        self._lock = threading.RLock()
        self._looks: SharedCall[None] = SharedCall()

    @property
    def looks_beside_reads(self) -> bool:
        """See :attr:`Sharing.looks_beside_reads`."""
        return self.is_watching and self.coordinator.is_remote

    def renew_locks(self) -> None:
        """Replace the lock in the child of a fork, where a thread of the parent may hold it."""
        self._lock = threading.RLock()

    def catch_up(self, dataset: SharedDataset, *, reading: bool) -> None:
        """See :meth:`Sharing.catch_up`. After a freeze, what is read is of its root."""
        if reading and not self.is_watching:
            return
        self._looks.call(lambda: self._take_in(dataset))  # one look serves all that asked before it began

    def _take_in(self, dataset: SharedDataset, on_conflict: OnConflict = "raise") -> None:
        with self._lock:
            self.coordinator.take_in(dataset, on_conflict)

    def remember_read(self, key: str, content: Content) -> None:
        """See :meth:`Sharing.remember_read`."""
        if self.is_watching:
            with self._lock:
                self._reads.remember(key, content)

    def record(self, dataset: SharedDataset, key: str, content: Content) -> None:
        """See :meth:`Sharing.record`: what the coordinator changes is in the tree, and so counts."""
        with self._lock, dataset.lock:
            if key in self._reads:
                read, found = self._reads[key], dataset.content_of(key)
                if not is_same_content(read, found):
                    raise ConflictError(
                        f"writing {key!r}: expected {describe(read)}, as this process read it; found "
                        f"{describe(found)}, which a writer in another process has written since. "
                        f"Nothing was changed: read it again"
                    )
                self._reads.forget(key)
            dataset.apply({key: content})

    def merge(self, dataset: SharedDataset, resolve: Callable[[], TakenIn]) -> TakenIn:
        """Make changes that follow what the dataset has; no note is taken in between looking and changing.

        What this process has read of their keys does not matter: nothing is computed from it.

        :param resolve: returns the changes; what it raises leaves all as it was
        """
        with self._lock, dataset.lock:
            taken = resolve()
            dataset.apply(taken.changes)
            for key in taken.changes:
                self._reads.forget(key)
            return taken

    def forget_reads(self, prefix: str = "") -> None:
        """See :meth:`Sharing.forget_reads`; where the dataset goes on from another root, this is all that was read."""
        with self._lock:
            self._reads.forget_all(prefix)

    def watch(self, watching: bool) -> None:
        """Take notes in before reading too, as copies have been made; or no more, as what is read has been frozen."""
        with self._lock:
            self.is_watching = watching
            self._reads.forget_all("")

    def publish(self, dataset: SharedDataset, write: Callable[[], bytes], on_conflict: OnConflict = "raise") -> bytes:
        """Take in, write the dataset, and have the session go on from its root; returns its binary CID.

        :param write: writes what has changed, blocks and all, and returns the root
        """
        with self._lock:  # nothing is taken in that the root has not
            self._take_in(dataset, on_conflict)
            root = write()
            head = dataset.head
            is_kept = head is None and not dataset.moves_head  # of a session that is being recovered
            self.coordinator.publish(root, self.coordinator.state.head if is_kept else head)
            return root

    def finish(self) -> None:
        """See :meth:`Coordinator.finish`."""
        with self._lock:
            self.coordinator.finish()

    def end(self, dataset: SharedDataset) -> None:
        """See :meth:`Coordinator.end`."""
        with self._lock:
            self.coordinator.end(dataset)


def read_beside_look(dataset: SharedDataset, sharing: Sharing, key: str, read: Callable[[Content], T]) -> T:
    """Read a key while the journal is looked into, and once more if a note has changed the key.

    :param read: reads a content
    """
    with ThreadPoolExecutor(1) as pool:
        look = pool.submit(sharing.catch_up, dataset, reading=True)
        try:
            found = dataset.content_of(key)
            try:
                value = read(found)
            except IPLDStoreError:  # it may have been deleted since
                look.result()
                if is_same_content(found, dataset.content_of(key)):
                    raise
            else:
                look.result()
                if is_same_content(found, dataset.content_of(key)):
                    sharing.remember_read(key, found)
                    return value
        finally:
            del look  # it may hold an error, whose traceback holds this frame
    found = dataset.content_of(key)
    sharing.remember_read(key, found)
    return read(found)
