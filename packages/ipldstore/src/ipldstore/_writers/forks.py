"""A fork: a dataset that keeps what it changes, for the dataset that it was forked from to take in."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping, Sequence

from .chain import is_same_content
from .changes import ID_BYTES, Changes
from .notes import Content, Note
from .shared import SharedDataset


class ForkSharing:
    """The sharing of a fork: it keeps its changes, which the task that made them returns. Safe with threads.

    What :meth:`changes` has given out stays a change of its own: a later change of the same key follows it.

    :param root: binary CID of the root that the fork began with
    :param notes: by writer, what was changed already
    """

    notes_changes = True
    looks_beside_reads = False

    def __init__(self, root: bytes, notes: Mapping[str, Sequence[Note]] | None = None) -> None:
        self.root = root
        self._given = {writer: tuple(own) for writer, own in (notes or {}).items()}
        self._since: dict[str, tuple[Content, Content]] = {}
        """By key, what it had before and has after the changes that were not given out."""
        self._writer: str | None = None
        """Drawn at the first change, and never pickled: a fork out of a pickle is another writer."""
        self._lock = threading.RLock()

    def changes(self) -> Changes:
        """Return what the fork has changed."""
        with self._lock:
            if self._since:
                self._writer = self._writer or secrets.token_hex(ID_BYTES)
                given = self._given.get(self._writer, ())
                self._given[self._writer] = given + tuple(
                    Note(number, key, before, after, was_read=False, confirmed=number)
                    for number, (key, (before, after)) in enumerate(self._since.items(), len(given) + 1)
                )
                self._since = {}
            return Changes(self.root, self._given)

    def catch_up(self, dataset: SharedDataset, *, reading: bool) -> None:
        """See :meth:`Sharing.catch_up`: a fork does not see changes of others."""

    def remember_read(self, key: str, content: Content) -> None:
        """See :meth:`Sharing.remember_read`: what a fork reads is what it has when it writes."""

    def record(self, dataset: SharedDataset, key: str, content: Content) -> None:
        """See :meth:`Sharing.record`."""
        with self._lock:
            known = self._since.get(key)
            before = dataset.content_of(key) if known is None else known[0]
            dataset.apply({key: content})
            if is_same_content(before, content):
                self._since.pop(key, None)  # as if it had never been written
            else:
                self._since[key] = before, content

    def renew_locks(self) -> None:
        """See :meth:`Sharing.renew_locks`: the child of a process is another writer."""
        self._lock = threading.RLock()
        self.changes()
        self._writer = None
