"""Zarr that others publish on IPFS, read over real nodes and gateways: ``ipfs add`` made it, and py-hamt."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
import xarray as xr
import zarr
from ipld_castore import ContentAddressableStore, GatewayCAStore, IPFSStore, MappingCAStore
from ipldstore import IPLDStore
from multiformats import CID
from zarr.abc.store import RangeByteRequest

pytestmark = pytest.mark.kubo

ORCESTRA = ["--recursive", "--hidden", "--raw-leaves", "--chunker=size-1048576"]
"""The flags with which ORCESTRA publishes, word for word."""

# A node of a file has 174 links: the 192 leaves of 16 KiB of the largest chunk are below nodes of two levels.
FLAGS = {
    "ORCESTRA": ORCESTRA,
    "CIDv0, small dag-pb leaves": ["--recursive", "--hidden", "--chunker=size-16384"],
    "CIDv1": ["--recursive", "--hidden", "--cid-version=1"],
    "rabin": ["--recursive", "--hidden", "--raw-leaves", "--chunker=rabin-262144-524288-1048576"],
    "trickle": ["--recursive", "--hidden", "--trickle", "--chunker=size-16384"],
    "inlined": ["--recursive", "--hidden", "--cid-version=1", "--inline", "--inline-limit=64"],
    "blake3": ["--recursive", "--hidden", "--cid-version=1", "--hash=blake3"],
}


def campaign() -> xr.Dataset:
    """Return a dataset with small chunks, one chunk over 1 MiB, and text attributes."""
    rng = np.random.default_rng(5)
    return xr.Dataset(
        {
            "radar": (("time", "height"), rng.normal(size=(40, 30)).astype("f4"), {"units": "dBZ"}),
            "image": ("n", rng.integers(0, 255, 3 << 20, "u1")),
        },
        coords={"time": np.arange(40), "height": np.linspace(0, 15e3, 30)},
        attrs={"title": "HALO"},
    )


def write(path: Path) -> Path:
    """Write it as their scripts do: zarr format 2, compressed by Blosc without threads, consolidated."""
    blosc = importlib.import_module("numcodecs.blosc")
    blosc.set_nthreads(1)
    encoding = {"radar": {"chunks": (1, 30)}, "image": {"chunks": (3 << 20,), "compressors": None}}
    campaign().to_zarr(path, zarr_format=2, encoding=encoding)
    return path


def added(node: Any, path: Path, flags: list[str]) -> CID:
    """Return the CID of a folder that ``ipfs add`` has added."""
    return CID.decode(node.run("add", "-Q", *flags, str(path)).decode().strip())


def gateway_of(node: Any) -> str:
    return str((node.repo / "gateway").read_text().strip())


class CountedCAStore(ContentAddressableStore):
    """Counts the blocks that are read of a store that is far away."""

    local = False

    def __init__(self, below: ContentAddressableStore) -> None:
        super().__init__()
        self._below = below
        self.read: list[str] = []

    def get_block(self, cid: CID) -> bytes:
        self.read.append(str(cid))
        return self._below.get_block(cid)

    def put_block(self, cid: CID, data: bytes) -> None:
        self._below.put_block(cid, data)


class CountedGateway(GatewayCAStore):
    """Counts the requests that are sent to a gateway."""

    requests = 0

    def _request(self, *arguments: Any, **options: Any) -> Any:
        self.requests += 1
        return super()._request(*arguments, **options)


def test_orcestras_way(node: Any, other: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Added to one node; opened through it, through another one, through a gateway, and out of an archive."""
    expected = campaign()
    write(tmp_path / "products" / "HALO" / "radar.zarr")
    top = added(node, tmp_path / "products", ORCESTRA)
    root = CID.decode(node.run("resolve", f"/ipfs/{top}/HALO/radar.zarr").decode().strip().rpartition("/")[2])
    (tmp_path / "radar.car").write_bytes(node.run("dag", "export", str(root)))
    stores: dict[str, ContentAddressableStore] = {
        "node": IPFSStore(node.url),
        "another node": IPFSStore(other.url),
        "gateway": GatewayCAStore(gateway_of(node)),
    }
    for name, castore in stores.items():
        store = IPLDStore(castore, root=root)
        xr.testing.assert_identical(xr.open_zarr(store).load(), expected)
        below = ipldstore.open(f"ipfs://{top}/HALO/radar.zarr", castore=castore)
        assert below.root_cid == root, name
        opened = xr.open_dataset(f"ipfs://{top}/HALO/radar.zarr", engine="ipldstore", castore=castore)
        xr.testing.assert_identical(opened.load(), expected)
        opened.close()
    xr.testing.assert_identical(xr.open_dataset(tmp_path / "radar.car", engine="ipldstore").load(), expected)
    monkeypatch.setenv("IPFS_PATH", str(node.repo))
    xr.testing.assert_identical(xr.open_dataset(f"ipfs://{root}", engine="ipldstore").load(), expected)


@pytest.mark.parametrize("name", FLAGS)
def test_files_of_any_chunker(node: Any, tmp_path: Path, name: str) -> None:
    pytest.importorskip("blake3")
    root = added(node, write(tmp_path / "x.zarr"), FLAGS[name])
    for castore in (IPFSStore(node.url), GatewayCAStore(gateway_of(node))):
        store = IPLDStore(castore, root=root)
        xr.testing.assert_identical(xr.open_zarr(store).load(), campaign())
        image = (tmp_path / "x.zarr" / "image" / "0").read_bytes()
        part = store.get_sync("image/0", byte_range=RangeByteRequest(1_500_000, 1_500_100))
        assert part is not None
        assert part.to_bytes() == image[1_500_000:1_500_100]
        files = {str(path.relative_to(tmp_path / "x.zarr")) for path in (tmp_path / "x.zarr").rglob("*")}
        assert set(store) == {name for name in files if (tmp_path / "x.zarr" / name).is_file()}


def test_a_range_reads_only_its_leaves(node: Any, tmp_path: Path) -> None:
    root = added(node, write(tmp_path / "x.zarr"), ["-r", "--hidden", "--raw-leaves", "--chunker=size-65536"])
    castore = CountedCAStore(IPFSStore(node.url))
    store = IPLDStore(castore, root=root)
    assert "image/0" in store
    castore.read.clear()
    assert store.get_sync("image/0", byte_range=RangeByteRequest(2_000_000, 2_000_010)) is not None
    assert len(castore.read) == 1


def test_symbolic_links_are_no_keys(node: Any, tmp_path: Path) -> None:
    """They are not followed, as they may lead anywhere; ``ipfs add`` follows them only where it is told to."""
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "a").write_bytes(b"value")
    (folder / "link").symlink_to("a")
    store = IPLDStore(IPFSStore(node.url), root=added(node, folder, ORCESTRA))
    assert list(store) == ["a"]
    assert "link" not in store
    assert "link/a" not in store


@pytest.fixture(scope="module")
def wide(kubo: Any, tmp_path_factory: pytest.TempPathFactory) -> CID:
    """A sharded directory of 20,000 chunks."""
    folder = tmp_path_factory.mktemp("wide") / "a"
    folder.mkdir()
    for number in range(20_000):
        (folder / f"{number // 200}.{number % 200}").write_bytes(number.to_bytes(8, "little"))
    metadata = {"zarr_format": 2, "shape": [100, 200], "chunks": [1, 1], "dtype": "<i8", "order": "C"}
    metadata |= {"compressor": None, "filters": None, "fill_value": 0}
    (folder / ".zarray").write_text(json.dumps(metadata))
    (folder.parent / ".zgroup").write_text('{"zarr_format":2}')
    return added(kubo, folder.parent, ORCESTRA)


@pytest.mark.slow
def test_one_cold_chunk_of_20_000(kubo: Any, wide: CID) -> None:
    """Over a node it is the shards on its way and the chunk; a gateway sends them in one answer."""
    castore = CountedCAStore(IPFSStore(kubo.url))
    array = zarr.open_array(IPLDStore(castore, root=wide), path="a", mode="r")
    castore.read.clear()
    assert array[50, 7] == 50 * 200 + 7
    assert len(castore.read) <= 3
    gateway = CountedGateway(gateway_of(kubo))
    array = zarr.open_array(IPLDStore(gateway, root=wide), path="a", mode="r")
    for row in (3, 77, 99):
        gateway.requests = 0
        assert array[row, 11] == row * 200 + 11
        assert gateway.requests == 1


@pytest.mark.slow
def test_all_of_20_000(kubo: Any, wide: CID) -> None:
    gateway = CountedGateway(gateway_of(kubo))
    store = IPLDStore(gateway, root=wide)
    array = zarr.open_array(store, path="a", mode="r")
    assert np.array_equal(array[:], np.arange(20_000).reshape(100, 200))
    assert gateway.requests < 2_000
    assert len(store) == 20_002


def test_a_canonical_copy_is_pinned_by_the_node(node: Any, tmp_path: Path) -> None:
    """A node takes the new root over the chunks that it has; nothing is added but nodes."""
    root = added(node, write(tmp_path / "x.zarr"), ORCESTRA)
    store = IPLDStore(IPFSStore(node.url), root=root)
    new = store.canonicalize(progress=False)
    assert store.canonicalized is not None
    assert store.canonicalized.copied == 0
    contents = MappingCAStore()
    copied = IPLDStore(contents)
    for path in (tmp_path / "x.zarr").rglob("*"):
        if path.is_file():
            copied[str(path.relative_to(tmp_path / "x.zarr")).replace(os.sep, "/")] = path.read_bytes()
    assert copied.freeze() == new
    assert any(pinned == new for pinned, _ in IPFSStore(node.url).pins())
