"""What a diff names, as data and in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ipld_car import cids
from ipld_castore import MappingCAStore
from ipldstore import IPLDStore
from ipldstore._merge.diff import ChunkDiff, ChunkRange, Diff, KeyDiff, diff
from ipldstore._merge.nodes.grid import boxes_of

from .datasets import Maker
from .roots import array_document, group_document, root_of


@pytest.fixture(params=[(2, False), (3, True)], ids=["v2", "v3-consolidated"])
def make(request: pytest.FixtureRequest) -> Maker:
    return Maker(MappingCAStore(), *request.param)


def between(make: Maker, *edits: Any) -> Diff:
    base = make.base()
    return diff(make.castore, base, make.edited(base, *edits))


def test_an_append(make: Maker) -> None:
    found = between(make, make.append(4, 2))
    air, time = found.nodes
    assert (air.path, air.kind, air.change, air.shape) == ("air", "array", "changed", ((4, 3), (6, 3)))
    assert air.chunks == ChunkDiff(added=(ChunkRange((4, 0), (6, 1)),), count=2)
    assert str(time) == "~ array time: shape [4] -> [6]; chunks added [4:6]"
    assert len(list(found.chunk_keys())) == 4
    assert len(list(found.chunk_keys("air"))) == 2
    assert bool(found)


def test_attributes_and_metadata(make: Maker) -> None:
    base = make.edited(make.base(), make.set_attribute("air", "a", 1), make.set_attribute("air", "b", 2))

    def change(group: Any) -> None:
        del group["air"].attrs["a"]
        group["air"].attrs.update({"b": 2.0, "c": None})

    (air,) = diff(make.castore, base, make.edited(base, make.in_group(change))).nodes
    assert (air.attributes_removed, air.attributes_added) == ({"a": 1}, {"c": None})
    assert {name: repr(values) for name, values in air.attributes_changed.items()} == {"b": "(2, 2.0)"}
    assert str(air) == "~ array air: attributes + c=None; attributes - a=1; attributes ~ b 2 -> 2.0"


def test_other_metadata_is_named_by_field() -> None:
    castore = MappingCAStore()
    old = root_of(castore, {"a/zarr.json": array_document((4,), (2,), fill_value=0)})
    new = root_of(castore, {"a/zarr.json": array_document((4,), (1,), codecs=[])})
    (node,) = diff(castore, old, new).nodes
    assert set(node.metadata) == {"chunk_grid", "codecs", "fill_value"}
    assert node.metadata["fill_value"] == (0, None)


def test_nodes_added_deleted_and_replaced(make: Maker) -> None:
    def change(group: Any) -> None:
        del group["x"]
        below = group.create_group("g").create_group("h")
        below.create_array("a", shape=(4,), chunks=(1,), dtype="i4")[:] = 1
        del group["time"]
        group.create_group("time")

    found = between(make, make.in_group(change))
    assert [(node.path, node.kind, node.change) for node in found.nodes] == [
        ("g", "group", "added"),
        ("g/h", "group", "added"),
        ("g/h/a", "array", "added"),
        ("time", "group", "replaced"),
        ("x", "array", "deleted"),
    ]
    assert str(found).splitlines()[2] == "+ array g/h/a: shape [4]; 4 chunks"
    assert len(list(found.chunk_keys("g/h/a"))) == 4
    assert len(list(found.chunk_keys("x"))) == 1


def test_keys_of_no_node() -> None:
    castore = MappingCAStore()
    old = root_of(castore, {"zarr.json": group_document(), "a": b"1", "b/c": b"1", ".zattrs": b"{}"})
    new = root_of(castore, {"zarr.json": group_document(), "a": b"2", "b/d": b"1", "e/.zattrs": b"{}"})
    found = diff(castore, old, new)
    assert found.keys == (
        KeyDiff("a", "changed"),
        KeyDiff("b/c", "deleted"),
        KeyDiff("b/d", "added"),
        KeyDiff("e/.zattrs", "added"),
    )
    assert [str(node) for node in found.nodes] == ["~ group /: .zattrs {} -> nothing"]


def test_equal_roots_do_not_differ(make: Maker) -> None:
    base = make.base()
    found = diff(make.castore, base, base)
    assert not found
    assert (found.nodes, found.keys, str(found)) == ((), (), "")


def test_consolidated_metadata_are_named_where_nothing_else_differs() -> None:
    make = Maker(MappingCAStore(), 3, True)
    base = Maker(make.castore, 3, False).base()
    found = diff(make.castore, base, make.edited(base, make.in_group(lambda _: None)))
    assert [str(node) for node in found.nodes] == ["~ group /: consolidated metadata added"]
    both = between(make, make.set_attribute("air", "a", 1))
    assert [node.path for node in both.nodes] == ["air"]


def test_a_chunk_key_that_moves_into_an_index_does_not_differ() -> None:
    """Small arrays hold chunks in their directory, large ones in an index: growing changes the form of all keys."""
    castore = MappingCAStore()
    store = IPLDStore(castore)
    store["a/zarr.json"] = array_document((200,), (1,))
    for number in range(10):
        store[f"a/c/{number}"] = b"%d" % number
    old = cids.to_bytes(store.freeze())
    for number in range(10, 200):
        store[f"a/c/{number}"] = b"%d" % number
    del store["a/c/3"]
    store["a/c/4"] = b"four"
    (node,) = diff(castore, old, cids.to_bytes(store.freeze())).nodes
    assert str(node.chunks) == "chunks added [10:200]; chunks deleted [3]; chunks changed [4]"


def test_boxes_hold_just_their_points() -> None:
    generator = np.random.default_rng(0)
    for axes in (1, 2, 3):
        points = {tuple(map(int, point)) for point in generator.integers(0, 4, (30, axes))}
        boxes = boxes_of(points)
        inside = [
            tuple(map(int, point + np.array(box.start)))
            for box in boxes
            for point in np.argwhere(np.ones(np.subtract(box.stop, box.start)))
        ]
        assert sorted(inside) == sorted(points)
    assert len(boxes_of((x, y) for x in range(100) for y in range(100))) == 1
