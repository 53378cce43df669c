"""Read a dataset through ``ipldstore serve`` and through Kubo's gateway on loopback, verified by the same client.

300 chunks of 1 MiB: ours takes at most 1.3 times as long; 5,000 of 4 KiB: ours is faster. Needs Kubo: IPLD_TEST_KUBO,
or the one that the tests have built.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ipldstore
import numpy as np
import zarr
from ipld_castore import GatewayCAStore

CASES = (("300 x 1 MiB", 300, 1 << 20, 1.3), ("5,000 x 4 KiB", 5000, 4096, 1.0))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kubo", default=os.environ.get("IPLD_TEST_KUBO", ""), help="the program ipfs")
    options = parser.parse_args()
    kubo = options.kubo or next(map(str, Path("~/.cache/ipldstore-tests").expanduser().glob("kubo-*/ipfs")), "")
    missed = 0
    for title, count, size, target in CASES:
        with tempfile.TemporaryDirectory() as folder:
            missed += run(title, count, size, target, Path(folder), kubo, options.rounds)
    return missed


def run(title: str, count: int, size: int, target: float, folder: Path, kubo: str, rounds: int) -> int:
    path = folder / "a.car"
    with ipldstore.open(path, "x", fsync=False) as store:
        array = zarr.create_array(store, name="a", shape=(count * size,), chunks=(size,), dtype="u1", compressors=None)
        random = np.random.default_rng(0)
        for at in range(0, count, 100):
            piece = slice(at * size, min(at + 100, count) * size)
            array[piece] = random.integers(0, 256, piece.stop - piece.start, "u1")
        root = str(store.freeze())
    ours = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from ipldstore._cli.main import main; sys.exit(main())",
            "serve",
            str(path),
            "--port",
            "0",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    servers = {"serve": next(iter(ours.stdout or ())).split()[-1]}
    node = None
    if kubo:
        node, servers["Kubo"] = start_kubo(kubo, folder, path)
    try:
        times = {name: min(read(url, root, count * size) for _ in range(rounds)) for name, url in servers.items()}
    finally:
        ours.terminate()
        ours.wait()
        if node is not None:
            node.terminate()
            node.wait()
    print(f"{title}: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in times.items()), end="")
    if "Kubo" not in times:
        print(" (no Kubo)")
        return 0
    ratio = times["serve"] / times["Kubo"]
    print(f"; {ratio:.2f} times Kubo (target {target}){'' if ratio <= target else ': MISSED'}")
    return int(ratio > target)


def start_kubo(kubo: str, folder: Path, path: Path) -> tuple[subprocess.Popen[str], str]:
    environ = {**os.environ, "IPFS_PATH": str(folder / "ipfs")}

    def ipfs(*arguments: str) -> str:
        done = subprocess.run([kubo, *arguments], env=environ, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    ipfs("init", "--profile", "test")
    ipfs("dag", "import", "--pin-roots=false", str(path))
    node = subprocess.Popen([kubo, "daemon", "--offline"], env=environ, stdout=subprocess.PIPE, text=True)
    url = ""
    for line in node.stdout or ():
        if line.startswith("Gateway server listening on"):
            _, _, host, _, port = line.split()[-1].split("/")
            url = f"http://{host}:{port}"
        if line.startswith("Daemon is ready"):
            break
    return node, url


def read(url: str, root: str, size: int) -> float:
    start = time.perf_counter()
    with GatewayCAStore(url) as castore:
        store = ipldstore.IPLDStore(castore, root=root, read_only=True)
        data = zarr.open_array(store, path="a", mode="r")[:]
    seconds = time.perf_counter() - start
    if data.nbytes != size:
        raise SystemExit(f"expected {size} bytes, found {data.nbytes}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
