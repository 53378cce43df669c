"""The commit that a caller opens: by branch, tag, commit, time, or the text behind ``@`` in an address."""

from __future__ import annotations

from typing import NamedTuple

from ipldstore._exchange.refs import branch_name, tag_name
from ipldstore._history.ancestry import newest_at_time
from ipldstore._history.state import StateNode
from ipldstore._revisions.history import History
from ipldstore._revisions.refspec import find_commit, spelling_in
from ipldstore._revisions.times import instant
from ipldstore._revisions.version import Version


class Selected(NamedTuple):
    """The commit that is opened."""

    branch: str | None
    """The branch whose latest commit it is; None where the commit is not found by a branch alone."""
    commit: bytes
    """Binary CID of the commit."""


def select(history: History, state: StateNode, version: Version) -> Selected:
    """Return the commit of a version.

    :raises RefNotFoundError: if there is no such branch, tag or commit
    :raises ValueError: if more than one of them is given, or a time has no time zone
    """
    version.check()
    found = _select(history, state, version)
    if version.as_of is None:
        return found
    return Selected(None, newest_at_time(history.load, found.commit, instant(version.as_of)))


def _select(history: History, state: StateNode, version: Version) -> Selected:
    if version.tag is not None:
        return Selected(None, state.tags[tag_name(state, version.tag)])
    if version.commit is not None:
        return Selected(None, find_commit(history, state, version.commit))
    ref = version.ref
    if ref is not None and spelling_in(state.branches, ref) is None:
        return Selected(None, find_commit(history, state, ref))
    asked = version.branch if ref is None else ref
    name = state.default if asked is None else branch_name(state, asked)
    return Selected(name, state.branches[name])
