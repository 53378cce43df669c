"""The numbers of a writer whose notes are put side by side, those that come together in one record."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import pairwise
from typing import Final, NamedTuple

from ipld_castore import BackendUnavailableError

from ipldstore._writers.moments import Moment
from ipldstore._writers.notes import (
    MAX_BYTES,
    MAX_REPEATS,
    WHOLE_SECONDS,
    Note,
    NoteName,
    encode_notes,
    room_of,
)

from . import loops
from .loops import Loop, is_stopped, running_loop

_POLL_SECONDS: Final = 0.01
_RECENT_SECONDS: Final = 60.0
_ID_BYTES: Final = 8


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
    begun: Moment
    """Before the record was put."""

    @property
    def need_not_look(self) -> bool:
        """Whether the change counts for sure, so that its writer need not look at the session.

        In a journal that refuses the records of stopped writers the put had failed, had the session ended. Whoever ends
        the session waits for the blocks of the record.
        """
        return self.begun.age < WHOLE_SECONDS and self.sequence.stops_by_number()


class NoteGroup:
    """Notes of several keys that are put as one record. Each counts when the group and its own block are there.

    A group is there when its record is, and those of all groups before it. Safe with threads, but for what a caller
    holds a lock for: notes are added and removed, and the group gets its number.

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
        self.begun = Moment.now()
        """Before the record is put."""
        self._room = MAX_BYTES
        self._lock = threading.Lock()
        self._missing = 1
        """How many parts are not there yet: the record, and of each key the block."""
        self._is_there: Future[bool] = Future()
        self._in_loop: asyncio.Future[bool] | None = None
        """The same for the tasks of the event loop."""
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

    def remove(self, notes: Sequence[Note], *, has_block: bool) -> None:
        """Remove the notes of a key, as they are given up before they are put.

        :param has_block: whether :meth:`block_arrived` was called for the key
        """
        self.notes = [note for note in self.notes if all(note is not other for other in notes)]
        if not has_block:
            self.block_arrived()

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
        return Noted(notes[0].key, self.sequence, self.number, size, marks, repeats, self.begun)

    def to_repeat(self, notes: Sequence[Note]) -> list[Note]:
        """Return notes of the group, which may be there or not, as they are put again."""
        name = [] if self.sequence is None else [(self.sequence.writer, self.number)]
        again = [note._replace(repeats=(*note.repeats, *name)[-MAX_REPEATS:]) for note in notes]
        while len(again) > 2 and sum(map(room_of, again)) > MAX_BYTES:  # very many failures
            first, second = again[:2]
            repeats = (*first.repeats, *second.repeats)[-MAX_REPEATS:]
            again[:2] = [first._replace(after=second.after, repeats=repeats)]
        return again

    def record_arrived(self) -> None:
        """Note that the record is there."""
        assert self.sequence is not None  # noqa: S101  # it was put
        self.sequence.record_arrived(self.number)
        self._part_arrived()

    def block_arrived(self) -> None:
        """Note that the block of a key is there."""
        self._part_arrived()

    def _part_arrived(self) -> None:
        with self._lock:
            self._missing -= 1
            is_whole = not self._missing
        if is_whole and self.sequence is not None:
            self.sequence.group_arrived(self.number)

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
                self._is_there.result(loops.LOOK_SECONDS)
        is_there = self._is_there.result()
        if self._error is not None:
            raise BackendUnavailableError(self._error)
        return is_there

    async def wait_async(self) -> bool:
        """Return and raise the same in the event loop of the group."""
        while not self._is_there.done():
            self._in_loop = self._in_loop or asyncio.wrap_future(self._is_there)
            await asyncio.wait({self._in_loop}, timeout=loops.LOOK_SECONDS)  # never cancelled: others wait for it too
            if not self._in_loop.done():
                self._fail_stopped(None)
        return self.wait()

    def _fail_stopped(self, blocked: Loop) -> None:
        if self.sequence is not None:
            self.sequence.fail_stopped(blocked)


class NoteSequence:
    """The notes of one writer id that are under way. Safe with threads.

    Readers of a journal stop at a gap, so a group is there when the records of all before it are. When a record fails,
    the groups after it have to be noted again, under another id, when it is known of all before the gap that they are
    there: a reader of a note that repeats one of this id does not wait for others of it.

    When a block fails, its note may never count. The groups that have begun go on, and those after them go under
    another id, as no record of this one confirms the blocks of all before it any more.

    :param predecessor: the id under which the writer has noted before, which has ended
    """

    def __init__(self, predecessor: NoteSequence | None = None) -> None:
        self.predecessor = predecessor
        """The id before, until none of its notes is under way any more that may count."""
        self.writer = secrets.token_hex(_ID_BYTES)
        """The id, drawn at random."""
        self._changed = threading.Condition()
        self._begun = 0
        self._reached = 0
        """The number up to which all records are there."""
        self._arrived: set[int] = set()
        """The numbers above ``_reached`` whose records are there."""
        self._confirmed = 0
        """The number up to which all records and their blocks are there."""
        self._whole: set[int] = set()
        """The numbers above ``_confirmed`` whose records and blocks are there."""
        self._under_way: dict[int, NoteGroup] = {}
        """By number, the groups above ``_reached``."""
        self._end: int | None = None
        """The lowest number that does not count; None as long as groups may begin."""
        self._open: Moment | None = None
        """The last look that found the session open, when a note of this id was there."""

    @property
    def has_ended(self) -> bool:
        """Whether a group that begins now would not count."""
        return self._end is not None

    def begin(self, group: NoteGroup) -> int:
        """Give a group the next number; return up to which number all groups and their blocks are there."""
        with self._changed:
            self._begun += 1
            group.sequence, group.number, group.begun = self, self._begun, Moment.now()
            self._under_way[group.number] = group
            if self.has_ended:
                group.settle(False)
            return self._confirmed

    def seen_open(self, look: Moment) -> None:
        """Take note that a look found the session open, which had begun when a note of this id was there.

        Who ends the session lists the ids later, and takes the next number of each.
        """
        self._open = look

    def stops_by_number(self) -> bool:
        """Return whether a note that has arrived need not look at the session: had it ended, its put had failed.

        Now and then a note looks all the same, as a session that ended long ago is deleted with all that is in it.
        """
        return self._open is not None and self._open.age < _RECENT_SECONDS

    def record_arrived(self, number: int) -> None:
        """Note that the record of a group is there."""
        with self._changed:
            self._arrived.add(number)
            while self._reached + 1 in self._arrived:
                self._reached += 1
                self._arrived.discard(self._reached)
                # Before anybody can fail it: those behind it, which are there, would not count.
                self._under_way.pop(self._reached).settle(True)
            self._changed.notify_all()

    def group_arrived(self, number: int) -> None:
        """Note that the record of a group and the blocks of all its notes are there."""
        with self._changed:
            self._whole.add(number)
            while self._confirmed + 1 in self._whole:
                self._confirmed += 1
                self._whole.discard(self._confirmed)

    def end(self) -> None:
        """Begin no more groups; those that have begun go on."""
        with self._changed:
            self.fail(self._begun + 1)

    def _line(self) -> list[NoteSequence]:
        """Return the sequence behind its predecessors of which notes may be under way, the first one first."""
        line = [self]
        while (predecessor := line[-1].predecessor) is not None:
            line.append(predecessor)
        return line[::-1]

    def wait_for_predecessor(self) -> None:
        """Return when no note of the writer's earlier ids is under way any more that may count."""
        for predecessor, each in pairwise(self._line()):
            predecessor.wait_until_settled()
            each.predecessor = None

    async def wait_for_predecessor_async(self) -> None:
        """Return as :meth:`wait_for_predecessor` does, in the running event loop; it is seldom called for."""
        for predecessor, each in pairwise(self._line()):
            while not predecessor.is_settled():
                predecessor.fail_own_stopped(None)
                await asyncio.sleep(_POLL_SECONDS)
            each.predecessor = None

    def wait_until_settled(self) -> None:
        """Return when :meth:`is_settled`."""
        is_settled = False
        while not is_settled:
            self.fail_own_stopped(running_loop())
            with self._changed:
                is_settled = self._changed.wait_for(self._is_settled, loops.LOOK_SECONDS)

    def is_settled(self) -> bool:
        """Return whether the id has ended, and the records of all groups that count are there."""
        with self._changed:
            return self._is_settled()

    def _is_settled(self) -> bool:
        return self._end is not None and self._reached >= self._end - 1

    def fail(self, number: int, error: str | None = None) -> None:
        """Give up a number, and with it all that follow, unless its group is there; see :meth:`NoteGroup.fail`."""
        with self._changed:
            if number <= self._reached:
                return
            self._end = number if self._end is None else min(self._end, number)
            for other, group in self._under_way.items():
                if other >= self._end:
                    group.settle(False, error if other == number else None)
            self._changed.notify_all()

    def fail_stopped(self, blocked: Loop) -> None:
        """Give up the groups of event loops that do not run any more: their tasks would put the record, or a block.

        :param blocked: see :func:`is_stopped`
        """
        for each in self._line():
            each.fail_own_stopped(blocked)

    def fail_own_stopped(self, blocked: Loop) -> None:
        """Give up the groups of this id alone; see :meth:`fail_stopped`."""
        with self._changed:
            missing = self._under_way.keys() - self._arrived
            stopped = [number for number in missing if is_stopped(self._under_way[number].loop, blocked)]
            if stopped:
                self.fail(min(stopped))
