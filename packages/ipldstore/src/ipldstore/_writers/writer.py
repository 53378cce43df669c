"""The writer of a session in this process: puts notes of what the copies here change into the journal."""

from __future__ import annotations

import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TypeVar

from ipld_castore import BackendUnavailableError, Journal

from ipldstore.errors import IPLDStoreError, store_errors

from .notes import Content, Note, encode_note
from .reads import Reads
from .session_state import decode_state
from .shared import SharedDataset

D = TypeVar("D", bound=SharedDataset)

_MAX_COPIES: Final = 8
"""Copies that are kept by the root that they began with: a worker's tasks come with few different ones."""
_ID_BYTES: Final = 8


class SessionWriter:
    """All copies of one session in this process, as one writer. Safe with threads.

    Two threads that change one chunk at the same time can lose one of the two changes, as with any zarr store.

    :param journal: the journal of the session
    :param name: the name of the session
    """

    def __init__(self, journal: Journal, name: str) -> None:
        self.journal = journal
        self.name = name
        self._lock = threading.RLock()
        self._id: str | None = None
        self._number = 0
        self._copies: OrderedDict[bytes, SharedDataset] = OrderedDict()
        """By the binary CID of the root that each began with; strong, as what a task wrote must outlive it."""
        self._reads = Reads()

    @property
    def lock(self) -> threading.RLock:
        """Held while a copy takes notes in, so that no note of this writer comes between."""
        return self._lock

    def copy_of(self, root: bytes, make: Callable[[], D]) -> D:
        """Return the copy that began with a root; it is made if there is none here.

        :param make: makes it; each call for this session makes the same kind
        """
        with self._lock:
            copy: D | None = self._copies.get(root)  # type: ignore[assignment]  # see ``make``
            if copy is None:
                copy = self._copies[root] = make()
                while len(self._copies) > _MAX_COPIES:
                    self._copies.popitem(last=False)
            self._copies.move_to_end(root)
            return copy

    def renew(self) -> None:
        """Become another writer, in the child of a fork."""
        self._lock = threading.RLock()
        self._id, self._number = None, 0

    def remember_read(self, key: str, content: Content) -> None:
        """Keep what a key had when it was read: a write that follows may depend on it."""
        with self._lock:
            self._reads.remember(key, content)

    def record(self, copy: SharedDataset, key: str, after: Content) -> None:
        """Note a change whose blocks are in the store, and make it in a copy; other copies here find the note.

        :raises IPLDStoreError: if the note cannot be written, or the session has ended; the change is then not made
        """
        with self._lock:
            was_read = key in self._reads
            before = self._reads[key] if was_read else copy.content_of(key)
            number = self._number + 1
            note = Note(number, key, before, after, was_read, confirmed=number)
            with store_errors(f"noting a change of {key!r}"):
                self._append(note)
            self._number = number
            self._check_open(key)
            self._reads.forget(key)
            copy.apply({key: after})

    def _append(self, note: Note) -> None:
        if self._id is None:
            self._id, self._number = secrets.token_hex(_ID_BYTES), 0
            note = note._replace(number=1, confirmed=1)
        try:
            self.journal.append(self._id, note.number, [encode_note(note)])
        except BackendUnavailableError:
            self._id, self._number = None, 0  # it may be there or not: what follows is of another writer
            raise

    def _check_open(self, key: str) -> None:
        """Refuse a change that the coordinator may not have seen before it ended the session."""
        with store_errors("looking at the session"):
            state = self.journal.state
        if state is None or decode_state(state).ended:
            raise IPLDStoreError(
                f"writing {key!r}: expected the session {self.name} to be open, found that its coordinator has closed "
                f"it: open the dataset again to write to it"
            )


_writers: dict[tuple[str, str], SessionWriter] = {}
"""By address of the block store and name of the session."""
_guard = threading.Lock()


def writer_of(address: str, name: str, journal: Callable[[], Journal]) -> SessionWriter:
    """Return the writer of a session in this process.

    :param address: of the block store
    :param name: of the session
    :param journal: opens the journal of the session
    """
    with _guard:
        writer = _writers.get((address, name))
        if writer is None:
            writer = _writers[address, name] = SessionWriter(journal(), name)
        return writer


def _forget() -> None:
    """In the child of a fork, which is another writer, and has none of the threads that may hold a lock."""
    global _guard  # noqa: PLW0603  # a lock that a thread of the parent may hold
    _guard = threading.Lock()
    _writers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
