"""Indexes that break a bound of the format: each is an error that names the block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ..support import reference
from ..support.hostile import DAG_JSON, NODE, Blocks, Case, Make, V, assert_named, leaf_of, nested
from ..support.reference import Link

CASES: dict[str, Make] = {}


def _add(name: str, make: Make) -> None:
    assert name not in CASES
    CASES[name] = make


def _chunks(name: str, make: Callable[[Blocks], tuple[Any, Link | None]], *keys: str) -> None:
    """Add a bad chunk index: its top node or the link of that, and its bad block; None for the directory's own."""

    def case(blocks: Blocks) -> Case:
        parts, bad = make(blocks)
        directory = blocks.put({"__ipld_chunks__": parts, "zarr.json": {"node_type": "array"}})
        root = blocks.put({"a": directory, "free": V})
        found = keys or ("0", "1", "c/0/0")
        return Case(root, bad or directory, *(f"a/{key}" for key in found), free="free")

    _add(f"chunks: {name}", case)


def _names(name: str, make: Callable[[Blocks], tuple[Any, Link | None]], *keys: str) -> None:
    def case(blocks: Blocks) -> Case:
        parts, bad = make(blocks)
        directory = blocks.put({"__ipld_names__": parts, "free": V})
        root = blocks.put({"g": directory, "free": V})
        return Case(root, bad or directory, *(f"g/{key}" for key in keys or ("a", "b")), free="free")

    _add(f"names: {name}", case)


def _embedded(parts: Callable[[Blocks], Any]) -> Callable[[Blocks], tuple[Any, Link | None]]:
    """A bad top node, embedded."""
    return lambda blocks: (parts(blocks), None)


def _linked(parts: Callable[[Blocks], Any]) -> Callable[[Blocks], tuple[Any, Link | None]]:
    """A bad top node that is a block of its own."""

    def make(blocks: Blocks) -> tuple[Any, Link | None]:
        bad = blocks.put(parts(blocks))
        return bad, bad

    return make


def _bad_leaf(leaf: Any, first: str = "0", count: int = 1, *others: str) -> Callable[[Blocks], tuple[Any, Link | None]]:
    """A leaf that is bad, or not what its reference says; ``others`` are the first keys of the leaves behind it."""

    def make(blocks: Blocks) -> tuple[Any, Link | None]:
        bad = blocks.put(leaf)
        behind = [[other, blocks.put(leaf_of(other)), 1] for other in others]
        return [[first, bad, count], *behind], bad

    return make


for label, parts in {
    "no children": lambda _: [],
    "a child that is no list": lambda _: [{"0": V}],
    "a child of two": lambda blocks: [["0", blocks.put(leaf_of("0"))]],
    "a child of four": lambda blocks: [["0", blocks.put(leaf_of("0")), 1, 1]],
    "a child whose key is a number": lambda blocks: [[0, blocks.put(leaf_of("0")), 1]],
    "a child whose key is none of its index": lambda blocks: [["zarr.json", blocks.put(leaf_of("0")), 1]],
    "a child with a map for a link": lambda _: [["0", leaf_of("0"), 1]],
    "a child with the link of a value": lambda _: [["0", V, 1]],
    "a count of zero": lambda blocks: [["0", blocks.put(leaf_of("0")), 0]],
    "a negative count": lambda blocks: [["0", blocks.put(leaf_of("0")), -1]],
    "a count that is true": lambda blocks: [["0", blocks.put(leaf_of("0")), True]],
    "a count that is a float": lambda blocks: [["0", blocks.put(leaf_of("0")), 1.0]],
    "a count that is null": lambda blocks: [["0", blocks.put(leaf_of("0")), None]],
    "children out of order": lambda blocks: [["1", blocks.put(leaf_of("1")), 1], ["0", blocks.put(leaf_of("0")), 1]],
    "a child twice": lambda blocks: [["0", blocks.put(leaf_of("0")), 1]] * 2,
}.items():
    _chunks(f"{label}, embedded", _embedded(parts))
    _chunks(f"{label}, linked", _linked(parts))
    _names(f"{label}, embedded", _embedded(parts))
    _names(f"{label}, linked", _linked(parts))

_chunks("children in the order of their texts", _embedded(lambda _: [["10", NODE, 1], ["2", NODE, 1]]))
_chunks("children in the order of their numbers only", _embedded(lambda _: [["5/0", NODE, 1], ["9", NODE, 1]]))
_chunks("a leaf where the top node must be", lambda blocks: (blocks.put(leaf_of("0")),) * 2)
_names("a leaf where the top node must be", lambda blocks: (blocks.put({"a": V}),) * 2)

_chunks("more keys than its reference says", _bad_leaf(leaf_of("0", "1")))
_chunks("fewer keys than its reference says", _bad_leaf(leaf_of("0"), "0", 2))
_chunks("another first key", _bad_leaf(leaf_of("1"), "0", 1))
_chunks("keys before the first", _bad_leaf(leaf_of("0", "1"), "1", 2), "1", "2")
_chunks("a leaf without keys", _bad_leaf({}))
_chunks("a leaf with empty maps only", _bad_leaf({"c": {"0": {}}}))
_chunks("keys of the next child", _bad_leaf(leaf_of("0", "3"), "0", 2, "2"), "0", "1")
_chunks("the first key of the next child", _bad_leaf(leaf_of("0", "2"), "0", 2, "2"), "0", "1")
_names("more keys than its reference says", _bad_leaf({"a": V, "b": V}, "a"))
_names("fewer keys than its reference says", _bad_leaf({"a": V}, "a", 2))
_names("another first key", _bad_leaf({"b": V}, "a", 1))
_names("keys of the next child", _bad_leaf({"a": V, "c": V}, "a", 2, "b"), "a", "aa")

CHUNK_LEAVES: dict[str, dict[str, Any]] = {
    "a key that is none": {"x": V},
    "a key with a leading zero": {"01": V},
    "a number of 19 digits": {"1" * 19: V},
    "digits that are not ASCII": {"\u0661": V},
    "c alone": {"c": V},
    "c with its own value": {"c": {"0": V, "__ipld_value__": V}},
    "a dotted and a nested key mixed": {"c": {"1.2": V}},
    "a slash in a key": {"c/1": V},
    "a key of 256 bytes": reference.plain_map({("1" * 18,) * 13 + ("1" * 9,): V}),
    "a link of a node": {"1": NODE},
    "a linked directory": {"c": NODE},
    "a number": {"1": 1},
    "a text": {"1": "v"},
    "a list": {"1": [V]},
    "null": {"1": None},
    "an index": {"__ipld_chunks__": [["1", NODE, 1]]},
    "an empty index": {"__ipld_chunks__": {}},
    "an index inside": {"1": {"__ipld_names__": [["1", NODE, 1]]}},
    "a name of a newer version": {"1": {"__ipld_next__": {}}},
    "its own value": {"__ipld_value__": V},
    "a value that is a map": {"1": {"__ipld_value__": {"0": V}}},
    "a value that is a node": {"1": {"__ipld_value__": NODE}},
    "a document": {"zarr.json": {"node_type": "array"}},
    "an empty document": {".zattrs": {}},
    "a document inside": {"1": {".zarray": {}}},
    "a document's exact bytes": {"zarr.json": V},
    "an empty map at ..": {"1": {"..": {}}},
    "an empty map at nothing": {"1": {"": {}}},
    "an empty map at a/b": {"1": {"a/b": {}}},
    "an empty map with NUL": {"1": {"\0": {}}},
    "an empty map at 256 bytes": {"x" * 256: {}},
    "an empty map 64 parts down": {"1": nested(62, {})},
    "a document with a link": {".zattrs": {"x": V}},
}
for label, entries in CHUNK_LEAVES.items():
    count = 1 + sum(isinstance(item, Link) for item in entries.values())
    _chunks(f"a leaf with {label}", _bad_leaf({"0": V, **entries}, "0", count))

NAME_LEAVES: dict[str, dict[str, Any]] = {
    "an embedded directory": {"b": {"c": V}},
    "an empty map": {"b": {}},
    "a document": {"zarr.json": {}},
    "a document's link": {"zarr.json": NODE},
    "a document's exact bytes": {".zarray": V},
    "an index": {"__ipld_chunks__": NODE},
    "a value of the directory": {"__ipld_value__": V},
    "a name with a slash": {"b/c": V},
    "a name with NUL": {"b\0": V},
    "a name of 256 bytes": {"b" * 256: V},
    "..": {"..": V},
    "no name": {"": V},
    "a number": {"b": 1},
    "another codec": {"b": DAG_JSON},
}
for label, entries in NAME_LEAVES.items():
    _names(f"a leaf with {label}", _bad_leaf({"a": V, **entries}, "a", 2), "a", "bb")


def _levels(most: int, *, kind: str) -> Callable[[Blocks], tuple[Any, Link | None]]:
    """A leaf below so many index nodes, which is one too many, or far too many."""

    def make(blocks: Blocks) -> tuple[Any, Link | None]:
        first = "0" if kind == "chunks" else "a"
        link = blocks.put(leaf_of("0") if kind == "chunks" else {"a": V})
        lists = []
        for _ in range(most - 1):
            link = blocks.put([[first, link, 1]])
            lists.append(link)
        return [[first, link, 1]], lists[-8]

    return make


for most in (9, 20, 100_000):
    _chunks(f"{most} levels of index nodes", _levels(most, kind="chunks"), "0", "1")
    _names(f"{most} levels of index nodes", _levels(most, kind="names"), "a", "b")


def _bad_index_node(count: int, *firsts: str) -> Callable[[Blocks], tuple[Any, Link | None]]:
    """An index node that is not what the index node above it says."""

    def make(blocks: Blocks) -> tuple[Any, Link | None]:
        bad = blocks.put([[first, blocks.put(leaf_of(first)), 1] for first in firsts])
        return [["0", bad, count], ["5", blocks.put(leaf_of("5")), 1]], bad

    return make


_chunks("an index node with fewer keys than said", _bad_index_node(3, "0", "1"), "0", "1")
_chunks("an index node with more keys than said", _bad_index_node(1, "0", "1"), "0", "1")
_chunks("an index node with another first key", _bad_index_node(2, "1", "2"), "0", "1")
_chunks("an index node that reaches into the next child", _bad_index_node(2, "0", "5"), "0", "1")
_chunks("an index node that reaches behind the next child", _bad_index_node(2, "0", "6"), "0", "1")


def _leaf_below_reaches(blocks: Blocks) -> tuple[Any, Link | None]:
    bad = blocks.put(leaf_of("1", "7"))
    below = blocks.put([["0", blocks.put(leaf_of("0")), 1], ["1", bad, 2]])
    return [["0", below, 3], ["5", blocks.put(leaf_of("5")), 1]], bad


_chunks("a leaf that reaches behind the next child of the node above", _leaf_below_reaches, "1", "2")


@pytest.mark.parametrize("name", CASES)
def test_a_node_that_breaks_a_bound_is_named(name: str) -> None:
    assert_named(CASES[name])
