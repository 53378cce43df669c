"""py-hamt's part of bench_ipfs.py; prints JSON. Runs under a Python that has py-hamt, and nothing of this repository.

python hamt_kubo.py RPC_URL GATEWAY_URL CHUNKS CHUNK_BYTES
"""

from __future__ import annotations

import json
import os
import sys
import time

import numpy as np
import zarr
from py_hamt import HAMT, KuboCAS, ZarrHAMTStore


def seconds(action):
    start = time.perf_counter()
    result = action()
    return time.perf_counter() - start, result


def hamt_of(rpc, gateway, root=None):
    """Return a HAMT as the README of py-hamt makes one; zarr's event loop runs it."""
    cas = KuboCAS(rpc_base_url=rpc, gateway_base_url=gateway)
    making = HAMT.build(cas=cas, root_node_id=root, values_are_bytes=True, read_only=root is not None)
    return zarr.core.sync.sync(making)


def main(rpc, gateway, chunks, chunk_bytes):
    data = np.frombuffer(os.urandom(chunks * chunk_bytes), "u1").reshape(chunks, chunk_bytes)

    def write():
        hamt = hamt_of(rpc, gateway)
        array = zarr.create_array(
            ZarrHAMTStore(hamt), shape=data.shape, chunks=(1, chunk_bytes), dtype="u1", compressors=None, filters=None
        )
        array[:] = data
        zarr.core.sync.sync(hamt.make_read_only())
        return hamt.root_node_id

    def read():
        return zarr.open_array(ZarrHAMTStore(hamt_of(rpc, gateway, root), read_only=True), mode="r")[:]

    written, root = seconds(write)
    taken, found = seconds(read)
    if not np.array_equal(found, data):
        sys.exit("what was read is not what was written")
    print(json.dumps({"write": written, "read": taken, "root": str(root)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
