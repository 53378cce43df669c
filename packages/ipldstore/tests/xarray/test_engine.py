"""The engine ``ipldstore`` of xarray, by the entry point that xarray itself finds."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
from ipld_castore import MappingCAStore
from ipld_castore.testing import BlockServer
from ipldstore import IPLDStore, IPLDStoreError
from multiformats import CID

from ..support.xarray_samples import example, tree, xr


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with ipldstore.open(tmp_path / "air.car", "x", fsync=False) as store:
        example().to_zarr(store)
    return tmp_path / "air.car"


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    with ipldstore.open(tmp_path / "tree.car", "x", fsync=False) as store:
        tree().to_zarr(store)
    return tmp_path / "tree.car"


def without_coords(offset: int) -> Any:
    """What xarray writes of a group that has its coordinates from the group above."""
    return example(offset).drop_vars(["time", "x"])


def root_of(path: Path) -> CID:
    with ipldstore.open(path) as store:
        assert store.root_cid is not None
        return store.root_cid


def test_xarray_knows_the_engine() -> None:
    engine = xr.backends.list_engines()["ipldstore"]
    assert engine.supports_groups
    assert "ipldstore" in engine.description
    parameters = set(engine.open_dataset_parameters)
    named = {"castore", "cache", "branch", "tag", "as_of", "path", "storage_options", "group", "consolidated"}
    assert named | {"drop_variables", "decode_times", "decode_coords", "mask_and_scale"} <= parameters


def test_what_is_no_dataset(path: Path) -> None:
    """An array, a file object, bytes: the error says what is there, and how it is read."""
    for opening in (xr.open_dataset, xr.open_datatree, xr.open_groups):
        for what, group in ((f"{path}#t", None), (path, "t")):
            with pytest.raises(ValueError, match=r"found an array at 't'.*zarr.open_array") as caught:
                opening(what, engine="ipldstore", group=group)
            assert isinstance(caught.value.__cause__, AttributeError)
    with path.open("rb") as file:
        for wrong, message in ((file, f"give its path, '{path}'"), (file.read(), "found bytes"), (5, "found int")):
            with pytest.raises(TypeError, match=message):
                xr.open_dataset(wrong, engine="ipldstore")


@pytest.mark.parametrize("engine", [None, "ipldstore"])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_file(engine: str | None, kind: type, path: Path) -> None:
    with xr.open_dataset(kind(path), engine=engine) as found:
        xr.testing.assert_identical(found, example())
        assert found.encoding["source"] == str(path)
        assert found.encoding["ipld_root"] == str(root_of(path))
    gc.collect()
    path.unlink()


def test_what_is_ours_is_guessed(path: Path, tmp_path: Path) -> None:
    """And nothing else: no netCDF file, no zarr folder, no bucket that nobody has asked."""
    engine = xr.backends.list_engines()["ipldstore"]
    folder = tmp_path / "blocks"
    ipldstore.open(folder, "x", fsync=False).close()
    (tmp_path / "zarr.zarr").mkdir()
    root = root_of(path)
    ours = [path, str(path), "gone.car", f"{path}@v1", f"{path}#g", folder, root, str(root), "https://host/x.car"]
    ours += [f"ipfs://{root}/a", "ipns://example.org", f"ipld://{root}", f"https://gw.example/ipfs/{root}"]
    ours += ["s3://bucket/x.car", "s3://bucket/x@main", IPLDStore()]
    assert [what for what in ours if not engine.guess_can_open(what)] == []
    others = [
        "x.nc",
        "s3://bucket/x",
        tmp_path,
        tmp_path / "zarr.zarr",
        "https://host/x.nc",
        "",
        "memory://x",
        5,
        b"CDF",
    ]
    assert [what for what in others if engine.guess_can_open(what)] == []


def test_chunks_and_decoding(path: Path) -> None:
    with xr.open_dataset(path, chunks={}, decode_times=False, drop_variables=["x"]) as found:
        assert found.t.chunks is not None
        assert found.time.dtype.kind == "i"
        assert "x" not in found.variables
        assert found.encoding["source"] == str(path)
        np.testing.assert_array_equal(found.t.compute(), example().t)
    with xr.open_dataset(path, chunks={"time": 3}, consolidated=False) as found:
        assert found.t.chunks == ((3,), (4,))
        assert float(pickle.loads(pickle.dumps(found)).t.sum()) == float(example().t.sum())  # noqa: S301  # made here


@pytest.mark.parametrize("way", ["group", "path", "address", "both"])
def test_groups(way: str, groups: Path) -> None:
    ways: dict[str, dict[str, Any]] = {
        "group": {"filename_or_obj": groups, "group": "a/b"},
        "path": {"filename_or_obj": groups, "path": "a/b"},
        "address": {"filename_or_obj": f"{groups}#a/b"},
        "both": {"filename_or_obj": f"{groups}#a", "group": "/b/"},
    }
    with xr.open_dataset(**ways[way], engine="ipldstore") as found:
        xr.testing.assert_identical(found, without_coords(2))
        assert found.encoding["ipld_root"] == str(root_of(groups))


@pytest.mark.parametrize("chunks", [None, {}])
def test_trees(chunks: Any, groups: Path) -> None:
    with xr.open_datatree(groups, chunks=chunks) as found:
        xr.testing.assert_identical(found.load(), tree())
        assert found.encoding["source"] == str(groups)
        assert found.encoding["ipld_root"] == str(root_of(groups))
    with xr.open_datatree(f"{groups}#a", engine="ipldstore") as found:
        xr.testing.assert_identical(
            found.load(), xr.DataTree.from_dict({"/": without_coords(1), "/b": without_coords(2)})
        )
    with xr.open_datatree(groups, group="a", engine="ipldstore") as found:
        assert sorted(found.children) == ["b"]


def test_open_groups(groups: Path) -> None:
    """Each dataset can be closed by itself."""
    found = xr.open_groups(groups, engine="ipldstore")
    assert sorted(found) == ["/", "/a", "/a/b"]
    found["/"].close()
    found["/"].close()
    xr.testing.assert_identical(found["/a/b"].load(), without_coords(2))
    found["/a"].close()
    found["/a/b"].close()


def test_several_files(tmp_path: Path) -> None:
    """``preprocess`` is told what each was opened from."""
    for number in range(3):
        with ipldstore.open(tmp_path / f"{number}.car", "x", fsync=False) as store:
            example(number).assign_coords(time=example().time + np.timedelta64(number * 3, "D")).to_zarr(store)
    seen = []

    def preprocess(dataset: Any) -> Any:
        seen.append((dataset.encoding["source"], dataset.encoding["ipld_root"]))
        return dataset

    paths = [tmp_path / f"{number}.car" for number in range(3)]
    for given in (str(tmp_path / "*.car"), paths):
        seen.clear()
        with xr.open_mfdataset(given, engine="ipldstore", preprocess=preprocess) as found:
            assert found.sizes["time"] == 9
            assert float(found.t.sum()) == sum(example(number).t.sum().item() for number in range(3))
        assert seen == [(str(path), str(root_of(path))) for path in paths]


def test_what_cannot_be_opened_is_closed(path: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        xr.open_dataset(tmp_path / "gone.car")
    with pytest.raises(FileNotFoundError, match="group or an array at 'gone'"):
        xr.open_dataset(f"{path}#gone")
    with pytest.raises(Exception, match="gone"):
        xr.open_dataset(path, group="gone")
    with ipldstore.open(path, "a") as store:  # nothing is locked
        assert not store.read_only


# -- where blocks are elsewhere --


@pytest.fixture
def blocks() -> tuple[MappingCAStore, CID]:
    castore = MappingCAStore()
    store = IPLDStore(castore)
    example().to_zarr(store)
    return castore, store.freeze()


@pytest.fixture
def server(blocks: tuple[MappingCAStore, CID]) -> Iterator[BlockServer]:
    with BlockServer(blocks[0]) as server:
        yield server


def test_a_cid_with_a_block_store(blocks: tuple[MappingCAStore, CID]) -> None:
    castore, root = blocks
    takes_bare_cids = xr.__version__ >= "2026.7"  # with dask, older ones ask for the time of the file of that name
    for what in (str(root), f"ipfs://{root}", root):
        chunks: Any
        for chunks in (None, {}) if takes_bare_cids else (None,):
            found = xr.open_dataset(what, engine="ipldstore", castore=castore, chunks=chunks)
            xr.testing.assert_identical(found.load(), example())
    several = [str(root) if takes_bare_cids else f"ipfs://{root}", f"ipfs://{root}"]
    both = xr.open_mfdataset(several, engine="ipldstore", castore=castore, combine="nested", concat_dim="n")
    assert both.sizes["n"] == 2
    found = xr.open_dataset(IPLDStore(castore, root=root, read_only=True), engine="ipldstore")
    assert found.encoding["source"] == f"ipld://{root}"
    with pytest.raises(ValueError, match="no such options with what is open, found branch"):
        xr.open_dataset(IPLDStore(castore, root=root), engine="ipldstore", branch="main")


def test_a_gateway_with_credentials(blocks: tuple[MappingCAStore, CID], server: BlockServer, tmp_path: Path) -> None:
    """No secret is in the encoding. A cache is given beside xarray's own argument of that name."""
    _, root = blocks
    url = f"{server.url}/ipfs/{root}".replace("://", "://me:secret@")
    ways: list[dict[str, Any]] = [
        {"cache": str(tmp_path / "cache")},
        {"cache": tmp_path / "cache", "chunks": {}},
        {"storage_options": {"cache": str(tmp_path / "cache"), "cache_bytes": 1 << 20}},
    ]
    for options in ways:
        with xr.open_dataset(url, engine="ipldstore", **options) as found:
            xr.testing.assert_identical(found.load(), example())
            assert found.encoding["source"] == f"{server.url}/ipfs/{root}"
            assert "secret" not in repr(found.encoding)
        server.forget()
    with xr.open_dataset(url, engine="ipldstore", **ways[0]) as found:
        found.load()
    assert server.requests == []


def test_a_lost_block_is_no_fill_value(blocks: tuple[MappingCAStore, CID], server: BlockServer) -> None:
    castore, root = blocks
    with xr.open_dataset(f"{server.url}/ipfs/{root}", engine="ipldstore") as found:
        for key in list(castore.mapping):
            if key != str(root):
                del castore.mapping[key]
        with pytest.raises(IPLDStoreError):
            found.t.load()


def test_consolidated_metadata_of_the_whole_serves_groups(groups: Path) -> None:
    """Opening a group by its address reads no more blocks than by ``group=``."""
    with ipldstore.open(groups) as store:
        data = store.to_car()
    assert data is not None
    blocks = MappingCAStore()
    (root,) = blocks.import_car(data)
    counts = []
    with BlockServer(blocks) as server:
        for what, options in ((f"{server.url}/ipfs/{root}#a/b", {}), (f"{server.url}/ipfs/{root}", {"group": "a/b"})):
            server.forget()
            xr.open_dataset(what, engine="ipldstore", **options).close()
            counts.append(len(server.requests))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("consolidated", [True, False])
def test_a_group_below_what_is_no_group(tmp_path: Path, consolidated: bool) -> None:
    """A folder of datasets that was published whole: xarray looked for a group at its top."""
    with ipldstore.open(tmp_path / "air.car", "x", fsync=False) as store:
        example().to_zarr(store, consolidated=consolidated)
    with ipldstore.open(tmp_path / "air.car") as store, ipldstore.open(tmp_path / "all.car", "x") as whole:
        whole.mapping.update({f"HALO/x.zarr/{key}": store[key] for key in store})
        whole.mapping["README.md"] = b"text"
    own = {} if consolidated else {"consolidated": False}
    for what, options in ((f"{tmp_path}/all.car#HALO/x.zarr", {}), (tmp_path / "all.car", {"group": "HALO/x.zarr"})):
        with xr.open_dataset(what, engine="ipldstore", **own, **options) as found:
            xr.testing.assert_identical(found.load(), example())
            assert found.encoding["source"].startswith(str(tmp_path / "all.car"))
