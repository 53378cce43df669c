"""Copying from object stores: what was copied, and has not changed, is not read again."""

from __future__ import annotations

from pathlib import Path

import ipldstore
import numpy as np
import pytest
import zarr

obstore = pytest.importorskip("obstore", reason="the extra object is not installed")


def test_a_second_copy_reads_no_chunk_again(tmp_path: Path) -> None:
    from zarr.storage import ObjectStore

    objects = obstore.store.MemoryStore()
    source = ObjectStore(objects)
    array = zarr.create_array(source, name="a", shape=(4,), chunks=(2,), dtype="i4")
    array[:] = np.arange(4)
    first = ipldstore.copy(source, tmp_path / "a.car")
    objects.put("a/c/0", obstore.get(objects, "a/c/0").bytes())  # another object with the same bytes
    assert ipldstore.copy(source, tmp_path / "a.car") == first
    array[2:] = 9
    assert ipldstore.copy(source, tmp_path / "a.car") != first
    with ipldstore.open(tmp_path / "a.car") as store:
        assert np.asarray(zarr.open_array(store, path="a", mode="r")[:]).tolist() == [0, 1, 9, 9]
