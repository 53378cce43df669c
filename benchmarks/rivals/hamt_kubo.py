"""py-hamt's part of bench_ipfs.py and bench_foreign.py; prints JSON.

Runs under a Python that has py-hamt, and nothing of this repository. With ``at-once`` py-hamt makes its blocks in
memory and one call imports them into the node, under the CIDs that KuboCAS would have got: KuboCAS asks the node once
for each chunk, which takes longer than all the rest. Writing is not timed then. Reading is KuboCAS's in both cases.

    python hamt_kubo.py RPC_URL GATEWAY_URL CHUNKS CHUNK_BYTES [at-once]
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time

import httpx
import numpy as np
import zarr
from multiformats import CID, multihash, varint
from py_hamt import HAMT, KuboCAS, ZarrHAMTStore
from py_hamt.store_httpx import ContentAddressedStore

HEADER = bytes.fromhex("11a265726f6f7473806776657273696f6e01")
"""The header of a CARv1 without roots."""


class BlocksInMemory(ContentAddressedStore):
    """Blocks in memory, by the CIDs that a node gives them."""

    def __init__(self):
        self.blocks = {}

    async def save(self, data, codec):
        cid = CID("base32", 1, codec, multihash.digest(data, "blake3", size=32))
        self.blocks[bytes(cid)] = data
        return cid

    async def load(self, id, offset=None, length=None, suffix=None):  # noqa: A002  # py-hamt's signature
        return self.blocks[bytes(id)]  # nodes, which are read whole

    def car(self):
        """Yield the parts of an archive of all blocks."""
        yield HEADER
        for cid, data in self.blocks.items():
            yield varint.encode(len(cid) + len(data)) + cid + data


def seconds(action):
    start = time.perf_counter()
    result = action()
    return time.perf_counter() - start, result


def hamt_of(cas, root=None):
    """Return a HAMT as the README of py-hamt makes one; zarr's event loop runs it."""
    making = HAMT.build(cas=cas, root_node_id=root, values_are_bytes=True, read_only=root is not None)
    return zarr.core.sync.sync(making)


def written_to(cas, data):
    """Return the root of an array that was written through zarr."""
    hamt = hamt_of(cas)
    array = zarr.create_array(
        ZarrHAMTStore(hamt), shape=data.shape, chunks=(1, data.shape[1]), dtype="u1", compressors=None, filters=None
    )
    array[:] = data
    zarr.core.sync.sync(hamt.make_read_only())
    return hamt.root_node_id


def import_at_once(rpc, data):
    """Return the root of an array whose blocks were made in memory and then imported into the node."""
    cas = BlocksInMemory()
    root = written_to(cas, data)
    archive = b"".join(cas.car())
    url = f"{rpc}/api/v0/dag/import?pin-roots=false"
    httpx.post(url, files={"file": archive}, timeout=600).raise_for_status()
    return root


def main(rpc, gateway, chunks, chunk_bytes, at_once):
    data = np.frombuffer(os.urandom(chunks * chunk_bytes), "u1").reshape(chunks, chunk_bytes)

    def cas():
        return KuboCAS(rpc_base_url=rpc, gateway_base_url=gateway)

    def read():
        return zarr.open_array(ZarrHAMTStore(hamt_of(cas(), root), read_only=True), mode="r")[:]

    written, root = (None, import_at_once(rpc, data)) if at_once else seconds(lambda: written_to(cas(), data))
    taken, found = seconds(read)
    if not np.array_equal(found, data):
        sys.exit("what was read is not what was written")
    digest = hashlib.sha256(data).hexdigest()
    print(json.dumps({"write": written, "read": taken, "root": str(root), "sha256": digest}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:5]), "at-once" in sys.argv[5:])
