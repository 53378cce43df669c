"""What is known of the objects in which the journal of a bucket has the records of a writer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

_MANY: Final = 32
"""Records that a writer puts together once more: a reader asks for fewer than that one by one."""
_MAX_TOGETHER: Final = 1024
"""Records of one object, at most: so far back its first number is looked for."""


class Objects:
    """The objects of records of one writer, as far as they were listed."""

    def __init__(self) -> None:
        self.all: set[tuple[int, int]] = set()
        """The numbers of the first and the last record of each object."""
        self.ends: dict[int, int] = {}
        """By the number of the first record, that of the last, in the longest object that begins there."""
        self.last = 0
        """The number up to which no record is missing. New objects have higher numbers, and names that sort behind."""
        self.beyond: set[int] = set()
        """The first numbers of the objects behind a gap."""
        self.stops: set[int] = set()
        """The numbers of the empty objects, which stop the writer."""

    @property
    def is_stopped(self) -> bool:
        """Whether the number behind the last record is taken, so that the writer appends nothing more."""
        return self.last + 1 in self.stops

    def add(self, first: int, last: int) -> None:
        """Note an object that is there."""
        self.all.add((first, last))
        self.ends[first] = max(last, self.ends.get(first, 0))
        if first > self.last:
            self.beyond.add(first)
        self.go_on()

    def remove(self, first: int, last: int) -> None:
        """Forget an object, which was deleted."""
        self.all.discard((first, last))
        if self.ends.get(first) == last:
            del self.ends[first]

    def go_on(self, known: int = 0) -> None:
        """Raise :attr:`last` as far as no record is missing.

        :param known: the number up to which a reader knows all records; these may be deleted
        """
        self.last = max(self.last, known)
        while (last := self.ends.get(self.last + 1)) is not None:
            self.beyond.discard(self.last + 1)
            self.last = last
        if known:
            self.beyond = {first for first in self.beyond if first > self.last}

    def behind(self, known: int) -> Iterator[tuple[int, int]]:
        """Yield first and last number of the objects behind the known records, up to the first gap."""
        while (found := self._holding(known + 1)) is not None:
            yield found
            known = found[1]

    def _holding(self, number: int) -> tuple[int, int] | None:
        """Return an object that has a record; of several, the one that ends last."""
        start = _begin_of_many(number)
        if self.ends.get(start, 0) > max(number, self.ends.get(number, 0)):
            return start, self.ends[start]
        begun = (each for each in range(number, max(number - _MAX_TOGETHER, 0), -1) if each in self.ends)
        return next(((first, self.ends[first]) for first in begun if self.ends[first] >= number), None)


class Appended:
    """The last records of a writer that this process has appended, until they are put together once more."""

    def __init__(self) -> None:
        self._records: dict[int, bytes] = {}

    def add(self, first: int, records: Sequence[bytes]) -> list[tuple[int, list[bytes]]]:
        """Note records that are there; return the records to put together, with the number of the first."""
        self._records.update(enumerate(records, first))
        full = []
        for start in {_begin_of_many(first), _begin_of_many(first + len(records) - 1)}:
            numbers = range(start, start + _MANY)
            if all(number in self._records for number in numbers):
                full.append((start, [self._records.pop(number) for number in numbers]))
        return full


def _begin_of_many(number: int) -> int:
    """Return the number of the first of the records that are put together with one."""
    return (number - 1) // _MANY * _MANY + 1
