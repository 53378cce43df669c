"""Other implementations read from ``ipldstore serve``, and verify what they get: @helia/verified-fetch and Kubo."""

from __future__ import annotations

import hashlib
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import ipldstore
import numpy as np
import pytest
import zarr
from ipld_car import cids

from .routing import routing_to

pytest.importorskip("uvicorn", reason="the extra serve is not installed")
pytestmark = [pytest.mark.slow]

TESTS = "packages.ipld-castore.tests"
LARGE = np.random.default_rng(0).bytes(2_500_000)


class Served(NamedTuple):
    """A running server, and what it serves."""

    url: str
    path: Path
    root: str
    chunk: str
    """The CID of a chunk that is one block: 0 to 3 as 32-bit integers."""
    large: str
    """The CID of :data:`LARGE`, a UnixFS file of several blocks."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The command ``ipldstore serve``, with a dataset."""
    path = tmp_path_factory.mktemp("served") / "a.car"
    with ipldstore.open(path, "x") as store:
        array = zarr.create_array(store, name="a", shape=(8,), chunks=(4,), dtype="<i4", compressors=None)
        array[:] = np.arange(8)
        store["large/0"] = LARGE
        root = str(store.freeze())
        chunk, large = (cids.to_text(store._data.find(key)) for key in ("a/c/0", "large/0"))  # type: ignore[arg-type]  # links
    command = [sys.executable, "-m", "ipldstore", "serve", str(path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            yield Served(running.stdout.readline().split()[-1], path, root, chunk, large)
        finally:
            running.terminate()


def test_verified_fetch(served: Served) -> None:
    """Raw blocks, files of several blocks, dag-cbor, and a path through the dag-cbor of a dataset."""
    support = importlib.import_module(f"{TESTS}.peers.npm_install")
    pinned = Path(__file__).parent / "verified_fetch"
    try:
        folder = support.npm_install(pinned, "verified-fetch")
    except importlib.import_module(f"{TESTS}.support.peer_binary").NoBinaryError as error:
        pytest.skip(str(error))
    program = folder / "peer.mjs"  # beside what npm has installed, where node looks for it
    program.write_bytes((pinned / "peer.mjs").read_bytes())
    urls = [f"ipfs://{each}" for each in (served.chunk, served.large, served.root, f"{served.root}/a/c/0")]
    with routing_to(served.url) as router:
        command = ["node", str(program), router, *urls]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    with ipldstore.open(served.path) as store:
        node = store.castore.get_raw(served.root)
    chunk = np.arange(4, dtype="<i4").tobytes()
    expected = [hashlib.sha256(each).hexdigest() for each in (chunk, LARGE, node, chunk)]
    assert [each.get("sha256", each) for each in found] == expected


@pytest.mark.kubo
def test_kubo_fetches_over_http(served: Served, kubo_binary: str, tmp_path: Path) -> None:
    """A node without peers gets blocks from the server as a trustless gateway, which a delegated router names."""
    node_of: Any = importlib.import_module(f"{TESTS}.support.kubo_node").Node
    with routing_to(served.url) as router:
        node = node_of(kubo_binary, tmp_path / "node")
        config = {
            "HTTPRetrieval.Enabled": True,
            "Routing.Type": "delegated",
            "Routing.DelegatedRouters": [f"{router}/routing/v1/providers"],
        }
        for name, value in config.items():
            node.run("config", "--json", name, json.dumps(value))
        node.start()
        try:
            assert node.run("cat", served.large) == LARGE
            assert node.run("block", "get", served.chunk) == np.arange(4, dtype="<i4").tobytes()
            node.run("pin", "add", served.root)  # which reads all that it reaches
            with ipldstore.open(f"ipfs://{served.root}", storage_options={"node": node.url}) as store:
                assert np.asarray(zarr.open_array(store, path="a", mode="r")[:]).tolist() == list(range(8))
        finally:
            node.stop()


@pytest.mark.kubo
def test_kubo_imports_the_car(served: Served, kubo: Any) -> None:
    """The CAR that the server sends of a root is whole: the node pins it, and checks every block."""
    import requests

    archive = requests.get(f"{served.url}/ipfs/{served.root}?format=car", timeout=60).content
    done = kubo.run("dag", "import", "--stats", data=archive).decode()
    assert f"Pinned root\t{served.root}\tsuccess" in done, done
    assert kubo.run("cat", served.large) == LARGE
