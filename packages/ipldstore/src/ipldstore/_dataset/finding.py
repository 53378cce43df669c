"""Keys found in a tree that other threads may change meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from ipldstore._format import keys, validate
from ipldstore._format.index_tree import Leaf
from ipldstore._format.nodes import Load, NodeMissing, NodeStore
from ipldstore._read.prefetch import Ahead
from ipldstore._tree import lookup
from ipldstore._tree.chunk_cursor import Near
from ipldstore._tree.directory import Frozen
from ipldstore._tree.tree import Tree

T = TypeVar("T")


class Finding:
    """What a :class:`Dataset` finds keys with."""

    _tree: Tree
    _nodes: NodeStore
    _lock: threading.RLock
    _near: Near | None = None
    """The array that a chunk was found of last."""

    def _read(self, action: Callable[[lookup.AnyDirectory, Load], T]) -> T:
        """What an action finds in the tree as it is now. Blocks are waited for without the lock."""
        top = self._tree.top
        if isinstance(top, Frozen):  # nobody changes it
            return action(top, self._nodes.load)
        held: dict[tuple[bytes, Any], Any] = {}
        while True:
            try:
                with self._lock:
                    return action(self._tree.top, self._nodes.loading_nothing(held))
            except NodeMissing as missing:
                held[missing.cid, missing.role] = self._nodes.load(missing.cid, missing.role, missing.way)

    def find(self, key: str) -> lookup.Found | None:
        """The document or link of a key; None if it is absent, or no key at all."""
        near = self._find_near(key)
        if near is not None:
            return near[0]
        parts = keys.parts_of(key)
        if parts is None:
            return None

        def find(top: lookup.AnyDirectory, load: Load) -> lookup.Found | None:
            def note(at: int, directory: lookup.AnyDirectory) -> None:
                self._near = Near.of(top, parts, at, directory, load)

            return lookup.find(top, parts, load, note)

        return self._read(find)

    def _find_near(self, key: str) -> tuple[bytes, Leaf, bytes] | None:
        near = self._near
        return near.find(key) if near is not None and near.frozen and near.top is self._tree.top else None

    def _find_ahead(self, key: str, blocks: Ahead) -> lookup.Found | None:
        """As :meth:`find`, for who is about to read the whole value: other blocks come with it."""
        found = self.find(key)
        if isinstance(found, bytes) and not validate.is_directory_link(found):
            near = None if self._near is None else self._near.find(key)
            if near is not None and near[0] == found:
                blocks.chunk_of(near[2], near[1].links.values(), found)
            blocks.value(found)
        return found
