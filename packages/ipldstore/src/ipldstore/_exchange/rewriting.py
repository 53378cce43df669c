"""Histories that are written anew without some of their commits (history.md, section 4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ipld_car import cids, dagcbor, hashes

from ipldstore._history.ancestry import jump_of_next, walk_beyond, walk_newest_first
from ipldstore._history.commit import MAX_META_BYTES, REWRITTEN_FROM, CommitNode, encode_commit
from ipldstore._history.thinning import BaseFinder, Followed, Followers
from ipldstore._revisions.history import History
from ipldstore.errors import store_errors

_BATCH_BLOCKS: Final = 1000
_BATCH_BYTES: Final = 4 << 20
"""New commits that are put at once."""


class Rewriting:
    """Writes a history anew: the commits that are named or young, and the bases of any two of these.

    In place of a commit that is dropped its children get the nearest kept commit along first parents, and what else of
    its ancestors is kept: merges give what they gave before.

    :param history: where commits are read and written
    :param limit: commits from before this time are dropped, in microseconds since 1970 in UTC
    """

    def __init__(self, history: History, limit: int) -> None:
        self._history = history
        self._limit = limit
        self._followers = Followers()
        self._named: set[bytes] = set()
        """The commits that had names in the tries until now."""
        self._unsent: dict[bytes, tuple[bytes, CommitNode]] = {}
        """By new CID, blocks that are not put yet, and their fields."""
        self._unsent_bytes = 0
        self.kept: dict[bytes, bytes] = {}
        """By commit that is kept, its new CID."""

    def write(self, named: set[bytes]) -> None:
        """Write all that is kept of the history of some commits.

        A second call, after the names have moved, writes only the commits that are new since the first. So the
        rewriting ends, also while others keep committing.

        :param named: binary CIDs of commits that are kept whatever their age
        """
        if not self._write_since(named):
            self._followers = Followers()
            self.kept.clear()
            self._write_all(named)
        self._named |= named
        self._send()

    def _write_since(self, named: set[bytes]) -> bool:
        """Write the commits that have come since the last time; return whether they go on from what was kept."""
        if not self.kept:
            return False
        new = {entry.cid: entry.commit for entry in walk_beyond(self._history.load, named, self._named)}
        needed = named.union(*(commit.parents for commit in new.values()))
        if not all(each in new or each in self.kept for each in needed):
            return False
        for cid in reversed(new):
            self._keep(cid)
        return True

    def _write_all(self, named: set[bytes]) -> None:
        load = self._history.load
        bases = BaseFinder()
        newest_first: list[tuple[bytes, bool]] = []
        for entry in walk_newest_first(load, *named):
            parents = entry.commit.parents
            borders = any(self._is_old(load(parent)) and parent not in named for parent in parents)
            wanted = not parents or not self._is_old(entry.commit) or entry.cid in named
            newest_first.append((entry.cid, bases.stays(entry, wanted=wanted, borders=borders)))
        for cid, stays in reversed(newest_first):
            if stays:
                self._keep(cid)
            else:
                self._followers.drop(cid, self._below(load(cid)))

    def _is_old(self, commit: CommitNode) -> bool:
        return commit.time < self._limit

    def _keep(self, cid: bytes) -> None:
        """Write a commit over what is kept below it."""
        commit = self._history.load(cid)
        if all(parent in self.kept for parent in commit.parents):
            parents = commit.parents
        else:
            below = self._below(commit)
            parents = (below.first, *below.others)
        self.kept[cid] = self._over(cid, commit, tuple(self.kept[each] for each in parents))
        self._followers.keep(cid, parents, is_numbered=self._is_old(commit))

    def _below(self, commit: CommitNode) -> Followed:
        """Return what a commit follows. Where that is too much for one commit, parents that joined it are kept."""
        found = self._followers.over(commit.parents)
        if found.is_too_many:
            for parent in commit.parents:
                if self._followers.of(parent).others:
                    self._keep(parent)
            found = self._followers.over(commit.parents)
        return found

    def _over(self, cid: bytes, commit: CommitNode, parents: tuple[bytes, ...]) -> bytes:
        """Return a commit over other parents; the same one if they are the same."""
        if parents == commit.parents:
            return cid
        meta = commit.meta | {REWRITTEN_FROM: cids.to_text(cid)}
        if len(dagcbor.encode_node(meta)) > MAX_META_BYTES:
            meta = commit.meta  # the field has no room for another name
        return self._put(
            commit._replace(
                parents=parents,
                height=self._load(parents[0]).height + 1,
                jump=jump_of_next(self._load, parents[0]),
                meta=meta,
            )
        )

    # -- blocks --

    def _load(self, cid: bytes) -> CommitNode:
        unsent = self._unsent.get(cid)
        return self._history.load(cid) if unsent is None else unsent[1]

    def _put(self, node: CommitNode) -> bytes:
        block = encode_commit(node)
        cid = cids.make(cids.DAG_CBOR, hashes.sha2_256(block))
        self._unsent[cid] = block, self._history.decode(cid, block)
        self._unsent_bytes += len(block)
        if len(self._unsent) >= _BATCH_BLOCKS or self._unsent_bytes >= _BATCH_BYTES:
            self._send()
        return cid

    def _send(self) -> None:
        with store_errors("writing commits anew"):
            blocks = ((cids.from_validated(cid), block) for cid, (block, _) in self._unsent.items())
            self._history.castore.put_blocks(blocks)
        self._unsent.clear()
        self._unsent_bytes = 0


def young_tags(history: History, branches: Iterable[bytes], tags: dict[str, bytes], limit: int) -> dict[str, bytes]:
    """Return the tags whose commits are kept anyway, by name: of branches, or young."""
    tips = set(branches)
    return {name: at for name, at in tags.items() if at in tips or history.load(at).time >= limit}
