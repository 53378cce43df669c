"""The writer of a session in this process: puts notes of what the copies here change into the journal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple, TypeVar
from weakref import WeakSet

from ipld_car import cids
from ipld_car.lru import LRU
from ipld_castore import Journal
from ipld_castore.concurrency import ForkLocal

from ipldstore.errors import IPLDStoreError, store_errors

from .chain import is_same_content
from .notes import MAX_REPEATS, Content, Note, NoteName, Reads, encode_note
from .sequence import Look, NoteSequence
from .session_state import decode_state
from .shared import SharedDataset

D = TypeVar("D", bound=SharedDataset)

_MAX_COPIES: Final = 8
"""Copies that are kept by the root that they began with: a worker's tasks come with few different ones."""


class Noted(NamedTuple):
    """Notes that were put together."""

    writer: str
    first: int
    last: int
    marks: tuple[object, object] | None
    """Those of the journal before and after them, if nothing else was noted between."""
    repeats: tuple[NoteName, ...]
    """Earlier attempts to put them, which do not count any more."""


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
        self._open_state: bytes | None = None
        """The state when it was last found to be open."""
        self._begin()
        self._copies: LRU[bytes, SharedDataset] = LRU(_MAX_COPIES)
        """By the binary CID of the root that each began with; strong, as what a task wrote must outlive it."""
        self._reads: WeakSet[Reads] = WeakSet()
        """What each copy here has read."""

    def _begin(self) -> None:
        """Begin as a writer that has noted nothing."""
        self._sequence = NoteSequence()
        self._idle = threading.Condition(self._lock)
        self._busy: set[str] = set()
        """Keys whose notes are under way: those of one key follow each other."""
        self._failed: dict[str, list[Note]] = {}
        """By key the notes that have failed since its last change, as they are put again."""
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
                copy = make()
                self._copies.put(root, copy)
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

    def new_reads(self) -> Reads:
        """Return a place for what a copy reads.

        What was read through one copy says nothing of what is written through another one: that is out of a pickle that
        was made of another root, so by the program's order it came after or before.
        """
        reads = Reads()
        with self._lock:
            self._reads.add(reads)
        return reads

    def remember_read(self, reads: Reads, key: str, content: Content) -> None:
        """Keep what a key had when a copy read it: what is written through the copy then may depend on it."""
        with self._lock:
            reads.remember(key, content)

    def record(
        self, copy: SharedDataset, reads: Reads, key: str, after: Content, noted: Callable[[Noted], bool]
    ) -> None:
        """Note a change, and make it in a copy; other copies here find the note.

        The blocks of ``after`` have been put. Where the journal is remote they may be under way: note and block travel
        side by side, unless the note is to keep the block, and so do the notes of several threads, except those of one
        key. It returns when the block, the note and all notes before it are there.

        :param reads: what the copy has read
        :param noted: called with the notes when they are there, and :attr:`lock` held; returns whether the copy has not
            read them yet, nor what others have noted after them
        :raises IPLDStoreError: if the note or the block cannot be written, or the session has ended: the change is then
            not made, and may have been noted or not, which the next change of the key allows for. Also if it is unknown
            whether the session has ended; the change is then made
        """
        is_remote = self.journal.is_remote
        with self._lock:
            self._idle.wait_for(lambda: key not in self._busy)
            notes = self._notes_of(copy, reads, key, after)
            self._busy.add(key)
        try:
            sequence, put_notes = self._put_beside_others(copy, notes) if is_remote else self._put_alone(notes)
            is_open = True
            try:
                is_stopped_by_number = self.journal.refuses_stopped and sequence.stops_by_number()
                is_open = is_stopped_by_number or self._is_open_for(sequence)
            finally:
                if is_open:
                    with self._lock:
                        self._forget(key)
                        if noted(put_notes):
                            copy.apply({key: after})
            if not is_open:
                raise self._closed_error(key)
        finally:
            with self._lock:
                self._busy.discard(key)
                self._idle.notify_all()

    def _notes_of(self, copy: SharedDataset, reads: Reads, key: str, after: Content) -> list[Note]:
        """Return the note of a change, behind those of the same key that have failed and may be there."""
        content = copy.content_of(key)
        failed = self._failed.get(key, [])
        if failed and any(is_same_content(content, each) for each in (failed[0].before, *(n.after for n in failed))):
            before = failed[-1].after
            following = [] if is_same_content(before, after) else [Note(0, key, before, after, False, confirmed=0)]
            return [*failed, *following]
        was_read = key in reads
        return [Note(0, key, reads[key] if was_read else content, after, was_read, confirmed=0)]

    def _forget(self, key: str) -> None:
        """Forget what a key had before it was changed, and tell those that watch."""
        for reads in self._reads:
            reads.forget(key)
        self._failed.pop(key, None)
        self.noted += 1
        for keys in self._watching:
            keys.add(key)

    def _put_alone(self, notes: list[Note]) -> tuple[NoteSequence, Noted]:
        """Put notes whose blocks are there, one group at a time."""
        with self._lock, store_errors(f"noting a change of {notes[0].key!r}"):
            sequence = self._sequence
            first, _ = sequence.begin(len(notes))
            marks = self._append(sequence, _numbered(notes, first))
            sequence.arrived(first, len(notes))
            return sequence, Noted(sequence.writer, first, first + len(notes) - 1, marks, _repeats_of(notes))

    def _put_beside_others(self, copy: SharedDataset, notes: list[Note]) -> tuple[NoteSequence, Noted]:
        """Put notes; return when the last one's blocks and all notes before them are there."""
        after = notes[-1].after
        with store_errors(f"noting a change of {notes[0].key!r}"):
            if isinstance(after, bytes) and cids.codec_of(after) != cids.RAW:
                copy.flush()  # it is told of one block whether it is there, not of those that it links
            blocks = [cids.from_validated(after)] if isinstance(after, bytes) else []

            def flush() -> None:
                copy.flush(blocks)

            while True:
                with self._lock:  # numbers are drawn in the order of the confirmations
                    sequence = self._sequence
                    first, confirmed = sequence.begin(len(notes))
                numbered = _numbered(notes, first, None if self.journal.keeps_blocks else confirmed)
                self._append(sequence, numbered, flush)
                if sequence.arrived(first, len(notes)):
                    return sequence, Noted(sequence.writer, first, first + len(notes) - 1, None, _repeats_of(notes))
                notes = _to_repeat(sequence, numbered)

    def _append(
        self, sequence: NoteSequence, notes: list[Note], flush: Callable[[], None] = lambda: None
    ) -> tuple[object, object] | None:
        """Append notes. After an error the writer goes on under another name, as they may be there or not."""
        try:
            sequence.wait_for_predecessor()
            records = [encode_note(note) for note in notes]
            if self.journal.keeps_blocks:
                flush()  # there is nothing to keep before
                after = notes[-1].after
                kept = [after] if isinstance(after, bytes) else []
                marks = self.journal.append(sequence.writer, notes[0].number, records, kept)
            else:
                marks = self.journal.append(sequence.writer, notes[0].number, records)
                flush()
        except BaseException:
            sequence.fail(notes[0].number)
            with self._lock:
                self._failed[notes[0].key] = _to_repeat(sequence, notes)
                if self._sequence is sequence:
                    self._sequence = NoteSequence(sequence)
            if self.journal.is_remote and self._is_known_to_be_closed():
                raise self._closed_error(notes[0].key) from None
            raise
        return marks

    def _is_open_for(self, sequence: NoteSequence) -> bool:
        """Return whether the session is open; see :meth:`_is_open`.

        :param sequence: of which a note is there
        """
        look = Look.now()
        is_open = self._is_open()
        if is_open:
            sequence.seen_open(look)
        return is_open

    def _is_open(self) -> bool:
        """Return whether the coordinator has not ended the session, so that it will see what was noted before."""
        with store_errors("looking at the session"):
            state = self.journal.state
        is_open = state is not None and (state == self._open_state or not decode_state(state).ended)
        self._open_state = state if is_open else None
        return is_open

    def _is_known_to_be_closed(self) -> bool:
        """Return whether an append failed as the session has ended; False if that cannot be found out."""
        try:
            return not self._is_open()
        except IPLDStoreError:
            return False

    def _closed_error(self, key: str) -> IPLDStoreError:
        return IPLDStoreError(
            f"writing {key!r}: expected the session {self.name} to be open, found that its coordinator has closed it: "
            f"open the dataset again to write to it"
        )


def _numbered(notes: list[Note], first: int, confirmed: int | None = None) -> list[Note]:
    """Return notes with their numbers, and what they confirm; by default each its own block."""
    return [
        note._replace(number=number, confirmed=number if confirmed is None else confirmed)
        for number, note in enumerate(notes, first)
    ]


def _to_repeat(sequence: NoteSequence, notes: list[Note]) -> list[Note]:
    """Return notes that may be there or not, as they are put again."""
    return [note._replace(repeats=(*note.repeats, (sequence.writer, note.number))[-MAX_REPEATS:]) for note in notes]


def _repeats_of(notes: list[Note]) -> tuple[NoteName, ...]:
    return tuple(name for note in notes for name in note.repeats)


class _Writers:
    """The writers of one process. A forked child is another writer, and has none of the threads that hold a lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.by_session: dict[tuple[str, str], SessionWriter] = {}
        """By address of the block store and name of the session."""


_writers: Final = ForkLocal(_Writers)


def writer_of(address: str, name: str, journal: Callable[[], Journal]) -> SessionWriter:
    """Return the writer of a session in this process.

    :param address: of the block store
    :param name: of the session
    :param journal: opens the journal of the session
    """
    known = _writers.value
    with known.lock:
        writer = known.by_session.get((address, name))
        if writer is None:
            writer = known.by_session[address, name] = SessionWriter(journal(), name)
        return writer
