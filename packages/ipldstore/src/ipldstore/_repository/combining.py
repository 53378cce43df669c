"""Commits that bring together what is on two branches: merges, cherry-picks, reverts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ipld_car import cids
from ipld_car.messages import Message, Term

from ipldstore._exchange.advance import Advance
from ipldstore._exchange.committing import Signature, put_commit
from ipldstore._exchange.exchange import TRIES, Exchange, pause
from ipldstore._exchange.first import FIRST
from ipldstore._exchange.refs import require_branch
from ipldstore._history.ancestry import is_ancestor
from ipldstore._history.commit import REWRITTEN_FROM
from ipldstore._merge.conflicts import Resolve
from ipldstore._revisions.history import History
from ipldstore.errors import ConflictError, IPLDStoreError

from .merging import bases_of, merge_data, with_resolved


class Request(NamedTuple):
    """What a caller asks of the commit to be made."""

    branch: str
    """The branch that goes on to it."""
    message: str | None
    """None for the default message, which lists the resolved conflicts."""
    meta: Mapping[str, Any] | None
    by: Signature
    resolve: Resolve | None


Next = Callable[[bytes], bytes]
"""Returns the commit that follows a tip, by binary CIDs; the tip itself where there is nothing to do."""


def merge(
    exchange: Exchange, theirs: bytes, name: str, request: Request, *, fast_forward: bool, unrelated: bool
) -> bytes:
    """Merge a commit into a branch; return the binary CID of its latest commit then.

    :param name: what the commit is called, for the message
    :param fast_forward: move the branch to the commit where it only has to go on
    :param unrelated: see :func:`bases_of`
    """
    history = exchange.history
    what = f"merge {name} into {request.branch}"

    def next_of(tip: bytes) -> bytes:
        if is_ancestor(history.load, theirs, tip):
            return tip
        if fast_forward and is_ancestor(history.load, tip, theirs):
            return theirs
        bases = bases_of(history, tip, theirs, unrelated=unrelated)
        ours_data, theirs_data = history.load(tip).data, history.load(theirs).data
        merged = merge_data(history, bases, ours_data, theirs_data, request.resolve, what)
        message = with_resolved(what, merged.resolved) if request.message is None else request.message
        return put_commit(history, merged.root, [tip, theirs], message, request.meta, request.by)

    return _go_on(exchange, what, request, next_of)


def cherry_pick(exchange: Exchange, commit: bytes, request: Request) -> bytes:
    """Make the changes of a commit on a branch; return the binary CID of its latest commit then."""
    history = exchange.history
    found = history.load(commit)
    text = f"{found.message}\n\n(cherry-picked from the commit {cids.to_text(commit)})"
    parent = _first_parent(history, commit, "picking")
    return _apply(exchange, parent, found.data, text, f"cherry-pick onto {request.branch}", request)


def revert(exchange: Exchange, commit: bytes, request: Request) -> bytes:
    """Take the changes of a commit back on a branch; return the binary CID of its latest commit then."""
    history = exchange.history
    found = history.load(commit)
    title = found.message.partition("\n")[0]
    text = f"revert {title!r}\n\nThis reverts the commit {cids.to_text(commit)}."
    parent = _first_parent(history, commit, "reverting")
    return _apply(exchange, found.data, parent, text, f"revert on {request.branch}", request)


def _first_parent(history: History, commit: bytes, what: str) -> bytes:
    """Return the binary CID of the root of the first parent.

    :raises IPLDStoreError: if the commit has no parent, or its parent was expired
    """
    found = history.load(commit)
    if not found.parents:
        raise IPLDStoreError(f"{what}: expected a commit with a parent, found the first commit, which changes nothing")
    if found.parents[0] == FIRST and REWRITTEN_FROM in found.meta:
        raise IPLDStoreError(
            Message(
                f"{what} the commit {cids.to_text(commit)}: expected to know what it changed, found that ",
                Term("expire()"),
                " has dropped the commit before it",
            )
        )
    return history.load(found.parents[0]).data


def _apply(exchange: Exchange, base: bytes, theirs: bytes, text: str, what: str, request: Request) -> bytes:
    """Commit the difference of two roots on a branch."""
    history = exchange.history

    def next_of(tip: bytes) -> bytes:
        ours = history.load(tip).data
        merged = merge_data(history, [base], ours, theirs, request.resolve, what)
        if merged.root == ours:
            return tip
        message = with_resolved(text, merged.resolved) if request.message is None else request.message
        return put_commit(history, merged.root, [tip], message, request.meta, request.by)

    return _go_on(exchange, what, request, next_of)


def _go_on(exchange: Exchange, what: str, request: Request, next_of: Next) -> bytes:
    """Move a branch to the commit that follows its latest one, and again where others move it meanwhile."""
    attempt = 0
    while True:
        known = exchange.current()
        tip = require_branch(known.state, request.branch)
        advance = Advance(exchange.history, request.branch, tip)
        advance.commit = next_of(tip)
        if advance.commit == tip:
            return tip
        try:
            exchange.update(what, advance, request.by, known=known)
        except ConflictError:
            attempt += 1
            if advance.moved_to is None or attempt == TRIES:
                raise
            pause(attempt)
        else:
            return advance.commit
