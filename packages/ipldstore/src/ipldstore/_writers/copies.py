"""A dataset out of a pickle, in another process: it notes what it changes, and sees what others note."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Final

from ipld_castore import Journal
from ipld_castore.concurrency import ForkLocal, SharedCall

from ipldstore.errors import store_errors

from .chain import Conflict, is_same_content
from .looking import LateNotes, Look, look_at, look_with_repeated
from .notes import Content, NoteName
from .noting.sequence import Noted
from .noting.writer import SessionWriter
from .session_state import SessionState, decode_state
from .shared import AsyncWork, SharedDataset
from .take_in import TakenIn, resolve_notes, take_in_twice


class CopySharing:
    """The sharing of a copy that writes through the journal of its session.

    :param writer: of this process
    :param root: binary CID of the root that the copy began with
    :param positions: by writer, the number of its last record that was taken in, of that root
    :param late: writers and their notes up to there that are not in that root, as their blocks were not there
    """

    notes_changes = True
    looks_beside_reads = False

    def __init__(self, writer: SessionWriter, root: bytes, positions: dict[str, int], late: LateNotes = ()) -> None:
        self.writer = writer
        self._reads = writer.new_reads()
        self._root = root
        """Binary CID of the root that the pickle was made of."""
        self._base = root, dict(positions), tuple(late)
        """The root that the changes here go on from, the positions in it, and the notes that were late then."""
        self._positions = dict(positions)
        self._late = tuple(late)
        """Writers and their notes up to ``_positions`` that this copy has not, as their blocks were not there."""
        self._mark: tuple[bytes | None, object] | None = None
        """What :meth:`_look` returned when all was read that was there."""
        self._looks: SharedCall[None] = SharedCall()
        self._pickles = 0
        """How many pickles this copy was loaded from. What was written before a pickle was opened is seen after it."""
        self._noted = 0
        """How many changes were noted through this copy."""
        self._made: dict[NoteName, set[str]] = {}
        """By record, the keys of its changes that were made here, and of those that they repeat.

        Until the record is passed, and no look runs that may have read it before.
        """
        self._sizes: dict[NoteName, int] = {}
        """How many keys the records of these changes have."""
        self._is_looking = False
        self._looked: tuple[int, int] | None = None
        """What :meth:`_causes` was before the last look into a remote journal."""

    def note_pickle(self) -> None:
        """Make the next answer show what was written before a pickle of this copy was opened."""
        self._pickles += 1

    def _causes(self) -> tuple[int, int]:
        """Return a value that changes when a remote journal has to be read.

        Changes of other copies in this process only raise the second part.
        """
        return self._pickles, self.writer.noted - self._noted

    def catch_up(self, dataset: SharedDataset, *, reading: bool) -> None:
        """See :meth:`Sharing.catch_up`. Where notes conflict, any of their ends counts; the coordinator will tell.

        A remote journal is looked into once for each pickle, and after notes of other copies in this process.
        """
        with store_errors("reading the notes of writers"):
            if not self.writer.journal.is_remote:
                self._catch_up_near(dataset)
            elif self._looked != self._causes():
                self._looks.call(lambda: self._catch_up_remote(dataset))

    def _catch_up_near(self, dataset: SharedDataset) -> None:
        if self._look() == self._mark:
            return
        with self.writer.lock:
            while True:
                mark = self._look()
                if not self._rebase(dataset, mark[0]):
                    self._take_in(dataset)
                if self._look()[0] == mark[0]:  # else notes may have been deleted before they were read
                    break
            self._mark = mark

    def _look(self) -> tuple[bytes | None, object]:
        """Return the state of the session, and a value that changes with each note."""
        return self.writer.journal.state, self.writer.journal.mark()

    def _catch_up_remote(self, dataset: SharedDataset) -> None:
        causes = self._causes()
        if self._looked == causes:
            return
        with self.writer.watch_own() as own:
            self._take_in(dataset, own)
        # Notes may have been deleted before they were read: then the state, which moves first, has passed them.
        while (state := self.writer.journal.state) is not None:
            session = decode_state(state)
            if not (session.done or self._is_behind(session)):
                break
            with self.writer.lock:
                if self._rebase(dataset, state):
                    break
                self._take_in(dataset)
        self._looked = causes

    def _is_behind(self, session: SessionState) -> bool:
        """Return whether the session has gone on: with notes that were not read here, or the coordinator's changes.

        The root alone does not tell, as the coordinator can have undone what a writer has noted.
        """
        return (session.root, session.positions, session.late) != self._base

    def _rebase(self, dataset: SharedDataset, state: bytes | None) -> bool:
        """Go on from the root of the session, if it is another: notes that are in it may be deleted unread.

        :returns: whether that root has all notes, so that none is to be read
        """
        if state is None:
            return False
        session = decode_state(state)
        if session.done or self._is_behind(session):
            dataset.rebase(session.root)
            self._base = session.root, session.positions, session.late
            self._positions, self._late = dict(session.positions), session.late
            self._made, self._sizes = {}, {}
        return session.done

    def _take_in(self, dataset: SharedDataset, own: Collection[str] = ()) -> None:
        """Take the notes in that were not read yet.

        :param own: gets the keys that this process notes meanwhile: what the copy has of them is as new
        """

        def settle(conflict: Conflict) -> Content:
            # What was made here is not among the notes, which may be older.
            is_made = not is_same_content(conflict.base, dataset.content_of(conflict.key, self._base[0]))
            return conflict.base if is_made or conflict.key in own else list(conflict.ends.values())[-1]

        journal = self.writer.journal
        with self.writer.lock:
            positions, late = dict(self._positions), self._late
            self._is_looking = True

        def look() -> Look:
            entries = journal.entries(positions, journal.mark() if journal.is_remote else None)
            return look_at(entries, late, dataset.has_blocks)

        def resolve(found: Look, known: list[Conflict] | None) -> TakenIn:
            with self.writer.lock:
                there, still = found
                content_of, made = dataset.content_of, self._made
                taken = resolve_notes(there, content_of, settle, late=still, taken=positions, made=made, known=known)
                if not taken.doubtful:
                    dataset.apply(taken.changes)
                    self._late = taken.late
                    self._pass(taken.positions)
            return taken

        try:
            take_in_twice(lambda: look_with_repeated(look, positions), resolve)
        finally:
            self._is_looking = False

    def _pass(self, positions: dict[str, int]) -> None:
        """Note records that were read, beside which :meth:`_see` may have passed more."""
        for writer, number in positions.items():
            self._positions[writer] = max(number, self._positions.get(writer, 0))
        self._made = {name: keys for name, keys in self._made.items() if name[1] > self._positions.get(name[0], 0)}
        self._sizes = {name: size for name, size in self._sizes.items() if name in self._made}

    def remember_read(self, key: str, content: Content) -> None:
        """See :meth:`Sharing.remember_read`."""
        self.writer.remember_read(self._reads, key, content)

    def forget_reads(self, prefix: str) -> None:
        """See :meth:`Sharing.forget_reads`."""
        self.writer.forget_reads(prefix)

    def record(self, dataset: SharedDataset, key: str, content: Content) -> None:
        """See :meth:`Sharing.record`."""

        def try_record(is_current: Callable[[], bool]) -> bool:
            self.catch_up(dataset, reading=False)
            self._take_over_read(dataset, key)
            return self.writer.record(dataset, self._reads, key, content, self._see, is_current)

        causes = self._causes()
        is_made = try_record(lambda: self._causes()[1] == causes[1])
        while not is_made:  # other copies go on with other keys
            with self.writer.watch_own() as own:
                is_made = try_record(lambda: key not in own)

    async def try_record_async(self, dataset: SharedDataset, key: str, link: bytes, work: AsyncWork) -> bool:
        """Give a key a block, as :meth:`record` does; see :meth:`SessionWriter.try_record_async`."""

        def is_current() -> bool:
            return self._looked == self._causes()

        if not is_current() or self.writer.read_elsewhere(self._reads, key):
            return False
        return await self.writer.try_record_async(dataset, self._reads, key, link, self._see, is_current, work)

    def _take_over_read(self, dataset: SharedDataset, key: str) -> None:
        """Let a write depend on what another copy in this process has read, if the root of the pickle has it.

        If that root has something else, the read was before the pickle.
        """
        if read := self.writer.read_elsewhere(self._reads, key):
            content = dataset.content_of(key, self._root)
            if any(is_same_content(content, each) for each in read):
                self.writer.remember_read(self._reads, key, content)

    def _see(self, noted: Noted) -> bool:
        """Mark notes of this copy as read; return whether they were not read before."""
        self._noted += 1
        writer, known = noted.sequence.writer, self._positions.get(noted.sequence.writer, 0)
        names = {*noted.repeats, (writer, noted.number)}
        late = tuple(each for each in self._late if each[1].key != noted.key or (each[0], each[1].number) not in names)
        is_new = noted.number > known or len(late) < len(self._late)
        self._late = late
        for name in names:
            if self._is_looking or name[1] > self._positions.get(name[0], 0):
                self._made.setdefault(name, set()).add(noted.key)
        if noted.number > known:
            self._sizes[writer, noted.number] = noted.size
        while len(self._made.get((writer, known + 1), ())) == self._sizes.get((writer, known + 1), -1):
            known += 1
            if not self._is_looking:
                del self._made[writer, known], self._sizes[writer, known]
            self._positions[writer] = known
        if self._mark is not None and noted.marks is not None and self._mark[1] == noted.marks[0]:
            self._mark = self._mark[0], noted.marks[1]
        return is_new

    def renew_locks(self) -> None:
        """See :meth:`Sharing.renew_locks`: the child of a process is another writer."""
        self.writer.renew()
        self._looked = None


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
