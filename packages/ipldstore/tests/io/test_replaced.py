"""Folders and files that are replaced while a store is open: nothing is published into the one that is there now."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import ipldstore
import pytest
from ipldstore import ConflictError, IPLDStore, IPLDStoreError


def test_a_folder_that_was_replaced(tmp_path: Path) -> None:
    """The old store says so when it is closed, each time, and still has its changes; the new dataset is untouched."""
    path = tmp_path / "data"
    old = ipldstore.open(path, "a")
    old["a/.zattrs"] = b'{"old": 1}'
    shutil.rmtree(path)
    with ipldstore.open(path, "x") as new:
        new["a/.zattrs"] = b'{"new": 1}'
        root = new.freeze()
    for _ in range(2):
        with pytest.raises(IPLDStoreError, match="removed or replaced"):
            old.close()
    assert old["a/.zattrs"] == b'{"old":1}'
    with ipldstore.open(path) as reader:
        assert reader.root_cid == root
    with ipldstore.open(tmp_path / "rescued", "x") as rescued:
        rescued.mapping.update(old.mapping)
    with ipldstore.open(tmp_path / "rescued") as reader:
        assert reader["a/.zattrs"] == b'{"old":1}'
    open_stores = [old]
    del old
    with pytest.warns(RuntimeWarning, match="dropped with changes"):
        open_stores.clear()


def set_a_key(store: IPLDStore) -> None:
    store["a/0"] = b"chunk"


@pytest.mark.parametrize("empty", [False, True], ids=["removed", "replaced by an empty folder"])
def test_a_folder_that_was_removed(tmp_path: Path, *, empty: bool) -> None:
    """Somebody changed the place, and trying again does not help. Nothing is made in a folder that is there now."""
    path = tmp_path / "data"
    store = ipldstore.open(path, "a")
    store["a/.zattrs"] = b'{"some": 1}'
    shutil.rmtree(path)
    if empty:
        path.mkdir()
    for write in (IPLDStore.freeze, pickle.dumps, IPLDStore.fork, IPLDStore.close, set_a_key):
        with pytest.raises(ConflictError, match="removed or replaced"):
            write(store)
    assert list(tmp_path.rglob("*")) == [path] * empty
    assert store.has_changes
    with pytest.warns(RuntimeWarning, match="dropped with changes"):
        del store


def test_a_folder_that_was_replaced_gets_no_session(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with ipldstore.open(path, "a") as store:
        store["a/0"] = b"chunk"
        store.freeze()
        shutil.rmtree(path)
        path.mkdir()
        with pytest.raises(ConflictError, match="removed or replaced"):
            pickle.dumps(store)
    assert list(path.iterdir()) == []
