"""The short way to a chunk of the array that one was read of before: who reads an array asks for many."""

from __future__ import annotations

from typing import NamedTuple

from ipldstore._format import index_tree, keys
from ipldstore._format.index_node import Parts
from ipldstore._format.nodes import Load

from .directory import Frozen
from .lookup import AnyDirectory


class Near(NamedTuple):
    """An array whose chunk index is the only one on the way to its chunks.

    So in a frozen tree what the index has for a key is what the key has.
    """

    top: AnyDirectory
    """The root directory. Another one is another tree."""
    prefix: str
    """What the keys of the array begin with."""
    parts: Parts
    """The topmost list of its chunk index."""
    depth: int
    """Parts of a key that the array is below the root."""

    @classmethod
    def of(cls, top: AnyDirectory, parts: list[str], at: int, directory: AnyDirectory, load: Load) -> Near | None:
        """The array of a directory, if its index has the key with these parts, ``at`` of which lead to it."""
        if isinstance(directory, Frozen):
            base = directory.map[keys.CHUNKS]
        elif directory.chunk_base is None or "/".join(parts[at:]) in directory.chunk_new:
            return None
        else:
            base = directory.chunk_base
        return cls(
            top, "".join(f"{part}/" for part in parts[:at]), index_tree.topmost(index_tree.CHUNKS, base, load), at
        )

    @property
    def frozen(self) -> bool:
        """Whether nothing in the tree changes."""
        return isinstance(self.top, Frozen)

    def find(self, key: str) -> tuple[bytes, index_tree.Leaf, bytes] | None:
        """The link of a key, the leaf that has it and the CID of that; None says nothing, the key may be elsewhere."""
        recent = self.parts.recent_leaf(self.depth)
        if recent is None or not key.startswith(self.prefix):
            return None
        leaf, cid = recent
        link = leaf.links.get(key[len(self.prefix) :])
        return None if link is None else (link, leaf, cid)
