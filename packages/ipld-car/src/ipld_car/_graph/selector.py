"""Selectors, and the walk over the part of a graph that a selector explores.

Source: https://ipld.io/specs/selectors/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from multiformats import CID

from ipld_car import cids
from ipld_car.codecs import dagcbor, dagjson, dagpb

Segment = str | int

_MAX_DIGITS: Final = 18
"""Most digits of an index into a list."""


@dataclass(frozen=True)
class Selector:
    """Which parts of a node are explored. This selector explores none."""

    def interests(self) -> list[str] | None:
        """Return the names of the only parts that may be explored, in order; None if any part may be."""
        return []

    def explore(self, segment: Segment, part: Any) -> Selector | None:
        """Return the selector for a part of the node; None if the part is not explored."""
        return None

    def alternatives(self) -> tuple[Selector, ...]:
        """Return the selectors of a union, or this one."""
        return (self,)

    @property
    def has_edge(self) -> bool:
        """Whether this selector has an edge, at which the enclosing recursion starts again."""
        return False

    def replace_edges(self, sequence: Selector | None) -> Selector | None:
        """Return this selector with its edges replaced by another selector."""
        return self


@dataclass(frozen=True)
class Edge(Selector):
    """Stands for the sequence of the enclosing recursion."""

    @property
    def has_edge(self) -> bool:
        return True

    def replace_edges(self, sequence: Selector | None) -> Selector | None:
        return sequence


@dataclass(frozen=True)
class All(Selector):
    """Explores every part."""

    then: Selector

    def interests(self) -> None:
        return None

    def explore(self, segment: Segment, part: Any) -> Selector | None:
        return self.then


@dataclass(frozen=True)
class Fields(Selector):
    """Explores the parts with these names."""

    fields: tuple[tuple[str, Selector], ...]

    def interests(self) -> list[str]:
        return [name for name, _ in self.fields]

    def explore(self, segment: Segment, part: Any) -> Selector | None:
        return next((then for name, then in self.fields if name == str(segment)), None)


@dataclass(frozen=True)
class Range(Selector):
    """Explores items of a list."""

    start: int
    stop: int
    then: Selector

    def interests(self) -> None:
        return None  # a range may be longer than any list, so the list is iterated over

    def explore(self, segment: Segment, part: Any) -> Selector | None:
        return self.then if isinstance(segment, int) and self.start <= segment < self.stop else None


@dataclass(frozen=True)
class Union(Selector):
    """Explores what any of its members explores."""

    members: tuple[Selector, ...]

    @staticmethod
    def of(members: Iterable[Selector | None]) -> Selector | None:
        """Return the union of selectors; None if there is none. It is flat and has each once, so a recursion ends."""
        flat = (one for member in members if member is not None for one in member.alternatives())
        found = tuple(dict.fromkeys(flat))
        return (found[0] if len(found) == 1 else Union(found)) if found else None

    def alternatives(self) -> tuple[Selector, ...]:
        return tuple(one for member in self.members for one in member.alternatives())

    def interests(self) -> list[str] | None:
        found: list[str] = []
        for member in self.members:
            of_member = member.interests()
            if of_member is None:
                return None
            found += of_member
        return found

    def explore(self, segment: Segment, part: Any) -> Selector | None:
        return Union.of(member.explore(segment, part) for member in self.members)

    @property
    def has_edge(self) -> bool:
        return any(member.has_edge for member in self.members)

    def replace_edges(self, sequence: Selector | None) -> Selector | None:
        return Union.of(member.replace_edges(sequence) for member in self.members)


@dataclass(frozen=True)
class Recursive(Selector):
    """Explores what ``now`` explores; at each edge ``sequence`` starts again."""

    sequence: Selector
    now: Selector
    limit: int | None
    """How often it may start again; None is without limit."""
    stop_at: bytes | None
    """A link that is not followed."""

    def interests(self) -> list[str] | None:
        return self.now.interests()

    def explore(self, segment: Segment, part: Any) -> Selector | None:
        if self.stop_at is not None and isinstance(part, CID) and cids.to_bytes(part) == self.stop_at:
            return None
        then = self.now.explore(segment, part)
        limit = self.limit
        if then is not None and then.has_edge:
            if limit is not None and limit <= 1:  # no start is left
                return then.replace_edges(None)
            then = then.replace_edges(self.sequence)
            limit = None if limit is None else limit - 1
        return None if then is None else replace(self, now=then, limit=limit)


def _parts(selector: Selector, node: Any) -> Iterator[tuple[Any, Selector]]:
    """Iterate over the parts of a node that are explored, with the selector for each."""
    if isinstance(node, list):
        every: dict[Segment, Any] = dict(enumerate(node))
    elif isinstance(node, dict):
        every = dict(node)
    else:
        return
    wanted = selector.interests()
    for segment in every if wanted is None else dict.fromkeys(wanted):
        at = int(segment) if isinstance(node, list) and _is_number(segment) else segment
        if at in every:
            then = selector.explore(segment, every[at])
            if then is not None:
                yield every[at], then


def _is_number(segment: Segment) -> bool:
    return isinstance(segment, int) or (len(segment) <= _MAX_DIGITS and segment.isascii() and segment.isdecimal())


def _node(cid: bytes, data: bytes) -> Any:
    """Return the value of a block in the data model; None if the block can have no links."""
    codec = cids.codec_of(cid)
    if codec == cids.DAG_CBOR:
        return dagcbor.decode(data)
    if codec == cids.DAG_JSON:
        return dagjson.decode(data)
    if codec != cids.DAG_PB:
        return None
    # Data, names and sizes have no parts that could be explored.
    return {"Links": [{"Hash": cids.from_validated(link.cid)} for link in dagpb.decode(data).links]}


def walk_selected(
    get: Callable[[bytes], bytes], root: bytes, selector: Selector, missing: Callable[[bytes], None]
) -> Iterator[tuple[bytes, bytes]]:
    """Iterate over the blocks that a selector explores from a root, each once, in the order of the exploration.

    :param get: returns the bytes of a block for its binary CID
    :param missing: called with the CID of a block for which ``get`` raises KeyError; the block is then left out
    :raises CarError: if a block is not valid in its codec
    """
    given: set[bytes] = set()
    absent: set[bytes] = set()
    met: set[tuple[bytes, Selector]] = set()
    waiting: list[tuple[Any, Selector]] = [(cids.from_validated(root), selector)]
    while waiting:
        node, here = waiting.pop()
        if isinstance(node, CID):
            cid = cids.to_bytes(node)
            if cid in absent or (cid, here) in met:
                continue
            met.add((cid, here))
            try:
                data = get(cid)
            except KeyError:
                absent.add(cid)
                missing(cid)
                continue
            if cid not in given:
                given.add(cid)
                yield cid, data
            node = _node(cid, data)
        waiting += reversed(list(_parts(here, node)))
