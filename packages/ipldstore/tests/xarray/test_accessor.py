"""``ds.ipld``: written to an address, told where from, and there however the packages are imported."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
from ipld_car.terminal.testing import Run, running_command
from ipld_castore import FileSystemCAStore, MappingCAStore
from ipldstore import IPLDStore

from ..support.processes import program
from ..support.xarray_samples import example, tree, xr


def plain_root(data: Any) -> Any:
    store = IPLDStore()
    data.to_zarr(store)
    return store.freeze()


@pytest.mark.parametrize("name", ["air.car", "folder"])
def test_a_dataset_to_an_address_and_back(name: str, tmp_path: Path) -> None:
    cid = example().ipld.to_ipld(tmp_path / name)
    assert cid == plain_root(example())
    with xr.open_dataset(tmp_path / name) as found:
        xr.testing.assert_identical(found, example())
        assert found.ipld.cid == cid
        assert found.isel(time=0).ipld.cid == cid
    assert example().ipld.cid is None
    assert str(cid) in repr(found.ipld)
    assert "no CID is known" in repr(example().ipld)


@pytest.mark.parametrize("chunks", [None, {}])
def test_a_store_that_zarrs_engine_has_opened(chunks: Any) -> None:
    """xarray does not say where from; its store does, and says nothing while what is there has no root."""
    store = IPLDStore()
    example().to_zarr(store)
    with xr.open_zarr(store, chunks=chunks) as found:
        assert found.ipld.cid is None
        root = store.freeze()
        assert found.ipld.cid == root
    with xr.open_zarr(IPLDStore(store.castore, root=root, read_only=True), chunks=chunks) as found:
        assert found.ipld.cid == root
    assert xr.open_dataset(store, engine="zarr", chunks=chunks).ipld.cid == root
    assert example().ipld.cid is None


def test_the_root_is_nowhere_that_changes_the_data(tmp_path: Path) -> None:
    """What was read is written again with the same root."""
    cid = example().ipld.to_ipld(tmp_path / "a.car")
    with xr.open_dataset(tmp_path / "a.car") as found:
        assert "ipld_root" not in {**found.attrs, **found.t.attrs, **found.t.encoding}
        found.load()
        assert found.ipld.cid == cid
        root = found.ipld.to_ipld(tmp_path / "b.car")
        del found.encoding["ipld_root"]
        assert root == plain_root(found)


def test_a_tree(tmp_path: Path) -> None:
    cid = tree().ipld.to_ipld(tmp_path / "tree.car")
    with xr.open_datatree(tmp_path / "tree.car", engine="ipldstore") as found:
        xr.testing.assert_identical(found.load(), tree())
        assert found.ipld.cid == cid
        assert found["a/b"].to_dataset().ipld.cid == cid


def test_modes(tmp_path: Path) -> None:
    path = tmp_path / "air.car"
    first = example().ipld.to_ipld(path)
    with pytest.raises(Exception, match=r"already contains data|exists"):
        example(1).ipld.to_ipld(path)
    with pytest.raises(Exception, match=r"already contains data|exists"):
        example(1).ipld.to_ipld(path, mode="w-")
    with ipldstore.open(path) as store:
        assert store.root_cid == first
    second = example(1).ipld.to_ipld(path, mode="w")
    assert second == plain_root(example(1))
    later = example(1).assign_coords(time=example().time + np.timedelta64(3, "D"))
    later.ipld.to_ipld(path, mode="a", append_dim="time")
    example(5).drop_vars(["x", "time"]).isel(time=[0]).ipld.to_ipld(path, mode="r+", region={"time": slice(0, 1)})
    with xr.open_dataset(path) as found:
        assert found.sizes["time"] == 6
        np.testing.assert_array_equal(found.t[0], example(5).t[0])
    example(2).ipld.to_ipld(f"{path}#sub/group")
    with xr.open_dataset(path, group="sub/group") as found:
        xr.testing.assert_identical(found, example(2))


def test_options_of_to_zarr(tmp_path: Path) -> None:
    encoding = {"t": {"chunks": (1, 2)}}
    example().ipld.to_ipld(tmp_path / "a.car", encoding=encoding, group="g", zarr_format=2, consolidated=False)
    with ipldstore.open(tmp_path / "a.car") as store:
        assert "g/t/2.1" in store
        assert ".zmetadata" not in store
    with pytest.raises(ValueError, match="expected compute=True"):
        example().ipld.to_ipld(tmp_path / "b.car", compute=False)
    example().ipld.to_ipld(tmp_path / "c.car", open_options={"fsync": False})


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    def broken() -> Any:
        array: Any = importlib.import_module("dask.array")

        def block(block_info: Any = None) -> Any:
            if block_info[None]["chunk-location"] == (2,):
                raise RuntimeError("no data")
            return np.ones(1)

        data = array.map_blocks(block, chunks=((1, 1, 1),), dtype="f8", meta=np.ones(1))
        return xr.Dataset({"n": ("time", data)})

    pytest.importorskip("dask", reason="dask is not installed")
    for name in ("new.car", "new-folder"):
        with pytest.raises(RuntimeError, match="no data"):
            broken().ipld.to_ipld(tmp_path / name)
        assert example().ipld.to_ipld(tmp_path / name) == plain_root(example())
    for name in ("air.car", "folder"):
        path = tmp_path / name
        cid = example().ipld.to_ipld(path)
        with pytest.raises(RuntimeError, match="no data"):
            broken().ipld.to_ipld(path, mode="w")
        with ipldstore.open(path, "a") as store:
            assert store.root_cid == cid


def test_to_stores(tmp_path: Path) -> None:
    castore = FileSystemCAStore(tmp_path, fsync=False)
    cid = example().ipld.to_ipld(castore)
    assert cid in castore
    store = IPLDStore(MappingCAStore())
    assert example().ipld.to_ipld(store) == cid == store.root_cid


def test_to_a_session(tmp_path: Path) -> None:
    """It is frozen there; the commit is the user's."""
    repository = ipldstore.Repository.create(tmp_path / "repo.car")
    session = repository.writable_session("main")
    cid = example().ipld.to_ipld(session)
    assert session.has_changes
    session.commit("written")
    assert repository.readonly_session().store.root_cid == cid
    with pytest.raises(TypeError, match=r"found a Repository: writable_session\(branch\)"):
        example().ipld.to_ipld(repository)


@pytest.mark.parametrize("data", [example, tree])
def test_options_that_mean_nothing(data: Any, tmp_path: Path) -> None:
    """Options of opening are heeded by their names; what cannot be written or is none says so, and leaves nothing."""
    path = tmp_path / "air.car"
    for name in ("tag", "commit", "as_of", "branch"):
        with pytest.raises(ValueError, match=f"as there is no repository; found {name}='v1'"):
            data().ipld.to_ipld(path, **{name: "v1"})
    for name in ("castore", "chunk_store", "store", "nonsense"):
        with pytest.raises(TypeError, match=f"say how to write, found '{name}'"):
            data().ipld.to_ipld(path, **{name: 1})
    with pytest.raises(ValueError, match="storage_options with a URL"):
        data().ipld.to_ipld(path, storage_options={"a": 1})
    with pytest.raises(ValueError, match="one branch, found it in open_options and beside"):
        data().ipld.to_ipld(path, branch="a", open_options={"branch": "a"})
    for what in (IPLDStore(), MappingCAStore()):
        with pytest.raises(ValueError, match="expected options of opening with an address, found message"):
            data().ipld.to_ipld(what, message="m")
    assert list(tmp_path.iterdir()) == []
    with ipldstore.Repository.create(path) as repository:
        repository.create_branch("b")
    cid = data().ipld.to_ipld(path, branch="b", message="m")
    with ipldstore.open(path, branch="b") as store:
        assert store.root_cid == cid
    with ipldstore.Repository.open(path) as repository:
        repository.create_tag("v1")
    with pytest.raises(ValueError, match="v1"):
        data().ipld.to_ipld(path, tag="v1", mode="w")


IMPORTS = {
    "ipldstore first": "import ipldstore, sys; assert 'xarray' not in sys.modules; import xarray as xr",
    "xarray first": "import xarray as xr; import ipldstore",
    "looked for": "import ipldstore, importlib.util as util; util.find_spec('xarray'); import xarray as xr",
    "a part of xarray": "import ipldstore; from xarray.core import dataset; import xarray as xr",
    "the engine alone": "import xarray as xr; xr.open_dataset('a.car', engine='ipldstore').close()",
}


@pytest.fixture(scope="module")
def neither() -> Iterator[Run]:
    """Run a program where neither xarray nor this package is imported yet, but much of what they import is."""
    with running_command(program.__name__, "-c", program.__name__, ("pandas", "zarr", "requests", "ipld_car")) as run:
        yield run


@pytest.mark.parametrize("way", IMPORTS)
def test_the_accessor_is_there(way: str, tmp_path: Path, neither: Run) -> None:
    """xarray is not changed by that: its spec and loader are what they are without us."""
    example().ipld.to_ipld(tmp_path / "a.car")
    code = f"""
import sys, warnings
warnings.simplefilter("error", RuntimeWarning)
assert not {{"xarray", "ipldstore", "ipld_castore"}}.intersection(sys.modules)
{IMPORTS[way]}
assert xr.Dataset().ipld.cid is None
assert type(xr.__spec__.loader).__name__ == type(xr.__loader__).__name__ == "SourceFileLoader"
assert not [finder for finder in sys.meta_path if "ipldstore" in type(finder).__module__]
assert xr.Dataset.ipld is not None
"""
    assert neither(code, cwd=tmp_path).err == ""
