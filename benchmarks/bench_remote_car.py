"""Measure requests, latencies and bytes for a CAR file of 10^6 chunks on an HTTP server that is 50 ms away.

The file is as CarCAStore leaves it, the root at the end, and as ``to_car`` and ``ipld-car index`` make it, the root at
the start. A server of our own knows ranges, counts requests and delays each answer by 50 ms. Requests that are under
way together count as one latency. It exits with 1 if a target is missed.

    python benchmarks/bench_remote_car.py
    python benchmarks/bench_remote_car.py --steps 100     # 10^5 chunks
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import BinaryIO

import ipldstore
import numpy as np
import zarr
from ipld_car import ops
from ipldstore import CarCAStore
from shared.far import LATENCY, FarServer, Handler, Request, running

SPACE = (25, 40)
CHUNK = 32
"""Values of 8 bytes in a chunk."""
MOST_LATENCIES = 6
MOST_BYTES = 1 << 20


class Server(FarServer):
    """A server of one file."""

    def __init__(self, path: Path) -> None:
        super().__init__(_Handler)
        self.file: BinaryIO = path.open("rb")
        self.size = path.stat().st_size

    @property
    def url(self) -> str:
        return f"{super().url}/air.car"

    def server_close(self) -> None:
        super().server_close()
        self.file.close()


class _Handler(Handler):
    server: Server

    def do_GET(self) -> None:  # noqa: N802  # http.server looks for it by this name
        arrived = time.monotonic()
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"] or "")
        if asked is None:
            self.send_error(400)
            return
        start = int(asked[1])
        data = os.pread(self.server.file.fileno(), int(asked[2]) + 1 - start, start)
        time.sleep(LATENCY)
        self.server.requests.append(Request(arrived, time.monotonic(), len(data)))
        self.send_response_only(206)
        self.send_header("Content-Range", f"bytes {start}-{start + len(data) - 1}/{self.server.size}")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def value_of(t: int, y: int, x: int) -> int:
    """Return the first value of a chunk."""
    return (t * SPACE[0] + y) * SPACE[1] + x


def write(path: Path, steps: int) -> None:
    """Write a group whose array ``air`` has a chunk for each place, into a CAR file."""
    shape = (steps, *SPACE)
    with ipldstore.open(path, "x", fsync=False) as store:
        zarr.create_group(store).create_array(
            "air", shape=(*shape, CHUNK), chunks=(1, 1, 1, CHUNK), dtype="i8", compressors=None, fill_value=-1
        )
        for place in np.ndindex(shape):
            values = np.arange(value_of(*place), value_of(*place) + CHUNK, dtype="<i8")
            store["air/c/" + "/".join(map(str, (*place, 0)))] = values.tobytes()
        zarr.consolidate_metadata(store)


def depth_first(source: Path, target: Path) -> None:
    """Write the archive that ``to_car`` makes, with an index."""
    plain = target.with_suffix(".v1")
    with ipldstore.open(source) as store, plain.open("wb") as stream:
        store.to_car(stream)
    ops.convert(plain, target, version=2)
    plain.unlink()


def read(server: Server, region: tuple[slice, ...]) -> float:
    """Open the dataset with nothing in memory, read a region and check it; return the seconds."""
    server.requests.clear()
    start = time.perf_counter()
    with ipldstore.open(server.url) as store:
        found = np.asarray(zarr.open_group(store, mode="r")["air"][region])
        taken = time.perf_counter() - start
    t, y, x = np.ogrid[region]
    if not np.array_equal(found[..., 0], value_of(t, y, x)):
        raise SystemExit("what was read is not what was written")
    return taken


def cold_blocks(server: Server, path: Path, count: int = 200) -> tuple[int, int]:
    """Get single blocks all over the file; return the most requests for one, and the bytes of all."""
    with CarCAStore(path, "r") as local:
        cids = [cid for number, cid in enumerate(local) if number % 4999 == 0][:count]
    most = 0
    with CarCAStore(server.url) as store:
        for cid in cids[:2]:  # the second opens the index
            store.get_raw(cid)
        server.requests.clear()
        for cid in cids[2:]:
            before = len(server.requests)
            store.get_raw(cid)
            most = max(most, len(server.requests) - before)
    return most, sum(request.size for request in server.requests)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000, help="of 1,000 chunks each")
    steps = parser.parse_args().steps
    warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
    print(f"Python {sys.version.split()[0]}, zarr {zarr.__version__}\n")
    verdicts: list[tuple[bool, str]] = []
    middle = steps // 2
    regions = {
        "one chunk": np.s_[middle : middle + 1, 12:13, 20:21],
        "map of 1 x 25 x 40": np.s_[middle : middle + 1, 0:25, 0:40],
        "column of 20 x 5 x 5": np.s_[middle - 10 : middle + 10, 20:25, 35:40],
    }
    with tempfile.TemporaryDirectory() as folder:
        appended, ordered = Path(folder) / "appended.car", Path(folder) / "ordered.car"
        write(appended, steps)
        depth_first(appended, ordered)
        print(f"{steps * 1000:,} chunks | read | chunks | latencies | requests | KiB | seconds")
        for path in (appended, ordered):
            with running(Server(path)) as server:
                for name, region in regions.items():
                    taken = read(server, region)
                    size = sum(request.size for request in server.requests)
                    chunks = int(np.prod([part.stop - part.start for part in region]))
                    print(
                        f"{path.stem} | {name} | {chunks} | {server.rounds} | {len(server.requests)} | "
                        f"{size >> 10} | {taken:.2f}"
                    )
                    if chunks == 1:
                        what = f"{path.stem}: {server.rounds} latencies (at most {MOST_LATENCIES}), "
                        what += f"{size >> 10} KiB (at most {MOST_BYTES >> 10})"
                        verdicts.append((server.rounds <= MOST_LATENCIES and size <= MOST_BYTES, what))
                most, size = cold_blocks(server, path)
                print(f"{path.stem} | 200 blocks, one at a time | | | {most} at most for one | {size >> 10} |")
                verdicts.append((most <= 2, f"{path.stem}: {most} requests for a cold block (at most 2)"))
    print()
    for good, what in verdicts:
        print(f"{'met   ' if good else 'MISSED'} {what}")
    return 0 if all(good for good, _ in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
