"""A list of parts: one node of an index above its leaves (format, section 4)."""

from __future__ import annotations

import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, NamedTuple

from ipld_car import cids

from ipldstore.errors import NodeError


class Part(NamedTuple):
    """What stands in the list for a leaf, or for a list of parts below."""

    first: str
    """The first key by code."""
    link: bytes
    """Binary CID of the leaf or list."""
    size: int
    """Keys in it."""


class Parts(list[Any]):
    """The list as it is in its node, and what is known of it: keys in order, counts positive.

    A list still, so that a directory that embeds it can be encoded as it is.

    :param code: the code of a key in this index
    :param is_key: whether the index may have a key
    :raises NodeError: if a bound of the format is broken
    """

    def __init__(self, raw: Iterable[Any], code: Callable[[str], bytes], is_key: Callable[[str], bool]) -> None:
        super().__init__(raw)
        self.parts = [_part(item, is_key) for item in self]
        if not self.parts:
            raise NodeError("expected a list of parts, found an empty one")
        self.codes = [code(part.first) for part in self.parts]
        """The code of each part's first key."""
        if any(low >= high for low, high in pairwise(self.codes)):
            raise NodeError("expected parts in the order of their keys, found others")
        self.total = sum(part.size for part in self.parts)
        """Keys in all parts."""
        self._recent: tuple[weakref.ref[Any], bytes, int] | None = None

    def recent_leaf(self, depth: int) -> tuple[Any, bytes] | None:
        """The leaf that :meth:`remember` was given last, and its CID, if it is still in memory.

        Who reads an array asks for one chunk after the other, and a leaf holds all keys of its interval.

        :param depth: what its depth is to be checked with
        """
        if self._recent is None or self._recent[2] != depth:
            return None
        leaf = self._recent[0]()
        return None if leaf is None else (leaf, self._recent[1])

    def remember(self, leaf: Any, cid: bytes, depth: int) -> None:
        """Remember a leaf below this list that was checked on the way to it, as long as others do."""
        self._recent = weakref.ref(leaf), cid, depth

    def find(self, code: bytes) -> int:
        """The index of the part that has a code in its interval; -1 before the first part."""
        return bisect_right(self.codes, code) - 1


def _part(item: Any, is_key: Callable[[str], bool]) -> Part:
    if not isinstance(item, list) or len(item) != 3:
        raise NodeError("expected a part as [first key, link, number of keys], found something else")
    first, link, count = item
    if not isinstance(first, str) or not is_key(first):
        raise NodeError(f"expected a key of the index in a part, found {str(first)[:200]!r}")
    if not isinstance(link, bytes) or cids.codec_of(link) != cids.DAG_CBOR:
        raise NodeError("expected the link of a node in a part, found something else")
    if type(count) is not int or count <= 0:
        raise NodeError(f"expected a positive number of keys in a part, found {count!r}")
    return Part(first, link, count)
