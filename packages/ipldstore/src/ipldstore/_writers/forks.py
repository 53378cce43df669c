"""Forks: datasets that record their changes, which the dataset that was forked takes in."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from .chain import is_same_content
from .changes import ID_BYTES, Changes
from .notes import Content, Note
from .shared import SharedDataset


class ForkSharing:
    """The sharing of a fork: it keeps its changes, which the task that made them returns. Safe with threads.

    A change that :meth:`changes` has returned stays as it is: a later change of the same key follows it.

    :param root: binary CID of the root that the fork began with
    :param notes: by writer, what was changed already
    """

    notes_changes = True
    looks_beside_reads = False

    def __init__(self, root: bytes, notes: Mapping[str, Sequence[Note]] | None = None) -> None:
        self.root = root
        self._given = {writer: tuple(own) for writer, own in (notes or {}).items()}
        self._since: dict[str, tuple[Content, Content]] = {}
        """By key, its content before and after the changes that :meth:`changes` has not returned yet."""
        self._writer: str | None = None
        """A random name, from the first change on. Never pickled: a fork loaded from a pickle is another writer."""
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

    @contextmanager
    def kept_apart(self) -> Iterator[None]:
        """Keep changes that are made meanwhile apart from those before and after, as if each were given out."""
        self.changes()
        yield
        self.changes()

    def catch_up(self, dataset: SharedDataset, *, reading: bool) -> None:
        """Do nothing: a fork does not see changes of others. See :meth:`Sharing.catch_up`."""

    def remember_read(self, key: str, content: Content) -> None:
        """Do nothing: a fork reads what it has when it writes. See :meth:`Sharing.remember_read`."""

    def forget_reads(self, prefix: str) -> None:
        """Do nothing, as :meth:`remember_read` does."""

    def record(self, dataset: SharedDataset, key: str, content: Content) -> None:
        """See :meth:`Sharing.record`."""
        with self._lock:
            known = self._since.get(key)
            before = dataset.content_of(key) if known is None else known[0]
            dataset.apply({key: content})
            if is_same_content(before, content):
                self._since.pop(key, None)  # the key has what it had before: that is no change
            else:
                self._since[key] = before, content

    def renew_locks(self) -> None:
        """See :meth:`Sharing.renew_locks`: the child of a process is another writer."""
        self._lock = threading.RLock()
        self.changes()
        self._writer = None
