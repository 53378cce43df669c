"""Measure reading what others publish, beside their own readers, over a real Kubo.

- ORCESTRA's way: a zarr of format 2 that ``ipfs add`` put into a UnixFS directory, opened, and 500 chunks read, through
  a gateway that is 50 ms away; beside ipfsspec, which verifies nothing. Five times as fast is wanted.
- A HAMT that py-hamt wrote into the node, read through the node; beside py-hamt. Five times as fast is wanted. With
  ``--full`` it has 10^5 chunks, which py-hamt makes in memory, and reads once: that takes minutes.

Rivals run in environments of their own (``../rivals/README.md``); one that is not named is left out. Exits with 1 if a
target is missed.

    PYTHONPATH=benchmarks python benchmarks/existing_data/bench_foreign.py --ipfsspec-python P --hamt-python P [--full]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from ipld_castore import GatewayCAStore
from ipldstore import IPFSStore, IPLDStore
from shared.far import Proxy, running
from shared.kubo import gateway_of, running_node, seconds

RIVALS = Path(__file__).parents[1] / "rivals"
FLAGS = ["--recursive", "--hidden", "--raw-leaves", "--chunker=size-1048576"]
WANTED = 5.0
TIMES = 3


def campaign(chunks: int) -> xr.Dataset:
    values = np.random.default_rng(7).normal(size=(chunks, 2_000)).astype("f4")
    return xr.Dataset({"radar": (("time", "height"), values)}, coords={"time": np.arange(chunks)})


def rival(python: str, script: str, *arguments: str, **environment: str) -> dict[str, Any]:
    done = subprocess.run(
        [python, "-W", "ignore", str(RIVALS / script), *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{script}: {done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def directory(node: Any, python: str | None) -> bool:
    ds = campaign(500)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "radar.zarr")
        ds.to_zarr(path, zarr_format=2, encoding={"radar": {"chunks": (1, 2_000), "compressors": None}})
        root = node.run("add", "-Q", *FLAGS, str(path)).decode().strip()
    with running(Proxy(gateway_of(node))) as proxy:

        def read() -> None:
            dataset = xr.open_zarr(IPLDStore(GatewayCAStore(proxy.url), root=root), chunks=None)
            opened.append(time.perf_counter() - start)
            if not np.array_equal(dataset["radar"].values, ds["radar"].values):
                sys.exit("what was read is not what was written")

        ours, theirs, opened = [], [], []
        for _ in range(TIMES):
            proxy.requests.clear()
            start = time.perf_counter()
            ours.append(seconds(read))
            requests = len(proxy.requests), proxy.rounds
            if python is not None:
                found = rival(python, "ipfsspec_read.py", root, IPFS_GATEWAY=proxy.url)
                if not np.isclose(found["sum"], ds["radar"].values.sum(dtype="f8")):
                    sys.exit("ipfsspec read something else")
                theirs.append(found["read"])
    print(f"directory, 500 chunks, 50 ms: {min(ours):.2f} s, opened after {min(opened):.2f} s")
    print(f"  {requests[0]} requests in {requests[1]} rounds")
    return beside("ipfsspec", ours, theirs)


def hamt(node: Any, python: str | None, *, full: bool) -> bool:
    if python is None:
        print("HAMT: left out, no --hamt-python")
        return True
    chunks, times, how = (100_000, 1, ["at-once"]) if full else (10_000, TIMES, [])
    ours, theirs = [], []
    for _ in range(times):
        found = rival(python, "hamt_kubo.py", node.url, gateway_of(node), str(chunks), "1000", *how)
        theirs.append(found["read"])

        values: list[Any] = []

        def read(root: str = found["root"], values: list[Any] = values) -> None:
            store = IPLDStore(IPFSStore(node.url), root=root)
            values.append(zarr.open_array(store, mode="r")[:])

        ours.append(min(seconds(read) for _ in range(TIMES if full else 1)))
        if any(hashlib.sha256(each).hexdigest() != found["sha256"] for each in values):
            sys.exit("what was read is not what was written")
    print(f"HAMT, {chunks} chunks of 1000 bytes: {min(ours):.2f} s, {chunks / min(ours):.0f} chunks/s")
    return beside("py-hamt", ours, theirs)


def beside(name: str, ours: list[float], theirs: list[float]) -> bool:
    if not theirs:
        print(f"  {name}: left out")
        return True
    factor = min(theirs) / min(ours)
    print(f"  {name}: {min(theirs):.2f} s, {factor:.1f} times as long; wanted {WANTED:.0f}")
    return factor >= WANTED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ipfsspec-python")
    parser.add_argument("--hamt-python")
    parser.add_argument("--full", action="store_true", help="10^5 chunks of the HAMT instead of 10^4; 10 minutes")
    given = parser.parse_args()
    with running_node() as node:
        good = directory(node, given.ipfsspec_python)
        good &= hamt(node, given.hamt_python, full=given.full)
    sys.exit(not good)


if __name__ == "__main__":
    main()
