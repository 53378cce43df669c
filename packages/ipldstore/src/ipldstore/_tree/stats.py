"""How large a dataset is, from its nodes above the leaves."""

from __future__ import annotations

from typing import Any, NamedTuple

from . import _index, _keys, _lookup
from ._directory import Frozen, Map
from ._limits import Limits
from ._nodes import Load, Role
from ._parts import Parts
from ._ways import NOWHERE, Way


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
        blocks += _blocks(_index.CHUNKS, chunks, load, limits) + _blocks(_index.NAMES, names, load, limits)
        keys += _index.total(_index.CHUNKS, chunks, load) + len(_lookup.documents_of(directory))
        for _, entry in _lookup.entries_of(directory, load):
            keys += _lookup.value_of(entry, depth + 1, load) is not None
            below = _lookup.enter(entry, depth + 1, load)
            if isinstance(below, Frozen):
                stack.append((below, depth + 1))
    return Stats(keys, blocks)


def _blocks(kind: _index.Kind, base: _index.Base, load: Load, limits: Limits) -> int:
    lists = set()

    def noting(cid: bytes, role: Role[Any], way: Way = NOWHERE, /) -> Any:
        node = load(cid, role, way)
        if isinstance(node, Parts):
            lists.add(cid)
        return node

    return sum(1 for _ in _index.leaf_places(kind, base, noting, limits)) + len(lists)
