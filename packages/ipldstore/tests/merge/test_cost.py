"""What a diff and a merge of large roots read: the difference, and no chunk."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import numpy as np
import pytest
from ipld_car import cids
from ipld_castore import MappingCAStore
from ipldstore import IPLDStore
from ipldstore._links.arrays import set_links
from ipldstore._merge.diff import diff
from ipldstore._merge.merge import merge_roots

from ..support.store_samples import ObservedCAStore
from .roots import array_document, edited, group_document

SHAPE = (1000, 25, 40)
"""Of the grid of chunks: a million."""
CHANGED = 10


class Blocks(ObservedCAStore):
    """Counts the blocks that are read, each time."""

    def count(self) -> int:
        return len(self.got)


@pytest.fixture(scope="module")
def large() -> tuple[Blocks, bytes]:
    """A group with consolidated metadata and an array of a million chunks, whose blocks are not there."""
    castore = Blocks(MappingCAStore())
    store = IPLDStore(castore)
    store["zarr.json"] = group_document()
    store["a/zarr.json"] = array_document(SHAPE, (1, 1, 1))
    store["b/zarr.json"] = array_document((4,), (1,))
    points = np.indices(SHAPE).reshape(3, -1).T
    links = np.tile(np.frombuffer(cids.make(cids.RAW, bytes(32)), "u1"), (len(points), 1))
    links[:, 4:12] = np.arange(len(points), dtype=">u8").view("u1").reshape(-1, 8)
    set_links(store._data, "a", points, links)
    return castore, cids.to_bytes(store.freeze())


def with_chunks(castore: Blocks, root: bytes, seed: int) -> bytes:
    """Return a root with ten chunks that differ, anywhere."""
    generator = random.Random(seed)

    def edit(store: IPLDStore) -> None:
        for number in range(CHANGED):
            at = "/".join(str(generator.randrange(size)) for size in SHAPE)
            store[f"a/c/{at}"] = hashlib.sha256(f"{seed} {number}".encode()).digest()

    return edited(castore, root, edit)


def test_a_diff_of_a_million_chunks_reads_the_difference(large: tuple[Blocks, bytes]) -> None:
    castore, root = large
    changed = with_chunks(castore, root, 1)
    castore.forget()
    found = diff(castore, root, changed)
    assert castore.count() <= 60
    assert {cid.codec.name for cid in castore.got} == {"dag-cbor"}
    (node,) = found.nodes
    assert (node.path, node.chunks.count, len(node.chunks.changed)) == ("a", CHANGED, CHANGED)
    assert len(list(found.chunk_keys("a"))) == CHANGED


def test_a_merge_of_a_million_chunks_reads_the_differences(large: tuple[Blocks, bytes]) -> None:
    castore, root = large
    ours, theirs = (with_chunks(castore, root, seed) for seed in (1, 2))
    both = with_chunks(castore, ours, 2)
    castore.forget()
    merged = merge_roots(castore, [root], ours, theirs)
    assert merged.root == both
    assert castore.count() <= 150
    assert {cid.codec.name for cid in castore.got} == {"dag-cbor"}
    assert len(castore.put_cids) <= CHANGED + 3  # leaves, the top of the index, the array, the root


def test_an_array_of_a_million_chunks_is_added_by_its_link(large: tuple[Blocks, bytes]) -> None:
    castore, root = large

    def move(store: IPLDStore) -> None:
        store.move("a", "new")

    def title(store: IPLDStore) -> None:
        store["zarr.json"] = group_document(title="air")

    renamed, titled = edited(castore, root, move), edited(castore, root, title)
    castore.forget()
    found = diff(castore, root, renamed)
    assert [(node.path, node.change, node.chunks.count) for node in found.nodes] == [
        ("a", "deleted", 1_000_000),
        ("new", "added", 1_000_000),
    ]
    merged = merge_roots(castore, [root], renamed, titled)
    assert merged.root == edited(castore, renamed, title)
    assert castore.count() <= 20


def test_a_diff_names_ranges_and_not_single_chunks(large: tuple[Blocks, bytes]) -> None:
    castore, root = large

    def drop(store: IPLDStore) -> Any:
        for x in range(25):
            for y in range(40):
                del store[f"a/c/500/{x}/{y}"]

    found = diff(castore, root, edited(castore, root, drop))
    assert str(found) == "~ array a: chunks deleted [500, 0:25, 0:40]"
