"""The index: many keys in leaves that depend on the set of keys alone (format, section 4).

One tree serves chunks and names. They differ in the code of a key and in the form of a leaf.
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

from . import keys, validate
from .index_node import ChildRef, IndexNode
from .limits import Limits
from .nodes import Load, NodeStore
from .path_hint import NO_HINT, PathHint, hint_in_chunk_index
from .zorder import chunk_code, has_bit, highest_difference, name_code, split

MAX_LEVELS: Final = 8
"""Index nodes on the longest path to a leaf, the one in the directory included."""

Changes = Mapping[str, bytes | None]
"""Keys with their new links; None for a key that is deleted."""

Base = IndexNode | bytes | None
"""An index as a directory holds it: its top node, the link of that, or None without an index."""


@dataclass(slots=True, weakref_slot=True)
class Leaf:
    """A checked leaf: links by key, and the keys in the order of their codes."""

    links: dict[str, bytes]
    codes: list[bytes]
    keys: list[str]
    depth: int
    """Parts of a key from the top of the leaf to its deepest directory."""


class IndexKind:
    """The kind of an index: chunks or names.

    :param code: returns the code of a key
    :param is_key: whether the index may hold a key
    :param check_leaf: checks the decoded value of a leaf
    :param leaf_map: makes the value of a leaf of its keys and links
    """

    def __init__(
        self,
        code: Callable[[str], bytes],
        is_key: Callable[[str], bool],
        check_leaf: Callable[[Any], validate.LeafContent],
        leaf_map: Callable[[Mapping[str, bytes]], dict[str, Any]],
    ) -> None:
        self.code = code
        self.is_key = is_key
        self._check_leaf = check_leaf
        self.leaf_map = leaf_map

    def decode(self, value: Any, size: int) -> IndexNode | Leaf:
        """Decode a block of this index, an index node or a leaf."""
        if isinstance(value, list):
            return IndexNode(value, self.code, self.is_key)
        links, depth = self._check_leaf(value)
        pairs = sorted((self.code(key), key) for key in links)
        return Leaf(links, [code for code, _ in pairs], [key for _, key in pairs], depth)


def nested_map(links: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the plain map of keys: nested, with ``__ipld_value__`` where a directory is also a value."""
    top: dict[str, Any] = {}
    directories = {"": top}  # by path: the keys of a leaf are in few directories
    for key, link in links.items():
        path, _, name = key.rpartition("/")
        directory = directories.get(path)
        if directory is None:
            directory = directories[path] = _directory_in(top, path)
        found = directory.get(name)
        if found is None or isinstance(found, bytes):
            directory[name] = link
        else:
            found[keys.VALUE] = link
    return top


def _directory_in(top: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the map at a path, making it and those above it where they are missing."""
    directory = top
    for part in path.split("/"):
        below = directory.get(part)
        if not isinstance(below, dict):
            below = directory[part] = {} if below is None else {keys.VALUE: below}
        directory = below
    return directory


CHUNKS: Final = IndexKind(chunk_code, keys.is_chunk_key, validate.check_chunk_leaf, nested_map)
NAMES: Final = IndexKind(name_code, keys.is_index_name, validate.check_name_leaf, dict)


class BoundedChild(NamedTuple):
    """A child on the path to a key, and the code that all its keys are below."""

    ref: ChildRef
    end: bytes | None
    """None where no child follows it, on any level."""


def top_node(kind: IndexKind, base: IndexNode | bytes, load: Load) -> IndexNode:
    """Return the top node of an index.

    :raises NodeError: if its block is a leaf
    """
    if isinstance(base, IndexNode):
        return base
    node: IndexNode | Leaf = load(base, kind.decode)
    if isinstance(node, Leaf):
        raise NodeError(f"expected the top node of an index, found a leaf: node {cids.to_text(base)}")
    return node


def _bounded(node: IndexNode, at: int, end: bytes | None) -> BoundedChild:
    return BoundedChild(node.children[at], node.codes[at + 1] if at + 1 < len(node.codes) else end)


def bounded_children(node: IndexNode, end: bytes | None) -> Iterator[BoundedChild]:
    return (_bounded(node, at, end) for at in range(len(node.codes)))


def load_child(
    kind: IndexKind, child: BoundedChild, load: Load, level: int, depth: int = 0, hint: PathHint = NO_HINT
) -> IndexNode | Leaf:
    """Load the node of a child, and check it against what its parent says.

    :param level: number of index nodes above it
    :param depth: parts of a key from the root to the directory of the index; 0 where that was checked before
    :param hint: the path from the node that is resolved next
    """
    node: IndexNode | Leaf = load(child.ref.link, kind.decode, hint)
    if isinstance(node, Leaf):
        if not node.keys:
            raise _child_error(child, f"expected {child.ref.size} keys, found an empty leaf")
        if depth + node.depth > validate.MAX_BELOW_ROOT:
            raise _child_error(
                child,
                f"expected directories at most {validate.MAX_BELOW_ROOT} parts below the root, found one at "
                f"{depth + node.depth}",
            )
        first, count, last = node.keys[0], len(node.keys), node.codes[-1]
    else:
        if level >= MAX_LEVELS:
            raise _child_error(child, f"expected at most {MAX_LEVELS} levels of index nodes, found more")
        first, count, last = node.children[0].first, node.total, node.codes[-1]
    if first != child.ref.first or count != child.ref.size:
        raise _child_error(
            child, f"expected {child.ref.size} keys from {child.ref.first!r} on, found {count} from {first!r}"
        )
    if child.end is not None and last >= child.end:
        raise _child_error(child, "expected keys below the first key of the next child, found others")
    return node


def _child_error(child: BoundedChild, what: str) -> NodeError:
    return NodeError(f"{what}: node {cids.to_text(child.ref.link)}")


def total(kind: IndexKind, base: Base, load: Load) -> int:
    """Return the number of keys of an index; reads its top node, and no leaf."""
    return 0 if base is None else top_node(kind, base, load).total


def find(kind: IndexKind, base: Base, key: str, load: Load, depth: int = 0) -> bytes | None:
    """Return the link of a key; None if the index does not hold the key.

    :param depth: parts of a key from the root to the directory of the index, where the depth is to be checked
    :raises IPLDStoreError: if a node on the path is missing, damaged, or breaks a bound of the format
    """
    if base is None:
        return None
    top = top_node(kind, base, load)
    code = kind.code(key)
    node: IndexNode | Leaf = top
    end: bytes | None = None
    level = 1
    while isinstance(node, IndexNode):
        at = node.find(code)
        if at < 0:
            return None
        child = _bounded(node, at, end)
        hint = hint_in_chunk_index(key, child.ref.size) if kind is CHUNKS else PathHint([key])
        node, end = load_child(kind, child, load, level, depth, hint), child.end
        level += 1
    top.remember(node, child.ref.link, depth)
    return node.links.get(key)


def items(
    kind: IndexKind, base: Base, load: Load, low: bytes = b"", high: bytes | None = None, *, depth: int = 0
) -> Iterator[tuple[str, bytes]]:
    """Yield key and link of all keys whose codes are from ``low`` to below ``high``, in their order, leaf by leaf.

    :param depth: see :func:`find`
    """
    if base is None:
        return
    stack = [bounded_children(top_node(kind, base, load), None)]
    while stack:
        for child in stack[-1]:
            if child.end is not None and child.end <= low:
                continue
            if high is not None and kind.code(child.ref.first) >= high:
                return
            node = load_child(kind, child, load, len(stack), depth)
            if isinstance(node, IndexNode):
                stack.append(bounded_children(node, child.end))
                break
            start = bisect_left(node.codes, low)
            stop = len(node.codes) if high is None else bisect_left(node.codes, high)
            for key in node.keys[start:stop]:
                yield key, node.links[key]
        else:
            stack.pop()


# -- writing --


def rebuild(
    kind: IndexKind, base: Base, changes: Changes, nodes: NodeStore, limits: Limits
) -> list[Any] | bytes | None:
    """Write the index of the keys of ``base`` with ``changes``; return its top node, the link of that, or None.

    Reads the index nodes, the leaves that a change falls into, and the leaves that a merge needs.
    """
    return write_above(kind, _write_leaves(kind, base, changes, nodes, limits), nodes, limits)


def write_above(
    kind: IndexKind, children: list[ChildRef], nodes: NodeStore, limits: Limits
) -> list[Any] | bytes | None:
    """Write the nodes above leaves; return the top node, the link of that, or None without a leaf."""
    if not children:
        return None
    while len(children) > limits.children:
        codes = [kind.code(child.first) for child in children]
        groups = [children[start:stop] for start, stop in split(codes, range(len(codes) + 1), limits.children)]
        children = [
            ChildRef(group[0].first, nodes.put([list(child) for child in group]), sum(child.size for child in group))
            for group in groups
        ]
    raw = [list(child) for child in children]
    block = dagcbor.encode_node(raw)
    return raw if len(block) <= limits.inline else nodes.put_encoded(block)


Item = tuple[bytes, str | BoundedChild]
"""A code, and the key with that code, or the leaf with that first code that stays as it is."""


def _write_leaves(kind: IndexKind, base: Base, changes: Changes, nodes: NodeStore, limits: Limits) -> list[ChildRef]:
    """Write the leaves that change; return references to all leaves."""
    links: dict[str, bytes] = {}
    read: set[bytes] = set()
    found = _items_to_split(kind, base, changes, links, read, nodes, limits)
    codes = [code for code, _ in found]
    counts = [0, *accumulate(item.ref.size if isinstance(item, BoundedChild) else 1 for _, item in found)]
    leaves = []
    for start, stop in split(codes, counts, limits.leaf):
        item = found[start][1]
        if stop - start == 1 and isinstance(item, BoundedChild):
            leaves.append(item.ref)
            continue
        content: dict[str, bytes] = {}
        for _, item in found[start:stop]:
            if isinstance(item, BoundedChild):  # a neighbour that now fits into the same leaf
                content.update(links_below(kind, item, nodes))
            else:
                link = changes.get(item)
                content[item] = links[item] if link is None else link
        link = nodes.put(kind.leaf_map(content), there=read)
        leaves.append(ChildRef(next(iter(content)), link, len(content)))
    return leaves


def _items_to_split(
    kind: IndexKind,
    base: Base,
    changes: Changes,
    links: dict[str, bytes],
    read: set[bytes],
    nodes: NodeStore,
    limits: Limits,
) -> list[Item]:
    """Return what the new leaves are split from, by code: keys where something changes, else whole leaves.

    :param links: gets the links of the keys of all leaves that are taken apart
    :param read: gets the links of those leaves
    """
    found: list[Item] = [(kind.code(key), key) for key, link in changes.items() if link is not None]
    leaves = list(leaf_refs(kind, base, nodes.load, limits))
    if leaves:
        firsts = [kind.code(child.ref.first) for child in leaves]
        touched = _touched(kind, leaves, firsts, map(kind.code, changes), nodes.load)
        for at, child in enumerate(leaves):
            if at not in touched:
                found.append((firsts[at], child))
                continue
            read.add(child.ref.link)
            for key, link in links_below(kind, child, nodes):
                if key not in changes:
                    links[key] = link
                    found.append((kind.code(key), key))
    found.sort(key=itemgetter(0))
    return found


def _touched(
    kind: IndexKind, leaves: list[BoundedChild], firsts: list[bytes], codes: Iterable[bytes], load: Load
) -> set[int]:
    """Return the positions of the leaves that keys fall into or are nearest to: only these may be taken apart.

    Between two leaves the nearest is the one on the key's side of the highest bit in which their first codes differ.
    In the index of a conforming writer the other one ends before the key. In a foreign index it may not, so it is read.
    """
    touched = set()
    before: dict[int, bytes] = {}
    for code in codes:
        at = max(bisect_right(firsts, code) - 1, 0)
        if firsts[at] <= code and at + 1 < len(firsts) and has_bit(code, highest_difference(*firsts[at : at + 2])):
            before[at] = min(code, before.get(at, code))
            at += 1
        touched.add(at)
    return touched | {at for at, code in before.items() if at not in touched and reaches(kind, leaves[at], code, load)}


def reaches(kind: IndexKind, child: BoundedChild, code: bytes, load: Load) -> bool:
    """Return whether a child has keys at or behind a code. A foreign index node among leaves is taken to."""
    node = load_child(kind, child, load, 1)
    return isinstance(node, IndexNode) or node.codes[-1] >= code


def leaf_refs(kind: IndexKind, base: Base, load: Load, limits: Limits) -> Iterator[BoundedChild]:
    """Yield references to all leaves in order, without reading a leaf.

    A reference does not say whether it is to a leaf or to an index node. But where one child of a node has more keys
    than a leaf may have, all are index nodes: an index node with several children has more keys than a leaf. A single
    child below the top is read.
    """
    if base is None:
        return
    top = top_node(kind, base, load)
    stack = [(top, bounded_children(top, None))]
    while stack:
        above, children = stack[-1]
        has_index_nodes = any(child.size > limits.leaf for child in above.children) or (
            len(stack) > 1 and len(above.children) == 1
        )
        for child in children:
            node = load_child(kind, child, load, len(stack)) if has_index_nodes else None
            if isinstance(node, IndexNode):
                stack.append((node, bounded_children(node, child.end)))
                break
            yield child
        else:
            stack.pop()


def links_below(kind: IndexKind, child: BoundedChild, nodes: NodeStore) -> Iterable[tuple[str, bytes]]:
    """Return key and link of all keys below a child."""
    node = load_child(kind, child, nodes.load, 1)
    if isinstance(node, Leaf):
        return ((key, node.links[key]) for key in node.keys)
    return items(kind, node, nodes.load)
