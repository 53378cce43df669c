"""Zip files by reference: what is stored is a range of the file, what is deflated is put."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
import zarr
from ipldstore import IPLDStore, ReferencingCAStore

DATA = np.arange(400, dtype="i4").reshape(20, 20)


@pytest.fixture(params=[2, 3])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    zarr_format: Any = request.param
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=zarr_format, attributes={"title": "a zip"})
    group.create_array("deep/a", shape=(20, 20), chunks=(5, 10), dtype="i4", compressors=None)[:] = DATA
    group.create_array("point", shape=(), dtype="i4")[...] = 7
    return tmp_path / "a.zarr"


def packed(folder: Path, method: int, *, begin: bytes = b"") -> Path:
    """Return a zip file of a folder.

    :param begin: what the file begins with, as those do that unpack themselves
    """
    path = folder.with_name("x.zip")
    path.write_bytes(begin)
    with zipfile.ZipFile(path, "a", method) as archive:
        for each in sorted(folder.rglob("*")):
            archive.write(each, each.relative_to(folder))
    return path


def stored_blocks(path: Path) -> int:
    """Return how many blocks of chunks a dataset keeps itself."""
    with ipldstore.open(path) as store:
        assert isinstance(store.castore, ReferencingCAStore)
        assert np.array_equal(np.asarray(zarr.open_array(store, path="deep/a", mode="r")[:]), DATA)
        own: Any = store.castore.far
        return sum(cid.codec.name == "raw" for cid in own)


@pytest.mark.parametrize("begin", [b"", b"#!/bin/sh\n"])
def test_stored_members_are_ranges(folder: Path, begin: bytes) -> None:
    """Also of a file that zarr has written, which has members twice."""
    into = folder.with_name("x.car")
    root = ipldstore.copy(folder, IPLDStore())
    path = packed(folder, zipfile.ZIP_STORED, begin=begin)
    if not begin:
        assert ipldstore.reference(path, into) == root
        assert stored_blocks(into) == 0
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("deep/a/c/0/0" if (folder / "zarr.json").exists() else "deep/a/0.0", bytes(200))
    renamed = path.rename(path.with_name("y.zip"))
    ipldstore.reference(renamed, folder.with_name("y.car"))
    with ipldstore.open(folder.with_name("y.car")) as store:
        found = np.asarray(zarr.open_array(store, path="deep/a", mode="r")[:])
    assert (found == np.where(np.indices(DATA.shape)[0] * 2 + np.indices(DATA.shape)[1] // 10 * 10 < 10, 0, DATA)).all()


def test_deflated_members_are_put(folder: Path) -> None:
    into = folder.with_name("x.car")
    path = packed(folder, zipfile.ZIP_DEFLATED)
    with pytest.warns(UserWarning, match="9 chunks are deflated"):
        assert ipldstore.reference(path, into) == ipldstore.copy(folder, IPLDStore())
    assert stored_blocks(into) == 9


def test_zip_files_of_zarr_along_a_dimension(tmp_path: Path) -> None:
    for name in ("0.zip", "1.zip"):
        with zarr.storage.ZipStore(tmp_path / name, mode="w") as store:
            group = zarr.create_group(store)
            group.create_array("a", shape=(4,), chunks=(2,), dtype="i4", dimension_names=["t"])[:] = int(name[0])
    ipldstore.reference(f"{tmp_path}/*.zip", tmp_path / "x.car", concat_dim="t")
    with ipldstore.open(tmp_path / "x.car") as store:
        assert np.asarray(zarr.open_array(store, path="a", mode="r")[:]).tolist() == [0] * 4 + [1] * 4


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damaged_zip_files(folder: Path, method: int) -> None:
    """Wrong sums of documents and of deflated members, headers that are none, and methods that are not read."""
    path = packed(folder, method)
    data, into = path.read_bytes(), folder.with_name("x.car")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    document = next(each for each in members if each.filename.endswith((".zgroup", "zarr.json")))
    for at in (document.header_offset, document.header_offset + 30 + len(document.filename) + 2):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(ValueError, match=document.filename):
            ipldstore.reference(path, into)
    path.write_bytes(data[:-30])
    with pytest.raises(ValueError, match="expected a zip file"):
        ipldstore.reference(path, into)
    path = packed(folder, zipfile.ZIP_BZIP2)
    with pytest.raises(ValueError, match="compressed by method 12"):
        ipldstore.reference(path, into)
    assert sorted(each.name for each in folder.parent.iterdir()) == ["a.zarr", "x.zip"]
