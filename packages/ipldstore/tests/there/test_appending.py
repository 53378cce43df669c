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
    (index / "dataset").write_bytes(b"")  # as a process leaves it that is killed while it writes the name
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


def series(folder: Path, name: str, *values: int) -> Path:
    path = folder / f"{name}.zarr"
    how: Any = {"dtype": "i4", "compressors": None, "dimension_names": ["t"]}
    array = zarr.create_array(path, name="a", shape=(4,), chunks=(2,), **how)
    array[:] = values
    return path


def test_a_dataset_that_is_another_one_by_now(tmp_path: Path) -> None:
    """A copy over a dataset by reference, or a root that was set, was taken for what the sources had made."""
    one, other = series(tmp_path, "one", 1, 2, 3, 4), series(tmp_path, "other", 5, 6, 7, 8)
    into = tmp_path / "x.car"
    root = ipldstore.reference(one, into)
    copied = ipldstore.copy(other, into)
    with pytest.raises(ValueError, match=r"as .*one\.zarr had made it"):
        ipldstore.reference(one, into)
    with ipldstore.open(into, "a", allow=[tmp_path]) as store:
        assert store.root_cid == copied
        store.set_root(root)
    assert ipldstore.reference(one, into) == root
    with ipldstore.open(into, "a", allow=[tmp_path]) as store:
        store["a/c/1"] = bytes(8)
    with pytest.raises(ValueError, match="other arrays or chunks"):
        ipldstore.reference(one, into)


def test_sources_that_a_copy_replaced(tmp_path: Path) -> None:
    """Along a dimension they are taken in behind what is there. A chunk that was changed makes no other dataset."""
    one, two, other = (series(tmp_path, str(at), *range(at, at + 4)) for at in (0, 10, 20))
    into = tmp_path / "x.car"
    ipldstore.reference(one, into, concat_dim="t")
    with ipldstore.open(into, "a", allow=[tmp_path]) as store:
        store["a/c/1"] = bytes(8)
        zarr.open_array(store, path="a", mode="r+").attrs["title"] = "A"
    ipldstore.reference([one, two], into, concat_dim="t")
    assert values_in(into, tmp_path) == [0, 1, 0, 0, 10, 11, 12, 13]
    ipldstore.copy(other, into)
    ipldstore.reference([one, two], into, concat_dim="t")
    assert values_in(into, tmp_path) == [20, 21, 22, 23, 0, 1, 2, 3, 10, 11, 12, 13]


def values_in(what: Path | str, allowed: Path) -> list[int]:
    with ipldstore.open(what, allow=[allowed]) as store:
        array: Any = zarr.open_array(store, path="a", mode="r")
        return list(array[:].tolist())


def test_branches_with_one_index_folder(tmp_path: Path) -> None:
    """Sources that one branch had taken in counted for the other, or were forgotten and taken in twice."""
    one, two, three = (series(tmp_path, str(at), *range(at, at + 4)) for at in (0, 10, 20))
    repository = ipldstore.Repository.create(str(tmp_path / "repository"))

    def take_in(branch: str, *sources: Path) -> list[int]:
        session = repository.writable_session(branch)
        index = tmp_path / "repository" / "references"
        ipldstore.reference(sources, session.store, concat_dim="t", index=index)
        if session.store.has_changes or session.has_changes:
            session.commit("more")
        return values_in(f"{tmp_path}/repository@{branch}", tmp_path)

    take_in("main", one)
    repository.create_branch("dev")
    main, dev = [*range(4), *range(10, 14)], [*range(4), *range(20, 24)]
    assert take_in("main", one, two) == main
    assert take_in("dev", one, three) == dev
    assert take_in("main", one, two) == main
    assert take_in("dev", one, two, three) == [*dev, *range(10, 14)]
    repository.undo()
    assert take_in("dev", one, two, three) == [*dev, *range(10, 14)]
    assert take_in("main", one, two, three) == [*main, *range(20, 24)]
