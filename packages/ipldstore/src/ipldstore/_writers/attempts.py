"""Notes that were put again, as an earlier attempt failed and may be in the journal nevertheless: each counts once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .notes import Note

CLOSED: Final = 1 << 52
"""Added to the position of a writer whose further notes do not count, whenever they arrive."""


class Attempts:
    """The notes of one take-in that repeat others, and those that they repeat.

    The first attempt that is taken in counts. When a later one counts, its predecessors do not, nor does what their
    writers have noted since: a writer whose note fails goes on under another name, and repeats what it had under way.

    :param taken: by writer, the number of its last note that was taken in before
    :param void: by writer, the number of its first note that does not count, as a later attempt was made
    """

    def __init__(self, taken: Mapping[str, int], void: Mapping[str, int] | None = None) -> None:
        self._taken = taken
        self._read: dict[str, int] = {}
        self._first_void: dict[str, int] = dict(void or {})

    def add(self, writer: str, note: Note) -> None:
        """Add a note; the notes of a writer come in their order."""
        self._read[writer] = note.number
        for repeated, number in note.repeats:
            if number > self._number_taken(repeated):
                self._first_void[repeated] = min(number, self._first_void.get(repeated, number))

    def counts(self, writer: str, note: Note) -> bool:
        """Return whether a note counts, when all have been seen."""
        first_void = self._first_void.get(writer)
        if first_void is not None and note.number >= first_void:
            return False
        return not any(number <= self._number_taken(repeated) for repeated, number in note.repeats)

    def positions(self) -> dict[str, int]:
        """Return by writer the number of its last note that is taken in when all have been seen."""
        read = {writer: number for writer, number in self._read.items() if writer not in self._first_void}
        return read | {writer: self._closed(writer, first) for writer, first in self._first_void.items()}

    def _closed(self, writer: str, first_void: int) -> int:
        taken = self._number_taken(writer)
        return CLOSED + max(taken, min(self._read.get(writer, taken), first_void - 1))

    def _number_taken(self, writer: str) -> int:
        return self._taken.get(writer, 0) % CLOSED
