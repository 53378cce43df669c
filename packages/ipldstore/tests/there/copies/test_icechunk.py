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


def test_a_repository_by_its_address(tmp_path: Path) -> None:
    """A folder is known by what is in it; a branch, a tag and a snapshot stand behind "@"."""
    place = repository(tmp_path / "first")
    session = place.writable_session("main")
    zarr.create_array(session.store, name="a", data=DATA, chunks=(10, 8))
    first = session.commit("made")
    place.create_tag("v1", first)
    session = place.writable_session("main")
    zarr.open_array(session.store, path="a")[:10] = 0
    session.commit("changed")
    root = ipldstore.copy(tmp_path / "first", tmp_path / "now.car")
    old = {ipldstore.copy(f"icechunk:{tmp_path}/first@{ref}", tmp_path / f"{ref}.car") for ref in ("v1", first)}
    assert len(old) == 1
    assert root not in old
    with ipldstore.open(tmp_path / "v1.car") as store:
        assert np.array_equal(np.asarray(zarr.open_array(store, path="a")[...]), DATA)
    for wrong in (f"icechunk:{tmp_path}/none", f"icechunk:{tmp_path}/first@none"):
        with pytest.raises(ValueError, match="expected a repository of icechunk"):
            ipldstore.copy(wrong, tmp_path / "none.car")
    with pytest.raises(ValueError, match="session"):
        ipldstore.copy(tmp_path / "now.car", tmp_path / "first")


def test_the_command_imports_it(command: Any, tmp_path: Path) -> None:
    session = repository(tmp_path / "first").writable_session("main")
    zarr.create_array(session.store, name="a", data=DATA, chunks=(10, 8))
    session.commit("made")
    root = command("import", tmp_path / "first", tmp_path / "a.car").lines
    assert root == [str(ipldstore.copy(tmp_path / "first", IPLDStore()))]
