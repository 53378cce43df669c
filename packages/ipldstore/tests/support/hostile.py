"""Blocks that no writer makes, and the errors that a dataset must raise for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ipld_car import cids
from ipld_castore import MappingCAStore
from ipldstore import IPLDStoreError
from ipldstore._dataset.dataset import Dataset
from ipldstore._dataset.roots import set_root

from . import reference
from .reference import Link

V = reference.cid(0x55, b"v")
"""The link of a value."""
NODE = reference.cid(0x71, b"\xa0")
"""The link of an empty directory."""
DAG_JSON = Link(b"\x01\xa9\x02\x12\x20" + bytes(32))
"""A link that is neither a value nor a node."""


class Blocks:
    """Blocks in memory, for hostile roots."""

    def __init__(self) -> None:
        self.mapping: dict[str, bytes] = {}
        self.put_block(b"v", 0x55)
        self.put({})

    def put_block(self, block: bytes, codec: int = 0x71) -> Link:
        link = reference.cid(codec, block)
        self.mapping[cids.to_text(link)] = block
        return link

    def put(self, node: Any) -> Link:
        return self.put_block(reference.encode(node))


class Case:
    """A root, its bad block, and keys whose lookup reads the bad block.

    :param free: a key whose lookup does not
    """

    def __init__(self, root: Link, bad: Link, *keys: str, free: str | None = None) -> None:
        self.root = root
        self.bad = bad
        self.keys = keys
        self.free = free


Make = Callable[[Blocks], Case]


def nested(depth: int, innermost: Any) -> Any:
    """Return nested maps; ``depth`` parts lead to the innermost."""
    for _ in range(depth):
        innermost = {"d": innermost}
    return innermost


def leaf_of(*keys: str) -> dict[str, Any]:
    return reference.plain_map({tuple(key.split("/")): V for key in keys})


def assert_named(make: Make) -> None:
    """Assert that the error of each key that leads through the bad block names it, and that other keys are read."""
    blocks = Blocks()
    made = make(blocks)
    castore = MappingCAStore(blocks.mapping)
    named = cids.to_text(made.bad)
    if made.root == made.bad:
        with pytest.raises(IPLDStoreError, match=named):
            Dataset(castore, made.root)
        dataset = Dataset(castore)
        dataset.write("free", b"v")
        with pytest.raises(IPLDStoreError, match=named):
            set_root(dataset, made.root, "trying it", discard_changes=True)
        assert list(dataset.keys()) == ["free"]  # it has stayed where it was
        return
    dataset = Dataset(castore, made.root)
    for key in made.keys:
        with pytest.raises(IPLDStoreError, match=named):
            dataset.read(key)
    if not reference.DOCUMENTS.issuperset(made.keys):  # linked documents are not read to list keys
        with pytest.raises(IPLDStoreError, match=named):
            list(dataset.keys())
    if made.free is not None:
        assert dataset.read(made.free) == (b"v" if made.free == "free" else None)
