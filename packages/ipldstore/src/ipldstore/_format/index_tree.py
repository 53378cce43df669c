"""The index: many keys spread over leaves that depend on the set of keys alone (format, section 4).

One tree serves chunks and names; what differs is the code of a key and the form of a leaf.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from operator import itemgetter
from typing import Any, Final, NamedTuple

from ipld_car import cids, dagcbor

from ipldstore.errors import NodeError

from . import keys as _keys
from . import validate
from .index_node import Part, Parts
from .limits import Limits
from .nodes import Load, NodeStore
from .path_hint import NOWHERE, Way, to_chunk
from .zorder import chunk_code, has_bit, highest_difference, name_code, split

MAX_LEVELS: Final = 8

Changes = Mapping[str, bytes | None]
"""Keys and their new links; None where a key goes away."""

Base = Parts | bytes | None
"""An index as a directory has it: a list of parts, the link of one, or none."""


@dataclass(slots=True, weakref_slot=True)
class Leaf:
    """A checked leaf: links by key, and the keys by code."""

    links: dict[str, bytes]
    codes: list[bytes]
    keys: list[str]
    depth: int
    """Parts that the deepest directory in it is below the leaf."""


class Kind:
    """What an index is of."""

    def __init__(
        self,
        code: Callable[[str], bytes],
        is_key: Callable[[str], bool],
        leaf: Callable[[Any], validate.LeafContent],
        leaf_map: Callable[[Mapping[str, bytes]], dict[str, Any]],
    ) -> None:
        self.code = code
        self.is_key = is_key
        self._leaf = leaf
        self.leaf_map = leaf_map

    def node(self, value: Any, size: int) -> Parts | Leaf:
        """Read a block as a node of this index: a list of parts, or a leaf."""
        if isinstance(value, list):
            return Parts(value, self.code, self.is_key)
        links, depth = self._leaf(value)
        pairs = sorted((self.code(key), key) for key in links)
        return Leaf(links, [code for code, _ in pairs], [key for _, key in pairs], depth)


def nested_map(links: Mapping[str, bytes]) -> dict[str, Any]:
    """The plain map of keys: nested, ``__ipld_value__`` where a directory is also a value."""
    top: dict[str, Any] = {}
    directories = {"": top}  # by path: the keys of a leaf have few
    for key, link in links.items():
        path, _, name = key.rpartition("/")
        directory = directories.get(path)
        if directory is None:
            directory = directories[path] = _directory_in(top, path)
        found = directory.get(name)
        if found is None or isinstance(found, bytes):
            directory[name] = link
        else:
            found[_keys.VALUE] = link
    return top


def _directory_in(top: dict[str, Any], path: str) -> dict[str, Any]:
    """The map at a path; what is missing of it is made, with ``__ipld_value__`` where a value was."""
    directory = top
    for part in path.split("/"):
        below = directory.get(part)
        if not isinstance(below, dict):
            below = directory[part] = {} if below is None else {_keys.VALUE: below}
        directory = below
    return directory


CHUNKS: Final = Kind(chunk_code, _keys.is_chunk_key, validate.chunk_leaf, nested_map)
NAMES: Final = Kind(name_code, _keys.is_index_name, validate.name_leaf, dict)


class Place(NamedTuple):
    """A part on the way down, and the code that all its keys are below."""

    part: Part
    end: bytes | None


def topmost(kind: Kind, base: Parts | bytes, load: Load) -> Parts:
    """The topmost list of parts of an index."""
    if isinstance(base, Parts):
        return base
    node: Parts | Leaf = load(base, kind.node)
    if isinstance(node, Leaf):
        raise NodeError(f"expected the list of parts of an index, found a leaf: node {cids.to_text(base)}")
    return node


def _place(parts: Parts, at: int, end: bytes | None) -> Place:
    return Place(parts.parts[at], parts.codes[at + 1] if at + 1 < len(parts) else end)


def _enter(kind: Kind, place: Place, load: Load, level: int, depth: int = 0, way: Way = NOWHERE) -> Parts | Leaf:
    """The node of a part, held against what its part says.

    :param level: lists of parts above it
    :param depth: parts that its directory is below the root; 0 for one that has been looked at before
    :param way: where the reader goes from there
    """
    node: Parts | Leaf = load(place.part.link, kind.node, way)
    if isinstance(node, Leaf):
        if not node.keys:
            raise _wrong(place, f"expected {place.part.size} keys, found an empty leaf")
        if depth + node.depth > validate.MAX_BELOW_ROOT:
            raise _wrong(
                place,
                f"expected directories at most {validate.MAX_BELOW_ROOT} parts below the root, found one at "
                f"{depth + node.depth}",
            )
        first, count, last = node.keys[0], len(node.keys), node.codes[-1]
    else:
        if level >= MAX_LEVELS:
            raise _wrong(place, f"expected at most {MAX_LEVELS} levels of parts in an index, found more")
        first, count, last = node.parts[0].first, node.total, node.codes[-1]
    if first != place.part.first or count != place.part.size:
        raise _wrong(
            place, f"expected {place.part.size} keys from {place.part.first!r} on, found {count} from {first!r}"
        )
    if place.end is not None and last >= place.end:
        raise _wrong(place, "expected keys below those of the next part, found others")
    return node


def _wrong(place: Place, what: str) -> NodeError:
    return NodeError(f"{what}: node {cids.to_text(place.part.link)}")


def total(kind: Kind, base: Base, load: Load) -> int:
    """How many keys an index has; reads its topmost list, no leaf."""
    return 0 if base is None else topmost(kind, base, load).total


def find(kind: Kind, base: Base, key: str, load: Load, depth: int = 0) -> bytes | None:
    """The link of a key; None if the index has no such key.

    :param depth: parts that the directory of the index is below the root, where that is to be checked
    :raises IPLDStoreError: if a node on the way cannot be had, or is not what the format allows
    """
    if base is None:
        return None
    top = topmost(kind, base, load)
    code = kind.code(key)
    node: Parts | Leaf = top
    end: bytes | None = None
    level = 1
    while isinstance(node, Parts):
        at = node.find(code)
        if at < 0:
            return None
        place = _place(node, at, end)
        way = to_chunk(key, place.part.size) if kind is CHUNKS else Way([key])
        node, end = _enter(kind, place, load, level, depth, way), place.end
        level += 1
    top.remember(node, place.part.link, depth)
    return node.links.get(key)


def items(
    kind: Kind, base: Base, load: Load, low: bytes = b"", high: bytes | None = None, *, depth: int = 0
) -> Iterator[tuple[str, bytes]]:
    """Key and link of all keys in the order of their codes, from ``low`` to below ``high``, leaf by leaf.

    :param depth: see :func:`find`
    """
    if base is None:
        return
    stack = [_places(topmost(kind, base, load), None)]
    while stack:
        for place in stack[-1]:
            if place.end is not None and place.end <= low:
                continue
            if high is not None and kind.code(place.part.first) >= high:
                return
            node = _enter(kind, place, load, len(stack), depth)
            if isinstance(node, Parts):
                stack.append(_places(node, place.end))
                break
            start = bisect_left(node.codes, low)
            stop = len(node.codes) if high is None else bisect_left(node.codes, high)
            for key in node.keys[start:stop]:
                yield key, node.links[key]
        else:
            stack.pop()


def _places(parts: Parts, end: bytes | None) -> Iterator[Place]:
    return (_place(parts, at, end) for at in range(len(parts)))


# -- writing --


def rebuild(kind: Kind, base: Base, changes: Changes, nodes: NodeStore, limits: Limits) -> list[Any] | bytes | None:
    """The index of the keys of ``base`` with ``changes`` made to them: a list of parts, the link of one, or None.

    Reads the lists of parts, the leaves that a change falls into, and those that a merge needs.
    """
    leaves = _write_leaves(kind, base, changes, nodes, limits)
    if not leaves:
        return None
    while len(leaves) > limits.parts:
        codes = [kind.code(part.first) for part in leaves]
        groups = [leaves[start:stop] for start, stop in split(codes, range(len(codes) + 1), limits.parts)]
        leaves = [
            Part(group[0].first, nodes.put([list(part) for part in group]), sum(part.size for part in group))
            for group in groups
        ]
    raw = [list(part) for part in leaves]
    block = dagcbor.encode_node(raw)
    return raw if len(block) <= limits.plain else nodes.put_encoded(block)


Item = tuple[bytes, str | Place]
"""A code, and the key that it is of, or the leaf that is left alone."""


def _write_leaves(kind: Kind, base: Base, changes: Changes, nodes: NodeStore, limits: Limits) -> list[Part]:
    """The parts of all leaves, those that changed written."""
    links: dict[str, bytes] = {}
    found = _items_to_split(kind, base, changes, links, nodes, limits)
    codes = [code for code, _ in found]
    counts = [0, *accumulate(item.part.size if isinstance(item, Place) else 1 for _, item in found)]
    leaves = []
    for start, stop in split(codes, counts, limits.leaf):
        item = found[start][1]
        if stop - start == 1 and isinstance(item, Place):
            leaves.append(item.part)
            continue
        content: dict[str, bytes] = {}
        for _, item in found[start:stop]:
            if isinstance(item, Place):  # a neighbour that now fits into the same leaf
                content.update(_links_below(kind, item, nodes))
            else:
                link = changes.get(item)
                content[item] = links[item] if link is None else link
        leaves.append(Part(next(iter(content)), nodes.put(kind.leaf_map(content)), len(content)))
    return leaves


def _items_to_split(
    kind: Kind, base: Base, changes: Changes, links: dict[str, bytes], nodes: NodeStore, limits: Limits
) -> list[Item]:
    """What the leaves are made of, in the order of codes: keys where something changes, else whole leaves.

    :param links: gets the links of keys that were in leaves which are taken apart
    """
    found: list[Item] = [(kind.code(key), key) for key, link in changes.items() if link is not None]
    places = list(leaf_places(kind, base, nodes.load, limits))
    if places:
        firsts = [kind.code(place.part.first) for place in places]
        touched = _touched(kind, places, firsts, map(kind.code, changes), nodes.load)
        for at, place in enumerate(places):
            if at not in touched:
                found.append((firsts[at], place))
                continue
            for key, link in _links_below(kind, place, nodes):
                if key not in changes:
                    links[key] = link
                    found.append((kind.code(key), key))
    found.sort(key=itemgetter(0))
    return found


def _touched(kind: Kind, places: list[Place], firsts: list[bytes], codes: Iterable[bytes], load: Load) -> set[int]:
    """The leaves that keys fall into, or are nearest to: they alone may be taken apart.

    Between two leaves the nearest is the one on whose side the key is at the bit where the two part ways. In the index
    of a conforming writer the other ends before the key; in that of another it may not, so it is asked.
    """
    touched = set()
    before: dict[int, bytes] = {}
    for code in codes:
        at = max(bisect_right(firsts, code) - 1, 0)
        if firsts[at] <= code and at + 1 < len(firsts) and has_bit(code, highest_difference(*firsts[at : at + 2])):
            before[at] = min(code, before.get(at, code))
            at += 1
        touched.add(at)
    return touched | {at for at, code in before.items() if at not in touched and _reaches(kind, places[at], code, load)}


def _reaches(kind: Kind, place: Place, code: bytes, load: Load) -> bool:
    """Whether a part has keys at or behind a code. Of a list, which only others have among leaves, it is assumed."""
    node = _enter(kind, place, load, 1)
    return isinstance(node, Parts) or node.codes[-1] >= code


def leaf_places(kind: Kind, base: Base, load: Load, limits: Limits) -> Iterator[Place]:
    """The parts of all leaves in order, without reading a leaf.

    A part does not say whether a leaf or a list is below it. But where one part of a list has more keys than a
    leaf may have, all stand for lists: a list of several parts holds more than a leaf would. A single part below
    others is looked at.
    """
    if base is None:
        return
    stack = [_places(topmost(kind, base, load), None)]
    tops = [topmost(kind, base, load)]
    while stack:
        parts = tops[-1].parts
        of_lists = any(part.size > limits.leaf for part in parts) or (len(tops) > 1 and len(parts) == 1)
        for place in stack[-1]:
            node = _enter(kind, place, load, len(stack)) if of_lists else None
            if isinstance(node, Parts):
                stack.append(_places(node, place.end))
                tops.append(node)
                break
            yield place
        else:
            stack.pop()
            tops.pop()


def _links_below(kind: Kind, place: Place, nodes: NodeStore) -> Iterable[tuple[str, bytes]]:
    """Key and link of all that a part stands for."""
    node = _enter(kind, place, nodes.load, 1)
    if isinstance(node, Leaf):
        return ((key, node.links[key]) for key in node.keys)
    return items(kind, node, nodes.load)
