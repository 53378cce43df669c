"""When it pays to fetch a whole leaf of a chunk index with its chunks: rules alone, without threads or requests."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from ipld_car import cids
from ipld_car.lru import LRU

MAX_LEAF_BYTES: Final = 24 << 20
"""Largest estimated size in bytes of a leaf with its chunks that is fetched whole."""

MAX_MIXED_BYTES: Final = 112 << 20
"""Largest estimated size in bytes of all chunks that stand by a hash, where those of one node are fetched together.

They are read in another order than they are fetched in: the cache has to hold all of them.
"""

MIN_READS: Final = 3
"""Reads of chunks of one leaf before the whole leaf is considered."""

MIN_READS_TO_EXPECT_MORE: Final = 16
"""Reads of chunks of one whole leaf from which on the next leaf is fetched whole before any chunk of it is read."""

_MIXED_PER_READ: Final = 64
"""Chunks that stand by a hash for each read of one, before all of them are fetched: neighbours are anywhere."""

MAX_VALUE_BYTES: Final = 32 << 20
"""Largest size in bytes of a value of several blocks whose blocks are all fetched together."""

MAX_USELESS_GUESSES: Final = 3
"""Leaves fetched whole in advance without enough reads, after which no more leaves are fetched so."""

_OF_NODE_PER_READ: Final = 16
"""Chunks of one node for each read of one, before all of them are fetched, where those of all nodes are too many."""

_MAX_LEAVES: Final = 1024
"""Leaves that are remembered."""
_SAMPLES: Final = 16
"""Cached chunks of a leaf from which its size is estimated."""


class LeafLinks(NamedTuple):
    """A node whose links are chunks."""

    cid: bytes
    """Binary CID of the node."""
    links: Collection[bytes]
    """Binary CIDs of the chunks."""
    mixed: int = 0
    """Number of chunks below the node in all, where these are only some of them, as chunks stand by a hash; else 0."""
    node: bytes | None = None
    """Binary CID of the node below that has just these chunks, if it can be fetched alone."""


class KnownBlocks(Protocol):
    """The blocks that a reader has when it asks for a decision."""

    def cached_size(self, cid: bytes) -> int | None:
        """Return the size in bytes of a block that is cached; None if it is not."""

    def is_missing(self, cid: bytes) -> bool:
        """Return whether a block is neither cached nor being fetched."""


@dataclass(slots=True)
class _LeafUse:
    """The reads of one leaf so far."""

    reads: int = 0
    """Reads of its chunks."""
    next_decision: int = MIN_READS
    """Number of reads at which the whole leaf is considered again."""
    by_node: bool = False
    """Whether there are too many chunks to fetch all, and few enough to fetch those of one node below together."""
    fetched: Collection[bytes] = field(default_factory=frozenset)
    """CIDs of the chunks that were fetched with the leaf."""
    alone: set[bytes] = field(default_factory=set)
    """CIDs of the first chunks, which their readers fetch alone, and may not have begun to."""


class PrefetchPolicy:
    """Decide what to fetch, by the reads until now, the cached blocks and their sizes.

    A leaf of small chunks is fetched whole once :data:`MIN_READS` of its chunks were read. When many chunks of such a
    leaf were read, the next leaf is expected to be read the same way and is fetched whole at once; after
    :data:`MAX_USELESS_GUESSES` wrong expectations that ends. The caller sees to it that one thread at a time calls.
    """

    def __init__(self) -> None:
        self._leaves: LRU[bytes, _LeafUse] = LRU(_MAX_LEAVES)
        self._guesses: deque[_LeafUse] = deque(maxlen=MAX_USELESS_GUESSES)
        self._chunk_bytes: float | None = None
        """Mean size of a chunk in the last leaf with many reads; None while no leaf is fetched in advance."""

    def note_read(self, leaf: bytes, known: KnownBlocks) -> None:
        """Count a read of a chunk of a leaf."""
        self._note_read(self._use_of(leaf), known)

    def chunks_to_fetch(self, chunk: bytes, leaf: LeafLinks, known: KnownBlocks) -> set[bytes]:
        """Count a read of a chunk, and return the chunks for which its whole leaf is to be fetched now.

        :param chunk: CID of the chunk that is about to be read
        :param leaf: the leaf that links it
        :return: empty where the chunk is to be fetched alone: it was read too early to tell, it is there already, the
            leaf is too large, or the size of its chunks is not known
        """
        use = self._use_of(leaf.cid)
        self._note_read(use, known)
        if use.reads < max(use.next_decision, leaf.mixed // _MIXED_PER_READ) or not known.is_missing(chunk):
            if len(use.alone) < MIN_READS:
                use.alone.add(chunk)
            return set()
        use.next_decision = 2 * use.reads
        if not _is_small(leaf, known):
            use.by_node = leaf.node is not None and _is_small(leaf, known, MAX_MIXED_BYTES)
            return set()
        missing = {link for link in leaf.links if cids.codec_of(link) == cids.RAW and known.is_missing(link)}
        missing -= use.alone - {chunk}
        use.alone.clear()
        if missing:
            use.fetched = missing
        return missing

    def part_of(self, leaf: LeafLinks) -> LeafLinks:
        """Return the node below that has the links, as a leaf of its own, where the whole leaf is too large."""
        use = self._leaves.peek(leaf.cid)
        if leaf.node is None or use is None or not use.by_node:
            return leaf
        if leaf.node not in self._leaves:
            first = max(MIN_READS, len(leaf.links) // _OF_NODE_PER_READ)
            self._leaves.put(leaf.node, _LeafUse(next_decision=first))
        return LeafLinks(leaf.node, leaf.links)

    def note_failure(self, leaf: bytes) -> None:
        """Never fetch a leaf whole again: one of its blocks cannot be had, and each attempt would wait for it."""
        self._use_of(leaf).next_decision = sys.maxsize

    def expects_whole_leaf(self, keys: int) -> bool:
        """Return whether a leaf with so many keys is to be fetched whole though none of its chunks was read yet."""
        useless = all(use.reads < MIN_READS_TO_EXPECT_MORE for use in self._guesses)
        if useless and len(self._guesses) == MAX_USELESS_GUESSES:
            self._chunk_bytes = None
            self._guesses.clear()
        return self._chunk_bytes is not None and 0 < keys * self._chunk_bytes <= MAX_LEAF_BYTES

    def note_expected_leaf(self, leaf: bytes, links: Collection[bytes]) -> None:
        """Remember a leaf that was fetched because :meth:`expects_whole_leaf` said so, with the chunks that come."""
        use = self._use_of(leaf)
        use.fetched = links
        self._guesses.append(use)

    def _use_of(self, leaf: bytes) -> _LeafUse:
        use = self._leaves.get(leaf)
        if use is None:
            use = _LeafUse()
            self._leaves.put(leaf, use)
        return use

    def _note_read(self, use: _LeafUse, known: KnownBlocks) -> None:
        use.reads += 1
        if use.reads >= MIN_READS_TO_EXPECT_MORE and use.fetched and self._chunk_bytes is None:
            sizes = [size for cid in use.fetched if (size := known.cached_size(cid)) is not None]
            if sizes:
                self._chunk_bytes = sum(sizes) / len(sizes)


def _is_small(leaf: LeafLinks, known: KnownBlocks, most: int = MAX_LEAF_BYTES) -> bool:
    """Return whether a leaf with its chunks has at most so many bytes, by the chunks that are cached."""
    sizes: list[int] = []
    for link in leaf.links:
        size = known.cached_size(link)
        if size is not None:
            sizes.append(size)
            if len(sizes) == _SAMPLES:
                break
    return bool(sizes) and max(leaf.mixed, len(leaf.links)) * sum(sizes) <= most * len(sizes)
