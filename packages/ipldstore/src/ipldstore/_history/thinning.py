"""What is left of a history without some of its commits: which must stay, and what each then follows.

Merges of what is left must give what they gave before. So the bases of any two commits that stay must stay too, and of
two commits that stay one must be an ancestor of the other exactly where it was. Sets of commits are bits of integers:
the work is in proportion to the history, whatever its form.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .ancestry import Entry
from .commit import MAX_PARENTS


class BaseFinder:
    """Finds the commits that must stay beside others: the bases of any two that stay.

    A commit is a base of two others exactly if the nearest commits above it that stay do not all descend from one of
    them.
    """

    def __init__(self) -> None:
        self._nearest: dict[bytes, set[int]] = {}
        """By commit, the numbers of the nearest commits above it that stay."""
        self._above: dict[bytes, int] = {}
        """By commit, the numbers of all numbered commits above it, as bits."""
        self._descendants: list[int] = []
        """By number of a commit, its own number and those of its descendants, as bits."""

    def stays(self, entry: Entry, *, wanted: bool, borders: bool) -> bool:
        """Return whether a commit stays. To be asked of each commit of a history, the newest first.

        :param wanted: whether it stays in any case, as each tip must
        :param borders: whether a parent is not wanted
        """
        nearest, above = self._nearest.pop(entry.cid, set()), self._above.pop(entry.cid, 0)
        number = None if wanted else self._lowest(nearest)
        stays = number is None
        if stays and (borders or not wanted):
            number = len(self._descendants)
            self._descendants.append(above | 1 << number)
        for parent in entry.commit.parents:
            if number is not None:
                above |= self._descendants[number]
                self._nearest.setdefault(parent, set()).add(number)
            self._above[parent] = self._above.get(parent, 0) | above
        return stays

    def _lowest(self, numbers: set[int]) -> int | None:
        """Return the one of these commits that all the others descend from; None if there is none."""
        wanted = 0
        for number in numbers:
            wanted |= 1 << number
        return next((number for number in numbers if self._descendants[number] & wanted == wanted), None)


class Followed(NamedTuple):
    """What a commit stands for, where it does not stay: its nearest ancestors that do."""

    first: bytes
    """The nearest along first parents; for a commit that stays, the commit."""
    others: tuple[bytes, ...] = ()
    """Others that are no ancestors of each other, nor of the first."""

    @property
    def is_too_many(self) -> bool:
        """Whether no commit can have as many parents."""
        return 1 + len(self.others) > MAX_PARENTS


class Followers:
    """Tells what commits follow if only some stay. To be told of each commit of a history, the oldest first."""

    def __init__(self) -> None:
        self._followed: dict[bytes, Followed] = {}
        self._numbers: dict[bytes, int] = {}
        """Of the commits that stay and that a dropped commit may follow."""
        self._below: dict[bytes, int] = {}
        """By commit that stays, its own number, if it has one, and those of its ancestors, as bits."""

    def keep(self, cid: bytes, parents: Iterable[bytes], *, is_numbered: bool) -> None:
        """Note that a commit stays.

        :param parents: what it follows now
        :param is_numbered: whether a commit that is dropped may follow it
        """
        below = 0
        for parent in parents:
            if below | self._below[parent] != below:  # else one integer serves a whole line
                below = below | self._below[parent] if below else self._below[parent]
        if is_numbered:
            number = self._numbers[cid] = len(self._numbers)
            below |= 1 << number
        self._below[cid] = below
        self._followed[cid] = Followed(cid)

    def drop(self, cid: bytes, found: Followed) -> None:
        """Note that a commit does not stay, and stands for others."""
        self._followed[cid] = found

    def of(self, cid: bytes) -> Followed:
        """Return what a commit stands for."""
        return self._followed[cid]

    def over(self, parents: Iterable[bytes]) -> Followed:
        """Return what the child of some commits follows."""
        first, *rest = (each for parent in map(self.of, parents) for each in (parent.first, *parent.others))
        return Followed(first, tuple(each for each in self._tips([first, *rest]) if each != first))

    def _tips(self, commits: list[bytes]) -> list[bytes]:
        """Return those of some commits that are no ancestors of others of them, each once, in the same order."""
        found = list(dict.fromkeys(commits))
        below = 0
        for cid in found:
            below |= self._below[cid] & ~self._bit(cid)
        return [cid for cid in found if not below & self._bit(cid)]

    def _bit(self, cid: bytes) -> int:
        number = self._numbers.get(cid)
        return 0 if number is None else 1 << number
