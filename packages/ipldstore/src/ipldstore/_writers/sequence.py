"""The numbers of a writer whose notes are put side by side."""

from __future__ import annotations

import secrets
import threading
import time
from typing import Final, NamedTuple

_RECENT_SECONDS: Final = 60.0
_ID_BYTES: Final = 8


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


class NoteSequence:
    """The notes of one writer id that are under way. Safe with threads.

    Readers of a journal stop at a gap, so a note counts when all before it are there. When one fails, those after it
    have to be noted again, under another id, when it is known of all before the gap that they are there: who reads that
    a note repeats one of this id does not wait for others of it.

    :param predecessor: the id under which the writer has noted before, of which a note has failed
    """

    def __init__(self, predecessor: NoteSequence | None = None) -> None:
        self._predecessor = predecessor
        self.writer = secrets.token_hex(_ID_BYTES)
        """The id, drawn at random."""
        self._changed = threading.Condition()
        self._begun = 0
        self._confirmed = 0
        self._arrived: set[int] = set()
        """The numbers above ``_confirmed`` whose notes and blocks are there."""
        self._failed: int | None = None
        """The lowest number that will never arrive."""
        self._has_groups = False
        """Whether several notes were put together: such a put does not fail where its first number is taken."""
        self._open: Look | None = None
        """The last look that found the session open, when a note of this id was there."""

    def begin(self, count: int) -> tuple[int, int]:
        """Return the first of the next numbers, and up to which number all notes and their blocks are there.

        :param count: how many notes are put together
        """
        with self._changed:
            first = self._begun + 1
            self._begun += count
            self._has_groups |= count > 1
            return first, self._confirmed

    def seen_open(self, look: Look) -> None:
        """Take note that a look found the session open, which had begun when a note of this id was there.

        Who ends the session lists the ids later, and takes the next number of each.
        """
        self._open = look

    def stops_by_number(self) -> bool:
        """Return whether a note that has arrived need not look at the session: had it ended, its put had failed.

        Now and then a note looks all the same, as a session that ended long ago is deleted with all that is in it.
        """
        return not self._has_groups and self._open is not None and self._open.is_recent

    def arrived(self, first: int, count: int) -> bool:
        """Return when the notes before some that are there are there too; False if one of them has failed."""
        with self._changed:
            number = first + count - 1
            self._arrived.update(range(first, number + 1))
            while self._confirmed + 1 in self._arrived:
                self._confirmed += 1
                self._arrived.discard(self._confirmed)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._confirmed >= number or self._has_failed_before(number))
            return self._confirmed >= number

    def _has_failed_before(self, number: int) -> bool:
        return self._failed is not None and self._failed < number

    def wait_for_predecessor(self) -> None:
        """Return when no note of the writer's earlier ids is under way any more that may count."""
        predecessor = self._predecessor
        if predecessor is not None:
            predecessor.wait_until_settled()
            self._predecessor = None

    def wait_until_settled(self) -> None:
        """Return when all notes before the first one that has failed are there."""
        self.wait_for_predecessor()
        with self._changed:
            self._changed.wait_for(lambda: self._failed is not None and self._confirmed >= self._failed - 1)

    def fail(self, number: int) -> None:
        """Give up a number; nobody knows whether its note, or its block, is there."""
        with self._changed:
            self._failed = number if self._failed is None else min(self._failed, number)
            self._changed.notify_all()
