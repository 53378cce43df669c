"""Compacting a dataset whose chunks lie in other files: they are neither missed, nor copied, nor freed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
import zarr
from ipld_car import cids
from ipld_castore import ReferenceIndexWriter
from ipldstore import (
    CarCAStore,
    ContentAddressableStore,
    FileSystemCAStore,
    IPLDStoreError,
    MappingCAStore,
    ReferenceCAStore,
    ReferencingCAStore,
    Repository,
)

CHUNK = bytes(range(200))


def referenced(tmp_path: Path, into: Path) -> Any:
    """Write a file, and a dataset over it with an older root; return what the file has. One chunk is over 1 MiB."""
    xr = pytest.importorskip("xarray")
    for name in ("h5netcdf", "virtualizarr"):
        pytest.importorskip(name)
    data = xr.Dataset(
        {"small": ("x", np.arange(1000.0)), "big": ("y", np.random.default_rng(0).integers(0, 99, 400_000))}
    )
    data.to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    ipldstore.reference(tmp_path / "x.nc", into)
    with ipldstore.open(into, "a") as store:
        store["extra/0"] = b"old"
        store.freeze()
        del store["extra/0"]
    return data


def size_of(path: Path) -> int:
    return sum(each.stat().st_size for each in path.rglob("blocks/*")) if path.is_dir() else path.stat().st_size


@pytest.mark.parametrize(
    ("name", "older_than"),
    [("x.car", None), ("x", None), ("x", timedelta(0))],
    ids=["file", "folder", "folder beside others"],
)
def test_the_chunks_stay_where_they_are(tmp_path: Path, name: str, older_than: timedelta | None) -> None:
    xr = pytest.importorskip("xarray")
    into = tmp_path / name
    data = referenced(tmp_path, into)
    with ipldstore.open(into) as store:
        root = store.root_cid
    (tmp_path / "x.nc").rename(tmp_path / "away.nc")  # no file is opened
    done = ipldstore.compact(into, older_than)
    assert done.freed_blocks > 0
    assert ipldstore.compact(into, older_than)._replace(freed_bytes=0) == (done.kept_blocks, 0, 0)
    (tmp_path / "away.nc").rename(tmp_path / "x.nc")
    with ipldstore.open(into) as store:
        assert store.root_cid == root
        xr.testing.assert_identical(xr.open_zarr(store, consolidated=False).load(), data)
    assert size_of(into) < 1 << 20, "nothing was copied"


@pytest.mark.parametrize("name", ["x.car", "x"])
def test_without_its_index_nothing_is_freed(tmp_path: Path, name: str) -> None:
    """A chunk that lies nowhere is missing still."""
    into = tmp_path / name
    referenced(tmp_path, into)
    folder = into / "references" if into.is_dir() else tmp_path / "x.car.references"
    for index in folder.glob("*.index"):
        index.unlink()
    before = size_of(into)
    with pytest.raises(IPLDStoreError, match="no block"):
        ipldstore.compact(into)
    assert size_of(into) == before


@pytest.mark.parametrize("kind", ["mapping", "folder", "file"])
def test_repositories(tmp_path: Path, kind: str) -> None:
    """What the log no longer needs is freed in each kind of store; a chunk in a file is read as before."""
    (tmp_path / "data").write_bytes(CHUNK)
    chunk = bytes(MappingCAStore().put(CHUNK))
    with ReferenceIndexWriter(tmp_path / "x.index") as writer:
        writer.add(cids.from_validated(chunk), writer.file(str(tmp_path / "data")), 0, len(CHUNK))
    own: ContentAddressableStore
    if kind == "mapping":
        own = MappingCAStore()
    elif kind == "folder":
        own = FileSystemCAStore(tmp_path / "own")
    else:
        own = CarCAStore(tmp_path / "own.car", "a")
    castore = ReferencingCAStore(own, ReferenceCAStore(tmp_path / "x.index", allow=[tmp_path]))
    repo = Repository.create(castore)
    with repo.transaction(message="one") as store:
        array = zarr.create_array(
            store, name="a", shape=(200,), chunks=(200,), dtype="u1", compressors=None, filters=None
        )
        store.set_links("a", np.array([[0]]), np.frombuffer(chunk, "u1").reshape(1, -1))
        store["extra/0"] = b"old" * 9999
    with repo.transaction(message="two") as store:
        store["extra/0"] = b"new" * 9999
    old = repo.log()
    repo.reset_branch("main", next(iter(old)).cid)
    assert np.asarray(array[:]).tobytes() == CHUNK
    done = repo.garbage_collect(older_than=timedelta(0))
    assert done.freed_blocks > 0
    with Repository.open(castore).readonly_session().store as store:
        assert store["extra/0"] == b"new" * 9999
        assert np.asarray(zarr.open_array(store, path="a", mode="r")[:]).tobytes() == CHUNK
    assert not own.has_block(cids.from_validated(chunk)), "nothing was copied"
    own.close()


@pytest.mark.parametrize("name", ["x.car", "x"])
def test_a_reference_that_becomes_a_repository(tmp_path: Path, name: str) -> None:
    """Where it is opened by its path, the chunks are found, also by a store that commits when it is closed."""
    xr = pytest.importorskip("xarray")
    into = tmp_path / name
    data = referenced(tmp_path, into)
    with Repository.create(into, adopt=True) as repo:
        assert repo.garbage_collect(timedelta(0)).freed_blocks > 0
    with ipldstore.open(into, "a") as store:
        xr.testing.assert_identical(xr.open_zarr(store, consolidated=False).load(), data)
        store["note/0"] = b"noted"
    with Repository.open(into) as repo:
        assert [commit.message for commit in repo.log()] == ["close", "adopt", ""]
        assert repo.verify() == 3
