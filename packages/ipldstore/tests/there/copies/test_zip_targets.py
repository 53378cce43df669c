"""Zip files that a copy writes: whole, whatever number of threads write them, and as zarr writes them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import ipldstore
import numpy as np
import pytest
import zarr
from ipldstore import IPLDStore
from ipldstore._there.copies.chunks import zip_members
from zarr.storage import ZipStore


def test_several_threads_write_one_zip(tmp_path: Path) -> None:
    """Each writes a batch in its turn: a zip file that two write at once is damaged."""
    values = np.random.default_rng(0).integers(0, 256, (500, 3000), "u1")
    zarr.create_array(tmp_path / "a.zarr", data=values, chunks=(1, 3000), compressors=None)
    ipldstore.copy(tmp_path / "a.zarr", tmp_path / "a.zip")
    root = ipldstore.copy(tmp_path / "a.zip", tmp_path / "a.car")
    ipldstore.copy(tmp_path / "a.car", tmp_path / "b.zip")
    for path in (tmp_path / "a.zip", tmp_path / "b.zip"):
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            assert len(archive.namelist()) == len(set(archive.namelist())) == 501
    assert ipldstore.copy(tmp_path / "b.zip", IPLDStore()) == root


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_as_zarr_writes_them(tmp_path: Path, kind: int) -> None:
    """In all but their time; also where a copy does not write them itself, as they are compressed."""
    data = np.arange(1, 7, dtype="u1")
    zarr.create_array(tmp_path / "a.zarr", data=data, chunks=(2,), compressors=None)
    copied, written = (ZipStore(tmp_path / name, mode="w", compression=kind) for name in ("copied.zip", "written.zip"))
    ipldstore.copy(tmp_path / "a.zarr", copied)
    zarr.create_array(written, data=data, chunks=(2,), compressors=None)
    for store in (copied, written):
        store.close()
    told = [
        "compress_type",
        "CRC",
        "file_size",
        "compress_size",
        "flag_bits",
        "external_attr",
        "create_system",
        "create_version",
        "extra",
    ]
    with zipfile.ZipFile(tmp_path / "copied.zip") as ours, zipfile.ZipFile(tmp_path / "written.zip") as theirs:
        assert ours.testzip() is None
        found, wanted = (
            {each.filename: [getattr(each, name) for name in told] for each in archive.infolist()}
            for archive in (ours, theirs)
        )
    assert {key: found[key] for key in found if key.startswith("c/")} == {
        key: wanted[key] for key in wanted if key.startswith("c/")
    }
    assert len(found) == len(wanted) == 4


def test_a_member_that_is_there_is_said_twice(tmp_path: Path) -> None:
    """A zip file is only appended to: the last of two members of one name is what readers find, as with zarr's set."""
    source = zarr.create_array(tmp_path / "a.zarr", shape=(4,), chunks=(2,), dtype="u1", compressors=None)
    source[:] = 7
    target = ZipStore(tmp_path / "a.zip", mode="w")
    zarr.create_array(target, data=np.zeros(4, "u1") + 1, chunks=(2,), compressors=None)
    with pytest.warns(UserWarning, match="Duplicate name"):
        ipldstore.copy(tmp_path / "a.zarr", target)
    target.close()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        assert archive.read("c/1") == bytes([7, 7])


@pytest.mark.parametrize("parts", ["_OF_STORE", "_OF_ARCHIVE"])
def test_other_versions_of_zarr_and_python(parts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they have not the parts of a zip file that a copy uses, chunks are read and written as zarr does."""
    zarr.create_array(tmp_path / "a.zarr", data=np.arange(6, dtype="u1"), chunks=(2,), compressors=None, fill_value=9)
    monkeypatch.setattr(zip_members, parts, ("absent", *getattr(zip_members, parts)))
    for used in ("stored", "append"):
        monkeypatch.delattr(zip_members, used)
    ipldstore.copy(tmp_path / "a.zarr", tmp_path / "a.zip")
    assert ipldstore.copy(tmp_path / "a.zip", IPLDStore()) == ipldstore.copy(tmp_path / "a.zarr", IPLDStore())
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["c/0", "c/1", "c/2", "zarr.json"]
