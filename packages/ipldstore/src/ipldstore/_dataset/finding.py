"""Finding keys in a tree that other threads may change meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from ipldstore._format import keys
from ipldstore._format.index_tree import Leaf
from ipldstore._format.nodes import Load, NodeNotCached, NodeStore
from ipldstore._tree import lookup
from ipldstore._tree.chunk_cursor import ChunkCursor
from ipldstore._tree.directory import Frozen
from ipldstore._tree.tree import Tree

T = TypeVar("T")


class KeyFinder:
    """The part of a :class:`~ipldstore._dataset.dataset.Dataset` that finds keys."""

    _tree: Tree
    _nodes: NodeStore
    _lock: threading.RLock
    _cursor: ChunkCursor | None = None
    """The array of the chunk that was found last."""

    def _read(self, action: Callable[[lookup.AnyDirectory, Load], T]) -> T:
        """Return what an action finds in the tree as it is now. No lock is held while blocks are read."""
        top = self._tree.top
        if isinstance(top, Frozen):  # it never changes
            return action(top, self._nodes.load)
        loaded: dict[tuple[bytes, Any], Any] = {}
        while True:
            try:
                with self._lock:
                    return action(self._tree.top, self._nodes.cached_load(loaded))
            except NodeNotCached as missing:
                loaded[missing.cid, missing.decoder] = self._nodes.load(missing.cid, missing.decoder, missing.hint)

    def _find(self, key: str) -> lookup.KeyTarget | None:
        """Return the document or link of a key; None if it is absent, or the format does not allow it."""
        found = self._find_by_cursor(key)
        if found is not None:
            return found[0]
        parts = keys.parts_of(key)
        if parts is None:
            return None

        def find(top: lookup.AnyDirectory, load: Load) -> lookup.KeyTarget | None:
            def note(depth: int, directory: lookup.AnyDirectory) -> None:
                self._cursor = ChunkCursor.at(top, parts, depth, directory, load)

            return lookup.find(top, parts, load, note)

        return self._read(find)

    def _find_by_cursor(self, key: str) -> tuple[bytes, Leaf, bytes] | None:
        """See :meth:`ChunkCursor.find`; None also where the cursor belongs to another tree, or the tree has changes."""
        cursor = self._cursor
        return cursor.find(key) if cursor is not None and cursor.frozen and cursor.top is self._tree.top else None

    def _leaf_of(self, key: str, link: bytes) -> tuple[bytes, Collection[bytes]] | None:
        """Return the CID and all links of the index leaf that has just given the link of a key; None without one."""
        found = None if self._cursor is None else self._cursor.find(key)
        return None if found is None or found[0] != link else (found[2], found[1].links.values())
