"""Commits of a session that was interrupted: the session finds whether the branch has them."""

from __future__ import annotations

from typing import NamedTuple

from ipldstore._exchange.forward import is_past
from ipldstore._revisions.history import History


class Request(NamedTuple):
    """What a caller asks of a commit."""

    verb: str
    arguments: tuple[object, ...]


class Attempt(NamedTuple):
    """A commit that the branch may have."""

    request: Request
    commit: bytes
    """Its binary CID."""
    decisions: int
    """How many of the decisions of rebases its message has."""


class Attempts:
    """The commits that calls have begun since the session last knew where its branch is.

    :param history: where commits are read
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._begun: list[Attempt] = []

    def __bool__(self) -> bool:
        return bool(self._begun)

    def begin(self, attempt: Attempt) -> None:
        """Record a commit before the branch moves to it."""
        self._begun.append(attempt)

    def drop_last(self) -> None:
        """Forget the last commit, as the branch has not moved to it."""
        self._begun.pop()

    def clear(self) -> None:
        """Forget all commits, as it is known where the branch is."""
        self._begun = []

    def find_made(self, tip: bytes | None) -> Attempt | None:
        """Return the attempt whose commit a branch has; None if it has none of them.

        :param tip: binary CID of the branch's latest commit; None without a branch
        """
        if tip is None:
            return None
        return next((each for each in reversed(self._begun) if is_past(self._history, each.commit, tip)), None)
