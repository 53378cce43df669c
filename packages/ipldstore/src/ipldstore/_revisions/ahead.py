"""Commits that a walk down a history comes to next, read many at a time from a block store that is far away."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import Final

from ipld_car import cids

from ipldstore._history.commit import CommitNode
from ipldstore._history.fields import is_node_link
from ipldstore._history.jumps import jump_height
from ipldstore.errors import LOWER_ERRORS, NodeError

from .history import CACHE_BYTES, History

FEW: Final = 8
"""Commits that are read with the second one of a walk that may end soon; then twice as many each time."""
MANY: Final = 512
"""Those of a walk that goes down to the first commit."""
_MOST: Final = 2048
"""Commits that are read ahead, at most."""
_BATCH: Final = 64
"""Commits that are asked for at once, the highest first."""
_MOST_BYTES: Final = CACHE_BYTES // 2
"""Bytes of commits that are read ahead: those that the cache drops before the walk comes to them are read again."""


class CommitsAhead:
    """Loads the commits of one walk, which goes from the newest to the oldest.

    Each commit names one further down by its jump, so that many can be read at a time. Where a commit was not read
    yet, it comes with those below it. A walk that ends early has read about twice what it has used.

    Where the blocks are near, or a line of commits comes in one answer, it loads one commit at a time.

    :param history: reads and caches commits
    :param count: how many commits come at first, with the one that is loaded
    """

    def __init__(self, history: History, count: int = 1) -> None:
        self._history = history
        self._is_far = not history.castore.local and not history.sends_paths
        self._count = count

    def load(self, cid: bytes) -> CommitNode:
        """Return the fields of a commit; see :meth:`History.load`."""
        if self._is_far and not self._history.is_cached(cid):
            if self._count > 1:
                self._read_below(cid)
            self._count = min(_MOST, max(FEW, 2 * self._count))
        return self._history.load(cid)

    def _read_below(self, cid: bytes) -> None:
        """Read a commit and those below it into the cache. What fails is an error when the walk comes to it."""
        met = {cid}
        waiting = [(0, cid)]
        left, read, size = self._count, 0, 0
        try:
            while waiting and left > 0 and size < _MOST_BYTES:
                fitting = (_MOST_BYTES - size) * read // size if size else _BATCH
                batch = [heapq.heappop(waiting)[1] for _ in range(min(len(waiting), left, _BATCH, max(1, fitting)))]
                left -= len(batch)
                for commit, block_size in self._read(batch):
                    read += block_size > 0
                    size += block_size
                    for height, link in _links_of(commit):
                        if link not in met:
                            met.add(link)
                            heapq.heappush(waiting, (-height, link))
                    if size > _MOST_BYTES:
                        break
        except (NodeError, *LOWER_ERRORS):
            self._is_far = False  # from here on each is read by itself, and its own error raised

    def _read(self, batch: Iterable[bytes]) -> Iterator[tuple[CommitNode, int]]:
        """Yield some commits, those that are cached first, each with the size of its block if that is read."""
        far: list[bytes] = []
        for cid in batch:
            if self._history.is_cached(cid):
                yield self._history.load(cid), 0
            elif is_node_link(cid):
                far.append(cid)
        for each, block in self._history.castore.get_many_raw(map(cids.from_validated, far)) if far else ():
            yield self._history.decode(cids.to_bytes(each), block), len(block)


def _links_of(commit: CommitNode) -> Iterator[tuple[int, bytes]]:
    """Yield the commits that a commit links, each with the height that it should have."""
    for parent in commit.parents:
        yield commit.height - 1, parent
    if commit.jump is not None:
        yield jump_height(commit.height), commit.jump
