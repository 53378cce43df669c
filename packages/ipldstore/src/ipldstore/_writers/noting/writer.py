"""The writer of a session in this process: puts notes of what the copies here change into the journal."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Final, TypeVar

from ipld_car import cids
from ipld_car.lru import LRU
from ipld_castore import CAStoreError, Journal

from ipldstore._writers.chain import is_same_content
from ipldstore._writers.moments import Moment
from ipldstore._writers.notes import Content, Note, Reads, ReadsOfCopies, links_of
from ipldstore._writers.shared import AsyncWork, SharedDataset
from ipldstore.errors import store_errors

from .claims import Claim, Claims, Make
from .sequence import Noted, NoteGroup, NoteSequence
from .session import SessionLook

D = TypeVar("D", bound=SharedDataset)
IsNew = Callable[[Noted], bool]
"""Sees a change that was noted, and returns whether the copy is to make it; see :meth:`SessionWriter.record`."""

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
        self._session = SessionLook(journal, name)
        self._begin()
        self._copies: LRU[bytes, SharedDataset] = LRU(_MAX_COPIES)
        """By the binary CID of the root that each began with; strong, as what a task wrote must outlive it."""
        self._reads = ReadsOfCopies()  # what each copy here has read

    def _begin(self) -> None:
        """Begin as a writer that has noted nothing."""
        self._sequence = NoteSequence()
        self._open_group: NoteGroup | None = None
        """The notes of an event loop that are put in its next step."""
        self._claims = Claims(self._lock)
        self._failed: dict[str, list[Note]] = {}
        """By key the notes that have failed since its last change, as they are put again."""
        self._watching: list[set[str]] = []
        """The keys that were noted since each of the calls of :meth:`watch_own` began that run."""
        self.noted = 0  # how many changes were noted

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
        """Return a place for what a copy reads."""
        with self._lock:
            return self._reads.new()

    def read_elsewhere(self, reads: Reads, key: str) -> list[Content]:
        """Return what other copies here have read at a key, unless the copy itself has read it."""
        with self._lock:
            return self._reads.elsewhere(reads, key)

    def remember_read(self, reads: Reads, key: str, content: Content) -> None:
        """Keep what a key had when a copy read it: what is written through the copy then may depend on it."""
        with self._lock:
            reads.remember(key, content)

    def forget_reads(self, prefix: str) -> None:
        """Forget what keys had that begin with a prefix: all of them have been replaced."""
        with self._lock:
            self._reads.forget_all(prefix)

    def record(
        self, copy: SharedDataset, reads: Reads, key: str, after: Content, noted: IsNew, is_current: Callable[[], bool]
    ) -> bool:
        """Note a change, and make it in a copy; other copies here find the note.

        Return False, with nothing done, if the copy has not seen what was noted here before.

        The blocks of ``after`` have been put. Where the journal is remote they may be under way: note and block travel
        side by side, unless the note is to keep the block, and so do the notes of several threads, except those of one
        key. It returns when the block, the record of the note and all records before it are there.

        :param reads: what the copy has read
        :param noted: called with the notes when they are there, and :attr:`lock` held; returns whether the copy has not
            read them yet, nor what others have noted after them
        :param is_current: returns whether the copy has seen all that was noted here of the key; :attr:`lock` is held
        :raises IPLDStoreError: if the note or the block cannot be written, or the session has ended: the change is then
            not made, and may have been noted or not, which the next change of the key allows for. Also if it is unknown
            whether the session has ended; the change is then made
        """
        make = partial(self._make_noted, copy, after, noted=noted)
        with self._lock:
            if key in self._claims:
                self._claims.wait_for(key, self._give_up_claim, self._sequence.fail_stopped)
            if not is_current():
                return False
            self._session.check(key)
            notes = self._notes_of(copy, reads, key, after)
            claim = self._claims.take(key)
        try:
            with nullcontext() if self.journal.is_remote else self._lock:  # one record after the other
                put = self._put(copy, notes, make)
            self._make(copy, after, put, noted)
        finally:
            self._claims.release(key, claim)
        return True

    async def try_record_async(
        self,
        copy: SharedDataset,
        reads: Reads,
        key: str,
        after: bytes,
        noted: IsNew,
        is_current: Callable[[], bool],
        work: AsyncWork,
    ) -> bool:
        """Note a change, and make it, as :meth:`record` does, in the running event loop.

        What is noted at once is put in one record. Return False, with nothing done, if the call would have to wait
        before it begins. Who waits for a loop that does not run any more gives up what it has begun.

        :param after: the link of one block, which need not be put
        :raises IPLDStoreError: also if the loop was stopped, and the key changed by another call before it went on
        """
        make = partial(self._make_noted, copy, after, noted=noted)
        if not self.journal.refuses_stopped or not self._lock.acquire(blocking=False):
            return False
        try:
            if key in self._claims or key in self._failed or not is_current():
                return False
            self._session.check(key)
            notes = self._notes_of(copy, reads, key, after)
            group, leads = self._join(notes)
            claim = self._claims.take(key, group, notes, make)
        finally:
            self._lock.release()
        try:
            if leads:
                group.leader = asyncio.ensure_future(self._lead(group, work))  # in the next step of the loop
                group.leader.add_done_callback(lambda _: self._fail_if_not_led(group))
            with store_errors(f"noting a change of {key!r}"):
                is_there = await self._wait_async(claim, key, work)
            put = group.noted(notes) if is_there else None
            if put is not None and put.need_not_look:
                self._make(copy, after, put, noted)
            else:

                def end() -> None:
                    self._make(copy, after, put or self._put(copy, group.to_repeat(notes), make), noted)

                await self._end_in_thread(claim, key, work, end)
        finally:
            self._claims.release(key, claim)
        return True

    async def _wait_async(self, claim: Claim, key: str, work: AsyncWork) -> bool:
        """Put the block of a key; return whether the group of its notes is there."""
        assert claim.group is not None  # noqa: S101  # it is that of an event loop
        try:
            await work.put_block()
            with self._lock:
                self._claims.check(key, claim)
                claim.has_block = True
            claim.group.block_arrived()
            is_there = await claim.group.wait_async()
            self._claims.check(key, claim)
        except BaseException as error:
            self._give_up_claim(key, claim)
            if isinstance(error, CAStoreError) and await work.request(self._session.is_known_to_be_closed):
                raise self._session.closed_error(key) from None
            raise
        return is_there

    async def _end_in_thread(self, claim: Claim, key: str, work: AsyncWork, end: Callable[[], None]) -> None:
        """End the change of a key in a thread, which goes on where the task is cancelled."""

        def run() -> None:
            with self._lock:
                self._claims.check(key, claim)
                own = self._claims.take(key)
            try:
                end()
            finally:
                self._claims.release(key, own)

        try:
            await work.in_thread(run)
        except BaseException:
            self._give_up_claim(key, claim)  # if the thread has not begun
            raise

    async def _lead(self, group: NoteGroup, work: AsyncWork) -> None:
        """Put the record of a group, with all that was added to it until now. Those that wait for it get the error."""
        try:
            with self._lock:
                sequence, confirmed = self._begin_record(group)
                if not group.notes:  # all have been given up
                    return
            await sequence.wait_for_predecessor_async()  # the threads may all wait for this record
            record = group.encode(confirmed)
            if not await self.journal.try_append_async(sequence.writer, group.number, record):
                await work.request(lambda: self.journal.append(sequence.writer, group.number, [record]))
            group.record_arrived()
        except CAStoreError as error:
            self._fail(group, str(error))
        except BaseException:  # the task was cancelled: the notes are put again
            self._fail(group)
            raise

    def _fail_if_not_led(self, group: NoteGroup) -> None:
        """Give up a group whose task was cancelled before it began, so that its notes are put again."""
        if group.sequence is None:
            self._fail(group)

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
        self._reads.forget(key)
        self._failed.pop(key, None)
        self.noted += 1
        for keys in self._watching:
            keys.add(key)

    def _make(self, copy: SharedDataset, after: Content, put: Noted, noted: IsNew) -> None:
        """Make a change whose note is there, unless the session has ended."""
        is_open = True
        try:
            is_sure = self.journal.refuses_stopped and put.need_not_look
            is_open = is_sure or self._is_open_for(put.sequence)
        finally:
            if is_open:
                self._make_noted(copy, after, put, noted)
        if not is_open:
            raise self._session.closed_error(put.key)

    def _make_noted(self, copy: SharedDataset, after: Content, put: Noted, noted: IsNew) -> None:
        """Make a change whose note is there."""
        with self._lock:
            is_new = noted(put)  # it counts the change as its own before others count it
            self._forget(put.key)
            if is_new:
                copy.apply({put.key: after})

    def _give_up_claim(self, key: str, claim: Claim) -> None:
        """Give up the change of a key in an event loop, unless the key is not that of the caller any more."""
        with self._lock:
            if claim.group is not None and claim.make is not None and self._claims.has(key, claim):
                self._give_up(claim.group, claim.notes, claim.make, has_block=claim.has_block)

    def _put(self, copy: SharedDataset, notes: list[Note], make: Make) -> Noted:
        """Put the notes of a key; return when the block of the last one, and all records up to theirs, are there."""
        after = notes[-1].after
        links = [after] if isinstance(after, bytes) and self.journal.is_remote else []
        blocks = [cids.from_validated(link) for link in links]
        with store_errors(f"noting a change of {notes[0].key!r}"):
            if any(cids.codec_of(link) != cids.RAW for link in links):
                copy.flush()  # it is told of one block whether it is there, not of those that it links
            if blocks and self.journal.keeps_blocks:
                copy.flush(blocks)  # there is nothing to keep before
            while True:
                group = NoteGroup()
                group.add(notes)
                has_block = False
                try:
                    marks = self._append(group)
                    if blocks:
                        copy.flush(blocks)
                    has_block = True
                    group.block_arrived()
                    if group.wait():
                        return group.noted(notes, marks)
                except BaseException:
                    self._give_up(group, notes, make, has_block=has_block)
                    if self.journal.is_remote and self._session.is_known_to_be_closed():
                        raise self._session.closed_error(notes[0].key) from None
                    raise
                notes = group.to_repeat(notes)

    def _join(self, notes: list[Note]) -> tuple[NoteGroup, bool]:
        """Return the group of the running event loop that notes were added to, and whether they are its first."""
        loop = asyncio.get_running_loop()
        group = self._open_group
        if group is not None and group.loop is loop and group.add(notes):
            return group, False
        group = self._open_group = NoteGroup(loop)
        group.add(notes)
        return group, True

    def _begin_record(self, group: NoteGroup) -> tuple[NoteSequence, int]:
        """Give a group, to which no other notes are added then, its number; return what it confirms too."""
        if self._open_group is group:
            self._open_group = None
        if self._sequence.has_ended:
            self._sequence = NoteSequence(self._sequence)
        sequence = self._sequence
        confirmed = sequence.begin(group) if group.notes else 0
        is_beside = self.journal.is_remote and not self.journal.keeps_blocks
        return sequence, confirmed if is_beside else group.number

    def _append(self, group: NoteGroup) -> tuple[object, object] | None:
        """Put the record of a group."""
        try:
            with self._lock:
                sequence, confirmed = self._begin_record(group)
            sequence.wait_for_predecessor()
            kept = set(links_of(group.notes).values()) if self.journal.keeps_blocks else ()
            marks = self.journal.append(sequence.writer, group.number, [group.encode(confirmed)], kept)
        except BaseException as error:
            self._fail(group, str(error) if isinstance(error, CAStoreError) else None)
            raise
        group.record_arrived()
        return marks

    def _fail(self, group: NoteGroup, error: str | None = None) -> None:
        """Give up a group, unless it is known to be there. The next one has another name of the writer.

        :param error: why its record cannot be put; None where its notes are put again
        """
        with self._lock:
            if self._open_group is group:
                self._open_group = None
            group.fail(error)

    def _give_up(self, group: NoteGroup, notes: list[Note], make: Make, *, has_block: bool) -> None:
        """Give up notes. What is there is made; what may be there is put again with the next change of its key."""
        with self._lock:
            if group.sequence is None:
                group.remove(notes, has_block=has_block)
            elif not has_block:
                group.sequence.end()
            if has_block and group.is_known_to_be_there:
                make(group.noted(notes))
            else:
                self._failed[notes[0].key] = group.to_repeat(notes)

    def _is_open_for(self, sequence: NoteSequence) -> bool:
        """Return whether the session is open, when a note of a sequence is there; see :meth:`SessionLook.is_open`."""
        look = Moment.now()
        is_open = self._session.is_open()
        if is_open:
            sequence.seen_open(look)
        return is_open
