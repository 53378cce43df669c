"""Whole repositories from one place to another: names move forward only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from ipld_car import cids
from ipld_castore import ContentAddressableStore, HeadMovedError
from multiformats import CID

from ipldstore._dataset.in_flight import linking
from ipldstore._exchange.committing import Signature, sign
from ipldstore._exchange.exchange import Exchange, Known
from ipldstore._exchange.first import FIRST_STATE
from ipldstore._exchange.forward import (
    Lost,
    is_past,
    left_behind,
    lost_by_pull,
    lost_by_push,
    overwritten,
    pulled,
    refused_pull,
    refused_push,
)
from ipldstore._exchange.head import Head
from ipldstore._history.state import StateNode
from ipldstore._revisions.history import History
from ipldstore._revisions.verify import check_history
from ipldstore.errors import ConflictError, NodeError

from .places import Place
from .transfers import check_of_new, transfer_all

PUSH: Final = "push"
"""The operation of a push that has moved names elsewhere than forward, and of the pushes that follow it."""


class Synced(NamedTuple):
    """What a push or a pull of a repository did."""

    blocks: int
    """Blocks that were sent."""
    bytes: int
    """Bytes of these blocks."""
    overwritten: dict[str, CID]
    """By name, the commits that are not in the past of the name now; empty without ``force``."""

    def __repr__(self) -> str:
        return cids.record_repr(self)


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

    Where names there do not only move forward, the head names another state with the same names, which follows the one
    that was there: the operation log there leads back to it, and so it does after the next push.

    :param history: the history of the source
    :param head: the head of the destination
    :raises ConflictError: if a name at the destination is not in the past of the state, or its head moves meanwhile
    """
    before = head.read()
    theirs = History(to)
    there = None if before is None else _load_state(theirs, before)
    behind: list[Lost] = []
    if before is None:
        lost = []
    elif there is None:
        lost = list(_lost_plain_head(history, state.state, theirs, before))
    else:
        behind = left_behind(history, there, state.state)
        lost = lost_by_push(behind, history, state, theirs, Known(before, there))
    if lost and not force:
        raise refused_push(lost, to)
    check = check_of_new(history, state, there, to)
    with linking(to):
        sent = transfer_all("pushing", cids.from_validated(state.cid), history.castore, to, progress, check)
        if before is not None and there is not None and (behind or there.operation == PUSH):
            _overwrite(Exchange(theirs, head), Known(before, there), state.state)
        elif before != state.cid:
            try:
                head.swap(before, state.cid)
            except HeadMovedError as error:
                raise ConflictError(f"pushing: {error}") from error
    return Synced(sent.blocks, sent.bytes, overwritten(lost))


def _load_state(history: History, head: bytes) -> StateNode | None:
    """Return the state that a head names; None if it names a commit, or a root without history."""
    try:
        return history.load_state(head)
    except NodeError:
        if history.is_state(head):
            raise
        return None


def _lost_plain_head(history: History, ours: StateNode, theirs: History, head: bytes) -> Iterator[Lost]:
    """Yield the head of a place without names, if it is no commit in the past of a state."""
    tips = {*ours.branches.values(), *ours.tags.values()}
    if not theirs.is_commit(head):
        yield Lost("root", "HEAD", head, None)
    elif not any(is_past(history, head, tip) for tip in tips):
        yield Lost("commit", "HEAD", head, None)


def _overwrite(exchange: Exchange, before: Known, names: StateNode) -> None:
    """Replace all names of a repository. Its operation log stays.

    :raises ConflictError: if its head moves meanwhile
    """

    def change(state: StateNode) -> StateNode:
        return state._replace(branches=names.branches, tags=names.tags, default=names.default)

    exchange.update(PUSH, change, sign(None, None), tries=1, known=before)


def pull(exchange: Exchange, source: Place, *, force: bool, progress: bool | None) -> Synced:
    """Get what another repository has, and close its place; see :meth:`Repository.pull`."""
    try:
        state = Exchange(History(source.castore), source.head).current()
        here = exchange.history
        with linking(here.castore):
            check = check_of_new(here, state, exchange.current().state, here.castore)
            sent = transfer_all(
                "pulling", cids.from_validated(state.cid), source.castore, here.castore, progress, check
            )
            lost = pull_state(exchange, state, sign(None, None), force=force)
    finally:
        source.close()
    return Synced(sent.blocks, sent.bytes, lost)


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
    check_history(history, (*theirs.branches.values(), *theirs.tags.values()), ours, reads_data=True)
    lost: list[Lost] = []
    if known.state == FIRST_STATE and theirs[:3] != FIRST_STATE[:3]:
        try:
            exchange.head.swap(known.cid, source.cid)
        except HeadMovedError:
            pass  # it is no longer empty
        else:
            return {}

    def change(state: StateNode) -> StateNode:
        lost[:] = lost_by_pull(history, state, theirs)
        if lost and not force:
            raise refused_pull(lost)
        return pulled(history, state, theirs)

    exchange.update("pull", change, by)
    return overwritten(lost)
