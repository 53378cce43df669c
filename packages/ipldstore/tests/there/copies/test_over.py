"""Copies over what is there: the target is the source then, or nothing has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
import zarr
from ipldstore import IPLDStore
from zarr.storage import LocalStore


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["x.zarr", "x.car"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_copy_over_other_arrays(tmp_path: Path, zarr_format: Any, name: str) -> None:
    """Folders of chunks stood where chunks of fewer axes are files; chunks stayed where the source has a group."""
    form: Any = {"name": "v2" if zarr_format == 2 else "default", "separator": "/"}
    how: dict[str, Any] = {"dtype": "i4", "fill_value": 0, "chunk_key_encoding": form, "zarr_format": zarr_format}
    sources = []
    for number, shape in enumerate([(4, 4), (4,), (), (4, 4), ()]):
        sources.append(tmp_path / f"{number}.zarr")
        zarr.create_array(sources[-1], name="a", shape=shape, chunks=(2,) * len(shape), **how)[...] = 1 + number
    group = zarr.create_group(tmp_path / "group.zarr", path="a", zarr_format=zarr_format)
    group.create_array("0" if zarr_format == 2 else "c", shape=(4,), chunks=(2,), dtype="i4")[:] = 6
    for source in [*sources, tmp_path / "group.zarr"]:
        root = ipldstore.copy(source, tmp_path / name)
        if root is None:
            assert contents(tmp_path / name) == contents(source)
        else:
            assert root == ipldstore.copy(source, IPLDStore())


def test_notes_of_what_was_replaced_allow_nothing(tmp_path: Path) -> None:
    """A copy of another source, or another dataset with the name of one that was copied, was overwritten."""
    for name, size in (("a.zarr", 3), ("b.zarr", 2)):
        zarr.create_array(tmp_path / name, shape=(size,), chunks=(1,), dtype="i4")[:] = size
    ipldstore.copy(tmp_path / "a.zarr", tmp_path / "x.car")
    root = ipldstore.copy(tmp_path / "b.zarr", tmp_path / "x.car")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        ipldstore.copy(tmp_path / "a.zarr", tmp_path / "x.car", overwrite=False)
    assert ipldstore.open(tmp_path / "x.car").root_cid == root
    zarr.open_array(tmp_path / "b.zarr", mode="r+").append(np.ones(1, "i4"))
    ipldstore.copy(tmp_path / "b.zarr", tmp_path / "x.car", overwrite=False)


@pytest.mark.parametrize("name", ["x.zarr", "x.car"])
@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_consolidated_metadata_above_the_target(tmp_path: Path, name: str) -> None:
    """They said the old shape, by which readers took the new chunks."""
    store: Any = LocalStore(tmp_path / name) if name == "x.zarr" else ipldstore.open(tmp_path / name, "a")
    zarr.create_array(store, name="deep/a", shape=(2,), chunks=(2,), dtype="i4")[:] = 1
    zarr.create_group(store, path="kept")
    zarr.consolidate_metadata(store)
    zarr.create_array(tmp_path / "a.zarr", name="a", shape=(4,), chunks=(2,), dtype="i4")[:] = 2
    target = zarr.open_group(store)["deep"] if name == "x.zarr" else store
    if name == "x.car":
        store.close()
        target = f"{tmp_path / name}#deep"
    ipldstore.copy(tmp_path / "a.zarr", target)
    with store if name == "x.zarr" else ipldstore.open(tmp_path / name) as found:
        whole = zarr.open_consolidated(found, mode="r")
        assert {name for name, _ in whole.members()} == {"deep", "kept"}
        assert np.asarray(whole["deep/a"]).tolist() == [2] * 4


@pytest.mark.parametrize("name", ["new.car", "new"])
def test_a_copy_that_fails_leaves_no_new_target(tmp_path: Path, name: str) -> None:
    """A folder of blocks with an empty dataset was left."""
    castore = ipldstore.MappingCAStore({})
    source = IPLDStore(castore)
    source["x/.zarray"] = b'{"zarr_format": 2, "shape": [1], "chunks": [1]}'
    cid = castore.put(b"chunk")
    source.set_links("x", [[0]], np.frombuffer(bytes(cid), np.uint8)[None])
    castore.delete_block(cid)
    with pytest.raises(ipldstore.IPLDStoreError, match="x/0"):
        ipldstore.copy(source, tmp_path / name)
    assert list(tmp_path.iterdir()) == []
