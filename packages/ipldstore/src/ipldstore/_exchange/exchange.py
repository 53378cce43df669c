"""The exchange of all names of a repository: one state follows another, and the head moves to it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from ipld_castore import HeadMovedError

from ipldstore._dataset.in_flight import putting
from ipldstore._history.state import StateNode, encode_state
from ipldstore._revisions.history import History
from ipldstore.errors import BlockMissingError, ConflictError, RepositoryNotFoundError, StoreUnavailableError

from .committing import Signature, clock, put_node
from .head import Head

TRIES: Final = 100
"""How often to try where others move the head."""
_FIRST_PAUSE: Final = 0.005
_LONGEST_PAUSE: Final = 1.0
"""Seconds to pause between two tries, at most."""

Change = Callable[[StateNode], StateNode]
"""Gives the names as they should be. It is called again, with the names as they are then, where the head has moved."""


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
                known = None
            known = known or self.current()
            wanted = change(known.state)
            if (wanted.branches, wanted.tags, wanted.default) == known.state[:3]:
                return known
            try:
                with putting(self.history.castore):
                    return self._move(known, wanted, operation, by)
            except HeadMovedError:
                continue
        raise ConflictError(
            f"{operation}: expected to move the head of {self.history.castore!r} in {tries} tries, found that others "
            f"moved it each time; nothing was changed"
        )

    def _move(self, known: Known, wanted: StateNode, operation: str, by: Signature) -> Known:
        castore = self.history.castore
        state = wanted._replace(
            previous=known.cid,
            operation=operation,
            time=clock() if by.time is None else by.time,
            author=by.author,
        )
        block = encode_state(state, lambda names: put_node(castore, names))
        cid = put_node(castore, block)
        try:
            self.head.swap(known.cid, cid)
        except StoreUnavailableError:
            if self.head.read() != cid:  # else the answer was lost, and the head has moved
                raise
        return Known(cid, state)


def pause(attempt: int) -> None:
    """Wait for a moment that differs between those who try at once, and grows with each attempt."""
    time.sleep(random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(attempt, 10))))  # noqa: S311  # no secret
