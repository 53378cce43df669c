"""Where two indexes differ: leaf against leaf by code, equal nodes skipped by CID."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .index_node import IndexNode
from .index_tree import Base, BoundedChild, IndexKind, Leaf, bounded_children, load_child, top_node
from .nodes import Load


class LinkChange(NamedTuple):
    """A key of two indexes with different links; None where an index does not hold the key."""

    key: str
    before: bytes | None
    after: bytes | None


class _Cursor:
    """The children of an index in the order of their codes; an index node stands for its children until it is opened.

    :param depth: see :func:`ipldstore._format.index_tree.find`
    """

    def __init__(self, kind: IndexKind, base: Base, load: Load, depth: int) -> None:
        self._kind, self._load, self._depth = kind, load, depth
        self._stack: list[Iterator[BoundedChild]] = []
        if base is not None:
            self._stack.append(bounded_children(top_node(kind, base, load), None))
        self.child: BoundedChild | None = None
        self.code = b""
        """The code of the first key of the child."""
        self.advance()

    def advance(self) -> None:
        """Go on to the next child; to None at the end."""
        self.child = None
        while self._stack:
            self.child = next(self._stack[-1], None)
            if self.child is not None:
                self.code = self._kind.code(self.child.ref.first)
                return
            self._stack.pop()

    def take(self) -> Leaf | None:
        """Return the leaf at the cursor and go on; None if an index node was there, whose children then follow."""
        assert self.child is not None  # noqa: S101  # see the caller
        child = self.child
        node = load_child(self._kind, child, self._load, len(self._stack), self._depth)
        if isinstance(node, IndexNode):
            self._stack.append(bounded_children(node, child.end))
        self.advance()
        return None if isinstance(node, IndexNode) else node


def differences(kind: IndexKind, before: Base, after: Base, load: Load, depth: int = 0) -> Iterator[LinkChange]:
    """Yield the keys with different links, in the order of their codes.

    Reads the nodes that one index has and the other has not; a few leaves are in memory at a time.

    :param depth: see :func:`ipldstore._format.index_tree.find`
    :raises IPLDStoreError: if a node is missing, damaged, or breaks a bound of the format
    """
    if before is after or (isinstance(before, bytes) and before == after):
        return
    left, right = _Cursor(kind, before, load, depth), _Cursor(kind, after, load, depth)
    pending: dict[bytes, LinkChange] = {}
    held: tuple[Leaf, bool] | None = None
    """A leaf of one side, where nothing is pending: mostly the other side's next leaf has the same keys."""
    while left.child is not None or right.child is not None:
        if left.child is not None and right.child is not None and left.child.ref.link == right.child.ref.link:
            left.advance()
            right.advance()
            continue
        is_left = _is_first(left, right)
        cursor = left if is_left else right
        if pending:
            yield from _take_below(pending, cursor.code)
        leaf = cursor.take()
        if leaf is None:
            continue
        if (
            held is not None and held[1] and not is_left and held[0].keys == leaf.keys
        ):  # of equal size, so left came first
            yield from _changes_of_same_keys(held[0], leaf)
            held = None
            continue
        if held is None and not pending:
            held = leaf, is_left
            continue
        if held is not None:
            _add(pending, *held)
            held = None
        _add(pending, leaf, is_left)
    if held is not None:
        _add(pending, *held)
    yield from _take_below(pending, None)


def _changes_of_same_keys(before: Leaf, after: Leaf) -> Iterator[LinkChange]:
    """Yield the keys with different links of two leaves with the same keys."""
    old, new = before.links, after.links
    return (LinkChange(key, old[key], new[key]) for key in before.keys if old[key] != new[key])


def _is_first(left: _Cursor, right: _Cursor) -> bool:
    """Return whether the left child begins first; of two that begin together the larger one does, as it is opened."""
    if left.child is None or right.child is None:
        return right.child is None
    if left.code != right.code:
        return left.code < right.code
    return left.child.ref.size >= right.child.ref.size


def _add(pending: dict[bytes, LinkChange], leaf: Leaf, is_left: bool) -> None:
    for code, key in zip(leaf.codes, leaf.keys, strict=True):
        link = leaf.links[key]
        other = pending.get(code)
        if other is None:
            pending[code] = LinkChange(key, link, None) if is_left else LinkChange(key, None, link)
        elif link == (other.after if is_left else other.before):
            del pending[code]
        else:
            pending[code] = other._replace(before=link) if is_left else other._replace(after=link)


def _take_below(pending: dict[bytes, LinkChange], end: bytes | None) -> list[LinkChange]:
    """Return the changes that no later leaf can add to, those below a code, and remove them."""
    ready = sorted(code for code in pending if end is None or code < end)
    return [pending.pop(code) for code in ready]
