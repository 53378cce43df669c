"""Sources that are taken in behind those of earlier calls."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
import zarr
from ipldstore import IPLDStore

xr: Any = pytest.importorskip("xarray")
pytest.importorskip("h5py")
pytest.importorskip("virtualizarr")

pytestmark = pytest.mark.filterwarnings("ignore:numpy.ndarray size changed", "ignore:Numcodecs codecs are not")


def day(number: int) -> Any:
    time = ("time", np.arange(4) + 4 * number, {"units": "hours since 2026-01-01"})
    values = np.random.default_rng(number).random((4, 3), "f4")
    return xr.Dataset({"t2m": (("time", "x"), values), "x": [1, 2, 3]}, coords={"time": time})


def write(folder: Path, number: int) -> Path:
    path = folder / f"{number}.nc"
    day(number).to_netcdf(path, engine="h5netcdf", encoding={"t2m": {"chunksizes": (2, 3)}})
    return path


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_consolidated_sources_behind_each_other(tmp_path: Path, zarr_format: Any) -> None:
    """Consolidated metadata kept the shapes of the first source: readers saw nothing of the others."""
    sources = [tmp_path / f"{number}.zarr" for number in range(3)]
    for number, path in enumerate(sources):
        day(number).to_zarr(path, zarr_format=zarr_format, consolidated=True)
    once = ipldstore.reference(sources, tmp_path / "once.car", concat_dim="time")
    for names in (sources[:2], sources):
        root = ipldstore.reference(names, tmp_path / "x.car", concat_dim="time")
        parts = [day(number) for number in range(len(names))]
        with ipldstore.open(tmp_path / "x.car", allow=[tmp_path]) as store:
            found = xr.open_zarr(store, consolidated=True, decode_times=False)
            for name in ("t2m", "time"):
                assert np.array_equal(found[name], np.concatenate([part[name] for part in parts]))
            assert ipldstore.copy(store, IPLDStore()) == root
    assert root == once
    alone = ipldstore.reference(sources[0], tmp_path / "alone.car")
    assert alone == ipldstore.copy(sources[0], tmp_path / "copied.car")


def test_files_behind_a_dataset_that_was_made_shorter(tmp_path: Path) -> None:
    """Of the files before, all were taken for lacking, and those that had stayed were appended a second time."""
    files = [write(tmp_path, number) for number in range(4)]
    into = tmp_path / "x.car"
    ipldstore.reference(files[:3], into, concat_dim="time")
    with ipldstore.open(into, "a", allow=[tmp_path]) as store:
        for _, array in zarr.open_group(store, mode="r+").arrays():
            if "time" in array.metadata.dimension_names:  # type: ignore[operator,union-attr]  # it has names
                array.resize((8, *array.shape[1:]))
    ipldstore.reference(files[3], into, concat_dim="time")
    once = ipldstore.reference([*files[:2], files[3], files[2]], tmp_path / "once.car", concat_dim="time")
    for _ in range(2):
        assert ipldstore.reference(files, into, concat_dim="time") == once


def test_an_index_folder_is_of_one_dataset(tmp_path: Path) -> None:
    """Sources of the first were forgotten when the second was written, and taken in twice after that."""

    sources = [tmp_path / f"{number}.zarr" for number in range(2)]
    for path in sources:
        zarr.create_array(path, name="a", shape=(2,), chunks=(2,), dtype="i4", dimension_names=["t"])[:] = 1
    first, second, index = tmp_path / "x.car", tmp_path / "y.car", tmp_path / "index"
    ipldstore.reference(sources[0], first, concat_dim="t", index=index)
    before = sorted(path.name for path in index.iterdir())
    for other in (second, f"{tmp_path}/folder", IPLDStore()):
        with pytest.raises(ValueError, match=r"index folder of its own for .*, found that of .*x\.car"):
            ipldstore.reference(sources[1], other, concat_dim="t", index=index)
    assert sorted(path.name for path in index.iterdir()) == before
    assert not second.exists()
    with chdir(tmp_path):
        ipldstore.reference(sources, "x.car", concat_dim="t", index="index")
    ipldstore.reference(sources[0], second)
    with pytest.raises(ValueError, match=r"found that of .*y\.car"):
        ipldstore.reference(sources[0], tmp_path / "z.car", index=f"{second}.references")


def test_datasets_in_memory_and_one_index_folder(tmp_path: Path) -> None:
    """A new one takes the folder of one that is gone, as when a notebook is run again; the old one does not go on."""
    for number in range(2):
        zarr.create_array(tmp_path / f"{number}.zarr", shape=(2,), chunks=(2,), dtype="i4", dimension_names=["t"])
    stores = [IPLDStore(), IPLDStore()]
    for store in stores:
        ipldstore.reference(tmp_path / "0.zarr", store, concat_dim="t", index=tmp_path / "index")
    with pytest.raises(ValueError, match="index folder of its own"):
        ipldstore.reference(tmp_path / "1.zarr", stores[0], concat_dim="t", index=tmp_path / "index")
    ipldstore.reference(tmp_path / "1.zarr", stores[1], concat_dim="t", index=tmp_path / "index")
    assert zarr.open_array(stores[1], mode="r").shape == (4,)
