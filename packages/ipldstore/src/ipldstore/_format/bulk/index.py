"""An index with many new links at once: what :func:`~ipldstore._format.index_tree.rebuild` writes, in numpy."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ipldstore._format import index_tree
from ipldstore._format.chunk_form import ChunkForm
from ipldstore._format.index_node import ChildRef
from ipldstore._format.index_tree import CHUNKS, Base, BoundedChild
from ipldstore._format.limits import Limits
from ipldstore._format.nodes import NodeStore

from .codes import Bytes, Codes, Numbers, Words, boundary, codes_of, integers_of, order_of, split_codes
from .leaves import CID_BYTES, encode_leaves


class LinkArrays(NamedTuple):
    """Chunks of one array, in any order. Of several with the same coordinates the last counts."""

    coordinates: Numbers
    """(n, axes), from 0 to below 10^18."""
    links: Bytes
    """(n, 36): binary CIDs."""


class OtherFormError(Exception):
    """The index holds keys or links of another form than the new ones."""


def add_links(
    base: Base, form: ChunkForm, new: LinkArrays, nodes: NodeStore, limits: Limits
) -> list[Any] | bytes | None:
    """Write the index of ``base`` with new links; return its top node, or the link of that.

    It reads and writes the nodes that :func:`~ipldstore._format.index_tree.rebuild` does.

    :raises OtherFormError: if the base holds chunk keys of another form, or links of another size; nothing is written
    """
    leaves = list(index_tree.leaf_refs(CHUNKS, base, nodes.load, limits))
    firsts = [_numbers(form, child.ref.first) for child in leaves]
    chunks, ordered = new, _Ordered.of(new)
    codes = integers_of(codes_of(np.array(firsts, np.int64))) if firsts else []
    opened = _touched(leaves, codes, Codes(ordered.words), nodes)
    while True:
        if opened:
            chunks = _with_leaves(form, new, [leaves[at] for at in sorted(opened)], nodes)
            ordered = _Ordered.of(chunks)
        kept = [at for at in range(len(leaves)) if at not in opened]
        items = _Items.of(ordered, [firsts[at] for at in kept], [leaves[at].ref.size for at in kept])
        groups = split_codes(items.codes, items.counts, limits.leaf)
        joined = {
            kept[leaf]
            for start, stop in groups
            if stop - start > 1
            for leaf in items.leaf[start:stop].tolist()
            if leaf >= 0
        }
        if not joined:
            break
        opened |= joined  # a neighbour that now fits into the same leaf
    children = _write(form, chunks, ordered.rows, items, groups, [leaves[at].ref for at in kept], nodes)
    return index_tree.write_above(CHUNKS, children, nodes, limits)


def _numbers(form: ChunkForm, key: str) -> list[int]:
    found = form.numbers(key)
    if found is None:
        raise OtherFormError
    return found


class _Ordered(NamedTuple):
    """The order of chunks by their codes, each once."""

    rows: npt.NDArray[np.intp]
    """Positions of the chunks."""
    words: list[Words]
    """Their codes, in that order."""

    @classmethod
    def of(cls, chunks: LinkArrays) -> _Ordered:
        words = codes_of(chunks.coordinates)
        rows = order_of(words)
        for at, word in enumerate(words):
            words[at] = word[rows]
        is_last = np.ones(len(rows), np.bool_)
        np.any([word[1:] != word[:-1] for word in words], axis=0, out=is_last[:-1])
        if is_last.all():
            return cls(rows, words)
        return cls(rows[is_last], [word[is_last] for word in words])


def _touched(leaves: list[BoundedChild], firsts: list[int], codes: Codes, nodes: NodeStore) -> set[int]:
    """Return the positions of the leaves that new codes fall into or are nearest to; see ``index_tree._touched``."""
    if not leaves:
        return set()
    edges = [boundary(low, high) for low, high in pairwise(firsts)]
    at = [0, *codes.all_first_from(edges), len(codes)]
    touched = {leaf for leaf in range(len(leaves)) if at[leaf] < at[leaf + 1]}
    for leaf, found in enumerate(at[1:-1]):
        # A code between the edge and the next leaf; only in a foreign index the leaf before may reach there.
        if leaf in touched or found == len(codes) or codes[found] >= firsts[leaf + 1]:
            continue
        if index_tree.reaches(CHUNKS, leaves[leaf], _bytes_code(leaves[leaf], codes[found]), nodes.load):
            touched.add(leaf)
    return touched


def _bytes_code(child: BoundedChild, code: int) -> bytes:
    """Return a code as the index has it, without the key behind it."""
    axes = CHUNKS.code(child.ref.first)[0]
    return bytes([axes]) + code.to_bytes(8 * axes)


def _with_leaves(form: ChunkForm, new: LinkArrays, leaves: list[BoundedChild], nodes: NodeStore) -> LinkArrays:
    """Return the chunks of leaves, and the new ones behind them."""
    numbers: list[list[int]] = []
    links: list[bytes] = []
    for child in leaves:
        for key, link in index_tree.links_below(CHUNKS, child, nodes):
            if len(link) != CID_BYTES:
                raise OtherFormError
            numbers.append(_numbers(form, key))
            links.append(link)
    old = np.frombuffer(b"".join(links), np.uint8).reshape(-1, CID_BYTES)
    return LinkArrays(np.concatenate([np.array(numbers, np.int64), new.coordinates]), np.concatenate([old, new.links]))


class _Items(NamedTuple):
    """What leaves are split from, in order: single chunks, and leaves that stay as they are."""

    codes: Codes
    counts: npt.NDArray[np.int64]
    """The number of keys before each item, and at the end of all."""
    leaf: npt.NDArray[np.int64]
    """Position of the leaf; -1 for a chunk."""

    @classmethod
    def of(cls, chunks: _Ordered, firsts: list[list[int]], sizes: list[int]) -> _Items:
        """Return the items of chunks, and of leaves by their first keys."""
        count = len(chunks.rows)
        none = np.full(count, -1, np.int64)
        if not firsts:
            return cls(Codes(chunks.words), np.arange(count + 1), none)
        own = codes_of(np.array(firsts, np.int64))
        words = [
            np.concatenate([_word(chunks.words, at, count), _word(own, at, len(firsts))])
            for at in range(max(len(own), len(chunks.words)))
        ]
        order = order_of(words)
        leaf = np.concatenate([none, np.arange(len(firsts))])[order]
        size = np.concatenate([np.ones(count, np.int64), np.array(sizes, np.int64)])[order]
        return cls(Codes([word[order] for word in words]), np.concatenate([[0], np.cumsum(size)]), leaf)


def _word(words: list[Words], at: int, count: int) -> Words:
    return words[at] if at < len(words) else np.zeros(count, np.uint64)


def _write(
    form: ChunkForm,
    chunks: LinkArrays,
    rows: npt.NDArray[np.intp],
    items: _Items,
    groups: list[tuple[int, int]],
    kept: list[ChildRef],
    nodes: NodeStore,
) -> list[ChildRef]:
    """Write the leaves of groups of chunks; return references to all leaves in order."""
    is_kept = [int(items.leaf[start]) for start, _ in groups]
    sizes = [stop - start for (start, stop), leaf in zip(groups, is_kept, strict=True) if leaf < 0]
    blocks = encode_leaves(form, chunks.coordinates, chunks.links, rows, sizes)
    children, row = [], 0
    for (start, stop), leaf in zip(groups, is_kept, strict=True):
        if leaf >= 0:
            children.append(kept[leaf])
            continue
        first = form.key(chunks.coordinates[rows[row]].tolist())
        children.append(ChildRef(first, nodes.put_encoded(next(blocks)), stop - start))
        row += stop - start
    return children
