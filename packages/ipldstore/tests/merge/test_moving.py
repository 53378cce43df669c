"""Nodes that are moved, grafted and named by CID: no chunk is rewritten, and roots are canonical."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import cids
from ipld_castore import FileSystemCAStore, MappingCAStore
from ipldstore import IPLDStore, IPLDStoreError
from ipldstore._dataset.dataset import Dataset
from ipldstore._merge import moving

from ..support.store_samples import ObservedCAStore
from .datasets import xarray, zarr
from .roots import SMALL, array_document, contents_of, root_of

PARTS = st.sampled_from(["a", "b", "0", "1", "c"])
KEYS = st.builds(
    lambda parts, last: "/".join([*parts, last]),
    st.lists(PARTS, max_size=3),
    st.sampled_from(["zarr.json", ".zarray", "0", "1", "0.1", "note"]),
)
CONTENTS = st.dictionaries(KEYS, st.sampled_from([b"1", b"2", array_document((4, 4), (1, 1)), b"\xff"]), max_size=12)
PATHS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)


def below(contents: dict[str, bytes], path: str) -> dict[str, bytes]:
    prefix = f"{path}/" if path else ""
    return {key.removeprefix(prefix): value for key, value in contents.items() if key.startswith(prefix)}


def opened(castore: MappingCAStore, contents: dict[str, bytes], frozen: int) -> Dataset:
    """Return a dataset, of which so many keys are frozen and the rest are changes."""
    data = Dataset(castore, limits=SMALL)
    for number, (key, value) in enumerate(contents.items()):
        if number == frozen:
            data.freeze()
        data.write(key, value)
    if frozen >= len(contents):
        data.freeze()
    return data


@given(contents=CONTENTS, path=PATHS, frozen=st.integers(0, 13))
def test_a_subtree_has_the_root_of_its_keys(contents: dict[str, bytes], path: str, frozen: int) -> None:
    castore = MappingCAStore()
    data = opened(castore, contents, frozen)
    expected = below(contents, path)
    if expected:
        assert moving.subtree(data, path) == root_of(castore, expected, SMALL)
    else:
        with pytest.raises(KeyError):
            moving.subtree(data, path)
    assert data.freeze() == root_of(castore, contents, SMALL)


@given(contents=CONTENTS, grafted=CONTENTS, path=PATHS, frozen=st.integers(0, 13))
def test_a_graft_gives_the_root_of_all_keys(
    contents: dict[str, bytes], grafted: dict[str, bytes], path: str, frozen: int
) -> None:
    castore = MappingCAStore()
    data = opened(castore, contents, frozen)
    root = root_of(castore, grafted, SMALL)
    there = below(contents, path)
    if there:
        with pytest.raises(IPLDStoreError, match="expected no keys there"):
            moving.graft(data, path, root, overwrite=False)
        assert data.freeze() == root_of(castore, contents, SMALL)
    moving.graft(data, path, root, overwrite=bool(there))
    rest = {key: value for key, value in contents.items() if not key.startswith(f"{path}/")}
    expected = rest | {f"{path}/{key}": value for key, value in grafted.items()}
    assert data.freeze() == root_of(castore, expected, SMALL)


@given(contents=CONTENTS, old=PATHS, new=PATHS, frozen=st.integers(0, 13))
def test_a_move_gives_the_root_of_the_new_keys(contents: dict[str, bytes], old: str, new: str, frozen: int) -> None:
    castore = MappingCAStore()
    data = opened(castore, contents, frozen)
    moved = below(contents, old)
    if f"{new}/".startswith(f"{old}/") or f"{old}/".startswith(f"{new}/"):
        with pytest.raises(ValueError, match="not at, above or below"):
            moving.move(data, old, new)
        expected = contents
    elif not moved:
        with pytest.raises(KeyError):
            moving.move(data, old, new)
        expected = contents
    elif below(contents, new):
        with pytest.raises(IPLDStoreError, match="expected no keys there"):
            moving.move(data, old, new)
        expected = contents
    else:
        moving.move(data, old, new)
        rest = {key: value for key, value in contents.items() if not key.startswith(f"{old}/")}
        expected = rest | {f"{new}/{key}": value for key, value in moved.items()}
        assert dict(zip(data.keys(), data.keys(), strict=True)).keys() == expected.keys()
    assert data.freeze() == root_of(castore, expected, SMALL)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_moved_variable_is_read_under_its_new_name(zarr_format: int) -> None:
    """Consolidated metadata are made anew: else the old name would be read, as fill values."""
    dataset = xarray.Dataset({"air": ("x", [1.0, 2.0])}, coords={"x": [0, 1]})
    store, expected = IPLDStore(), IPLDStore()
    dataset.to_zarr(store, zarr_format=zarr_format, consolidated=True)
    dataset.rename(air="renamed").to_zarr(expected, zarr_format=zarr_format, consolidated=True)
    store.move("air", "renamed")
    assert xarray.open_zarr(store, consolidated=True).renamed.values.tolist() == [1.0, 2.0]
    assert "air" not in xarray.open_zarr(store, consolidated=True)
    assert store.freeze() == expected.freeze()


def test_no_chunk_is_read_or_written() -> None:
    castore = ObservedCAStore(MappingCAStore())
    store = IPLDStore(castore)
    zarr.create_group(store).create_array("a", shape=(40, 10), chunks=(1, 1), dtype="i4")[:] = 1
    root = store.freeze()
    castore.forget()
    part = store.subtree("a")
    store.graft("copies/a", part)
    store.move("a", "b")
    assert store.freeze() != root
    assert {cid.codec.name for cid in castore.got + castore.put_cids} <= {"dag-cbor"}
    assert len(castore.got) <= 6
    assert len(castore.put_cids) <= 4
    group = zarr.open_group(store, mode="r", use_consolidated=False)
    assert (group["b"][:] == 1).all()
    assert (zarr.open_array(store, path="copies/a", mode="r")[:] == 1).all()


def test_a_fork_notes_what_is_moved_and_grafted() -> None:
    store = IPLDStore()
    store["a/zarr.json"], store["a/c/0"] = array_document((1,), (1,)), b"0"
    fork = store.fork()
    fork.graft("b", fork.subtree("a"))
    fork.move("a", "moved")
    store.merge(fork)
    assert sorted(store) == ["b/c/0", "b/zarr.json", "moved/c/0", "moved/zarr.json"]


def test_copies_in_a_session_see_what_is_moved(tmp_path: Any) -> None:
    """The coordinator of a session moves in its tree, as it writes."""
    import pickle

    store = IPLDStore(FileSystemCAStore(tmp_path, fsync=False))
    store["a/zarr.json"], store["a/c/0"] = array_document((1,), (1,)), b"0"
    pickle.dumps(store)
    store.move("a", "b")
    store.graft("c", store.subtree("b"))
    assert sorted(store) == ["b/c/0", "b/zarr.json", "c/c/0", "c/zarr.json"]
    store.close()


def test_what_is_refused() -> None:
    store = IPLDStore()
    store["a/c/0"] = b"0"
    root = store.freeze()
    for path in ("a//b", "a/.zarray", "__ipld_x", "/".join("a" * 64)):
        with pytest.raises(ValueError, match="expected"):
            store.graft(path, root)
        with pytest.raises(ValueError, match="expected"):
            store.move("a", path)
    with pytest.raises(IPLDStoreError, match="reading a node"):
        store.graft("b", cids.from_validated(cids.make(cids.DAG_CBOR, bytes(32))))
    with pytest.raises(IPLDStoreError, match="expected a node of a dataset"):
        store.graft("b", store.castore.put(b"chunk"))
    with pytest.raises(ValueError, match="read-only"):
        store.with_read_only(True).move("a", "b")
    assert store.root_cid == root


def test_a_deep_root_is_not_grafted_deeper_than_the_format_allows() -> None:
    store = IPLDStore()
    store["/".join("abcdefgh" * 6 + "ab") + "/note"] = b"0"
    deep = store.freeze()
    with pytest.raises(ValueError, match="at most 63 parts deep"):
        store.graft("/".join("x" * 14), deep)
    store.graft("/".join("x" * 13), deep)
    assert len(contents_of(store.castore, cids.to_bytes(store.freeze()))) == 2


def test_the_root_is_grafted_onto_an_empty_store() -> None:
    store = IPLDStore()
    store["a/c/0"] = b"0"
    root = store.freeze()
    other = IPLDStore(store.castore)
    other.graft("", root)
    assert other.subtree("/") == root
    assert other.freeze() == root
