"""Datasets by ``ipfs://`` and ``ipns://`` on a real IPFS node, Kubo, in xarray and fsspec."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import ipldstore
import numpy as np
import pytest
import xarray as xr
from ipld_castore import GatewayCAStore, IPFSStore

pytestmark = pytest.mark.kubo


@pytest.fixture
def node(kubo: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A node, which is that of this machine."""
    monkeypatch.setenv("IPFS_PATH", str(kubo.repo))
    monkeypatch.delenv("IPFS_GATEWAY", raising=False)
    yield kubo
    kubo.empty()


def example() -> xr.Dataset:
    return xr.Dataset({"t": (("time", "x"), np.arange(12.0).reshape(3, 4))}, coords={"time": [0, 1, 2]})


def test_xarray_by_cid_and_by_name(node: Any) -> None:
    """Nothing but a URL is given; the same behind the node's own gateway, verified."""
    store = IPFSStore(node.url)
    cid = example().ipld.to_ipld(store)
    name = store.publish("opened", cid)
    gateway = (node.repo / "gateway").read_text().strip()
    for url in (f"ipfs://{cid}", f"ipns://{name}", f"ipld://{cid}", f"{gateway}/ipfs/{cid}"):
        chunks: Any
        for chunks in (None, {}):
            with xr.open_dataset(url, engine="ipldstore", chunks=chunks) as found:
                xr.testing.assert_identical(found.load(), example())
                assert found.ipld.cid == cid
                assert found.encoding["source"] == url
    with ipldstore.open(f"ipns://{name}") as opened:
        assert opened.resolved == f"/ipfs/{cid}"
        assert isinstance(opened.castore, IPFSStore)


def test_a_folder_that_ipfs_added(node: Any, tmp_path: Path) -> None:
    """As others publish zarr: the path leads through directories, in xarray and in fsspec."""
    folder = tmp_path / "products" / "air.zarr"
    example().to_zarr(folder, zarr_format=2)
    (tmp_path / "products" / "readme.txt").write_text("hello")
    added = node.run("add", "-r", "-Q", "--hidden", "--raw-leaves", "--cid-version=1", str(tmp_path / "products"))
    top = added.decode().strip()
    for options in ({}, {"node": False}):
        with xr.open_dataset(f"ipfs://{top}/air.zarr", engine="ipldstore", storage_options=options) as found:
            xr.testing.assert_identical(found.load(), example())
        fs = fsspec.filesystem("ipld", **options)
        assert isinstance(fs.castore, GatewayCAStore if options else IPFSStore)
        assert fs.cat_file(f"ipld://{top}/readme.txt", start=1) == b"ello"
        assert sorted(fs.ls(f"ipld://{top}", detail=False)) == [f"{top}/air.zarr", f"{top}/readme.txt"]
        url = f"ipld://{top}/air.zarr"
        with xr.open_dataset(url, engine="zarr", storage_options=options or None) as found:
            xr.testing.assert_identical(found.load(), example())
