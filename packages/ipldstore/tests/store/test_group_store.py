"""The store of a group shows the group as if it were all, also to what takes the path of a node."""

from __future__ import annotations

from pathlib import Path

import ipldstore
import numpy as np
import pytest
import zarr
from ipldstore import IPLDStore


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A dataset with an array "a" at its top, and another one of that name in its group "g"."""
    path = tmp_path / "x.car"
    with ipldstore.open(path, "x") as store:
        for name, value in (("a", 1), ("g/a", 2)):
            zarr.create_array(store, name=name, shape=(4,), chunks=(2,), dtype="i4")[:] = value
    return path


def values(store: IPLDStore, path: str) -> list[int]:
    return np.asarray(zarr.open_array(store, path=path, mode="r")[:]).tolist()  # type: ignore[no-any-return]


def test_paths_are_those_below_the_group(place: Path) -> None:
    """They were those of the whole dataset: another array was linked, moved or replaced, without a word."""
    with ipldstore.open(place, "a") as store:
        whole = {"": store.links("a"), "g": store.links("g/a")}
        subtree = store.subtree("g/a")
    with ipldstore.open(f"{place}#g", "a") as group:
        assert group.links("a").cids.tolist() == whole["g"].cids.tolist()
        assert group.subtree("/a/") == group.subtree("a") == subtree
        group.set_links("a", *whole[""])
        group.move("a", "b")
        group.graft("d", subtree)
    with ipldstore.open(f"{place}#g/b") as group:
        assert group.links("").cids.tolist() == whole[""].cids.tolist()
    with ipldstore.open(place) as store:
        assert {key.rpartition("/c/")[0] for key in store if "/c/" in key} == {"a", "g/b", "g/d"}
        assert [values(store, path)[0] for path in ("a", "g/b", "g/d")] == [1, 1, 2]


def test_a_graft_at_the_top_of_a_group_replaces_the_group(place: Path) -> None:
    with ipldstore.open(f"{place}#g", "a") as group:
        group.graft("", group.subtree("a"), overwrite=True)
    with ipldstore.open(place) as store:
        assert values(store, "a") == [1] * 4
        assert values(store, "g") == [2] * 4
