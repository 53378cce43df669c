"""Folders and files that are replaced while a store is open: nothing is published into the one that is there now."""

from __future__ import annotations

import shutil
from pathlib import Path

import ipldstore
import pytest
from ipldstore import IPLDStoreError


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
