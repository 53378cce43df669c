"""Notes that were put again, as an earlier attempt failed and may be in the journal nevertheless: each counts once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from .notes import Note

CLOSED: Final = 1 << 52
"""Added to the position of a writer whose further notes do not count, whenever they arrive."""


class Attempts:
    """The notes of one take-in that repeat others, and those that they repeat.

    Of the attempts to note one change of a key, the first that is taken in counts, and the others do not.

    A writer whose record fails goes on under another name, and repeats there what it had under way. Its first record
    under that name is put when all records that count under the old name are there. So a record that is repeated and
    was not read does not count, nor do those behind it: the position of the old name is closed.

    :param taken: by writer, the number of its last record that was read before
    :param there: writer and note, each writer's in their order: those whose blocks are there
    :param late: those whose blocks are not there; those of ``taken`` are among both, if they were late until now
    """

    def __init__(
        self, taken: Mapping[str, int], there: Iterable[tuple[str, Note]], late: Iterable[tuple[str, Note]] = ()
    ) -> None:
        self._taken = taken
        self._read: dict[str, int] = {}
        self._was_late: set[tuple[str, int, str]] = set()
        """Writer, number and key of notes that were read before, and not taken in."""
        self._void: set[tuple[str, int, str]] = set()
        """Those that do not count, as another attempt does."""
        self._repeated: dict[str, int] = {}
        """By writer, its last record of which a note is repeated."""
        for writer, note in late:
            self._add(writer, note)
        for writer, note in there:
            self._add(writer, note)
            self._void.update((*name, note.key) for name in note.repeats)

    def _add(self, writer: str, note: Note) -> None:
        if note.number <= self._number_taken(writer):
            self._was_late.add((writer, note.number, note.key))
        else:
            self._read[writer] = max(note.number, self._read.get(writer, 0))
        for repeated, number in note.repeats:
            self._repeated[repeated] = max(number, self._repeated.get(repeated, 0))

    def counts(self, writer: str, note: Note) -> bool:
        """Return whether a note counts, if its blocks are there."""
        return (writer, note.number, note.key) not in self._void and not any(
            number <= self._number_taken(repeated) and (repeated, number, note.key) not in self._was_late
            for repeated, number in note.repeats
        )

    def is_void(self, writer: str, note: Note) -> bool:
        """Return whether another attempt counts in place of a note."""
        return (writer, note.number, note.key) in self._void

    def positions(self) -> dict[str, int]:
        """Return by writer the number of its last record that was read; of those of ``taken``, what has changed."""
        closed = {
            writer: CLOSED + read
            for writer, number in self._repeated.items()
            if number > (read := max(self._number_taken(writer), self._read.get(writer, 0)))
        }
        return self._read | closed

    def _number_taken(self, writer: str) -> int:
        return self._taken.get(writer, 0) % CLOSED
