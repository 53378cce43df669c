"""The array that was read last, and a short way to its next chunk."""

from __future__ import annotations

from typing import NamedTuple

from ipldstore._format import index_tree, keys
from ipldstore._format.index_node import IndexNode
from ipldstore._format.nodes import Load

from .directory import Frozen
from .lookup import AnyDirectory


class ChunkCursor(NamedTuple):
    """An array whose chunk index is the only one on the path to its chunks.

    So in a frozen tree the link that the index holds for a key is the link of the key: nothing above hides it.
    """

    top: AnyDirectory
    """The root directory of the tree that the cursor belongs to."""
    prefix: str
    """The beginning of all keys of the array."""
    index_top: IndexNode
    """The top node of its chunk index."""
    depth: int
    """Parts of a key from the root to the array."""

    @classmethod
    def at(
        cls, top: AnyDirectory, parts: list[str], depth: int, directory: AnyDirectory, load: Load
    ) -> ChunkCursor | None:
        """Return a cursor to the array of a key whose link was found; None if the link is not in a written index.

        :param parts: the parts of the key
        :param depth: how many of them lead to the array
        :param directory: the directory of the array
        """
        if isinstance(directory, Frozen):
            base = directory.map[keys.CHUNKS]
        elif directory.chunk_base is None or "/".join(parts[depth:]) in directory.chunk_new:
            return None
        else:
            base = directory.chunk_base
        prefix = "".join(f"{part}/" for part in parts[:depth])
        return cls(top, prefix, index_tree.top_node(index_tree.CHUNKS, base, load), depth)

    @property
    def frozen(self) -> bool:
        """Whether the tree has no changes."""
        return isinstance(self.top, Frozen)

    def find(self, key: str) -> tuple[bytes, index_tree.Leaf, bytes] | None:
        """Return the link of a key, the leaf that holds it and the CID of the leaf.

        None means that the key is not in the leaf that was read last; it may be anywhere else.
        """
        recent = self.index_top.recent_leaf(self.depth)
        if recent is None or not key.startswith(self.prefix):
            return None
        leaf, cid = recent
        link = leaf.links.get(key[len(self.prefix) :])
        return None if link is None else (link, leaf, cid)
