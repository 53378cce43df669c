"""Persisting roots: the root that the block store keeps, and the head that moves to it."""

from __future__ import annotations

import threading
from typing import Final

from ipld_car import cids
from ipld_car.messages import Message, Term
from ipld_castore import ContentAddressableStore, SupportsPin

from ipldstore._revisions.history import History
from ipldstore.errors import ConflictError, IPLDStoreError, store_errors

from .castores import moving_head

_GOING_ON: Final = (
    "The changes are still there: changes() returns them, set_root(found, discard_changes=True) goes on from the other "
    "root, and merge() brings them in."
)


class Persistence:
    """The root of a dataset that is persisted in its block store.

    :param castore: the block store
    :param root: binary CID of the root that the dataset begins with; None for an empty dataset
    :param own: whether this process may persist it: the head is then read
    :raises IPLDStoreError: if the head cannot be read
    """

    def __init__(self, castore: ContentAddressableStore, root: bytes | None, *, own: bool = True) -> None:
        self._castore = castore
        self.root = self.head() if own and castore.persist_moves_head else root
        """Binary CID of the root that is persisted; None if there is none."""
        self.base = root
        """Binary CID of the root under the changes that are not persisted; None for an empty dataset."""
        self._plain = root
        """Binary CID of a head that is known to be a root: the dataset has read it, or has moved the head to it."""
        self.unpersisted: bytes | None = None
        """Binary CID of a root that was written and is not persisted yet."""
        self._tried: set[bytes] = set()
        """Binary CIDs of roots that the head may have moved to, as a call has failed or was interrupted."""
        self.lock = threading.RLock()
        """One thread at a time persists: the head moves from one root to the next."""

    def renew_lock(self) -> None:
        """Replace the lock in the child of a fork, where a thread of the parent may hold it."""
        self.lock = threading.RLock()

    def head(self) -> bytes | None:
        """Return the head that moves when the dataset is persisted; None if there is none."""
        head = moving_head(self._castore)
        return None if head is None else cids.to_bytes(head)

    def persist(self, root: bytes) -> None:
        """Persist a root: its blocks stay, and the head becomes the root where the block store moves one.

        :raises IPLDStoreError: if that fails, for a head that another writer has moved a :class:`ConflictError`
        """
        if self._tried and (head := self.head()) in self._tried:
            self.root = self._plain = head
        if self._castore.persist_moves_head and self.root is not None:
            self._require_plain(self.root)
        before = None if self.root is None else cids.from_validated(self.root)
        self._tried.add(root)
        try:
            with store_errors("keeping the blocks"):
                self._castore.persist(cids.from_validated(root), before)
        except ConflictError as error:
            error.add_note(_GOING_ON)
            raise
        self._tried = set()
        self.root, self.base, self._plain, self.unpersisted = root, root, root, None

    def flush(self, root: bytes, *, for_writers: bool) -> bytes:
        """Wait until the blocks of a root are in the store; return the root.

        :param for_writers: whether a session of writers goes on from the root. A block store that deletes blocks of
            its own accord keeps the root then: notes, which keep the blocks that they name, are deleted when the root
            has them
        """
        with store_errors("flushing the blocks"):
            self._castore.flush()
        if for_writers and isinstance(self._castore, SupportsPin):
            with self.lock:
                self.persist(root)
        return root

    def _require_plain(self, head: bytes) -> None:
        """Refuse to replace the state of a repository by a root, and lose its names and history."""
        if head != self._plain and History(self._castore).is_state(head):
            raise IPLDStoreError(
                Message(
                    f"keeping the blocks: expected a root as the head of {self._castore!r}, found the repository "
                    f"{cids.to_text(head)}: ",
                    Term("writable_session()", "Repository.open(...).writable_session() commits to it"),
                )
            )
        self._plain = head

    def go_to(self, root: bytes, head: bytes | None) -> None:
        """Record that the dataset goes on from a root.

        :param head: what :meth:`head` has returned: others may have moved it to the root
        """
        self.unpersisted = None
        if head == root:
            self.root = self.base = root
