"""Forgetting old history: the kept commits are written anew without what is older (history.md, section 4)."""

from __future__ import annotations

from collections.abc import Iterable

from ipld_car import cids, dagcbor

from ipldstore._history.ancestry import jump_of_next, walk_newest_first
from ipldstore._history.commit import MAX_META_BYTES, REWRITTEN_FROM, CommitNode
from ipldstore._history.state import StateNode
from ipldstore._revisions.history import History

from .committing import Signature, write_commit
from .exchange import Exchange
from .first import FIRST


def expire(exchange: Exchange, limit: int, by: Signature, *, keep_tags: bool) -> dict[bytes, bytes]:
    """Write the history anew without commits from before a time; return the new CID of each commit that is kept.

    :param limit: microseconds since 1970 in UTC
    :param keep_tags: keep commits that tags name, whatever their age; else such tags are deleted
    """
    kept: dict[bytes, bytes] = {}

    def change(state: StateNode) -> StateNode:
        tags = state.tags if keep_tags else _young(exchange.history, state, limit)
        pinned = {*state.branches.values(), *tags.values()}
        kept.clear()
        kept.update(_rewrite(exchange.history, pinned, limit))
        return state._replace(
            branches={name: kept[at] for name, at in state.branches.items()},
            tags={name: kept[at] for name, at in tags.items()},
        )

    exchange.update("expire", change, by)
    return kept


def _young(history: History, state: StateNode, limit: int) -> dict[str, bytes]:
    """Return the tags whose commits are kept anyway."""
    tips = set(state.branches.values())
    return {name: at for name, at in state.tags.items() if at in tips or history.load(at).time >= limit}


def _rewrite(history: History, pinned: Iterable[bytes], limit: int) -> dict[bytes, bytes]:
    """Write the commits anew that are pinned or young; return the new CID of each.

    In place of a commit that is dropped its children get the nearest kept commit along first parents.
    """
    pinned = set(pinned)
    oldest_first = [entry.cid for entry in walk_newest_first(history.load, *pinned)]
    oldest_first.reverse()
    stand_ins: dict[bytes, bytes] = {}
    kept: dict[bytes, bytes] = {}
    for cid in oldest_first:
        commit = history.load(cid)
        if not commit.parents:
            stand_ins[cid] = kept[cid] = cid
        elif commit.time < limit and cid not in pinned:
            stand_ins[cid] = stand_ins[commit.parents[0]]
        else:
            first, *others = (stand_ins[parent] for parent in commit.parents)
            parents = dict.fromkeys([first, *(other for other in others if other != FIRST)])
            stand_ins[cid] = kept[cid] = _over(history, cid, commit, tuple(parents))
    return kept


def _over(history: History, cid: bytes, commit: CommitNode, parents: tuple[bytes, ...]) -> bytes:
    """Return a commit over other parents; the same one if they are the same."""
    if parents == commit.parents:
        return cid
    meta = commit.meta | {REWRITTEN_FROM: cids.to_text(cid)}
    if len(dagcbor.encode_node(meta)) > MAX_META_BYTES:
        meta = commit.meta  # it has no room for one more name
    node = commit._replace(
        parents=parents,
        height=history.load(parents[0]).height + 1,
        jump=jump_of_next(history.load, parents[0]),
        meta=meta,
    )
    return write_commit(history, node)
