"""Roots that other software makes and that are no datasets: the error says what they are and what to do."""

from __future__ import annotations

import pytest
from ipld_car import cids
from ipld_castore import MappingCAStore
from ipldstore import IPLDStore, IPLDStoreError, NodeError

from ..support import reference

FOREIGN = {
    "no UnixFS": (0x70, r"expected a varint"),
    "raw bytes": (0x55, "raw bytes.*root of the dataset"),
    "dag-json": (0x0129, "dag-json.*convert"),
    "a Git object": (0x78, "Git object"),
    "another codec": (0x72, "codec 0x72"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_root_of_another_codec(name: str) -> None:
    codec, message = FOREIGN[name]
    data = b"{}"
    cid = cids.make(codec, reference.cid(0x55, data)[4:])
    castore = MappingCAStore({cids.to_text(cid): data})
    with pytest.raises(IPLDStoreError, match=message) as caught:
        IPLDStore(castore, root=cid)
    assert cids.to_text(cid) in str(caught.value)


def test_a_list_that_py_hamt_does_not_write() -> None:
    castore = MappingCAStore()
    with pytest.raises(NodeError, match=r"found a list$"):
        IPLDStore(castore, root=castore.put([{}, {}]))
    store = IPLDStore(castore, root=castore.put({"a": castore.put([])}))
    with pytest.raises(NodeError, match=r"found a list$"):
        store["a/b"]


def test_a_root_with_a_blake3_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read; without the extra the error names the block, and how to get the extra."""
    pytest.importorskip("blake3")
    castore = MappingCAStore(hash="blake3")
    root = castore.put({"a": {"zarr.json": {}}})
    assert list(IPLDStore(castore, root=root)) == ["a/zarr.json"]
    monkeypatch.setattr("ipld_car.hashes._has_blake3", lambda: False)
    with pytest.raises(IPLDStoreError, match=rf"block {root}: .*pip install 'ipld-car\[blake3\]'"):
        IPLDStore(castore, root=root)
