"""What may be given as sources: several ways of naming files, and what is refused, which leaves nothing behind."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
import zarr
from ipldstore import IPLDStore, ReferencingCAStore

h5py: Any = pytest.importorskip("h5py")
xr: Any = pytest.importorskip("xarray")
pytest.importorskip("virtualizarr")

pytestmark = pytest.mark.filterwarnings("ignore:numpy.ndarray size changed", "ignore:Numcodecs codecs are not")


def day(number: int) -> Any:
    time = ("time", np.arange(4) + 4 * number, {"units": "hours since 2026-01-01"})
    values = np.random.default_rng(number).random((4, 3), "f4")
    return xr.Dataset({"t2m": (("time", "x"), values)}, coords={"time": time})


def write(folder: Path, number: int) -> Path:
    path = folder / f"{number}.nc"
    day(number).to_netcdf(path, engine="h5netcdf")
    return path


def test_what_is_refused_leaves_no_file(tmp_path: Path) -> None:
    """A pattern without matches is no dataset without arrays; nor is a source taken in as often as it is named."""
    source = write(tmp_path, 0)
    refused: tuple[tuple[Any, type[Exception], str], ...] = (
        ([], ValueError, "found none"),
        ([source, source], ValueError, "once"),
        (tmp_path / "absent.nc", FileNotFoundError, "absent"),
        (Path(__file__), ValueError, "netCDF"),
        (tmp_path, ValueError, "pattern"),
        (f"{tmp_path}/absent*.nc", FileNotFoundError, "pattern"),
        (day(0), TypeError, "found Dataset"),
        ([b"0.nc"], TypeError, "found bytes"),
    )
    for sources, error, match in refused:
        for into in ("x.car", "folder"):
            with pytest.raises(error, match=match):
                ipldstore.reference(sources, tmp_path / into, concat_dim="time")
        assert [path.name for path in tmp_path.iterdir()] == ["0.nc"]
    other = write(tmp_path, 1)
    with pytest.raises(ValueError, match="same values of array 'time'"):  # of the second, when the first is taken in
        ipldstore.reference([source, other], tmp_path / "x.car", concat_dim="x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.nc", "1.nc"]
    root = ipldstore.reference(source, tmp_path / "x.car", concat_dim="time")
    with pytest.raises(FileNotFoundError):
        ipldstore.reference([source, tmp_path / "absent.nc"], tmp_path / "x.car", concat_dim="time")
    assert ipldstore.open(tmp_path / "x.car").root_cid == root


def test_patterns_and_what_is_there_already(tmp_path: Path) -> None:
    """A pattern names its matches in their order; without a dimension nothing is taken in behind what is there."""
    files = [write(tmp_path, number) for number in range(2)]
    both = ipldstore.reference(f"{tmp_path}/[0-9].nc", tmp_path / "y.car", concat_dim="time")
    assert ipldstore.reference(files, tmp_path / "z.car", concat_dim="time") == both
    ipldstore.reference(files[0], tmp_path / "x.car")
    with pytest.raises(ValueError, match=r"expected concat_dim to take .*1\.nc in behind .*0\.nc"):
        ipldstore.reference(files[1], tmp_path / "x.car")
    assert ipldstore.reference(files[1], tmp_path / "x.car", concat_dim="time") == both
    with ipldstore.open(tmp_path / "x.car") as store:
        expected = xr.concat([day(0), day(1)], "time")
        xr.testing.assert_identical(xr.open_zarr(store, consolidated=False, decode_times=False).load(), expected)


@pytest.mark.parametrize("dimension", [None, "tyme", "x"])
def test_a_forgotten_dimension_loses_nothing(tmp_path: Path, dimension: str | None) -> None:
    """The indexes of what was taken in along another dimension were taken for leftovers, and were removed."""
    into = tmp_path / "x.car"
    files = [write(tmp_path, number) for number in range(3)]
    ipldstore.reference(files[:2], into, concat_dim="time")
    with pytest.raises(ValueError, match=r"2\.nc"):
        ipldstore.reference(files[2], into, concat_dim=dimension)
    expected = xr.concat([day(0), day(1)], "time")
    with ipldstore.open(into) as store:
        xr.testing.assert_identical(xr.open_zarr(store, consolidated=False, decode_times=False).load(), expected)
    whole = ipldstore.reference(files, into, concat_dim="time")
    assert whole == ipldstore.reference(files, tmp_path / "y.car", concat_dim="time")


def test_datasets_may_share_indexes(tmp_path: Path) -> None:
    """The first dataset was without its index when the second one was made, and a version when it was cleared."""
    files = [write(tmp_path, number) for number in range(2)]
    first = ipldstore.reference(files[0], tmp_path / "blocks")
    with ipldstore.open(tmp_path / "blocks", "a") as store:
        store.mapping.clear()
    second = ipldstore.reference(files[1], tmp_path / "blocks")
    with ipldstore.open(tmp_path / "blocks") as store:
        for number, root in enumerate((first, second)):
            found = xr.open_zarr(IPLDStore(store.castore, root=root), consolidated=False, decode_times=False).load()
            xr.testing.assert_identical(found, day(number))
    assert ipldstore.reference(files[1], tmp_path / "blocks") == second


@pytest.mark.parametrize("engine", ["h5netcdf", "scipy"])
def test_names_that_a_url_would_encode(tmp_path: Path, engine: str) -> None:
    """Folders such as ``model=a``, blanks, letters beyond ASCII, and what looks like a pattern or encoded already."""
    for name in ("my data.nc", "model=a/1+2.nc", "ü.nc", "[0].nc", "1%202.nc"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        day(0).to_netcdf(path, engine=engine)
        archive = tmp_path / f"{path.name}.car"
        ipldstore.reference(str(path), archive)
        with ipldstore.open(archive) as store:
            assert isinstance(store.castore, ReferencingCAStore)
            found = store.castore.references.file_of(store.links("t2m").cids[0].tobytes())
            assert found[0] == str(path)
            data = xr.open_zarr(store, consolidated=False, decode_times=False)
            xr.testing.assert_identical(data.load(), day(0))


def test_names_that_end_in_a_url(tmp_path: Path) -> None:
    """A parser would read another file, which may be there."""
    write(tmp_path, 0).rename(tmp_path / "0")
    write(tmp_path, 1).rename(tmp_path / "0#1")
    with pytest.raises(ValueError, match="link to it"):
        ipldstore.reference(tmp_path / "0#1", tmp_path / "x.car")


def test_a_folder_that_changed(tmp_path: Path) -> None:
    """It was taken for taken in: the root was that of chunks that are no longer there."""
    day(0).to_zarr(tmp_path / "a.zarr", consolidated=False)
    root = ipldstore.reference(tmp_path / "a.zarr", tmp_path / "x.car")
    assert ipldstore.reference(tmp_path / "a.zarr", tmp_path / "x.car") == root
    zarr.open_array(tmp_path / "a.zarr" / "t2m", mode="r+")[:] = 7
    with pytest.raises(ValueError, match=r"a\.zarr .*changed"):
        ipldstore.reference(tmp_path / "a.zarr", tmp_path / "x.car")


@pytest.mark.parametrize(
    "given", [5, None, [], ["in", 0], ["in", -1, 8], ["in", 0, -8], ["in", 2**70, 8], ["", 0, 8], ["in\0", 0, 8]]
)
def test_references_that_are_none(tmp_path: Path, given: Any) -> None:
    (tmp_path / "in").write_bytes(bytes(16))
    array = {"zarr_format": 2, "shape": [2], "chunks": [2], "dtype": "<i4", "order": "C", "fill_value": 0}
    array |= {"compressor": None, "filters": None}
    (tmp_path / "x.json").write_text(json.dumps({"version": 1, "refs": {".zarray": json.dumps(array), "0": given}}))
    with pytest.raises(ValueError, match="at '0' of the references"):
        ipldstore.reference(tmp_path / "x.json", tmp_path / "x.car")
    assert not (tmp_path / "x.car").exists()


def test_files_with_other_chunks(tmp_path: Path) -> None:
    """HDF5 compares no length of chunks along the last axis: such a file was taken for one like the first."""
    days = [day(0), day(1).isel(time=slice(3))]
    for number, each in enumerate(days):
        chunks: Any = {"t2m": {"chunksizes": (4, 3)}, "time": {"chunksizes": (len(each.time),)}}
        each.to_netcdf(tmp_path / f"{number}.nc", engine="h5netcdf", encoding=chunks, unlimited_dims=["time"])
    ipldstore.reference(f"{tmp_path}/*.nc", tmp_path / "x.car", concat_dim="time")
    with ipldstore.open(tmp_path / "x.car") as store:
        found = xr.open_zarr(store, consolidated=False, decode_times=False).load()
        xr.testing.assert_identical(found, xr.concat(days, "time"))
    day(1).to_netcdf(tmp_path / "2.nc", engine="h5netcdf", encoding={"t2m": {"chunksizes": (4, 2)}})
    with pytest.raises(ValueError, match=r"chunk_grid .* of array 't2m'.* in .*2\.nc"):
        ipldstore.reference([tmp_path / "0.nc", tmp_path / "2.nc"], tmp_path / "y.car", concat_dim="time")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_a_pipe_is_no_source(tmp_path: Path) -> None:
    """Opening it waited for a writer."""
    os.mkfifo(tmp_path / "x.nc")
    with pytest.raises(ValueError, match="neither a file nor a folder"):
        ipldstore.reference(tmp_path / "x.nc", tmp_path / "x.car")


@pytest.mark.parametrize("kind", [str, bytes, Path])
def test_one_prefix_is_no_list(tmp_path: Path, kind: Any) -> None:
    """Each letter of a text was a prefix, so ``/`` was one: any file could be read."""
    into, source = tmp_path / "x.car", write(tmp_path, 0)
    allow: Any = kind(tmp_path) if kind is not bytes else bytes(tmp_path)
    with pytest.raises(TypeError, match="list of prefixes"):
        ipldstore.reference(source, into, allow=allow)
    ipldstore.reference(source, into)
    with pytest.raises(TypeError, match="list of prefixes"):
        ipldstore.open(into, allow=allow)
    with pytest.raises(TypeError, match="list of prefixes"):
        ipldstore.repair(into, into, allow=allow)


def test_urls_of_files(tmp_path: Path) -> None:
    path = write(tmp_path, 0).rename(tmp_path / "a b.nc")
    roots = {
        ipldstore.reference(source, tmp_path / "x.car") for source in (path, f"file://localhost{path.parent}/a%20b.nc")
    }
    assert len(roots) == 1
    with pytest.raises(ValueError, match="this machine"):
        ipldstore.reference(f"file://host{path}", tmp_path / "y.car")
    references = {".zgroup": '{"zarr_format": 2}', "readme": [f"file://localhost{tmp_path}/a b.nc", 0, 8]}
    (tmp_path / "references.json").write_text(json.dumps(references))
    ipldstore.reference(f"file:{tmp_path}/references.json", tmp_path / "z.car")
    assert ipldstore.open(tmp_path / "z.car")["readme"] == path.read_bytes()[:8]
