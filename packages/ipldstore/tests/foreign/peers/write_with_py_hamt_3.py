"""Write a dataset with py-hamt 3, in the environment of ``requirements.txt``; print the CID of the root.

``python write_with_py_hamt_3.py KIND FOLDER TIMES LARGE`` writes the blocks into a folder, one file a block, named by
its CID. With ``RPC,GATEWAY`` instead of a folder, the URLs of an IPFS node, the node gets them. Several kinds, with
commas between them, give a line each; all go to the same place.
"""
# mypy: ignore-errors

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import xarray as xr
from blake3 import blake3
from multiformats import CID, multicodec
from py_hamt import HAMT, KuboCAS, ShardedZarrStore, ZarrHAMTStore
from py_hamt.store_httpx import ContentAddressedStore
from samples import CHUNKS, dataset, encoding


class FolderCAS(ContentAddressedStore):
    """Blocks as files, by BLAKE3 as a node stores what py-hamt sends it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def save(self, data: bytes, codec: str) -> CID:
        cid = CID("base32", 1, multicodec.get(codec), ("blake3", blake3(data).digest()))
        (self._folder / str(cid)).write_bytes(data)
        return cid

    async def load(self, id: CID, offset=None, length=None, suffix=None) -> bytes:  # noqa: A002  # the name of the interface
        data = (self._folder / str(id)).read_bytes()
        if suffix is not None:
            return data[-suffix:]
        start = offset or 0
        return data[start : None if length is None else start + length]


async def write(kind: str, cas: ContentAddressedStore, ds: xr.Dataset) -> object:
    def to(store: object, **options: object) -> None:
        ds.to_zarr(store, mode="w", zarr_format=3, encoding=encoding(ds.sizes.get("n", 0)), **options)

    if kind == "hamt":
        hamt = await HAMT.build(cas=cas, values_are_bytes=True)
        to(ZarrHAMTStore(hamt))
        await hamt.make_read_only()
        return hamt.root_node_id
    if kind == "sharded-v1":
        shape = ds["temp"].shape
        store = await ShardedZarrStore.open(
            cas=cas, read_only=False, array_shape=shape, chunk_shape=CHUNKS, chunks_per_shard=20
        )
        to(store)
        return await store.flush()
    store = await ShardedZarrStore.open(
        cas=cas, read_only=False, chunks_per_shard=20, manifest_version="sharded_zarr_v2"
    )
    if kind == "sharded-v2":
        to(store, group="main")
    else:  # a pyramid: the same at two resolutions
        to(store, group="0")
        coarse = ds.coarsen(lat=2, lon=2).mean()
        plain = {name: {"compressors": None} for name in coarse.variables}
        coarse.to_zarr(store, mode="w", group="1", zarr_format=3, encoding=plain)
    return await store.flush()


async def main(kinds: list[str], place: str, times: int, large: int) -> None:
    ds = dataset(times, large)
    for kind in kinds:
        if place.startswith("http"):
            rpc, gateway = place.split(",")
            async with KuboCAS(rpc_base_url=rpc, gateway_base_url=gateway) as cas:
                root = await write(kind, cas, ds)
        else:
            root = await write(kind, FolderCAS(Path(place)), ds)
        print(root)  # noqa: T201  # for the caller


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1].split(","), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
