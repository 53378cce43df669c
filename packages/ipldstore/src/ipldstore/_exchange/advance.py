"""Moving a branch from the commit where it is expected to the next one."""

from __future__ import annotations

from typing import Final

from ipld_car import cids
from ipld_car.messages import Message, Term

from ipldstore._history.ancestry import Entry, is_ancestor
from ipldstore._history.state import StateNode
from ipldstore._revisions.history import History
from ipldstore._revisions.record import commit_of
from ipldstore.errors import ConflictError

from .forward import is_past

_ELSEWHERE: Final = Term(
    "rebase()",
    "the changes are still there, and a session on another branch takes all contents by "
    "other.store.set_root(session.store.freeze())",
)
NO_LONGER_BELOW: Final = Message("the branch was reset, amended or expired; ", _ELSEWHERE)
"""Why a session cannot go on when its branch no longer has its commit, and what to do."""


class Advance:
    """Moves a branch from one commit to another, unless it was moved meanwhile; a change of an exchange.

    :param branch: the name of the branch
    :param base: binary CID of the commit where it must be
    """

    def __init__(self, history: History, branch: str, base: bytes) -> None:
        self._history = history
        self._branch = branch
        self._base = base
        self._tried = False
        self.commit = base
        """Binary CID of the commit to move to."""
        self.moved_to: bytes | None = None
        """Binary CID of the commit where the branch was found instead; None if it was not, or there is no branch."""

    def check(self, state: StateNode) -> None:
        """Require that the branch is where it must be.

        :raises ConflictError: if the branch is elsewhere; the message has the commit, its author and its time
        """
        tip = self.moved_to = state.branches.get(self._branch)
        if tip == self._base:
            self.moved_to = None
            return
        expected = f"expected the branch {self._branch!r} at the commit {cids.to_text(self._base)}, found "
        if tip is None:
            raise ConflictError(Message(f"{expected}that it was deleted; ", _ELSEWHERE))
        found = commit_of(Entry(tip, self._history.load(tip)))
        by = f" by {found.author!r}" if found.author else ""
        goes_on = is_past(self._history, self._base, tip)
        rebase = Term("rebase()", "the changes are still there: rebase() brings them onto it")
        raise ConflictError(
            Message(
                f"{expected}it at {found.cid}, {found.message.partition(chr(10))[0][:100]!r}{by} at "
                f"{found.time.isoformat(timespec='seconds')}; ",
                rebase if goes_on else NO_LONGER_BELOW,
            )
        )

    def __call__(self, state: StateNode) -> StateNode:
        """Return the names with the branch at the new commit."""
        tip = state.branches.get(self._branch)
        if tip != self._base and tip is not None and self._tried and is_ancestor(self._history.load, self.commit, tip):
            return state  # an answer was lost: the head had moved to the commit, and others have gone on from it
        self.check(state)
        self._tried = True
        return state._replace(branches=state.branches | {self._branch: self.commit})
