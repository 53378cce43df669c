"""How large a dataset is, from its nodes above the leaves."""

from __future__ import annotations

from typing import Any, NamedTuple

from ipldstore._format import index_tree
from ipldstore._format import keys as _keys
from ipldstore._format.index_node import Parts
from ipldstore._format.limits import Limits
from ipldstore._format.nodes import Load, Role
from ipldstore._format.path_hint import NOWHERE, Way

from . import lookup
from .directory import Frozen, Map


class Stats(NamedTuple):
    """What :meth:`ipldstore.IPLDStore.stats` gives."""

    keys: int
    """Keys in the dataset."""
    index_blocks: int
    """Blocks of all chunk and name indexes: leaves, and lists of parts that are blocks."""


def count(root: Map, load: Load, limits: Limits) -> Stats:
    """Count the keys below a root and the blocks of its indexes.

    Reads the directories and the lists of parts, but no leaf of chunks. Leaves of names it reads: directories are
    behind them.
    """
    keys = blocks = 0
    stack = [(Frozen(root), 0)]
    while stack:
        directory, depth = stack.pop()
        chunks, names = directory.map.get(_keys.CHUNKS), directory.map.get(_keys.NAMES)
        blocks += _blocks(index_tree.CHUNKS, chunks, load, limits) + _blocks(index_tree.NAMES, names, load, limits)
        keys += index_tree.total(index_tree.CHUNKS, chunks, load) + len(lookup.documents_of(directory))
        for _, entry in lookup.entries_of(directory, load):
            keys += lookup.value_of(entry, depth + 1, load) is not None
            below = lookup.enter(entry, depth + 1, load)
            if isinstance(below, Frozen):
                stack.append((below, depth + 1))
    return Stats(keys, blocks)


def _blocks(kind: index_tree.Kind, base: index_tree.Base, load: Load, limits: Limits) -> int:
    lists = set()

    def noting(cid: bytes, role: Role[Any], way: Way = NOWHERE, /) -> Any:
        node = load(cid, role, way)
        if isinstance(node, Parts):
            lists.add(cid)
        return node

    return sum(1 for _ in index_tree.leaf_places(kind, base, noting, limits)) + len(lists)
