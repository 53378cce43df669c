"""Whole repositories from one place to another: names move forward only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ipld_car import cids
from ipld_castore import ContentAddressableStore, HeadMovedError
from multiformats import CID

from ipldstore._exchange.committing import Signature, sign
from ipldstore._exchange.exchange import Exchange, Known
from ipldstore._exchange.first import FIRST_STATE
from ipldstore._exchange.head import Head
from ipldstore._exchange.operations import states_in_log
from ipldstore._history.ancestry import is_ancestor
from ipldstore._history.state import StateNode
from ipldstore._revisions.history import History
from ipldstore._revisions.verify import check_history
from ipldstore.errors import BlockMissingError, ConflictError, NodeError

from .places import Place
from .transfers import transfer_all


class Synced(NamedTuple):
    """What a push or a pull of a repository did."""

    blocks: int
    """Blocks that were sent."""
    bytes: int
    """Bytes of these blocks."""
    overwritten: dict[str, CID]
    """By name, the commits that were not in the past of what is there now; empty without ``force``."""


def push(history: History, state: Known, to: Place, *, force: bool, progress: bool | None) -> Synced:
    """Bring a state to another place, have the head there name it, and close the place; see :meth:`Repository.push`."""
    try:
        return push_state(history, state, to.castore, to.head, force=force, progress=progress)
    finally:
        to.close()


def push_state(
    history: History,
    state: Known,
    to: ContentAddressableStore,
    head: Head,
    *,
    force: bool,
    progress: bool | None,
) -> Synced:
    """Bring a state to another block store, and have the head there name it.

    :param history: the history of the source
    :param head: the head of the destination
    :raises ConflictError: if a name at the destination is not in the past of the state, or its head moves meanwhile
    """
    before = head.read()
    overwritten = {} if before is None else _overwritten(history, state, before, to)
    _refuse(overwritten, f"pushing to {to!r}", force=force)
    sent = transfer_all("pushing", cids.from_validated(state.cid), history.castore, to, progress)
    if before != state.cid:
        try:
            head.swap(before, state.cid)
        except HeadMovedError as error:
            raise ConflictError(f"pushing: {error}") from error
    return Synced(sent.blocks, sent.bytes, overwritten)


def _overwritten(history: History, state: Known, head: bytes, to: ContentAddressableStore) -> dict[str, CID]:
    """Return by name the commits at the destination that are not in the past of a state."""
    if any(known.cid == head for known in states_in_log(history, state)):
        return {}
    theirs = History(to)
    try:
        there = theirs.load_state(head)
    except NodeError:  # a commit, or a root without history
        tips = {*state.state.branches.values(), *state.state.tags.values()}
        is_past = theirs.is_commit(head) and any(_is_past(history, head, tip) for tip in tips)
        return {} if is_past else {"HEAD": cids.from_validated(head)}
    return {name: cids.from_validated(at) for name, at in _behind(history, there, state.state)}


def _behind(history: History, old: StateNode, new: StateNode) -> Iterator[tuple[str, bytes]]:
    """Yield the names of an old state, and their commits, that are not in the past of a new one."""
    for name, at in old.branches.items():
        if name not in new.branches or not _is_past(history, at, new.branches[name]):
            yield name, at
    for name, at in old.tags.items():
        if new.tags.get(name) != at:
            yield name, at


def _is_past(history: History, commit: bytes, tip: bytes) -> bool:
    try:
        return is_ancestor(history.load, commit, tip)
    except BlockMissingError:  # the source does not have the commit
        return False


def _refuse(overwritten: dict[str, CID], what: str, *, force: bool) -> None:
    if overwritten and not force:
        names = ", ".join(f"{name!r} at {at}" for name, at in sorted(overwritten.items()))
        raise ConflictError(
            f"{what}: expected names that are in our past, found {names}: pull() brings them here, and force=True "
            f"overwrites them"
        )


def pull(exchange: Exchange, source: Place, *, force: bool, progress: bool | None) -> Synced:
    """Get what another repository has, and close its place; see :meth:`Repository.pull`."""
    try:
        state = Exchange(History(source.castore), source.head).current()
        sent = transfer_all(
            "pulling", cids.from_validated(state.cid), source.castore, exchange.history.castore, progress
        )
        overwritten = pull_state(exchange, state, sign(None, None), force=force)
    finally:
        source.close()
    return Synced(sent.blocks, sent.bytes, overwritten)


def pull_state(exchange: Exchange, source: Known, by: Signature, *, force: bool) -> dict[str, CID]:
    """Move names forward to those of a state whose blocks are here; return those that were overwritten.

    Every commit that is new here is held against the format first.

    :param force: whether names may move that are not in the past of the state
    :raises ConflictError: if they would have to
    :raises NodeError: if a commit breaks a bound of the format; then no name has moved
    """
    history = exchange.history
    theirs = source.state
    known = exchange.current()
    ours = (*known.state.branches.values(), *known.state.tags.values())
    check_history(history, (*theirs.branches.values(), *theirs.tags.values()), ours)
    overwritten: dict[str, CID] = {}
    if known.state == FIRST_STATE:
        try:
            exchange.head.swap(known.cid, source.cid)
        except HeadMovedError:
            pass  # it is no longer empty
        else:
            return {}

    def change(state: StateNode) -> StateNode:
        overwritten.clear()
        branches, tags = dict(state.branches), dict(state.tags)
        for name, at in theirs.branches.items():
            here = branches.get(name)
            if here is not None and _is_past(history, at, here):
                continue
            if name in tags or (here is not None and not _is_past(history, here, at)):
                overwritten[name] = cids.from_validated(here or tags[name])
                tags.pop(name, None)
            branches[name] = at
        for name, at in theirs.tags.items():
            here = tags.get(name, branches.get(name))
            if here is not None and tags.get(name) != at:
                overwritten[name] = cids.from_validated(here)
            tags[name] = at
        _refuse(overwritten, "pulling", force=force)
        return state._replace(branches={n: at for n, at in branches.items() if n not in tags}, tags=tags)

    exchange.update("pull", change, by)
    return overwritten
