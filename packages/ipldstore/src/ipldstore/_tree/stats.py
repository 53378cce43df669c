"""The size of a dataset, counted in its nodes above the leaves of chunks."""

from __future__ import annotations

from typing import Any, NamedTuple

from ipldstore._format import index_tree, keys
from ipldstore._format.index_node import IndexNode
from ipldstore._format.limits import Limits
from ipldstore._format.nodes import Decoder, Load
from ipldstore._format.path_hint import NO_HINT, PathHint

from . import lookup
from .directory import Frozen, Map


class Stats(NamedTuple):
    """The result of :meth:`ipldstore.IPLDStore.stats`."""

    keys: int
    """Number of keys in the dataset."""
    index_blocks: int
    """Number of blocks of all chunk and name indexes: leaves, and index nodes that are blocks of their own."""


def count(root: Map, load: Load, limits: Limits) -> Stats:
    """Count the keys below a root and the blocks of its indexes.

    Reads the directories and the index nodes, and the leaves of names, as directories are below them; no leaf of
    chunks.
    """
    key_count = block_count = 0
    stack = [(Frozen(root), 0)]
    while stack:
        directory, depth = stack.pop()
        chunks, names = directory.map.get(keys.CHUNKS), directory.map.get(keys.NAMES)
        block_count += _count_blocks(index_tree.CHUNKS, chunks, load, limits)
        block_count += _count_blocks(index_tree.NAMES, names, load, limits)
        key_count += index_tree.total(index_tree.CHUNKS, chunks, load) + len(lookup.documents_of(directory))
        for _, entry in lookup.entries_of(directory, load):
            key_count += lookup.value_of(entry, depth + 1, load) is not None
            below = lookup.enter(entry, depth + 1, load)
            if isinstance(below, Frozen):
                stack.append((below, depth + 1))
    return Stats(key_count, block_count)


def _count_blocks(kind: index_tree.IndexKind, base: index_tree.Base, load: Load, limits: Limits) -> int:
    index_nodes = set()

    def noting_load(cid: bytes, decoder: Decoder[Any], hint: PathHint = NO_HINT, /) -> Any:
        node = load(cid, decoder, hint)
        if isinstance(node, IndexNode):
            index_nodes.add(cid)
        return node

    return sum(1 for _ in index_tree.leaf_refs(kind, base, noting_load, limits)) + len(index_nodes)
