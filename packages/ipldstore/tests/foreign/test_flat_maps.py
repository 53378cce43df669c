"""Maps in plain DAG-CBOR that other tools make are read, flat or nested, and their canonical root is the usual one."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import zarr
from ipld_castore import MappingCAStore
from ipldstore import IPLDStore, IPLDStoreError

ARRAY = {"zarr_format": 2, "shape": [4], "chunks": [2], "dtype": "<i4", "compressor": None, "filters": None}
ARRAY |= {"order": "C", "fill_value": 0}
GROUP = {"zarr_format": 2}


@pytest.fixture
def castore() -> MappingCAStore:
    return MappingCAStore()


def roots(castore: MappingCAStore) -> dict[str, Any]:
    """Return the same contents as maps of several makers."""
    chunks = [castore.put(np.array(own, "<i4").tobytes()) for own in ([1, 2], [3, 4])]
    group, array = (castore.put(json.dumps(found).encode()) for found in (GROUP, ARRAY))
    chunk_keys = dict(zip(("a/0", "a/1"), chunks, strict=True))
    return {
        "flat": {".zgroup": group, "a/.zarray": array, **chunk_keys},
        "flat, documents as data": {".zgroup": GROUP, "a/.zarray": ARRAY, **chunk_keys},
        "nested": {".zgroup": group, "a": {".zarray": array, "0": chunks[0], "1": chunks[1]}},
        "nested, blocks": {".zgroup": group, "a": castore.put({".zarray": ARRAY, "0": chunks[0], "1": chunks[1]})},
    }


@pytest.mark.parametrize("name", ["flat", "flat, documents as data", "nested", "nested, blocks"])
def test_they_are_read(castore: MappingCAStore, name: str) -> None:
    expected = IPLDStore(castore)
    root = castore.put(roots(castore)[name])
    store = IPLDStore(castore, root=root)
    assert sorted(store) == [".zgroup", "a/.zarray", "a/0", "a/1"]
    assert np.asarray(zarr.open_array(store, path="a", mode="r")[:]).tolist() == [1, 2, 3, 4]
    assert set(zarr.open_group(store, mode="r").array_keys()) == {"a"}
    assert "a" not in store
    for key in store:
        expected[key] = store[key]
    assert store.canonicalize(progress=False) == expected.freeze()


def test_they_are_not_changed(castore: MappingCAStore) -> None:
    store = IPLDStore(castore, root=castore.put(roots(castore)["flat"]))
    with pytest.raises(IPLDStoreError, match="found a flat map of keys"):
        store["a/2"] = b"chunk"
