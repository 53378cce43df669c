"""One node of an index above its leaves, which format.md calls a list of parts (format, section 4)."""

from __future__ import annotations

import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, NamedTuple

from ipldstore.errors import NodeError

from .links import is_directory_link


class ChildRef(NamedTuple):
    """An item of an index node: a leaf, or an index node below."""

    first: str
    """The first key below it, by code."""
    link: bytes
    """Binary CID of the leaf or index node."""
    size: int
    """Number of keys below it."""


class IndexNode(list[Any]):
    """The list of a node as it was decoded, and its checked children: keys in order, counts positive.

    It is a list, so that a directory that embeds it can be encoded as it is.

    :param code: returns the code of a key in this index
    :param is_key: whether the index may hold a key
    :raises NodeError: if a bound of the format is broken
    """

    def __init__(self, raw: Iterable[Any], code: Callable[[str], bytes], is_key: Callable[[str], bool]) -> None:
        super().__init__(raw)
        self.children = [_child(item, is_key) for item in self]
        if not self.children:
            raise NodeError("expected an index node with children, found an empty list")
        self.codes = [code(child.first) for child in self.children]
        """The code of the first key of each child."""
        if any(low >= high for low, high in pairwise(self.codes)):
            raise NodeError("expected the children of an index node in the order of their keys' codes, found others")
        self.total = sum(child.size for child in self.children)
        """Number of keys below all children."""
        self._recent: tuple[weakref.ref[Any], bytes, int] | None = None

    def recent_leaf(self, depth: int) -> tuple[Any, bytes] | None:
        """Return the leaf that :meth:`remember` was given last, and its CID, if the leaf is still in memory.

        A caller that reads an array looks up one chunk after the other, and a leaf holds all keys of its interval.

        :param depth: the depth of the directory; another one than the leaf was checked with gives None
        """
        if self._recent is None or self._recent[2] != depth:
            return None
        leaf = self._recent[0]()
        return None if leaf is None else (leaf, self._recent[1])

    def remember(self, leaf: Any, cid: bytes, depth: int) -> None:
        """Remember a leaf below this node, checked at a depth, by a weak reference."""
        self._recent = weakref.ref(leaf), cid, depth

    def find(self, code: bytes) -> int:
        """Return the position of the child whose interval holds a code; -1 where the code is before all children."""
        return bisect_right(self.codes, code) - 1


def _child(item: Any, is_key: Callable[[str], bool]) -> ChildRef:
    if not isinstance(item, list) or len(item) != 3:
        raise NodeError("expected [first key, link, number of keys] in an index node, found something else")
    first, link, count = item
    if not isinstance(first, str) or not is_key(first):
        raise NodeError(f"expected a key of the index as first key of a child, found {str(first)[:200]!r}")
    if not isinstance(link, bytes) or not is_directory_link(link):
        raise NodeError(f"expected the link of a node for the child at {first[:200]!r}, found something else")
    if type(count) is not int or count <= 0:
        raise NodeError(f"expected a positive number of keys for the child at {first[:200]!r}, found {count!r}")
    return ChildRef(first, link, count)
