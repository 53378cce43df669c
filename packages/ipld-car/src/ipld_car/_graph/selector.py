"""Selectors: which parts of a graph are explored (https://ipld.io/specs/selectors/)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from multiformats import CID

from ipld_car import cids
from ipld_car.codecs import dagcbor, dagjson, dagpb

Segment = str | int

_MAX_DIGITS: Final = 18
"""No list has more items."""


@dataclass(frozen=True)
class Selector:
    """What is explored at a node; this one explores nothing."""

    def interests(self) -> list[str] | None:
        """The names of the parts that are explored at most, in this order; None if it may be any."""
        return []

    def explore(self, segment: Segment, part: Any) -> Selector | None:
        """What goes on at a part of the node; None if nothing does."""
        return None

    def alternatives(self) -> tuple[Selector, ...]:
        """Those of which any may explore a part."""
        return (self,)

    @property
    def has_edge(self) -> bool:
        """Whether the recursion around it begins anew here."""
        return False

    def at_edges(self, sequence: Selector | None) -> Selector | None:
        """This with another selector in place of its edges."""
        return self


@dataclass(frozen=True)
class Edge(Selector):
    """Stands for the sequence of the recursion around it."""

    @property
    def has_edge(self) -> bool:
        return True

    def at_edges(self, sequence: Selector | None) -> Selector | None:
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
        return None  # it may be longer than any list, so what is in it is found by looking at the list

    def explore(self, segment: Segment, part: Any) -> Selector | None:
        return self.then if isinstance(segment, int) and self.start <= segment < self.stop else None


@dataclass(frozen=True)
class Union(Selector):
    """Explores what any of several does."""

    members: tuple[Selector, ...]

    @staticmethod
    def of(members: Iterable[Selector | None]) -> Selector | None:
        """That of those which are some. It is flat, and has each once: a recursion comes to no end of others."""
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

    def at_edges(self, sequence: Selector | None) -> Selector | None:
        return Union.of(member.at_edges(sequence) for member in self.members)


@dataclass(frozen=True)
class Recursive(Selector):
    """Explores what ``now`` does, where each edge begins ``sequence`` anew."""

    sequence: Selector
    now: Selector
    limit: int | None
    """How often; None is without end."""
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
            if limit is not None and limit <= 1:  # this was the last time
                return then.at_edges(None)
            then = then.at_edges(self.sequence)
            limit = None if limit is None else limit - 1
        return None if then is None else replace(self, now=then, limit=limit)


def _parts(selector: Selector, node: Any) -> Iterator[tuple[Any, Selector]]:
    """The parts of a node that are explored, and what goes on at each."""
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
    """The data model of a block; None where nothing can be below it."""
    codec = cids.codec_of(cid)
    if codec == cids.DAG_CBOR:
        return dagcbor.decode(data)
    if codec == cids.DAG_JSON:
        return dagjson.decode(data)
    if codec != cids.DAG_PB:
        return None
    # Its data are bytes, and so are names and sizes nothing that has parts.
    return {"Links": [{"Hash": cids.from_validated(link.cid)} for link in dagpb.decode(data).links]}


def walk_selected(
    get: Callable[[bytes], bytes], root: bytes, selector: Selector, missing: Callable[[bytes], None]
) -> Iterator[tuple[bytes, bytes]]:
    """The blocks that a selector comes to from a root, each once, in the order in which it does.

    :param get: gives the bytes of a block by its binary CID
    :param missing: is told of a block for which ``get`` raises KeyError; then the walk goes on without it
    :raises CarError: if a block is not what its codec says
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
