"""Forgetting old history: the kept commits are written anew without what is older (history.md, section 4)."""

from __future__ import annotations

from collections.abc import Iterable

from ipld_car import cids, dagcbor

from ipldstore._dataset.in_flight import putting
from ipldstore._history.ancestry import jump_of_next, walk_newest_first
from ipldstore._history.commit import MAX_META_BYTES, REWRITTEN_FROM, CommitNode
from ipldstore._history.state import StateNode
from ipldstore._history.thinning import Ancestry, BaseFinder, Followed, followed, is_too_many
from ipldstore._revisions.history import History

from .committing import Signature, write_commit
from .exchange import Exchange


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

    with putting(exchange.history.castore):
        exchange.update("expire", change, by)
    return kept


def _young(history: History, state: StateNode, limit: int) -> dict[str, bytes]:
    """Return the tags whose commits are kept anyway."""
    tips = set(state.branches.values())
    return {name: at for name, at in state.tags.items() if at in tips or history.load(at).time >= limit}


class _Rewriting:
    """Writes a history anew, the oldest commit first.

    :param history: the history
    :param ancestry: of the commits as they are
    """

    def __init__(self, history: History, ancestry: Ancestry) -> None:
        self._history = history
        self._ancestry = ancestry
        self._followed: dict[bytes, Followed] = {}
        self.kept: dict[bytes, bytes] = {}
        """By commit that is kept, its new CID."""

    def keep(self, cid: bytes) -> None:
        """Write a commit over what is kept below it."""
        commit = self._history.load(cid)
        if all(parent in self.kept for parent in commit.parents):
            parents = commit.parents
        else:
            below = self._below(commit)
            parents = (below.first, *below.others)
        self.kept[cid] = _over(self._history, cid, commit, tuple(self.kept[each] for each in parents))
        self._followed[cid] = Followed(cid)

    def drop(self, cid: bytes) -> None:
        """Leave a commit out: its children follow what it followed."""
        self._followed[cid] = self._below(self._history.load(cid))

    def _below(self, commit: CommitNode) -> Followed:
        """Return what a commit follows. Where that is too much for one commit, parents that joined it are kept."""
        found = followed(self._ancestry, [self._followed[parent] for parent in commit.parents])
        if is_too_many(found):
            for parent in commit.parents:
                if self._followed[parent].others:
                    self.keep(parent)
            found = followed(self._ancestry, [self._followed[parent] for parent in commit.parents])
        return found


def _rewrite(history: History, pinned: Iterable[bytes], limit: int) -> dict[bytes, bytes]:
    """Write the commits anew that are pinned or young, and the bases of any two; return the new CID of each.

    In place of a commit that is dropped its children get the nearest kept commit along first parents, and what else of
    its ancestors is kept: merges give what they gave before.
    """
    pinned = set(pinned)
    ancestry = Ancestry(history.load)
    bases = BaseFinder(ancestry)
    newest_first: list[tuple[bytes, bool]] = []
    for entry in walk_newest_first(history.load, *pinned):
        wanted = not entry.commit.parents or entry.commit.time >= limit or entry.cid in pinned
        newest_first.append((entry.cid, bases.stays(entry, wanted=wanted)))
    rewriting = _Rewriting(history, ancestry)
    for cid, stays in reversed(newest_first):
        if stays:
            rewriting.keep(cid)
        else:
            rewriting.drop(cid)
    return rewriting.kept


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
