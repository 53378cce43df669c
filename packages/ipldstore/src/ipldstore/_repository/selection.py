"""Which commit a caller opens: by branch, tag, commit, time, or what follows ``@`` in an address."""

from __future__ import annotations

from typing import NamedTuple

from ipldstore._exchange.refs import existing_name, require_branch
from ipldstore._history.ancestry import newest_at_time
from ipldstore._history.state import StateNode
from ipldstore._revisions.history import History
from ipldstore._revisions.refspec import find_commit, listed
from ipldstore._revisions.times import instant
from ipldstore._revisions.version import Version
from ipldstore.errors import RefNotFoundError


class Selected(NamedTuple):
    """What is opened."""

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
        name = existing_name(state.tags, version.tag)
        if name not in state.tags:
            raise RefNotFoundError(
                f"expected a tag, found none named {name[:200]!r}: there are {listed(state.tags) or 'no tags'}"
            )
        return Selected(None, state.tags[name])
    if version.commit is not None:
        return Selected(None, find_commit(history, state, version.commit))
    ref = version.ref if version.branch is None else version.branch
    name = state.default if ref is None else ref
    if version.branch is None and ref is not None and existing_branch(state, ref) is None:
        return Selected(None, find_commit(history, state, ref))
    name = existing_branch(state, name) or name
    return Selected(name, require_branch(state, name))


def existing_branch(state: StateNode, name: str) -> str | None:
    """Return the name of a branch as the state has it; None if there is none, or a CID is meant."""
    try:
        found = existing_name(state.branches, name)
    except ValueError:  # no name at all, such as main~3
        return None
    return found if found in state.branches else None
