"""The numbers of a writer whose notes are put side by side, those that come together in one record."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final, NamedTuple

from ipld_castore import BackendUnavailableError

from ipldstore.errors import IPLDStoreError

from .notes import MAX_BYTES, MAX_REPEATS, Note, NoteName, encode_notes, room_of

LOOK_SECONDS: Final = 1.0
"""Who waits looks as often whether the event loop that has begun what is waited for still runs."""
_POLL_SECONDS: Final = 0.01
_RECENT_SECONDS: Final = 60.0
_ID_BYTES: Final = 8

Loop = asyncio.AbstractEventLoop | None
"""An event loop; None for a thread without one."""


def running_loop() -> Loop:
    """Return the event loop of the caller, which does not run while the caller waits; None in another thread."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def is_stopped(loop: Loop, blocked: Loop) -> bool:
    """Return whether what an event loop has begun cannot go on while the caller waits.

    :param loop: None for what is done in a thread
    :param blocked: the loop that the caller keeps from running
    """
    return loop is not None and (loop is blocked or not loop.is_running())


class Look(NamedTuple):
    """When a writer began to look at its session, by two clocks: one stops while a machine sleeps, one can be set."""

    monotonic: float
    wall: float

    @classmethod
    def now(cls) -> Look:
        """Return the look that begins now."""
        return cls(time.monotonic(), time.time())

    @property
    def is_recent(self) -> bool:
        """Whether it began in the last minute."""
        now = Look.now()
        return now.monotonic - self.monotonic < _RECENT_SECONDS and abs(now.wall - self.wall) < _RECENT_SECONDS


class Noted(NamedTuple):
    """A change that was noted."""

    key: str
    sequence: NoteSequence
    number: int
    """Of the record that it is in."""
    size: int
    """How many keys that record has."""
    marks: tuple[object, object] | None
    """Those of the journal before and after the record, if nothing else was noted between."""
    repeats: tuple[NoteName, ...]
    """Earlier attempts to note it, which do not count any more."""


Make = Callable[[Noted], object]
"""Makes a change that was noted."""


class NoteGroup:
    """Notes of several keys that are put as one record: all of them count, or none.

    A group is there when its record is, the blocks of all its notes, and all groups before it. Safe with threads, but
    for what a caller holds a lock for: notes are added and removed, and the group gets its number.

    :param loop: the event loop whose tasks add notes
    """

    def __init__(self, loop: Loop = None) -> None:
        self.loop = loop
        self.leader: asyncio.Task[None] | None = None
        """Puts the record, in that loop."""
        self.notes: list[Note] = []
        self.number = 0
        """Position of the record among those of its writer, from 1 on; 0 until it is put."""
        self.sequence: NoteSequence | None = None
        self._room = MAX_BYTES
        self._lock = threading.Lock()
        self._missing = 1
        """How many parts are not there yet: the record, and of each key the blocks."""
        self._is_there: Future[bool] = Future()
        self._error: str | None = None

    def add(self, notes: Sequence[Note]) -> bool:
        """Add the notes of a key, if there is room for them; return whether there was."""
        room = self._room - sum(map(room_of, notes))
        if room < 0 and self.notes:
            return False
        self.notes += notes
        self._room = room
        self._missing += 1
        return True

    def remove(self, notes: Sequence[Note]) -> None:
        """Remove the notes of a key, as they are given up before they are put."""
        self.notes = [note for note in self.notes if all(note is not other for other in notes)]

    def encode(self, confirmed: int) -> bytes:
        """Return the record.

        :param confirmed: up to which number the blocks of all groups are there
        """
        self.notes = [note._replace(number=self.number, confirmed=confirmed) for note in self.notes]
        return encode_notes(self.notes)

    def noted(self, notes: Sequence[Note], marks: tuple[object, object] | None = None) -> Noted:
        """Return the change of a key, whose notes are among those of the group, when it is there.

        :param marks: see :class:`Noted`
        """
        assert self.sequence is not None  # noqa: S101  # it was put
        repeats = tuple(name for note in notes for name in note.repeats)
        size = len({note.key for note in self.notes})
        return Noted(notes[0].key, self.sequence, self.number, size, marks, repeats)

    def to_repeat(self, notes: Sequence[Note]) -> list[Note]:
        """Return notes of the group, which may be there or not, as they are put again."""
        name = [] if self.sequence is None else [(self.sequence.writer, self.number)]
        again = [note._replace(repeats=(*note.repeats, *name)[-MAX_REPEATS:]) for note in notes]
        while len(again) > 2 and sum(map(room_of, again)) > MAX_BYTES:  # very many failures
            first, second = again[:2]
            repeats = (*first.repeats, *second.repeats)[-MAX_REPEATS:]
            again[:2] = [first._replace(after=second.after, repeats=repeats)]
        return again

    def part_arrived(self) -> None:
        """Take note that the record is there, or the blocks of a key."""
        with self._lock:
            self._missing -= 1
            is_whole = not self._missing
        if is_whole and self.sequence is not None:
            self.sequence.arrived(self.number)

    def fail(self, error: str | None = None) -> None:
        """Give the group up, unless it is there; nobody knows whether its record is.

        :param error: why the record cannot be put; None where the notes are put again
        """
        self.settle(False, error) if self.sequence is None else self.sequence.fail(self.number, error)

    def settle(self, is_there: bool, error: str | None = None) -> None:
        """Say whether the group is there; what was said first holds."""
        with self._lock:
            if not self._is_there.done():
                self._error = error
                self._is_there.set_result(is_there)

    @property
    def is_known_to_be_there(self) -> bool:
        """Whether the group was said to be there."""
        return self._is_there.done() and self._is_there.result()

    def wait(self) -> bool:
        """Return whether the group is there, when it is known.

        :raises BackendUnavailableError: if its record cannot be put
        """
        while not self._is_there.done():
            self._fail_stopped(running_loop())
            with suppress(TimeoutError):
                self._is_there.result(LOOK_SECONDS)
        is_there = self._is_there.result()
        if self._error is not None:
            raise BackendUnavailableError(self._error)
        return is_there

    async def wait_async(self) -> bool:
        """Return and raise the same in the running event loop."""
        future = asyncio.wrap_future(self._is_there)
        while not (await asyncio.wait({future}, timeout=LOOK_SECONDS))[0]:  # it is that of others too: never cancelled
            self._fail_stopped(None)
        return self.wait()

    def _fail_stopped(self, blocked: Loop) -> None:
        if self.sequence is not None:
            self.sequence.fail_stopped(blocked)


class NoteSequence:
    """The notes of one writer id that are under way. Safe with threads.

    Readers of a journal stop at a gap, so a group counts when all before it are there. When one fails, those after it
    have to be noted again, under another id, when it is known of all before the gap that they are there: who reads that
    a note repeats one of this id does not wait for others of it.

    :param predecessor: the id under which the writer has noted before, of which a group has failed
    """

    def __init__(self, predecessor: NoteSequence | None = None) -> None:
        self._predecessor = predecessor
        self.writer = secrets.token_hex(_ID_BYTES)
        """The id, drawn at random."""
        self._changed = threading.Condition()
        self._begun = 0
        self._confirmed = 0
        self._under_way: dict[int, NoteGroup] = {}
        """By number, the groups above ``_confirmed``."""
        self._arrived: set[int] = set()
        """The numbers above ``_confirmed`` whose records and blocks are there."""
        self.has_failed = False
        self._failed: int | None = None
        """The lowest number that will never arrive."""
        self._open: Look | None = None
        """The last look that found the session open, when a note of this id was there."""

    def begin(self, group: NoteGroup) -> int:
        """Give a group the next number; return up to which number all groups are there."""
        with self._changed:
            self._begun += 1
            group.sequence, group.number = self, self._begun
            self._under_way[group.number] = group
            if self.has_failed:
                group.settle(False)
            return self._confirmed

    def seen_open(self, look: Look) -> None:
        """Take note that a look found the session open, which had begun when a note of this id was there.

        Who ends the session lists the ids later, and takes the next number of each.
        """
        self._open = look

    def stops_by_number(self) -> bool:
        """Return whether a note that has arrived need not look at the session: had it ended, its put had failed.

        Now and then a note looks all the same, as a session that ended long ago is deleted with all that is in it.
        """
        return self._open is not None and self._open.is_recent

    def arrived(self, number: int) -> None:
        """Take note that the record and the blocks of a group are there."""
        with self._changed:
            self._arrived.add(number)
            while self._confirmed + 1 in self._arrived:
                self._confirmed += 1
                self._arrived.discard(self._confirmed)
                # Before anybody can fail it: what repeats it would void those behind it, which are there.
                self._under_way.pop(self._confirmed).settle(True)
            self._changed.notify_all()

    def wait_for_predecessor(self) -> None:
        """Return when no note of the writer's earlier ids is under way any more that may count."""
        predecessor = self._predecessor
        if predecessor is not None:
            predecessor.wait_until_settled()
            self._predecessor = None

    def wait_until_settled(self) -> None:
        """Return when all groups before the first one that has failed are there."""
        self.wait_for_predecessor()
        is_settled = False
        while not is_settled:
            self.fail_stopped(running_loop())
            with self._changed:
                is_settled = self._changed.wait_for(self._is_settled, LOOK_SECONDS)

    async def wait_for_predecessor_async(self) -> None:
        """Return as :meth:`wait_for_predecessor` does, in the running event loop; it is seldom called for."""
        while (predecessor := self._predecessor) is not None:
            predecessor.fail_stopped(None)
            if predecessor.is_settled():
                self._predecessor = None
            else:
                await asyncio.sleep(_POLL_SECONDS)

    def is_settled(self) -> bool:
        """Return whether :meth:`wait_until_settled` returns at once."""
        predecessor = self._predecessor
        if predecessor is not None and not predecessor.is_settled():
            return False
        with self._changed:
            return self._is_settled()

    def _is_settled(self) -> bool:
        return self._failed is not None and self._confirmed >= self._failed - 1

    def fail(self, number: int, error: str | None = None) -> None:
        """Give up a number, and with it all that follow, unless its group is there; see :meth:`NoteGroup.fail`."""
        with self._changed:
            if number <= self._confirmed:
                return
            self._failed, self.has_failed = number if self._failed is None else min(self._failed, number), True
            for other, group in self._under_way.items():
                if other >= self._failed:
                    group.settle(False, error if other == number else None)
            self._changed.notify_all()

    def fail_stopped(self, blocked: Loop) -> None:
        """Give up the groups of event loops that do not run any more: their tasks would put the record, or a block.

        :param blocked: see :func:`is_stopped`
        """
        predecessor = self._predecessor
        if predecessor is not None:
            predecessor.fail_stopped(blocked)
        with self._changed:
            missing = self._under_way.keys() - self._arrived
            stopped = [number for number in missing if is_stopped(self._under_way[number].loop, blocked)]
            if stopped:
                self.fail(min(stopped))


class Claim:
    """A key whose change is under way.

    :param group: that its notes were added to in an event loop; None for what is done in a thread
    """

    __slots__ = ("group", "has_blocks", "make", "notes")

    def __init__(self, group: NoteGroup | None = None, notes: Sequence[Note] = (), make: Make | None = None) -> None:
        self.group = group
        self.notes = list(notes)
        self.make = make
        self.has_blocks = False
        """Whether the group was told that the blocks of the notes are there."""

    @property
    def loop(self) -> Loop:
        """The event loop in which the change is made; None in a thread."""
        return None if self.group is None else self.group.loop


class Claims:
    """The keys whose changes are under way: those of one key follow each other. The caller holds the lock.

    :param lock: of the writer
    """

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._idle = threading.Condition(lock)
        self._by_key: dict[str, Claim] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._by_key

    def wait_for(self, key: str, give_up: Callable[[str, Claim], None], fail_stopped: Callable[[Loop], None]) -> None:
        """Return when the next change of a key may begin.

        :param give_up: gives up the change in an event loop that does not run any more
        :param fail_stopped: see :meth:`NoteSequence.fail_stopped`; a thread that makes the change may wait for the
            caller's loop
        """
        blocked = running_loop()
        while (claim := self._by_key.get(key)) is not None:
            if is_stopped(claim.loop, blocked):
                give_up(key, claim)
                del self._by_key[key]
            else:
                fail_stopped(blocked)
                self._idle.wait(LOOK_SECONDS)

    def take(self, key: str, *begun: Any) -> Claim:
        """Begin the change of a key; see :class:`Claim`."""
        claim = self._by_key[key] = Claim(*begun)
        return claim

    def has(self, key: str, claim: Claim) -> bool:
        """Return whether the change of a key is under way, and was not given up."""
        return self._by_key.get(key) is claim

    def check(self, key: str, claim: Claim) -> None:
        """Raise IPLDStoreError if the change of a key was given up."""
        if not self.has(key, claim):
            raise IPLDStoreError(
                f"writing {key!r}: expected its event loop to run on, found that it was stopped, and that the key was "
                f"written by another call since"
            )

    def release(self, key: str, claim: Claim) -> None:
        """Let the next change of a key begin, unless this one was given up. Takes the lock."""
        with self._lock:
            if self.has(key, claim):
                del self._by_key[key]
                self._idle.notify_all()
