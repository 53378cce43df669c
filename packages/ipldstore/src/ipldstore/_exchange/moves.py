"""Moves of the head whose outcome the caller does not know, so that a repeated call recognises them."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final, NamedTuple

from ipldstore._history.state import StateNode
from ipldstore._revisions.history import History
from ipldstore.errors import BlockMissingError

_MOST_MOVES: Final = 16
"""Moves that are remembered."""
_MOST_STATES: Final = 100
"""States of the operation log among which a move is looked for."""


class Move(NamedTuple):
    """A move of the head that was begun."""

    asked: object
    """The verb and its arguments."""
    before: bytes
    """Binary CID of the state before."""
    cid: bytes
    """Binary CID of the state that the head was to move to."""
    state: StateNode
    change: object
    """What gave that state its names."""

    def was_made(self, history: History, cid: bytes, state: StateNode) -> bool:
        """Return whether the operation log has this move.

        :param cid: binary CID of the present state
        """
        for _ in range(_MOST_STATES):
            if cid == self.cid:
                return True
            if state.previous is None or state.previous == self.before:
                return False
            try:
                cid, state = state.previous, history.load_state(state.previous)
            except BlockMissingError:
                return False
        return False


class Moves(threading.local):
    """What one thread was asked for, and the moves that it has begun for that without knowing their outcome."""

    def __init__(self) -> None:
        self.asked: object = None
        self.begun: deque[Move] = deque(maxlen=_MOST_MOVES)
