"""What is left of a history without some of its commits: which must stay, and what each then follows.

Merges of what is left must give what they gave before. So the bases of any two commits that stay must stay too, and of
two commits that stay one must be an ancestor of the other exactly where it was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from .ancestry import Entry, LoadCommit, is_ancestor
from .commit import MAX_PARENTS


class Ancestry:
    """Tells whether a commit is an ancestor of another. Each answer is kept.

    :param load: gives the fields of a commit
    """

    def __init__(self, load: LoadCommit) -> None:
        self.load = load
        self._known: dict[tuple[bytes, bytes], bool] = {}

    def is_ancestor(self, ancestor: bytes, tip: bytes) -> bool:
        """Return whether a commit is another or one of its ancestors."""
        found = self._known.get((ancestor, tip))
        if found is None:
            found = self._known[ancestor, tip] = is_ancestor(self.load, ancestor, tip)
        return found

    def lowest(self, commits: Collection[bytes]) -> bytes | None:
        """Return the one of these commits that is an ancestor of all the others; None if none is."""
        if len(commits) == 1:
            return next(iter(commits))
        oldest = min(commits, key=lambda cid: self.load(cid).time)
        return oldest if all(self.is_ancestor(oldest, each) for each in commits) else None

    def tips(self, commits: Iterable[bytes]) -> list[bytes]:
        """Return those of these commits that are no ancestors of others of them, each once, in the same order."""
        found = list(dict.fromkeys(commits))
        return [one for one in found if not any(one != other and self.is_ancestor(one, other) for other in found)]


class BaseFinder:
    """Finds the commits that must stay beside others: the bases of any two that stay.

    A commit is a base of two others exactly if the nearest commits above it that stay do not all descend from one of
    them.

    :param ancestry: of the history
    """

    def __init__(self, ancestry: Ancestry) -> None:
        self._ancestry = ancestry
        self._above: dict[bytes, set[bytes]] = {}
        """By commit, the nearest commits above it that stay."""

    def stays(self, entry: Entry, *, wanted: bool) -> bool:
        """Return whether a commit stays. To be asked of each commit of a history, the newest first.

        :param wanted: whether it stays in any case, as each tip must
        """
        above = self._above.pop(entry.cid, set())
        nearest = None if wanted else self._ancestry.lowest(above)
        for parent in entry.commit.parents:
            self._above.setdefault(parent, set()).add(nearest or entry.cid)
        return nearest is None


class Followed(NamedTuple):
    """What a commit stands for, where it does not stay: its nearest ancestors that do."""

    first: bytes
    """The nearest along first parents; for a commit that stays, the commit."""
    others: tuple[bytes, ...] = ()
    """Others that are no ancestors of each other, nor of the first."""


def followed(ancestry: Ancestry, parents: Iterable[Followed]) -> Followed:
    """Return what the child of commits follows, if only what these stand for stays."""
    first, *rest = (each for parent in parents for each in (parent.first, *parent.others))
    others = [each for each in ancestry.tips([first, *rest]) if each != first]
    return Followed(first, tuple(others))


def is_too_many(found: Followed) -> bool:
    """Return whether a commit cannot have as many parents."""
    return 1 + len(found.others) > MAX_PARENTS
