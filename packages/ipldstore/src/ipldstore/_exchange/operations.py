"""The operation log: what was done to the names of a repository, and the way back (history.md, section 3)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from ipld_car import cids
from multiformats import CID

from ipldstore._history.state import StateNode
from ipldstore._revisions.history import History
from ipldstore._revisions.times import to_datetime
from ipldstore.errors import BlockMissingError, ConflictError, IPLDStoreError, store_errors

from .committing import Signature
from .exchange import Exchange, Known
from .refs import RefMapping

_UNDO: Final = re.compile(r"undo, back to (b[a-z2-7]{58})")
"""The text of an undo, with the CID of a state; any other text is of another operation."""


class Names(NamedTuple):
    """All names of a repository at one time."""

    branches: RefMapping
    tags: RefMapping
    default: str


class Operation(NamedTuple):
    """One change of names, from the operation log."""

    state: CID
    """The CID of the state that the operation led to; :meth:`Repository.restore` takes it."""
    operation: str
    """What was done, as "commit main"; empty for the making of the repository."""
    author: str
    time: datetime
    before: Names | None
    """The names before; None for the first operation, and where that state is no longer there."""
    after: Names

    def __repr__(self) -> str:
        return cids.record_repr(self)


def operations(history: History, state: Known) -> Iterator[Operation]:
    """Yield the operations that led to a state, the latest first. Streams. The log ends where a state is not there.

    :raises IPLDStoreError: if a state cannot be read for another reason
    """
    after: Known | None = state
    while after is not None:
        before = _previous(history, after.state)
        yield Operation(
            cids.from_validated(after.cid),
            after.state.operation,
            after.state.author,
            to_datetime(after.state.time),
            None if before is None else names_of(before.state),
            names_of(after.state),
        )
        after = before


def names_of(state: StateNode) -> Names:
    """Return the names of a state as users see them."""
    return Names(RefMapping(state.branches), RefMapping(state.tags), state.default)


def _previous(history: History, state: StateNode) -> Known | None:
    if state.previous is None:
        return None
    try:
        return Known(state.previous, history.load_state(state.previous))
    except BlockMissingError:
        return None


def states_in_log(history: History, state: Known) -> Iterator[Known]:
    """Yield the states of the operation log, the present one first, as far as they are there."""
    found: Known | None = state
    while found is not None:
        yield found
        found = _previous(history, found.state)


def undo(exchange: Exchange, by: Signature) -> Known:
    """Give the names back what they were before the latest operation that was not undone.

    :raises IPLDStoreError: if the log has no such operation, or the state before it is no longer there
    :raises ConflictError: if others have changed names at the same time
    """
    known = exchange.current()
    at = known.state
    while (undone := _UNDO.fullmatch(at.operation)) is not None:
        with store_errors("undo: reading the operation log"):
            state = cids.to_bytes(undone[1])
        at = _load_from_log(exchange.history, state, "undo")
    if at.previous is None:
        raise IPLDStoreError("undoing: expected an operation in the log, found none that was not undone")
    return _restore(exchange, known, at.previous, f"undo, back to {cids.to_text(at.previous)}", by)


def restore(exchange: Exchange, state: bytes, by: Signature) -> Known:
    """Give the names back what they were in a state.

    :param state: binary CID of the state, from the operation log
    :raises IPLDStoreError: if the state, or a commit that it names, is no longer there
    :raises ConflictError: if others have changed names at the same time
    """
    return _restore(exchange, exchange.current(), state, f"restore {cids.to_text(state)}", by)


def _restore(exchange: Exchange, known: Known, state: bytes, operation: str, by: Signature) -> Known:
    found = _load_from_log(exchange.history, state, operation)

    def change(now: StateNode) -> StateNode:
        if now != known.state:
            raise ConflictError(f"{operation}: expected no other operation meanwhile, found {now.operation!r}")
        return now._replace(branches=found.branches, tags=found.tags, default=found.default)

    return exchange.update(operation, change, by, known=known)


def _load_from_log(history: History, state: bytes, operation: str) -> StateNode:
    """Return a state whose commits are there.

    :param operation: what is being done, for the error
    :raises BlockMissingError: if the state, or a commit that it names, is no longer there
    """
    try:
        found = history.load_state(state)
        commits = {*found.branches.values(), *found.tags.values()}
        history.require(commits)
        for commit in commits:
            history.load(commit)
    except BlockMissingError as error:
        raise BlockMissingError(
            f"{operation}: expected that state and its commits, found that garbage collection has taken them, or that "
            f"this repository is a copy, which has no log from before: {error}"
        ) from error
    return found
