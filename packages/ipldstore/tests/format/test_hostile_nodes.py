"""Directories and documents that break a bound of the format: each is an error that names the block.

It is never another exception, a wrong answer or a hang, and keys that do not lead through the block are not affected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ..support import reference
from ..support.hostile import DAG_JSON, NODE, Blocks, Case, Make, V, assert_named, nested
from ..support.reference import Link

CASES: dict[str, Make] = {}


def _add(name: str, make: Make) -> None:
    assert name not in CASES
    CASES[name] = make


def _bad_directory(name: str, entries: dict[str, Any]) -> None:
    """Add a bad map as a block of its own, and embedded in the root."""

    def as_block(blocks: Blocks) -> Case:
        bad = blocks.put({**entries, "good": V})
        return Case(blocks.put({"d": bad, "free": V}), bad, "d/good", "d/x", free="free")

    def embedded(blocks: Blocks) -> Case:
        root = blocks.put({"good": V, "d": {"e": {**entries, "good": V}}})
        return Case(root, root, "good", "d/e/good", "x")

    _add(f"{name}, in a block", as_block)
    _add(f"{name}, embedded", embedded)


def _bad_root(name: str, node: Any) -> None:
    def as_root(blocks: Blocks) -> Case:
        root = blocks.put(node)
        return Case(root, root, "good")

    _add(name, as_root)


for bad_name in ("a/b", "", ".", "..", "a\0", "x" * 256, "é" * 128, "__ipld_", "__ipld_next__"):
    _bad_directory(f"the name {bad_name[:20]!r}", {bad_name: V})
    _bad_directory(f"the name {bad_name[:20]!r} of an empty map", {bad_name: {}})
for label, wrong in {
    "an integer": 1, "a text": "x", "a list": [], "null": None, "true": True, "a float": 0.5,
    "a dag-json link": DAG_JSON,
    "a link of many codecs": Link(b"\x01\x78\x12\x20" + bytes(32)),
}.items():  # fmt: skip
    _bad_directory(f"{label} as entry", {"x": wrong})
    _bad_directory(f"{label} as value of a directory", {"__ipld_value__": wrong})
    _bad_directory(f"{label} as document", {"zarr.json": wrong})
    _bad_directory(f"{label} as names", {"__ipld_names__": wrong})
    _bad_directory(f"{label} as chunks", {"__ipld_chunks__": wrong})
_bad_directory("a map as value of a directory", {"__ipld_value__": {}})
_bad_directory("a link of a node as value of a directory", {"__ipld_value__": NODE})
_bad_directory("a map as chunks", {"__ipld_chunks__": {}})
_bad_directory("a map as names", {"__ipld_names__": {"x": V}})
_bad_directory("a link of a value as chunks", {"__ipld_chunks__": V})
_bad_directory("a link of a value as names", {"__ipld_names__": V})
_bad_directory("a link in a document", {".zattrs": {"x": [{"y": V}]}})
_bad_directory("a document 65 deep", {".zattrs": nested(64, {})})
_bad_root("the value of the root", {"__ipld_value__": V, "good": V})
_bad_root("a list as root", [["good", V]])
_bad_root("a link as root", V)
_bad_root("a text as root", "good")
_bad_root("a directory 64 parts down", {"good": V, **nested(64, {})})
_bad_root("a directory with keys 64 parts down", {"good": V, **nested(64, {"x": V})})


def _linked_too_deep(blocks: Blocks) -> Case:
    bad = blocks.put(nested(24, {"x": V}))
    return Case(blocks.put({"free": V, **nested(40, bad)}), bad, "/".join("d" * 41), "/".join("d" * 64), free="free")


def _links_too_deep(blocks: Blocks) -> Case:
    node = bad = blocks.put({"x": V})
    for _ in range(64):
        node = blocks.put({"d": node})
    return Case(node, bad, "/".join("d" * 64), free="x")


def _links_far_too_deep(blocks: Blocks) -> Case:
    node = V
    chain = []
    for _ in range(20_000):
        node = blocks.put({"d": node})
        chain.append(node)
    return Case(node, chain[-65], "/".join("d" * 64), free="x")


_add("directories too deep through a link", _linked_too_deep)
_add("directories too deep, each a link", _links_too_deep)
_add("20,000 directories, each a link", _links_far_too_deep)


def _linked(name: str, make: Callable[[Blocks], Link], at: str = "d", *keys: str) -> None:
    """Add a block that is linked from an entry but is no directory, or from a document's name but is no document."""

    def case(blocks: Blocks) -> Case:
        bad = make(blocks)
        return Case(blocks.put({at: bad, "free": V}), bad, *(keys or ("d/x", "d")), free="free")

    _add(name, case)


_linked("a list where a directory must be", lambda blocks: blocks.put([["x", V, 1]]))
_linked("a text where a directory must be", lambda blocks: blocks.put("x"))
_linked("a link where a directory must be", lambda blocks: blocks.put(V))
_linked("a list where a document must be", lambda blocks: blocks.put([]), "zarr.json", "zarr.json")
_linked("a linked document with a link", lambda blocks: blocks.put({"x": V}), "zarr.json", "zarr.json")
_linked("a linked document 65 deep", lambda blocks: blocks.put(nested(64, [])), "zarr.json", "zarr.json")
_linked("a node over 2 MiB", lambda blocks: blocks.put({".zattrs": {"x": "y" * (2 << 20)}, "x": V}))
_linked("a document over 2 MiB", lambda blocks: blocks.put({"x": "y" * (2 << 20)}), ".zattrs", ".zattrs")
_linked("maps nested 257 deep", lambda blocks: blocks.put({".zattrs": nested(256, 1), "x": V}))
_linked("maps nested 600,000 deep", lambda blocks: blocks.put_block(b"\xa1\x61d" * 600_000 + b"\xa0"))
_linked("lists nested a million deep", lambda blocks: blocks.put_block(b"\x81" * 1_000_000 + b"\x80"))

# Blocks that are nearly DAG-CBOR: {"x": link}, but for what the label says.
GOOD = reference.encode({"x": V})
for label, block in {
    "bytes behind": GOOD + b"\0",
    "cut": GOOD[:-1],
    "nothing": b"",
    "an indefinite map": b"\xbf" + GOOD[1:] + b"\xff",
    "an indefinite text": b"\xa1\x7f\x61x\xff" + reference.encode(V),
    "a longer head than needed": b"\xb8\x01" + GOOD[1:],
    "a name twice": b"\xa2" + GOOD[1:] * 2,
    "names out of order": b"\xa2" + reference.encode("y") + reference.encode(V) + GOOD[1:],
    "names in the order of texts": b"\xa2" + b"".join(reference.encode(item) for item in ("aa", V, "b", V)),
    "a name that is no text": b"\xa1\x01" + reference.encode(V),
    "a byte string": b"\xa1\x61x\x41v",
    "a byte string that is a CID": b"\xa1\x61x\x58\x24" + V,
    "a name that is no UTF-8": b"\xa1\x61\xff" + reference.encode(V),
    "a lone surrogate": b"\xa1\x63\xed\xa0\x80" + reference.encode(V),
    "a tag that is not 42": b"\xa1\x61x\xd8\x2b" + reference.encode(V)[2:],
    "a link without its zero": b"\xa1\x61x\xd8\x2a\x58\x24" + V,
    "a link with bytes behind": b"\xa1\x61x\xd8\x2a\x58\x27\0" + V + b"\0\0",
    "a link that is cut": b"\xa1\x61x\xd8\x2a\x58\x24\0" + V[:-1],
    "undefined": b"\xa1\x67.zattrs\xa1\x61x\xf7",
    "NaN": b"\xa1\x67.zattrs\xa1\x61x\xfb\x7f\xf8" + bytes(6),
    "infinity": b"\xa1\x67.zattrs\xa1\x61x\xfb\x7f\xf0" + bytes(6),
    "a short float": b"\xa1\x67.zattrs\xa1\x61x\xf9\x3c\x00",
    "a declared length of 2^60": b"\xbb\x10" + bytes(7),
}.items():
    _linked(f"not DAG-CBOR: {label}", lambda blocks, block=block: blocks.put_block(block))  # type: ignore[misc]  # a lambda with defaults


@pytest.mark.parametrize("name", CASES)
def test_a_node_that_breaks_a_bound_is_named(name: str) -> None:
    assert_named(CASES[name])
