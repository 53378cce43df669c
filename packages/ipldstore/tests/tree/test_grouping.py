"""Many changes at once give the root that each alone gives: links of one array go into its index together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ipld_car import cids, hashes
from ipldstore import MappingCAStore
from ipldstore._dataset.dataset import Dataset
from ipldstore._format.limits import LIMITS
from ipldstore._links.batch import LinkBatch

SMALL = LIMITS._replace(inline=120, leaf=5, children=4)


def v2(axes: int, separator: str = ".") -> Any:
    return {"zarr_format": 2, "shape": [9] * axes, "dimension_separator": separator}


def v3(axes: int, name: str = "default", separator: str = "/") -> Any:
    encoding = {"name": name, "configuration": {"separator": separator}}
    return {"zarr_format": 3, "node_type": "array", "shape": [9] * axes, "chunk_key_encoding": encoding}


DOCUMENTS: Mapping[str, Any] = {
    "a/.zarray": v2(2),
    "a/zarr.json": v3(2),
    "b/zarr.json": v3(1, "v2", "."),
    "p/0/.zarray": v2(2, "/"),
    "p/zarr.json": {"zarr_format": 3, "node_type": "group"},
    "scalar/zarr.json": v3(0),
    "odd/zarr.json": v3(1, "fanout"),
    ".zarray": v2(1),
    "broken/.zarray": {"shape": 3},
}
NUMBERS = st.integers(0, 12)
CHUNKS = st.one_of(
    st.builds("a/c/{}/{}".format, NUMBERS, NUMBERS),
    st.builds("a/{}.{}".format, NUMBERS, NUMBERS),
    st.builds("b/{}".format, NUMBERS),
    st.builds("p/0/{}/{}".format, NUMBERS, NUMBERS),
    st.builds("p/{}/{}".format, NUMBERS, NUMBERS),
    st.builds("none/c/{}".format, NUMBERS),
    st.builds("{}".format, NUMBERS),
    st.sampled_from(["scalar/c", "odd/c/1", "broken/1", "a/01.1", "a/text", "c", "c/c"]),
)


def link(number: int) -> bytes:
    return cids.make(cids.RAW, hashes.sha2_256(number.to_bytes(8)))


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in draw(st.lists(CHUNKS, max_size=60)):
        found[key] = None if draw(st.integers(0, 9)) == 0 else link(len(found))
    for key in draw(st.lists(st.sampled_from(list(DOCUMENTS)), max_size=6)):
        found[key] = None if draw(st.integers(0, 9)) == 0 else DOCUMENTS[key]
    return dict(draw(st.permutations(list(found.items()))))


@settings(max_examples=60)
@given(st.lists(changes(), min_size=1, max_size=3))
def test_the_root_is_that_of_single_changes(steps: list[dict[str, Any]]) -> None:
    one, other = (Dataset(MappingCAStore(), limits=SMALL) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ipldstore._dataset.concurrent_tree._BULK", 4)
        for step in steps:
            for key, target in step.items():
                one.apply({key: target})
            other.apply(step)
            assert dict(one.items()) == dict(other.items())
        assert one.freeze() == other.freeze()


def test_many_links_are_set_as_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the sizes of the format: the links of an array leave the dict of changes for its index."""
    one, other = Dataset(MappingCAStore()), Dataset(MappingCAStore())
    metadata = json.dumps(v3(2)).encode()
    batch = LinkBatch(other)
    calls: list[int] = []
    put_links = type(other.tree._tree).put_links

    def count(self: Any, parts: list[str], form: Any, new: Any) -> bool:
        calls.append(len(new.links))
        return bool(put_links(self, parts, form, new))

    monkeypatch.setattr(type(other.tree._tree), "put_links", count)
    one.write("a/zarr.json", metadata)
    for number in range(17_000):
        key = f"a/c/{number // 100}/{number % 100}"
        one.tree.put(key, link(number), one.tree.next_chunk(key))
        batch.add(key, link(number))
    batch.add("a/zarr.json", v3(2))
    assert list(other.items()) == []
    batch.flush()
    assert one.freeze() == other.freeze()
    assert calls == [17_000]
