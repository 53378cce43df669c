"""Datasets by ``ipfs://``, ``ipns://`` and URLs of gateways, and the folder that keeps what was read."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
from ipld_car import cids, unixfs
from ipld_castore import GatewayCAStore, IPFSStore, MappingCAStore, TieredCAStore
from ipld_castore.testing import BlockServer
from ipldstore import IPLDStore, IPLDStoreError, StoreUnavailableError
from multiformats import CID

from ..support.open_samples import SOME
from ..support.store_samples import contents, zarr


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without a node, without gateways of its own, and without a cache."""
    for variable in ("IPFS_PATH", "XDG_CONFIG_HOME", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    for variable in ("IPFS_GATEWAY", "IPLDSTORE_CACHE", "IPLDSTORE_CACHE_BYTES"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("ipld_castore._kubo.address.DEFAULT_URL", "http://127.0.0.1:9")
    return tmp_path


@pytest.fixture
def served() -> Iterator[tuple[BlockServer, CID]]:
    """A server of blocks, and the root of a dataset with groups."""
    blocks = MappingCAStore()
    store = IPLDStore(blocks)
    zarr.create_array(store, name="group/data", shape=(40,), chunks=(1,), dtype="i4")[:] = np.arange(40)
    with BlockServer(blocks) as server:
        yield server, store.freeze()


def has_data(store: IPLDStore, name: str = "group/data") -> bool:
    found: Any = zarr.open_group(store, mode="r")[name]
    return bool((found[:] == np.arange(40)).all())


@pytest.mark.usefixtures("alone")
def test_ipfs_asks_the_gateways_of_the_environment(
    served: tuple[BlockServer, CID], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, root = served
    monkeypatch.setenv("IPFS_GATEWAY", server.url)
    for scheme in ("ipfs", "ipld"):
        with ipldstore.open(f"{scheme}://{root}") as store:
            assert isinstance(store.castore, GatewayCAStore)
            assert store.root_cid == root
            assert has_data(store)
    with ipldstore.open(f"ipfs://{root}/group") as store:
        assert has_data(store, "data")
    with ipldstore.open(f"ipfs://{root}#group") as store:
        assert has_data(store, "data")


@pytest.mark.usefixtures("alone")
def test_a_node_that_answers_is_asked_first(served: tuple[BlockServer, CID], monkeypatch: pytest.MonkeyPatch) -> None:
    server, root = served
    monkeypatch.setattr("ipld_castore._kubo.address.DEFAULT_URL", server.url)
    with ipldstore.open(f"ipfs://{root}") as store:
        assert isinstance(store.castore, IPFSStore)
        assert has_data(store)
    options: dict[str, Any] = {"node": False, "gateways": server.url}
    with ipldstore.open(f"ipfs://{root}", storage_options=options) as store:
        assert isinstance(store.castore, GatewayCAStore)
        assert has_data(store)


@pytest.mark.usefixtures("alone")
def test_the_url_of_a_gateway(served: tuple[BlockServer, CID]) -> None:
    """That gateway is asked, and no other; its bytes are verified."""
    server, root = served
    with ipldstore.open(f"{server.url}/ipfs/{root}/group") as store:
        assert has_data(store, "data")
        assert store.castore.address == server.url
    with pytest.raises(ValueError, match="found both"):
        ipldstore.open(f"{server.url}/ipfs/{root}", storage_options={"gateways": "http://10.0.0.1"})
    blocks = server.blocks
    assert isinstance(blocks, MappingCAStore)
    for key in list(blocks.mapping):
        if key != str(root):
            blocks.mapping[key] = b"damaged"
    with ipldstore.open(f"{server.url}/ipfs/{root}") as store, pytest.raises(IPLDStoreError):
        has_data(store)


@pytest.mark.usefixtures("alone")
def test_what_cannot_be_reached(served: tuple[BlockServer, CID]) -> None:
    _, root = served
    with pytest.raises(StoreUnavailableError, match="no IPFS node answers"):
        ipldstore.open(f"ipfs://{root}", storage_options={"node": True})
    with pytest.raises(StoreUnavailableError, match=r"127.0.0.1:9"):
        ipldstore.open(f"http://127.0.0.1:9/ipfs/{root}", storage_options={"retries": 0})
    for mode in ("a", "x"):
        with pytest.raises(ValueError, match="what a CID names does not change"):
            ipldstore.open(f"ipfs://{root}", mode)


# -- names --


@pytest.mark.usefixtures("alone")
def test_a_name(served: tuple[BlockServer, CID], caplog: pytest.LogCaptureFixture) -> None:
    """What came out is shown; a node is asked, given or found."""
    server, root = served
    node = IPFSStore(server.url, pin=False)
    name = node.publish("data", root)
    caplog.set_level(logging.INFO, "ipldstore")
    with ipldstore.open(f"ipns://{name}/group", storage_options={"node": server.url}) as store:
        assert store.resolved == f"/ipfs/{root}"
        assert f"found as /ipfs/{root}" in repr(store)
        assert has_data(store, "data")
        again = pickle.loads(pickle.dumps(store))  # noqa: S301  # made here
        assert again.resolved == store.resolved
    assert f"points to /ipfs/{root} now" in caplog.text
    other = ipldstore.open(f"ipns://{name}", castore=node)
    assert other.resolved == f"/ipfs/{root}"
    assert has_data(other)
    with pytest.raises(IPLDStoreError, match="gone"):
        ipldstore.open("ipns://gone", castore=node)
    with pytest.raises(IPLDStoreError, match="a node or gateways"):
        ipldstore.open(f"ipns://{name}", castore=MappingCAStore())


def test_without_a_name_nothing_is_resolved(served: tuple[BlockServer, CID]) -> None:
    server, root = served
    assert ipldstore.open(root, castore=server.blocks).resolved is None


# -- paths through directories --


def test_a_path_through_directories(served: tuple[BlockServer, CID]) -> None:
    """To a root of ours in a UnixFS directory, and from there to a group."""
    server, root = served
    blocks = server.blocks

    def put(cid: bytes, data: bytes) -> None:
        blocks.put_block(cids.from_bytes(cid), data)

    inner = unixfs.build_directory([unixfs.PBLink(bytes(root), "air", 0)], put).cid
    top = unixfs.build_directory([unixfs.PBLink(inner, "products", 0)], put).cid
    text = f"ipfs://{cids.to_text(top)}/products/air"
    assert has_data(ipldstore.open(text, castore=blocks))
    assert has_data(ipldstore.open(f"{text}#group", castore=blocks), "data")
    with pytest.raises(IPLDStoreError, match=r"expected 'gone' in .*found no such name"):
        ipldstore.open(f"ipfs://{cids.to_text(top)}/products/gone", castore=blocks)


# -- the cache --


def test_what_was_read_is_kept(served: tuple[BlockServer, CID], alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, root = served
    url, cache = f"{server.url}/ipfs/{root}", alone / "cache"
    with ipldstore.open(url, cache=cache) as store:
        assert isinstance(store.castore, TieredCAStore)
        assert has_data(store)
    server.forget()
    with ipldstore.open(url, cache=cache) as store:
        assert has_data(store)
    monkeypatch.setenv("IPLDSTORE_CACHE", str(cache))
    with ipldstore.open(url) as store:
        assert has_data(store)
    assert server.requests == []
    with ipldstore.open(url, cache="") as store:
        assert isinstance(store.castore, GatewayCAStore)


def test_the_cache_is_bounded(served: tuple[BlockServer, CID], alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server, root = served
    url, cache = f"{server.url}/ipfs/{root}", alone / "cache"
    with ipldstore.open(url, cache=cache, cache_bytes=900) as store:
        assert has_data(store)
    assert 0 < sum(file.stat().st_size for file in cache.rglob("*.data")) <= 900
    monkeypatch.setenv("IPLDSTORE_CACHE_BYTES", "300")
    with ipldstore.open(url, cache=cache) as store:
        assert has_data(store)
    assert sum(file.stat().st_size for file in cache.rglob("*.data")) <= 300
    monkeypatch.setenv("IPLDSTORE_CACHE_BYTES", "16G")
    with pytest.raises(ValueError, match=r"number of bytes in \$IPLDSTORE_CACHE_BYTES, found '16G'"):
        ipldstore.open(url, cache=cache)


def test_damage_in_the_cache_is_read_again(served: tuple[BlockServer, CID], alone: Path) -> None:
    server, root = served
    url, cache = f"{server.url}/ipfs/{root}", alone / "cache"
    with ipldstore.open(url, cache=cache) as store:
        assert has_data(store)
    for file in cache.rglob("*.data"):
        file.write_bytes(b"damaged")
    with ipldstore.open(url, cache=cache) as store:
        assert has_data(store)


def test_files_here_need_no_cache(alone: Path) -> None:
    with ipldstore.open(alone / "air.car", "x", fsync=False) as store:
        store.mapping.update(SOME)
    with ipldstore.open(alone / "air.car", cache=alone / "cache") as store:
        assert contents(store) == SOME
    assert not (alone / "cache").exists()


def test_a_bucket_is_written_through_the_cache(s3: Any, bucket: str, alone: Path) -> None:
    pytest.importorskip("obstore", reason="the extra object is not installed")
    address: dict[str, Any] = {"what": f"s3://{bucket}/air", "storage_options": s3.options()}
    with ipldstore.open(**address, mode="a", cache=alone / "cache") as store:
        store.mapping.update(SOME)
    with ipldstore.open(**address) as store:
        assert contents(store) == SOME
    with ipldstore.open(**address, mode="a", cache=alone / "cache") as store:
        assert contents(store) == SOME
        store["b"] = b"more"
    with ipldstore.open(f"{address['what']}#a", storage_options=s3.options(), cache=alone / "cache") as store:
        assert sorted(store) == ["c/0"]
