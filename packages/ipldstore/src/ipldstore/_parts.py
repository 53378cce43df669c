"""A list of parts: one node of an index above its leaves (format, section 4)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, NamedTuple

from ipld_car import cids

from ._errors import NodeError


class Part(NamedTuple):
    """What stands in the list for a leaf, or for a list of parts below."""

    first: str
    """The first key by code."""
    link: bytes
    """Binary CID of the leaf or list."""
    size: int
    """Keys in it."""


class Parts(list[Any]):
    """The list as it is in its node, and what is known of it once it has been checked.

    A list still, so that a directory that embeds it can be encoded as it is.
    """

    def __init__(self, raw: Iterable[Any]) -> None:
        super().__init__(raw)
        self.parts: list[Part] = []
        """The parts; empty before :meth:`checked`."""
        self.codes: list[bytes] = []
        """The code of each part's first key."""
        self.total = 0
        """Keys in all parts."""

    def checked(self, code: Callable[[str], bytes], is_key: Callable[[str], bool]) -> None:
        """Know the parts, their keys in order and their counts positive.

        :raises NodeError: if they are not
        """
        if self.parts:
            return
        parts = [_part(item, is_key) for item in self]
        if not parts:
            raise NodeError("expected a list of parts, found an empty one")
        codes = [code(part.first) for part in parts]
        if any(low >= high for low, high in pairwise(codes)):
            raise NodeError("expected parts in the order of their keys, found others")
        self.codes, self.total, self.parts = codes, sum(part.size for part in parts), parts

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
