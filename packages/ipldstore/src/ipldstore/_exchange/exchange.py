"""The exchange of all names of a repository: one state follows another, and the head moves to it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from ipld_castore import HeadMovedError

from ipldstore._dataset.in_flight import putting
from ipldstore._history.state import StateNode, encode_state
from ipldstore._revisions.history import History
from ipldstore.errors import BlockMissingError, ConflictError, RepositoryNotFoundError, StoreUnavailableError

from .committing import Signature, clock, put_node
from .head import Head
from .moves import Move, Moves

TRIES: Final = 100
"""How often to try, at most, while others move the head."""
_FIRST_PAUSE: Final = 0.005
_LONGEST_PAUSE: Final = 1.0
"""Seconds to pause between two tries, at most."""

Change = Callable[[StateNode], StateNode]
"""Returns the names as they should be. Where the head has moved, it is called again with the names of the new state."""


class Known(NamedTuple):
    """The state of a repository, as the head names it."""

    cid: bytes
    state: StateNode


class Exchange:
    """The state of a repository, and how it moves. Safe with threads and, where the head is atomic, with processes.

    :param history: where states are read
    :param head: what names the state
    """

    def __init__(self, history: History, head: Head) -> None:
        self.history = history
        self.head = head
        self._moves = Moves()

    def current(self) -> Known:
        """Return the state as it is now.

        :raises IPLDStoreError: if it cannot be read
        """
        missed = None
        while True:
            cid = self.head.read()
            if cid is None:
                raise RepositoryNotFoundError(f"expected a head in {self.history.castore!r}, found that it is gone")
            try:
                return Known(cid, self.history.load_state(cid))
            except BlockMissingError:
                if cid == missed:
                    raise
                missed = cid  # the head may have moved meanwhile, and a collection freed the state

    def update(
        self, operation: str, change: Change, by: Signature, *, tries: int = TRIES, known: Known | None = None
    ) -> Known:
        """Move the head to a state with other names; return it. Where the names stay as they are, nothing is done.

        :param operation: what is done, for the operation log; one line
        :param tries: how often to try where others move the head at the same time
        :param known: the state, if the caller has just read it
        :raises ConflictError: if others have moved the head each time
        :raises IPLDStoreError: what ``change`` raises, or if the state cannot be read or written
        """
        for attempt in range(tries):
            if attempt:
                pause(attempt)
                known = self.current()
                if self._made(known) is not None:  # an answer was lost, and others have gone on
                    return known
            known = known or self.current()
            wanted = change(known.state)
            if (wanted.branches, wanted.tags, wanted.default) == known.state[:3]:
                return known
            try:
                with putting(self.history.castore):
                    moved = self._move(known, wanted, operation, by, change)
            except HeadMovedError:
                continue
            if self._moves.asked is None:  # what was asked for before has been left behind
                self._moves.begun.clear()
            return moved
        raise ConflictError(
            f"{operation}: expected to move the head of {self.history.castore!r} in {tries} tries, found that others "
            f"moved it each time; nothing was changed"
        )

    @contextmanager
    def asked(self, what: object, holds: Callable[[Move, StateNode], bool]) -> Iterator[Move | None]:
        """Name what a caller asks for in this context, so that a repeated call does not do it once more.

        A call that fails, or is interrupted, may have moved the head before. The next call of the thread with the same
        verb and arguments is given that move, unless the thread has moved the head otherwise since.

        :param what: the verb and its arguments
        :param holds: returns whether the present state still has the result of the move; if not, the call is done anew
        """
        moves = self._moves
        moves.asked = what
        made = None
        if moves.begun:
            known = self.current()
            made = self._made(known)
            if made is not None and not holds(made, known.state):
                made = None
                moves.begun.clear()
        try:
            yield made
        finally:
            moves.asked = None
        moves.begun.clear()  # after an error they stay

    def _made(self, known: Known) -> Move | None:
        """Return the move, in the operation log of a state, that was made for the same request; None without one."""
        asked = self._moves.asked
        begun = [] if asked is None else [move for move in self._moves.begun if move.asked == asked]
        return next((move for move in reversed(begun) if move.was_made(self.history, *known)), None)

    def _move(self, known: Known, wanted: StateNode, operation: str, by: Signature, change: Change) -> Known:
        castore = self.history.castore
        state = wanted._replace(
            previous=known.cid,
            operation=operation,
            time=clock() if by.time is None else by.time,
            author=by.author,
        )
        block = encode_state(state, lambda names: put_node(castore, names))
        cid = put_node(castore, block)
        if self._moves.asked is not None:
            self._moves.begun.append(Move(self._moves.asked, known.cid, cid, state, change))
        try:
            self.head.swap(known.cid, cid)
        except StoreUnavailableError:
            if self.head.read() != cid:  # else the answer was lost, and the head has moved
                raise
        return Known(cid, state)


def pause(attempt: int) -> None:
    """Wait for a random time, so that processes that try at once come apart; longer with each attempt."""
    time.sleep(random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(attempt, 10))))  # noqa: S311  # no secret
