"""The cursor of an array gives what a lookup from the root gives, whatever changes meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from ipld_castore import MappingCAStore
from ipldstore import IPLDStore
from ipldstore._tree import lookup

METADATA = b'{"node_type":"array","zarr_format":3}'
KEYS = [f"c/{row}/{column}" for row in range(4) for column in range(60)]


@pytest.fixture
def store() -> IPLDStore:
    """Two frozen arrays with an index each, opened again."""
    written = IPLDStore()
    for array in ("a", "b/a"):
        written[f"{array}/zarr.json"] = METADATA
        written.mapping.update({f"{array}/{key}": f"{array} {key}".encode() for key in KEYS})
    return IPLDStore(written.castore, root=written.freeze())


def test_the_next_chunk_is_found_without_the_tree(store: IPLDStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk of the array that was read last; one of another array, and an absent key, is looked up from the root."""
    assert store["a/c/0/0"] == b"a c/0/0"
    asked: list[list[str]] = []
    find = lookup.find

    def noting(top: Any, parts: list[str], *rest: Any) -> Any:
        if top is store._data.tree.top:  # not a read that a test before has left behind in a thread of zarr
            asked.append(parts)
        return find(top, parts, *rest)

    monkeypatch.setattr(lookup, "find", noting)
    assert [store[f"a/{key}"] for key in KEYS] == [f"a {key}".encode() for key in KEYS]
    assert asked == []
    assert store["b/a/c/3/1"] == b"b/a c/3/1"
    assert store["b/a/c/3/2"] == b"b/a c/3/2"
    assert "a/c/9/9" not in store
    assert "b/a/c/9/9" not in store
    assert len(asked) == 3


def test_it_does_not_outlive_the_tree(store: IPLDStore) -> None:
    """A change, a freeze and another root each make another tree."""
    before = store.root_cid
    assert before is not None
    assert store["a/c/1/1"] == b"a c/1/1"
    store["a/c/1/1"] = b"new"
    assert store["a/c/1/1"] == b"new"
    assert store["a/c/1/2"] == b"a c/1/2"
    del store["a/c/1/2"]
    assert "a/c/1/2" not in store
    store.freeze()
    assert store["a/c/1/3"] == b"a c/1/3"
    assert store["a/c/1/1"] == b"new"
    assert "a/c/1/2" not in store
    store.set_root(before)
    assert store["a/c/1/1"] == b"a c/1/1"
    assert store["a/c/1/2"] == b"a c/1/2"


def test_a_chunk_key_of_too_many_parts(store: IPLDStore) -> None:
    """Refused also when it is set right after a chunk of the same array: no key has more than 64 parts."""
    for last in ("0", "1"):
        store[f"a/c/{last}"] = b"new"
    longest = "/".join(["a", "c", *["0"] * 62])
    store[longest] = b"long"
    store["a/c/2"] = b"new"
    with pytest.raises(ValueError, match="more than 64 parts"):
        store[f"{longest}/0"] = b"too long"
    assert store[longest] == b"long"
    assert f"{longest}/0" not in store


def test_an_index_above_comes_first() -> None:
    """A foreign root may hold a key in the indexes of two directories: the outer one counts, whatever was read last."""
    castore = MappingCAStore()
    link = {name: castore.put(name.encode()) for name in ("outer 1", "inner 1", "inner 2")}
    outer = castore.put({"0": {"1": link["outer 1"]}})
    inner = castore.put({"1": link["inner 1"], "2": link["inner 2"]})
    root = castore.put(
        {
            "a": {
                ".zarray": {},
                "__ipld_chunks__": [["0/1", outer, 1]],
                "0": {".zarray": {}, "__ipld_chunks__": [["1", inner, 2]]},
            }
        }
    )
    store = IPLDStore(castore, root=root)
    for _ in range(2):
        assert store["a/0/2"] == b"inner 2"
        assert store["a/0/1"] == b"outer 1"
