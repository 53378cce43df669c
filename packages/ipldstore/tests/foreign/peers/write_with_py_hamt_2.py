"""Write a dataset with py-hamt 2, which no registry has: made from its repository at the tag v2.4.1.

``python write_with_py_hamt_2.py FOLDER`` writes the blocks into a folder, one file a block, named by its CID, and
prints the CID of the root. The archive ``hamt-2.car`` of the fixtures was made so, once.
"""
# mypy: ignore-errors

from __future__ import annotations

import sys
from pathlib import Path

from multiformats import CID, multicodec, multihash
from py_hamt import HAMT, IPFSZarr3
from py_hamt.store import Store
from samples import dataset, encoding


class FolderStore(Store):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _save(self, data: bytes, codec: str) -> CID:
        cid = CID("base32", 1, multicodec.get(codec), multihash.get("blake3").digest(data, size=32))
        (self._folder / str(cid)).write_bytes(data)
        return cid

    def save_raw(self, data: bytes) -> CID:
        return self._save(data, "raw")

    def save_dag_cbor(self, data: bytes) -> CID:
        return self._save(data, "dag-cbor")

    def load(self, id: CID) -> bytes:  # noqa: A002  # the name of the interface
        return (self._folder / str(id)).read_bytes()


if __name__ == "__main__":
    store = IPFSZarr3(HAMT(store=FolderStore(Path(sys.argv[1]))))
    dataset().to_zarr(store, mode="w", zarr_format=3, encoding=encoding())
    print(store.hamt.root_node_id)  # noqa: T201  # for the caller
