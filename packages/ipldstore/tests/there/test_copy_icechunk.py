"""Copies from and to icechunk, which runs on Python 3.12 and later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
import zarr
from ipldstore import IPLDStore

icechunk: Any = pytest.importorskip("icechunk", reason="icechunk is not installed: it needs Python 3.12")

DATA = np.arange(60 * 40, dtype="i4").reshape(60, 40)


def repository(path: Path) -> Any:
    return icechunk.Repository.create(icechunk.local_filesystem_storage(str(path)))


def test_there_and_back(tmp_path: Path) -> None:
    first = repository(tmp_path / "first").writable_session("main")
    array = zarr.create_array(first.store, name="a", shape=DATA.shape, chunks=(10, 8), dtype="i4")
    array[:] = DATA
    first.commit("made")
    root = ipldstore.copy(first.store, tmp_path / "a.car")
    second = repository(tmp_path / "second")
    session = second.writable_session("main")
    assert ipldstore.copy(tmp_path / "a.car", session.store) is None
    session.commit("copied")
    store = second.readonly_session("main").store
    assert np.array_equal(np.asarray(zarr.open_array(store, path="a", mode="r")[...]), DATA)
    assert ipldstore.copy(store, IPLDStore()) == root
