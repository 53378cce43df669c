"""Folders as sources: what zarr's readers find in them."""

from __future__ import annotations

import os
from pathlib import Path

import ipldstore
import numpy as np
import pytest
import zarr
from ipldstore import IPLDStore
from ipldstore._there.copies.listing import keys_of
from ipldstore._there.ends import End, is_zarr
from zarr.core.sync import sync
from zarr.storage import LocalStore


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    array = zarr.create_array(tmp_path / "a.zarr", name="deep/t2m", shape=(4, 4), chunks=(2, 2), dtype="i4")
    array[:] = np.arange(16).reshape(4, 4)
    return tmp_path / "a.zarr"


def test_links_are_followed(source: Path) -> None:
    """An array that was linked to was left out. What is no file is no key, and no link is endless."""
    linked, chunks = source.with_name("b.zarr"), source / "deep" / "t2m" / "c"
    linked.mkdir()
    for name in ("zarr.json", "deep"):
        (linked / name).symlink_to(source / name)
    before = contents(source)
    (chunks / "777").mkdir()
    (chunks / "888").symlink_to(source.parent, target_is_directory=True)
    (chunks / "0" / "999").symlink_to(chunks, target_is_directory=True)
    os.mkfifo(chunks / "999")

    async def own(path: str) -> set[str]:
        return {key async for key in keys_of(End(LocalStore(linked, read_only=True), path, None))}

    assert sync(own("")) == before.keys()
    assert {f"deep/{key}" for key in sync(own("deep"))} == before.keys() - {"zarr.json"}
    assert sync(own("absent")) == set()
    target = IPLDStore()
    assert ipldstore.copy(linked, target) == ipldstore.reference(linked, source.with_name("x.car"))
    found = zarr.open_array(target, path="deep/t2m", mode="r")
    assert np.asarray(found[:]).ravel().tolist() == list(range(16))


def test_a_folder_that_is_linked_to_may_not_change_meanwhile(source: Path, tmp_path: Path) -> None:
    linked = tmp_path / "b.zarr"
    linked.mkdir()
    for name in ("zarr.json", "deep"):
        (linked / name).symlink_to(source / name)
    ipldstore.reference(linked, tmp_path / "x.car")
    zarr.open_array(source, path="deep/t2m", mode="r+")[0, 0] = 7
    with pytest.raises(ValueError, match="found it changed"):
        ipldstore.reference(linked, tmp_path / "x.car")


def test_what_a_killed_writer_left_is_no_chunk(source: Path, tmp_path: Path) -> None:
    """A file of zarr's that was not renamed yet."""
    root = ipldstore.copy(source, IPLDStore())
    ipldstore.copy(source, tmp_path / "b.zarr")
    left = f"deep/t2m/c/0/0.{'0' * 32}.partial"
    for folder in (source, tmp_path / "b.zarr"):
        (folder / left).write_bytes(b"half")
    assert ipldstore.copy(source, IPLDStore()) == ipldstore.reference(source, tmp_path / "x.car") == root
    (source / left).unlink()
    ipldstore.copy(source, tmp_path / "b.zarr")
    assert contents(tmp_path / "b.zarr") == contents(source)


@pytest.mark.parametrize("name", ["x.zarr", "x.zip"])
def test_a_group_may_be_called_as_zarr_is(source: Path, tmp_path: Path, name: str) -> None:
    """The address of such a group was taken for a path of zarr, and a copy to it became a folder of that name."""
    group = f"{tmp_path}/a.car#deep/{name}"
    ipldstore.copy(source, group)
    assert ipldstore.copy(group, tmp_path / "b.car") == ipldstore.copy(source, IPLDStore())
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"a.zarr"}
    assert is_zarr("s3://bucket/x#1.zarr") is False
    ipldstore.copy(source, tmp_path / "a#b.zarr")  # there is no a
    assert contents(tmp_path / "a#b.zarr") == contents(source)


def test_one_length_for_an_array_is_an_error_that_says_so(source: Path) -> None:
    with pytest.raises(ValueError, match=r"expected 2 lengths for the array 'deep/t2m', one for each axis.*found 4"):
        ipldstore.copy(source, IPLDStore(), rechunk={"deep/t2m": 4})
