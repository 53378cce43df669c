"""ipfsspec's part of bench_foreign.py; prints JSON. Runs under a Python that has ipfsspec, nothing of ours.

IPFS_GATEWAY=URL python ipfsspec_read.py CID
"""

from __future__ import annotations

import json
import sys
import time

import xarray as xr


def main(cid):
    start = time.perf_counter()
    dataset = xr.open_dataset(f"ipfs://{cid}", engine="zarr", chunks=None)
    opened = time.perf_counter() - start
    values = dataset["radar"].values
    taken = time.perf_counter() - start
    print(json.dumps({"open": opened, "read": taken, "sum": float(values.sum(dtype="f8"))}))


if __name__ == "__main__":
    main(sys.argv[1])
