"""Datasets on a real IPFS node, Kubo: written, kept, read elsewhere, and understood by the tools that people have."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
import requests
import xarray as xr
from ipld_castore import BlockNotFoundError, FileSystemCAStore, IPFSStore, MappingCAStore
from ipldstore import IPLDStore, IPLDStoreError, get_ipfs_mapper
from multiformats import CID

pytestmark = pytest.mark.kubo

ANCHOR = "bafyreibf3yn5ovxhrcwwdg4sm5sinnkwoyfx3wswghbjchz4zvwt55bhte"
"""The root of the original project's first example."""

FIVE_MIB = 5 << 20
ADD_FLAGS = ["--cid-version=1", "--raw-leaves", "--chunker=size-1048576", "--max-file-links=1024", "--only-hash", "-Q"]


def example() -> xr.Dataset:
    return xr.Dataset({"a": ("a", [1, 2, 3], {"units": "m", "flags": [1, 2.5]})})


def field(steps: int = 4) -> xr.Dataset:
    """Eight chunks for each step, and one chunk of several blocks."""
    values = np.random.default_rng(3).integers(0, 255, (steps, 8, 10), "u1")
    large = np.random.default_rng(4).integers(0, 255, FIVE_MIB, "u1")
    return xr.Dataset({"t": (("time", "y", "x"), values), "large": ("n", large)}, attrs={"title": "two nodes"})


def write(dataset: xr.Dataset, store: IPLDStore, zarr_format: int = 3) -> CID:
    encoding: dict[str, Any] = {str(name): {"compressors": None} for name in dataset.variables}
    if "t" in dataset:
        encoding["t"]["chunks"] = (1, 2, 5)
        encoding["large"]["chunks"] = (FIVE_MIB,)
    dataset.to_zarr(store, zarr_format=zarr_format, encoding=encoding)
    return store.freeze()


def test_the_first_example(node: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the original project's README has it: the node is found, and the root is the one that it printed."""
    monkeypatch.setenv("IPFS_PATH", str(node.repo))
    ds = xr.Dataset({"a": ("a", [1, 2, 3])})
    m = get_ipfs_mapper()
    ds.to_zarr(m, encoding={"a": {"compressors": None}}, consolidated=True, zarr_format=2)
    assert str(m.freeze()) == ANCHOR
    m2 = get_ipfs_mapper()
    m2.set_root(ANCHOR)
    xr.testing.assert_identical(xr.open_zarr(m2).load(), ds)
    assert dict(m.castore.pins())[CID.decode(ANCHOR)] == ""  # type: ignore[attr-defined]  # it is an IPFSStore


def test_from_one_node_to_another(node: Any, other: Any) -> None:
    """Written on one, read through the other by the CID alone."""
    dataset = field()
    with IPFSStore(node.url) as here, IPFSStore(other.url, timeout=60) as there:
        root = write(dataset, IPLDStore(here))
        assert not there.has_block(root)
        read = xr.open_zarr(IPLDStore(there, root=str(root), read_only=True))
        xr.testing.assert_identical(read.load(), dataset)
        assert there.has_block(root)


def test_a_lost_chunk_is_an_error_on_both(node: Any, other: Any) -> None:
    """Neither a fill value nor a wait without end."""
    with IPFSStore(node.url, pin=False) as here, IPFSStore(other.url) as there:
        root = write(field(), IPLDStore(here))
        blocks = dict(here.get_dag(root))
        lost = next(cid for cid, data in blocks.items() if len(data) == 10)
        here.delete_block(lost)
        del blocks[lost]
        assert dict(there.get_blocks(blocks)) == blocks
    for each in (node, other):
        with IPFSStore(each.url, timeout=3) as castore:  # for the lost block: all others are there
            dataset = xr.open_zarr(IPLDStore(castore, root=root, read_only=True))
            with pytest.raises(IPLDStoreError, match=f"no block {lost}"):
                dataset.load()


def test_appending_moves_the_pin(node: Any) -> None:
    """A new time step is written, frozen and pinned; the name goes with it, and what was there before still is."""
    dataset = field()
    with IPFSStore(node.url, pin="field") as castore:
        first = write(dataset, IPLDStore(castore))
        store = IPLDStore(castore, root=first)
        step = dataset[["t"]].isel(time=slice(0, 1))
        step.to_zarr(store, append_dim="time", consolidated=True, zarr_format=3)
        second = store.freeze()
        assert set(castore.pins()) == {(second, "field")}
        node.run("repo", "gc", "--quiet")
        read = xr.open_zarr(IPLDStore(castore, root=second)).load()
        xr.testing.assert_equal(read.t.isel(time=slice(0, 4)), dataset.t)
        xr.testing.assert_equal(read.t.isel(time=4), dataset.t.isel(time=0))


def test_freezing_fails_while_the_node_is_away_and_goes_on_later(
    kubo_binary: str, kubo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost: the second freeze gives the root, pinned, with every block below it."""
    own = type(kubo)(kubo_binary, tmp_path / "own")
    own.start()
    own.run("config", "Addresses.API", (own.repo / "api").read_text().strip())
    try:
        store = IPLDStore(IPFSStore(own.url))
        expected = write(example(), IPLDStore(MappingCAStore()))
        with monkeypatch.context() as patch:
            patch.setattr(store, "freeze", lambda: None)
            write(example(), store)
        own.kill()
        for _ in range(2):
            with pytest.raises(IPLDStoreError, match="keeping the blocks: no IPFS node answers at"):
                store.freeze()
        xr.testing.assert_identical(xr.open_zarr(store).load(), example())
        own.start()
        assert store.freeze() == expected
        assert own.post("pin/ls", arg=str(expected), type="recursive")["Keys"]
        with IPFSStore(own.url, offline=True) as castore:
            xr.testing.assert_identical(xr.open_zarr(IPLDStore(castore, root=expected)).load(), example())
    finally:
        own.kill()


# -- what the tools that people have make of it --


def test_ipfs_sees_the_data(node: Any) -> None:
    """Attributes are data for `ipfs dag get`; a chunk of 5 MiB is a file for `ipfs cat`, and that of `ipfs add`."""
    with IPFSStore(node.url) as castore:
        store = IPLDStore(castore)
        root = write(example(), store, 2)
        shown = json.loads(node.run("dag", "get", f"{root}/a/.zattrs"))
        assert shown == {"_ARRAY_DIMENSIONS": ["a"], "flags": [1, 2.5], "units": "m"}
        large = IPLDStore(castore)
        root = write(field(), large)
        chunk = large["large/c/0"]
        assert len(chunk) == FIVE_MIB
        cid = node.run("dag", "resolve", f"{root}/large/c/0").decode().strip()
        assert node.run("cat", cid) == chunk
        assert node.run("add", *ADD_FLAGS, data=chunk).decode().strip() == cid


def test_the_nodes_gateway_serves_keys(node: Any) -> None:
    """A path to a chunk, also through the index, is a URL."""
    gateway = (node.repo / "gateway").read_text().strip()
    with IPFSStore(node.url) as castore:
        store = IPLDStore(castore)
        root = write(example(), store, 2)
        answer = requests.get(f"{gateway}/ipfs/{root}/a/0", timeout=60)
        assert answer.content == store["a/0"] == np.array([1, 2, 3]).tobytes()
        store = IPLDStore(castore)
        root = write(field(steps=20), store)  # enough chunks for an index
        answer = requests.get(f"{gateway}/ipfs/{root}/large/c/0", timeout=60)
        assert answer.content == store["large/c/0"]
        index = store.stats().index_blocks
        assert index > 0
        answer = requests.get(f"{gateway}/ipfs/{root}/t/__ipld_chunks__/0/1/c/0/1/1", timeout=60)
        assert answer.content == store["t/c/0/1/1"]


def test_archives_go_both_ways(node: Any) -> None:
    """`ipfs dag import` takes to_car, import_car takes `ipfs dag export`."""
    here = IPLDStore()
    root = write(field(), here)
    node.run("dag", "import", data=here.to_car())
    with IPFSStore(node.url, offline=True) as castore:
        xr.testing.assert_identical(xr.open_zarr(IPLDStore(castore, root=root)).load(), field())
        assert castore.to_car(root) == here.to_car()
    exported = node.run("dag", "export", "--progress=false", str(root))
    assert exported == here.to_car()
    xr.testing.assert_identical(xr.open_zarr(IPLDStore.from_car(io.BytesIO(exported))).load(), field())


# -- push, pull, publish --


def test_push_to_a_node_and_pull_from_another(node: Any, other: Any, tmp_path: Path) -> None:
    """Only what is missing, and pinned where it was pushed to."""
    local = IPLDStore(FileSystemCAStore(tmp_path / "local", fsync=False))
    root = write(field(), local)
    blocks = dict(local.castore.get_dag(root))
    with IPFSStore(node.url) as there, IPFSStore(other.url, timeout=60) as elsewhere:
        assert ipldstore.push(root, local.castore, there).blocks == len(blocks)
        assert dict(there.pins()) == {root: ""}
        assert ipldstore.push(root, local.castore, there) == (0, 0)
        mirror = FileSystemCAStore(tmp_path / "mirror", fsync=False)
        assert ipldstore.pull(root, elsewhere, mirror).blocks == len(blocks)
        assert mirror.to_car(root) == local.to_car()
        assert ipldstore.pull(root, elsewhere, mirror) == (0, 0)

        store = IPLDStore(local.castore, root=root)
        store["t/c/3/0/0"] = bytes(10)
        newer = store.freeze()
        sent = ipldstore.push(newer, local.castore, there)
        assert sent.blocks <= 4
        assert set(there.pins()) == {(root, ""), (newer, "")}
        assert ipldstore.pull(newer, there, mirror).blocks == sent.blocks


def test_from_node_to_node(node: Any, kubo_binary: str, kubo: Any, tmp_path: Path) -> None:
    """Two that do not know each other."""
    stranger = type(kubo)(kubo_binary, tmp_path / "stranger")
    stranger.start()
    try:
        with IPFSStore(node.url) as src, IPFSStore(stranger.url, offline=True) as dst:
            root = write(field(), IPLDStore(src))
            ipldstore.push(root, src, dst)
            assert dst.to_car(root) == src.to_car(root)
            dst.check_dag(root)
    finally:
        stranger.kill()


def test_publish_and_resolve(node: Any) -> None:
    """A name leads to the newest root."""
    with IPFSStore(node.url) as castore:
        store = IPLDStore(castore)
        first = write(example(), store)
        name = store.publish("examples")
        assert name.startswith("k51")
        assert store.resolve("examples") == store.resolve(name) == first
        store["a/c/0"] = bytes(24)
        assert store.publish("examples") == name
        again = get_ipfs_mapper(node.url)
        again.set_root(again.resolve(name))
        assert again["a/c/0"] == bytes(24)
        assert (again.root_cid, "") in set(castore.pins())
        with pytest.raises(IPLDStoreError, match="resolving 'nothing': no root at the name") as caught:
            store.resolve("nothing")
        assert isinstance(caught.value.__cause__, BlockNotFoundError)
    with pytest.raises(IPLDStoreError, match="publishing 'x': expected a block store with names"):
        IPLDStore().publish("x")
