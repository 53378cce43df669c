"""Measure requests and latencies for a dataset of 10^6 chunks over a real Kubo's gateway that is 50 ms away.

A proxy before the gateway counts requests and delays each answer by 50 ms. Requests that are under way together count
as one latency. It exits with 1 if a target is missed.

    python benchmarks/bench_gateway.py
"""

from __future__ import annotations

import sys
import warnings

import numpy as np
import zarr
from ipld_castore import GatewayCAStore
from ipldstore import IPLDStore
from multiformats import CID
from shared.far import Proxy, running
from shared.kubo import SHAPE, gateway_of, million, running_node, seconds, value_of

ONE = (500, 12, 20)
REGIONS = {
    "box of 5 x 10 x 10": np.s_[500:505, 3:13, 7:17],
    "map of 1 x 20 x 25": np.s_[500:501, 0:20, 0:25],
    "column of 20 x 5 x 5": np.s_[490:510, 20:25, 35:40],
}


def read(proxy: Proxy, root: CID, region: tuple[slice, ...]) -> float:
    """Open the dataset without a cache, read a region and check it; return the seconds."""
    proxy.requests.clear()
    found: list[object] = []

    def open_and_read() -> None:
        store = IPLDStore(GatewayCAStore(proxy.url), root=root, read_only=True)
        found.append(zarr.open_group(store, mode="r")["air"][region])

    taken = seconds(open_and_read)
    t, y, x = np.ogrid[region]
    if not np.array_equal(found[0], value_of(t, y, x)):
        raise SystemExit("what was read is not what was written")
    return taken


def main() -> int:
    warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
    print(f"Python {sys.version.split()[0]}, zarr {zarr.__version__}\n")
    verdicts: list[tuple[bool, str]] = []
    with running_node() as node, running(Proxy(gateway_of(node))) as proxy:
        root = million(node)
        one = tuple(slice(at, at + 1) for at in ONE)
        print(f"{np.prod(SHAPE):,} chunks | chunks read | latencies | requests | seconds")
        for name, region in {"one chunk": one, **REGIONS}.items():
            taken = read(proxy, root, region)
            requests, rounds = len(proxy.requests), proxy.rounds
            chunks = int(np.prod([part.stop - part.start for part in region]))
            print(f"{name} | {chunks} | {rounds} | {requests} | {taken:.2f}")
            most = 5 if chunks == 1 else 12
            verdicts.append((rounds <= most, f"{name}: {rounds} latencies (at most {most})"))
            if chunks == 1:
                verdicts.append((requests <= 1 + 3, f"{name}: {requests - 1} requests after opening (at most 3)"))
    print()
    for good, what in verdicts:
        print(f"{'met   ' if good else 'MISSED'} {what}")
    return 0 if all(good for good, _ in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
