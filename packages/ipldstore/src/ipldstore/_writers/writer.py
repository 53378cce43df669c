"""The writer of a session in this process: puts notes of what the copies here change into the journal."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from ipld_car import cids
from ipld_castore import Journal

from ipldstore.errors import IPLDStoreError, store_errors

from .notes import Content, Note, encode_note
from .reads import Reads
from .sequence import NoteSequence
from .session_state import decode_state
from .shared import SharedDataset

D = TypeVar("D", bound=SharedDataset)

_MAX_COPIES: Final = 8
"""Copies that are kept by the root that they began with: a worker's tasks come with few different ones."""


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
        self._begin()
        self._copies: OrderedDict[bytes, SharedDataset] = OrderedDict()
        """By the binary CID of the root that each began with; strong, as what a task wrote must outlive it."""
        self._reads = Reads()

    def _begin(self) -> None:
        """Begin as a writer that has noted nothing."""
        self._sequence = NoteSequence()
        self._idle = threading.Condition(self._lock)
        self._busy: set[str] = set()
        """Keys whose notes are under way: those of one key follow each other."""
        self._watching: list[set[str]] = []
        """The keys that were noted since each of the calls of :meth:`watch_own` began that run."""
        self.noted = 0
        """How many changes were noted."""

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
        self._begin()

    @contextmanager
    def watch_own(self) -> Iterator[set[str]]:
        """Give the keys that are noted here while the context runs."""
        keys: set[str] = set()
        with self._lock:
            self._watching.append(keys)
        try:
            yield keys
        finally:
            with self._lock:
                self._watching = [each for each in self._watching if each is not keys]

    def remember_read(self, key: str, content: Content) -> None:
        """Keep what a key had when it was read: a write that follows may depend on it."""
        with self._lock:
            self._reads.remember(key, content)

    def record(self, copy: SharedDataset, key: str, after: Content, made: Callable[[str, int], None]) -> None:
        """Note a change, and make it in a copy; other copies here find the note.

        The blocks of ``after`` have been put. Where the journal is remote they may be under way: note and block travel
        side by side, and so do the notes of several threads, except those of one key. It returns when the block, the
        note and all notes before it are there.

        :param made: called when the change is made, with the writer and the number of the note, and :attr:`lock` held
        :raises IPLDStoreError: if the note or the block cannot be written, or the session has ended; the change is then
            not made
        """
        with self._lock:
            self._idle.wait_for(lambda: key not in self._busy)
            was_read = key in self._reads
            before = self._reads[key] if was_read else copy.content_of(key)
            change = Note(0, key, before, after, was_read, confirmed=0)
            if not self.journal.is_remote:
                note = self._put(change)
                self._check_open(key)
                self._make(copy, key, after)
                made(*note)
                return
            self._busy.add(key)
        try:
            note = self._put_beside_others(copy, change)
            self._check_open(key)
            with self._lock:
                self._make(copy, key, after)
                made(*note)
        finally:
            with self._lock:
                self._busy.discard(key)
                self._idle.notify_all()

    def _make(self, copy: SharedDataset, key: str, after: Content) -> None:
        """Make a change in a copy."""
        self._reads.forget(key)
        self.noted += 1
        for keys in self._watching:
            keys.add(key)
        copy.apply({key: after})

    def _put(self, change: Note) -> tuple[str, int]:
        """Put the note of a change whose blocks are there, with the lock held; return its writer and number."""
        with store_errors(f"noting a change of {change.key!r}"):
            sequence = self._sequence
            number, _ = sequence.begin()
            with self._giving_up(sequence, number):
                self._append(sequence, change._replace(number=number, confirmed=number))
            sequence.arrived(number)
            return sequence.writer, number

    def _put_beside_others(self, copy: SharedDataset, change: Note) -> tuple[str, int]:
        """Put the note of a change; return its writer and number when its blocks and all notes before it are there."""
        with store_errors(f"noting a change of {change.key!r}"):
            if isinstance(change.after, bytes) and cids.codec_of(change.after) != cids.RAW:
                copy.flush()  # it is told of one block whether it is there, not of those that it links
            while True:
                with self._lock:  # numbers are drawn in the order of the confirmations
                    sequence = self._sequence
                    number, confirmed = sequence.begin()
                with self._giving_up(sequence, number):
                    self._append(sequence, change._replace(number=number, confirmed=confirmed))
                    copy.flush()
                if sequence.arrived(number):
                    return sequence.writer, number

    def _append(self, sequence: NoteSequence, note: Note) -> None:
        self.journal.append(sequence.writer, note.number, [encode_note(note)])

    @contextmanager
    def _giving_up(self, sequence: NoteSequence, number: int) -> Iterator[None]:
        """Give a number up after an error. What follows is of another writer, as the note may be there or not."""
        try:
            yield
        except BaseException:
            sequence.fail(number)
            with self._lock:
                if self._sequence is sequence:
                    self._sequence = NoteSequence()
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
