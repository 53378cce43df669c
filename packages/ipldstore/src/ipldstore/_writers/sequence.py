"""The numbers of a writer whose notes are put side by side."""

from __future__ import annotations

import secrets
import threading
from typing import Final

_ID_BYTES: Final = 8


class NoteSequence:
    """The notes of one writer id that are under way. Safe with threads.

    Readers of a journal stop at a gap, so a note counts when all before it are there. When one fails, those after it
    have to be noted again, under another id.
    """

    def __init__(self) -> None:
        self.writer = secrets.token_hex(_ID_BYTES)
        """The id, drawn at random."""
        self._changed = threading.Condition()
        self._begun = 0
        self._confirmed = 0
        self._arrived: set[int] = set()
        """The numbers above ``_confirmed`` whose notes and blocks are there."""
        self._failed: int | None = None
        """The lowest number that will never arrive."""

    def begin(self, count: int) -> tuple[int, int]:
        """Return the first of the next numbers, and up to which number all notes and their blocks are there.

        :param count: how many notes are put together
        """
        with self._changed:
            first = self._begun + 1
            self._begun += count
            return first, self._confirmed

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

    def fail(self, number: int) -> None:
        """Give up a number; nobody knows whether its note, or its block, is there."""
        with self._changed:
            self._failed = number if self._failed is None else min(self._failed, number)
            self._changed.notify_all()
