"""What py-hamt writes today, in an environment of its own, is read here: from folders, and over a node."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from ipld_castore import IPFSStore, MappingCAStore
from ipldstore import IPLDStore

pytest.importorskip("blake3")

FOREIGN = Path(__file__).parents[1] / "packages/ipldstore/tests/foreign"
PEERS = FOREIGN / "peers"
samples: Any = importlib.import_module("packages.ipldstore.tests.foreign.peers.samples")

GROUPS = {"hamt": None, "sharded-v1": None, "sharded-v2": "main", "pyramid": "0"}


@pytest.fixture(scope="session")
def python() -> str:
    """The Python of an environment with py-hamt; made where IPLD_BUILD_PY_HAMT is 1, as it takes half a minute."""
    making = os.environ.get("IPLD_BUILD_PY_HAMT") == "1"
    command = [sys.executable, str(PEERS / "environment.py"), *([] if making else ["--find"])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{done.stderr.strip()} (IPLD_BUILD_PY_HAMT=1 makes one)")
    return done.stdout.strip()


def written(python: str, kinds: Iterable[str], place: str, times: int = 12, large: int = 0) -> dict[str, str]:
    """Run py-hamt to write the dataset in each way; return the roots."""
    names = [*kinds]
    arguments = [",".join(names), place, str(times), str(large)]
    command = [python, "-W", "ignore", str(PEERS / "write_with_py_hamt_3.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(zip(names, done.stdout.split()[-len(names) :], strict=True))


def opened(store: IPLDStore, kind: str) -> xr.Dataset:
    found: xr.Dataset = xr.open_zarr(store, group=GROUPS[kind], consolidated=False if GROUPS[kind] else None)
    return found


def test_what_it_writes_now(python: str, tmp_path: Path) -> None:
    roots = written(python, GROUPS, str(tmp_path))
    castore = MappingCAStore({file.name: file.read_bytes() for file in tmp_path.iterdir()})
    for kind, root in roots.items():
        store = IPLDStore(castore, root=root)
        xr.testing.assert_identical(opened(store, kind).load(), samples.dataset())


@pytest.mark.slow
@pytest.mark.kubo
def test_over_a_node(python: str, kubo: Any) -> None:
    """A chunk over 1 MiB is a UnixFS file there."""
    gateway = (kubo.repo / "gateway").read_text().strip()
    roots = written(python, GROUPS, f"{kubo.url},{gateway}", large=3 << 20)
    try:
        for kind, root in roots.items():
            store = IPLDStore(IPFSStore(kubo.url), root=root)
            xr.testing.assert_identical(opened(store, kind).load(), samples.dataset(large=3 << 20))
            assert len(store) == sum(1 for _ in store.mapping)
    finally:
        kubo.empty()


@pytest.mark.slow
def test_ten_thousand_chunks(python: str, tmp_path: Path) -> None:
    """Nodes at several levels; each chunk is found by its hash, and listed once."""
    root = written(python, ["hamt"], str(tmp_path), times=2_500)["hamt"]
    castore = MappingCAStore({file.name: file.read_bytes() for file in tmp_path.iterdir()})
    store = IPLDStore(castore, root=root)
    array = opened(store, "hamt")["temp"]
    assert np.array_equal(array, np.arange(2_500 * 48, dtype="f4").reshape(2_500, 6, 8))
    keys = list(store)
    assert len(keys) == len(set(keys)) == 10_008
    assert all(key in store for key in keys[::97])
