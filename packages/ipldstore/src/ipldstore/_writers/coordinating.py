"""The sharing of the dataset that coordinates a session: it takes notes in before it answers."""

from __future__ import annotations

import threading

from .coordinator import Coordinator
from .notes import Content
from .shared import SharedDataset
from .take_in import OnConflict


class CoordinatorSharing:
    """Takes in the notes of a session. Safe with threads.

    :param coordinator: of the session
    """

    notes_changes = False

    def __init__(self, coordinator: Coordinator) -> None:
        self.coordinator = coordinator
        self.is_watching = True
        """Whether copies may be writing what is read here: from a pickling until the freeze after it."""
        self._lock = threading.RLock()

    def renew_locks(self) -> None:
        """Replace the lock in the child of a fork, where a thread of the parent may hold it."""
        self._lock = threading.RLock()

    def catch_up(self, dataset: SharedDataset, *, reading: bool, on_conflict: OnConflict = "raise") -> None:
        """See :meth:`Sharing.catch_up`. After a freeze, what is read is of its root."""
        if reading and not self.is_watching:
            return
        with self._lock:
            self.coordinator.take_in(dataset, on_conflict)

    def remember_read(self, key: str, content: Content) -> None:
        """See :meth:`Sharing.remember_read`: the coordinator's own changes are in the tree, and so count."""

    def record(self, dataset: SharedDataset, key: str, content: Content) -> None:
        """See :meth:`Sharing.record`: it is not called."""
        raise NotImplementedError

    def publish(self, root: bytes) -> None:
        """See :meth:`Coordinator.publish`; what is read from now on is of that root."""
        with self._lock:
            self.coordinator.publish(root)
            self.is_watching = False
