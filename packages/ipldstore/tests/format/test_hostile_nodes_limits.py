"""The largest nodes that the format allows; lost blocks, endless listings, hostile values, and little stack."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
from ipld_car import cids
from ipld_castore import MappingCAStore
from ipldstore import IPLDStoreError
from ipldstore._canonical.canonicalize import canonicalize
from ipldstore._dataset.dataset import Dataset
from ipldstore._format.nodes import MAX_ROOT_BYTES
from multiformats import CID

from ..support import reference
from ..support.hostile import NODE, Blocks, V, leaf_of, nested
from ..support.reference import Link


def _dataset(root: Any, blocks: Blocks) -> Dataset:
    return Dataset(MappingCAStore(blocks.mapping), blocks.put(root))


def test_the_largest_that_is_allowed() -> None:
    blocks = Blocks()
    link = blocks.put(leaf_of("0"))
    for _ in range(7):
        link = blocks.put([["0", link, 1]])
    linked = blocks.put(nested(32, {"v": V}))
    big = blocks.put({".zattrs": {"x": "y" * ((2 << 20) - 60)}, "x": V})
    assert len(blocks.mapping[cids.to_text(big)]) == 2 << 20
    dataset = _dataset(
        {
            "eight": {"__ipld_chunks__": [["0", link, 1]]},
            "document": {".zattrs": nested(63, {"x": 1})},
            "big": big,
            "deep": nested(61, {"d": {"v": V, "e": V}}),
            "links": nested(30, linked),
            "empty": {},
        },
        blocks,
    )
    deep, links = "deep/" + "d/" * 62 + "v", "links/" + "d/" * 62 + "v"
    keys = ["eight/0", "document/.zattrs", "big/x", deep, deep[:-1] + "e", links]
    assert [key for key in keys if dataset.find(key) is None] == []
    assert sorted(dataset.keys()) == sorted([*keys, "big/.zattrs"])
    assert list(dataset.names("empty")) == []


def test_a_chunk_key_as_deep_as_keys_go() -> None:
    """The parts of the directory of the index and those in the leaf are 64 together."""
    blocks = Blocks()
    deepest = "/".join("0" * 62)
    leaf = blocks.put(leaf_of(deepest))
    parts = [[deepest, leaf, 1]]
    dataset = _dataset(nested(2, {"__ipld_chunks__": parts, ".zarray": {}}), blocks)
    assert dataset.read(f"d/d/{deepest}") == b"v"
    assert f"d/d/{deepest}" in list(dataset.keys())
    dataset = _dataset(nested(3, {"__ipld_chunks__": parts, ".zarray": {}}), blocks)
    assert dataset.find("d/d/d/0") is None  # no leaf is read for it
    named = cids.to_text(leaf)
    for listed in (dataset.keys(), dataset.keys("d/d/d/0/"), dataset.names("d/d/d"), dataset.names("d/d/d/0")):
        with pytest.raises(IPLDStoreError, match=named):
            list(listed)
    bad = blocks.put(leaf_of("5", deepest))
    dataset = _dataset(nested(3, {"__ipld_chunks__": [["5", bad, 2]], ".zarray": {}}), blocks)
    for path in ("d/d/d/5", "d/d/d/7"):
        with pytest.raises(IPLDStoreError, match=cids.to_text(bad)):
            dataset.find(path)


@pytest.mark.parametrize("more", [0, 1])
def test_a_root_of_64_mib(more: int) -> None:
    blocks = Blocks()
    root = {".zattrs": {"x": "y" * (MAX_ROOT_BYTES - 60 + more)}, "v": V}
    if more:
        with pytest.raises(IPLDStoreError, match="at most 67108864 bytes, found 67108865"):
            _dataset(root, blocks)
    else:
        assert _dataset(root, blocks).read("v") == b"v"


def test_a_flat_root_of_the_original_project() -> None:
    """One map of all keys, far larger than any node that is written now; a change makes it canonical."""
    blocks = Blocks()
    chunks = {f"{time}.{place}": V for time in range(300) for place in range(20)}
    dataset = _dataset({"a": {".zarray": {"zarr_format": 2}, **chunks}, ".zgroup": {"zarr_format": 2}}, blocks)
    assert dataset.read("a/299.19") == b"v"
    assert dataset.find("a/300.0") is None
    contents = {f"a/{name}": b"v" for name in chunks}
    contents |= {"a/.zarray": b'{"zarr_format":2}', ".zgroup": b'{"zarr_format":2}'}
    assert dict.fromkeys(dataset.keys()) == dict.fromkeys(contents)
    canonical = reference.build(contents).root
    dataset.write("a/0.0", b"w")
    dataset.freeze()
    dataset.write("a/0.0", b"v")
    assert dataset.freeze() == canonical
    other = _dataset({"a": {".zarray": {"zarr_format": 2}, **chunks}, ".zgroup": {}}, blocks)
    assert bytes(canonicalize(other, None, copy=True, progress=False).root) != canonical


def test_a_root_that_is_no_node() -> None:
    blocks = Blocks()
    root = blocks.put_block(reference.encode({"x": V}), 0x55)
    with pytest.raises(IPLDStoreError, match=cids.to_text(root)):
        Dataset(MappingCAStore(blocks.mapping), root)


@pytest.mark.parametrize("how", ["missing", "changed", "itself"])
def test_blocks_that_are_lost_are_named(how: str) -> None:
    """A store that lacks a block, has other bytes for it, or has an index node that links to itself."""
    blocks = Blocks()
    leaf = blocks.put(leaf_of("0"))
    below = blocks.put([["0", leaf, 1]])
    root = {"a": {"__ipld_chunks__": below, ".zarray": {}}, "free": V}
    dataset = _dataset(root, blocks)
    name = cids.to_text(below)
    if how == "missing":
        del blocks.mapping[name]
    else:
        lie = [["0", below, 1]] if how == "itself" else [["0", leaf, 2]]
        blocks.mapping[name] = reference.encode(lie)
    for _ in range(2):
        with pytest.raises(IPLDStoreError, match=name):
            dataset.read("a/0")
        with pytest.raises(IPLDStoreError, match=name):
            list(dataset.keys())
    assert dataset.read("free") == b"v"
    blocks.mapping[name] = reference.encode([["0", leaf, 1]])
    assert dataset.read("a/0") == b"v"  # errors are not cached


class CountingCAStore(MappingCAStore):
    reads = 0

    def get_block(self, cid: CID) -> bytes:
        self.reads += 1
        return super().get_block(cid)


def test_a_listing_of_2_to_the_63_keys_streams() -> None:
    """A few blocks name more keys than can be listed; some of them can."""
    blocks = Blocks()
    node = blocks.put({"x": V, "y": V})
    for _ in range(62):
        node = blocks.put({"a": node, "b": node})
    castore = CountingCAStore(blocks.mapping)
    dataset = Dataset(castore, node)
    assert len(set(islice(dataset.keys(), 1000))) == 1000
    assert sorted(dataset.names("")) == ["a", "b"]
    path = "/".join("ab" * 31)
    assert sorted(dataset.keys(path + "/")) == [f"{path}/x", f"{path}/y"]
    assert dataset.read(f"{path}/x") == b"v"
    dataset.delete_below("a")
    dataset.delete_below("b/a")
    assert next(dataset.keys()).startswith("b/b/")
    assert castore.reads < 100


def test_an_index_that_claims_2_to_the_60_keys_streams() -> None:
    blocks = Blocks()
    keys = [str(number) for number in range(100)]
    missing = reference.cid(0x71, b"nowhere")
    parts = [["0", blocks.put(leaf_of(*keys)), 100], ["100", missing, 2**60], ["1000", missing, 2**62]]
    dataset = _dataset({"a": {"__ipld_chunks__": parts, ".zarray": {}}}, blocks)
    found = dataset.keys()
    assert [next(found) for _ in range(101)] == ["a/.zarray", *(f"a/{key}" for key in keys)]
    with pytest.raises(IPLDStoreError, match=cids.to_text(missing)):
        next(found)
    assert dataset.read("a/99") == b"v"
    assert list(islice(dataset.names("a"), 50))
    assert list(dataset.names("")) == ["a"]


# -- UnixFS --


def _file(blocks: Blocks, children: list[tuple[Link, int]], size: int | None = None, kind: int = 2) -> Link:
    """Put the node of a UnixFS file over children with the sizes that the node gives."""
    links = [reference.field(2, reference.field(1, link) + reference.field(2, b"")) for link, _ in children]
    total = sum(length for _, length in children) if size is None else size
    message = reference.field(1, kind) + reference.field(3, total)
    message += b"".join(reference.field(4, length) for _, length in children)
    return blocks.put_block(b"".join(links) + reference.field(1, message), 0x70)


def _levels_of_files(blocks: Blocks, levels: int) -> tuple[Link, Link]:
    link, lowest = V, V
    for level in range(levels):
        link = _file(blocks, [(link, 1)])
        lowest = link if level == 0 else lowest
    return link, lowest


def _pair(link: Link) -> tuple[Link, Link]:
    return link, link


def _short_child(blocks: Blocks) -> tuple[Link, Link]:
    return _file(blocks, [(V, 2)]), V


def _lying_node(blocks: Blocks) -> tuple[Link, Link]:
    bad = _file(blocks, [(V, 1), (V, 1)])
    return _file(blocks, [(bad, 3)]), bad


UNIXFS: dict[str, Callable[[Blocks], tuple[Link, Link]]] = {
    "nine levels": lambda blocks: _levels_of_files(blocks, 9),
    "1,025 links": lambda blocks: _pair(_file(blocks, [(V, 1)] * 1025)),
    "a child shorter than said": _short_child,
    "a node shorter than said": _lying_node,
    "sizes that do not add up": lambda blocks: _pair(_file(blocks, [(V, 1)], 2)),
    "a directory": lambda blocks: _pair(_file(blocks, [(V, 1)], kind=1)),
    "a node for a child": lambda blocks: (_file(blocks, [(blocks.put({}), 1)]), NODE),
    "bytes that are no dag-pb": lambda blocks: _pair(blocks.put_block(b"\xff" * 10, 0x70)),
}


@pytest.mark.parametrize("name", UNIXFS)
def test_a_value_that_breaks_a_bound_is_named(name: str) -> None:
    blocks = Blocks()
    value, bad = UNIXFS[name](blocks)
    dataset = _dataset({"x": value, "zarr.json": value}, blocks)
    for key in ("x", "zarr.json"):
        with pytest.raises(IPLDStoreError, match=cids.to_text(bad)):
            dataset.read(key)


def test_a_value_within_the_bounds() -> None:
    blocks = Blocks()
    deep, _ = _levels_of_files(blocks, 8)
    wide = _file(blocks, [(V, 1)] * 1024)
    dataset = _dataset({"deep": deep, "wide": wide}, blocks)
    assert dataset.read("deep") == b"v"
    assert dataset.read("wide") == b"v" * 1024


# -- the stack of a thread --


def test_little_stack_gives_no_wrong_answer() -> None:
    """Near the end of the stack a lookup may fail, but finds no key absent, and no failure is cached."""
    blocks = Blocks()
    leaf = blocks.put(leaf_of("0"))
    names = {"n": blocks.put({"__ipld_chunks__": [["0", leaf, 1]], "zarr.json": nested(63, {"x": -0.0})})}
    castore = MappingCAStore(blocks.mapping)
    root = blocks.put({"g": {"__ipld_names__": [["n", blocks.put(names), 1]]}})
    outcomes = set()

    def deeper(frames: int) -> None:
        if frames:
            deeper(frames - 1)
            return
        for key in ("g/n/0", "g/n/zarr.json"):
            dataset = Dataset(castore, root)
            for _ in range(2):
                assert dataset.find(key) is not None
            assert dataset.read(key)
            assert len(list(dataset.keys())) == 2

    before = sys.getrecursionlimit()
    try:
        for room in range(20, 400, 4):
            sys.setrecursionlimit(before)
            here = len(_frames())
            sys.setrecursionlimit(here + room + 220)
            try:
                deeper(200)
            except (RecursionError, IPLDStoreError) as error:
                outcomes.add(type(error).__name__)
            else:
                outcomes.add("found")
    finally:
        sys.setrecursionlimit(before)
    assert "found" in outcomes
    assert outcomes - {"found"}


def _frames() -> list[Any]:
    frame: Any = sys._getframe()
    found = []
    while frame is not None:
        found.append(frame)
        frame = frame.f_back
    return found
