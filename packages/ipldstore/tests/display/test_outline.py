"""Outlines: what a hierarchy has, from metadata alone, as text and as HTML that nothing in it can break out of."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
import zarr
from ipld_castore import MappingCAStore
from ipldstore import IPLDStore
from ipldstore._display.html import outline_html
from ipldstore._display.outline import ArrayOutline, GroupOutline, outline
from ipldstore._display.text import outline_text
from multiformats import CID

HOSTILE = "<script>alert('1')<|script>\"&\n\x1b[31m"


class Recording(MappingCAStore):
    """A store in memory that notes which blocks were read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[CID] = []

    def get_block(self, cid: CID) -> bytes:
        self.read.append(cid)
        return super().get_block(cid)


@pytest.fixture(params=[2, 3])
def store(request: pytest.FixtureRequest) -> IPLDStore:
    """A dataset of a coordinate, a variable and a group in it."""
    store = IPLDStore(Recording())
    top = zarr.create_group(store, zarr_format=request.param, attributes={"title": HOSTILE})
    for name, shape in (("time", (6,)), ("t2m", (6, 4))):
        array = top.create_array(name, shape=shape, chunks=shape[:1] + (2,) * (len(shape) - 1), dtype="f4")
        array.attrs["_ARRAY_DIMENSIONS"] = ["time", "x"][: len(shape)]
        array[:] = np.ones(shape)
    below = top.create_group("model/run")
    below.create_array(HOSTILE, shape=(2,), dtype="i2")[:] = 1
    store.freeze()
    return store


def test_an_outline_has_groups_arrays_and_sizes(store: IPLDStore) -> None:
    found = outline(store)
    assert isinstance(found, GroupOutline)
    assert [array.path for array in found.all_arrays] == ["t2m", "time", f"model/run/{HOSTILE}"]
    assert [group.path for group in found.walk()] == ["", "model", "model/run"]
    assert found.sizes == {"time": 6, "x": 4}
    t2m = found.arrays[0]
    assert (t2m.shape, t2m.chunks, t2m.chunk_count, t2m.nbytes) == ((6, 4), (6, 2), 2, 96)
    assert [array.is_coordinate for array in found.arrays] == [False, True]
    assert "_ARRAY_DIMENSIONS" not in t2m.attributes


def test_an_outline_of_a_path(store: IPLDStore) -> None:
    below = outline(store, "model")
    assert isinstance(below, GroupOutline)
    assert [group.path for group in below.walk()] == ["model", "model/run"]
    assert isinstance(outline(store, "t2m"), ArrayOutline)
    assert outline(store, "nothing") is None


def test_no_chunk_is_read(store: IPLDStore) -> None:
    castore = store.castore
    assert isinstance(castore, Recording)
    castore.read.clear()
    again = IPLDStore(castore, root=store.root_cid)
    assert "t2m" in again.info()
    assert "t2m" in again._repr_html_()
    assert castore.read
    assert [cid for cid in castore.read if cid.codec.name == "raw"] == []


def test_nothing_that_was_not_frozen_is_frozen() -> None:
    store = IPLDStore()
    zarr.create_array(store, name="a", shape=(2,), dtype="i4")
    assert "changes that are not frozen" in store._repr_html_()
    assert store.has_changes


def test_the_codecs_of_an_array_and_its_shards_are_named() -> None:
    store = IPLDStore()
    zarr.create_array(store, name="a", shape=(8, 8), chunks=(2, 2), shards=(4, 4), dtype="i4")
    text = store.info("a")
    assert "Shards: 4 of (4, 4)" in text
    assert "Chunks: (2, 2)" in text
    assert "zstd" in text


def test_an_outline_is_bounded() -> None:
    store = IPLDStore()
    group = zarr.create_group(store)
    for number in range(5):
        group.create_group(f"g{number}")
    found = outline(store, max_nodes=3)
    assert isinstance(found, GroupOutline)
    assert (len(found.groups), found.truncated) == (3, True)
    assert "and more" in outline_text(found)
    assert "and more" in "".join(outline_html(found))


class Tags(HTMLParser):
    """Collects the tags of a page, and checks that each one that is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        self.seen.add(tag)
        self.open.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_names_and_attributes_are_escaped(store: IPLDStore) -> None:
    """They come from whoever made the dataset: no script, and no control character of a terminal."""
    tags = Tags()
    tags.feed(store._repr_html_())
    assert tags.open == []
    assert "script" not in tags.seen
    assert "details" in tags.seen
    text = store.info()
    assert "\x1b" not in text
    assert "\\x1b" in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_store_that_cannot_be_read_shows_why() -> None:
    """A notebook shows the error in the box: a representation that raises is none."""
    castore = MappingCAStore()
    store = IPLDStore(castore)
    zarr.create_group(store, attributes={"long": "x" * 40_000})  # a document in a block of its own
    root = store.freeze()
    (document,) = set(castore) - {root}
    castore.delete_block(document)
    assert "BlockMissingError" in IPLDStore(castore, root=root)._repr_html_()


@pytest.mark.parametrize("keys", [{}, {"a/0": b"bytes"}])
def test_what_is_no_zarr_hierarchy_says_so(keys: dict[str, bytes]) -> None:
    store = IPLDStore()
    store.mapping.update(keys)
    assert "no zarr group or array" in store._repr_html_()
    assert store.info() == "(no zarr group or array)"
