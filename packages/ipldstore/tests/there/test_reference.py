"""A dataset over files that stay where they are: identical to the files, the root of copies, and every change found."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
import zarr
from ipld_car.terminal.testing import Run
from ipld_castore import FileRefusedError
from ipldstore import IPLDStore, IPLDStoreError, MappingCAStore, ReferenceCAStore, ReferencingCAStore
from ipldstore._there.hdf5.series import Series
from ipldstore._there.sources import SourceReader

xr: Any = pytest.importorskip("xarray")
h5py: Any = pytest.importorskip("h5py")
pd: Any = pytest.importorskip("pandas")
pytest.importorskip("virtualizarr")

# Of netCDF4, which is built with an older numpy; of zarr, as HDF5's filters are codecs of numcodecs; of pandas.
pytestmark = pytest.mark.filterwarnings(
    "ignore:numpy.ndarray size changed", "ignore:Numcodecs codecs are not", "ignore:The 'fastparquet' engine"
)

MASK = np.ones((6, 5), "i2")
LAYOUTS = ["deflate", "shuffle", "fletcher32", "zstd", "contiguous", "chunked"]


def month(number: int, size: int = 4) -> Any:
    values = np.random.default_rng(number).normal(size=(size, 6, 5)).astype("f4").round(2)
    times = pd.date_range("2026-01-01", periods=size) + pd.Timedelta(days=size * number)
    return xr.Dataset(
        {
            "t2m": (("time", "lat", "lon"), values, {"standard_name": "air_temperature"}),
            "mask": (("lat", "lon"), np.ones((6, 5), "i2")),
        },
        coords={"time": times, "lat": np.linspace(-50, 50, 6), "lon": np.arange(5.0)},
        attrs={"title": "months"},
    )


def encoding_of(layout: str) -> dict[str, Any]:
    if layout == "contiguous":
        return {}
    encoding: dict[str, Any] = {"chunksizes": (2, 6, 5)}
    if layout == "deflate":
        encoding |= {"zlib": True, "complevel": 4, "shuffle": False}
    elif layout == "shuffle":
        encoding |= {"zlib": True, "shuffle": True}
    elif layout == "fletcher32":
        encoding |= {"fletcher32": True}
    return {"t2m": encoding}


def write(folder: Path, number: int, layout: str, engine: str) -> Path:
    path = folder / f"{number}.nc"
    encoding = encoding_of(layout)
    if layout == "zstd":
        encoding = {"t2m": {"chunksizes": (2, 6, 5), "compression": "zstd"}}
    month(number).to_netcdf(path, engine=engine, encoding=encoding)
    return path


def copied_root(store: IPLDStore) -> Any:
    """Return the root of the same keys, all of them stored."""
    copy = IPLDStore(MappingCAStore())
    copy.mapping.update(store.mapping)
    return copy.freeze()


def references_in(store: IPLDStore) -> ReferenceCAStore:
    assert isinstance(store.castore, ReferencingCAStore)
    return store.castore.references


def opened(path: Path) -> Any:
    return xr.open_zarr(ipldstore.open(path), consolidated=False, zarr_format=3)


@pytest.mark.covering
@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("into", ["x.car", "x"])
def test_files_along_a_dimension(tmp_path: Path, layout: str, engine: str, into: str) -> None:
    if layout == "zstd" and engine == "h5netcdf":
        pytest.skip("h5netcdf writes zstd by hdf5plugin's numbers only")
    files = [write(tmp_path, number, layout, engine) for number in range(3)]
    root = ipldstore.reference(files, tmp_path / into, concat_dim="time")
    how: dict[str, Any] = {"data_vars": "minimal", "coords": "minimal", "compat": "equals", "join": "exact"}
    with xr.open_mfdataset(files, combine="nested", concat_dim="time", engine=engine, **how) as expected:
        found = opened(tmp_path / into)
        xr.testing.assert_identical(found.load(), expected.load())
    with ipldstore.open(tmp_path / into) as store:
        assert store.root_cid == root
        assert copied_root(store) == root
        assert list(references_in(store).verify()) == []


def test_compact_layout(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((3, 4))
        kind = h5py.h5t.py_create(np.dtype(">f8"))
        dataset = h5py.Dataset(h5py.h5d.create(file.id, b"compact", kind, space, creation))
        dataset[:] = np.arange(12).reshape(3, 4)
        file["other"] = np.arange(5)
    root = ipldstore.reference(path, tmp_path / "x.car")
    with ipldstore.open(tmp_path / "x.car") as store:
        assert np.array_equal(
            np.asarray(zarr.open_array(store, path="compact", mode="r")[:]), np.arange(12).reshape(3, 4)
        )
        assert copied_root(store) == root


def test_what_a_manifest_cannot_name_is_refused(tmp_path: Path) -> None:
    """External and virtual datasets, and chunks that left filters out, would read as fill values or rubbish."""
    with h5py.File(tmp_path / "external.h5", "w") as file:
        file.create_dataset("a", (4,), "i4", external=[(str(tmp_path / "raw"), 0, 16)])
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout((4,), "i4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "external.h5"), "a", (4,))
        file.create_virtual_dataset("a", layout)
    with h5py.File(tmp_path / "mask.h5", "w") as file:
        dataset = file.create_dataset("a", (4,), "i4", chunks=(4,), compression="gzip")
        dataset.id.write_direct_chunk((0,), bytes(16), filter_mask=1)
    for name, message in (("external", "other files"), ("virtual", "other files"), ("mask", "filter mask 1")):
        with pytest.raises(ValueError, match=message):
            ipldstore.reference(tmp_path / f"{name}.h5", tmp_path / f"{name}.car")
        assert not (tmp_path / f"{name}.car").exists()


def test_where_no_dataset_of_references_can_be(tmp_path: Path) -> None:
    array = zarr.create_array(tmp_path / "a.zarr", shape=(4,), chunks=(2,), dtype="i4")
    array[:] = 1
    for place in ("s3://bucket/x", f"{tmp_path}/x.car#g"):
        with pytest.raises(ValueError, match="with index=folder"):
            ipldstore.reference(tmp_path / "a.zarr", place)
    with pytest.raises(ValueError, match="found the group 'g'"):
        ipldstore.reference(tmp_path / "a.zarr", f"{tmp_path}/x.car#g", index=tmp_path / "index")
    assert not (tmp_path / "x.car").exists()


def test_netcdf3(tmp_path: Path) -> None:
    path = tmp_path / "x.nc"
    month(1).to_netcdf(path, engine="scipy", unlimited_dims=["time"])
    root = ipldstore.reference(path, tmp_path / "x.car")
    with xr.open_dataset(path, engine="scipy") as expected:
        xr.testing.assert_identical(opened(tmp_path / "x.car").load(), expected.load())
    with ipldstore.open(tmp_path / "x.car") as store:
        assert copied_root(store) == root


def test_large_chunks_are_files_of_blocks(tmp_path: Path) -> None:
    """A contiguous array of 3 MiB is a UnixFS file over ranges of 1 MiB."""
    data = np.random.default_rng(1).integers(0, 255, (3 << 20) + 5, np.uint8)
    xr.Dataset({"a": ("x", data)}).to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    root = ipldstore.reference(tmp_path / "x.nc", tmp_path / "x")
    with ipldstore.open(tmp_path / "x") as store:
        assert np.array_equal(np.asarray(zarr.open_array(store, path="a", mode="r")[:]), data)
        assert copied_root(store) == root
    size = sum(path.stat().st_size for path in (tmp_path / "x").rglob("*.data"))
    assert size < 4096


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_folders_keep_their_formats(tmp_path: Path, zarr_format: int) -> None:
    month(1).to_zarr(tmp_path / "x.zarr", zarr_format=zarr_format, consolidated=True)
    root = ipldstore.reference(tmp_path / "x.zarr", tmp_path / "x.car")
    with ipldstore.open(tmp_path / "x.car") as store:
        files = {path.relative_to(tmp_path / "x.zarr").as_posix(): path for path in (tmp_path / "x.zarr").rglob("*")}
        assert set(store) == {key for key, path in files.items() if path.is_file()}
        copy = IPLDStore()
        copy.mapping.update({key: files[key].read_bytes() for key in store})
        assert copy.freeze() == root


def references(folder: Path) -> dict[str, Any]:
    """Kerchunk's references to a raw file, with a chunk that stands in them."""
    (folder / "raw").write_bytes(b"head" + np.arange(4, dtype="<i4").tobytes())
    metadata = {"zarr_format": 2, "shape": [6], "chunks": [2], "dtype": "<i4", "compressor": None, "fill_value": 0}
    metadata |= {"filters": None, "order": "C"}
    return {
        ".zgroup": '{"zarr_format": 2}',
        "a/.zarray": json.dumps(metadata),
        "a/.zattrs": '{"_ARRAY_DIMENSIONS": ["x"]}',
        "a/0": [str(folder / "raw"), 4, 8],
        "a/1": ["raw", 12, 8],
        "a/2": "base64:CAAAAAkAAAA=",
    }


def test_kerchunk_json(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps({"version": 1, "refs": references(tmp_path)}))
    root = ipldstore.reference(tmp_path / "x.json", tmp_path / "x.car")
    with ipldstore.open(tmp_path / "x.car") as store:
        assert zarr.open_array(store, path="a", mode="r")[:].tolist() == [0, 1, 2, 3, 8, 9]  # type: ignore[union-attr]  # of an array, never a number
        assert copied_root(store) == root


def test_kerchunk_parquet(tmp_path: Path) -> None:
    pytest.importorskip("fastparquet")
    refs_to_dataframe: Any = pytest.importorskip("kerchunk.df").refs_to_dataframe
    given = references(tmp_path)
    given["a/1"][0] = given["a/0"][0]
    refs_to_dataframe(given, str(tmp_path / "x.parq"))
    ipldstore.reference(tmp_path / "x.parq", tmp_path / "x.car")
    with ipldstore.open(tmp_path / "x.car") as store:
        assert zarr.open_array(store, path="a", mode="r")[:].tolist() == [0, 1, 2, 3, 8, 9]  # type: ignore[union-attr]  # of an array, never a number


def test_references_of_others_name_nothing_else(tmp_path: Path) -> None:
    """Files beside the references, or below what is allowed, and no others."""
    (tmp_path / "data").mkdir()
    (tmp_path / "refs").mkdir()
    (tmp_path / "refs" / "x.json").write_text(
        json.dumps(references(tmp_path / "data") | {"a/1": ["../data/raw", 12, 8]})
    )
    with pytest.raises(FileRefusedError, match="allow="):
        ipldstore.reference(tmp_path / "refs" / "x.json", tmp_path / "x.car")
    ipldstore.reference(tmp_path / "refs" / "x.json", tmp_path / "x.car", allow=[tmp_path / "data"])


# -- appending, stopping, going on --


def test_further_files_cost_only_themselves(tmp_path: Path) -> None:
    files = [write(tmp_path, number, "deflate", "h5netcdf") for number in range(4)]
    once = ipldstore.reference(files, tmp_path / "once.car", concat_dim="time")
    ipldstore.reference(files[:2], tmp_path / "x.car", concat_dim="time")
    for path in files[:2]:
        path.rename(path.with_suffix(".away"))  # not read again
    with pytest.raises(ValueError, match="changed"):
        ipldstore.reference(files, tmp_path / "x.car", concat_dim="time")
    root = ipldstore.reference(files[2:], tmp_path / "x.car", concat_dim="time")
    assert root == once
    for path in files[:2]:
        path.with_suffix(".away").rename(path)
    assert ipldstore.reference(files, tmp_path / "x.car", concat_dim="time") == once
    assert len(list((tmp_path / "x.car.references").glob("*.index"))) == 2


def test_a_call_that_was_stopped_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the index was written and the dataset was not frozen."""
    monkeypatch.setattr("ipldstore._there.reference._COMMIT_SECONDS", -1)
    files = [write(tmp_path, number, "deflate", "h5netcdf") for number in range(4)]
    once = ipldstore.reference(files, tmp_path / "once.car", concat_dim="time")
    freeze, calls = IPLDStore.freeze, []

    def fail(self: IPLDStore, *args: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return freeze(self, *args)

    monkeypatch.setattr(IPLDStore, "freeze", fail)
    with pytest.raises(KeyboardInterrupt):
        ipldstore.reference(files, tmp_path / "x.car", concat_dim="time")
    with ipldstore.open(tmp_path / "x.car") as store:
        assert zarr.open_array(store, path="t2m", mode="r").shape == (8, 6, 5)
    read: list[str] = []
    parse = SourceReader.read

    def note(self: SourceReader, name: str) -> Any:
        read.append(name)
        return parse(self, name)

    monkeypatch.setattr(SourceReader, "read", note)
    for _ in range(2):
        assert ipldstore.reference(files, tmp_path / "x.car", concat_dim="time") == once
        assert sorted(read) == list(map(str, files[2:]))


def test_sources_that_do_not_fit(tmp_path: Path) -> None:
    files = [write(tmp_path, number, "deflate", "h5netcdf") for number in range(2)]
    with pytest.raises(ValueError, match="concat_dim"):
        ipldstore.reference(files, tmp_path / "a.car")
    with pytest.raises(ValueError, match="dimension 'depth'"):
        ipldstore.reference(files, tmp_path / "b.car", concat_dim="depth")
    packed = tmp_path / "packed.nc"
    month(2).to_netcdf(
        packed,
        engine="h5netcdf",
        encoding=encoding_of("deflate") | {"t2m": {"chunksizes": (2, 6, 5), "zlib": True, "scale_factor": 0.5}},
    )
    for other, message in ((packed, "expected scale_factor|expected data_type|expected"),):
        with pytest.raises(ValueError, match=message):
            ipldstore.reference([*files, other], tmp_path / "c.car", concat_dim="time")
    masked = month(2)
    masked["mask"][0, 0] = 7
    masked.to_netcdf(tmp_path / "masked.nc", engine="h5netcdf", encoding=encoding_of("deflate"))
    with pytest.raises(ValueError, match="same values of array 'mask'"):
        ipldstore.reference([*files, tmp_path / "masked.nc"], tmp_path / "d.car", concat_dim="time")
    (tmp_path / "text").write_text("no dataset")
    with pytest.raises(ValueError, match="something else"):
        ipldstore.reference(tmp_path / "text", tmp_path / "e.car")


# -- what is found later --


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", ["byte", "truncated", "replaced"])
def test_changed_files_are_found(tmp_path: Path, damage: str) -> None:
    files = [write(tmp_path, number, "deflate", "h5netcdf") for number in range(2)]
    ipldstore.reference(files, tmp_path / "x.car", concat_dim="time")
    with ipldstore.open(tmp_path / "x.car") as store:
        name, offset, length = references_in(store).file_of(store.links("t2m").cids[-1].tobytes())
    assert name == str(files[1])
    before = files[1].stat()
    if damage == "byte":
        flip(files[1], offset + length // 2)
    elif damage == "truncated":
        os.truncate(files[1], offset + length - 1)
    else:
        files[1].write_bytes(np.random.default_rng(3).bytes(before.st_size))
    os.utime(files[1], ns=(before.st_atime_ns, before.st_mtime_ns))
    with ipldstore.open(tmp_path / "x.car") as store:
        array = zarr.open_array(store, path="t2m", mode="r")
        with pytest.raises(IPLDStoreError, match=rf"{offset} of .*1\.nc|1\.nc"):
            array[-1]
        (changed,) = references_in(store).verify()
    assert changed.name == str(files[1])


def test_another_process_opens_what_it_is_allowed(tmp_path: Path, python: Run) -> None:
    write(tmp_path, 1, "deflate", "h5netcdf")
    ipldstore.reference(tmp_path / "1.nc", tmp_path / "x.car")
    code = (
        "import sys, ipldstore; store = ipldstore.open(sys.argv[1], allow=sys.argv[2:])\n"
        "try: print(len(store['t2m/c/0/0/0']))\n"
        "except ipldstore.IPLDStoreError as error: sys.exit(str(error))"
    )
    assert "allow=" in python(code, tmp_path / "x.car", code=1).err
    assert int(python(code, tmp_path / "x.car", tmp_path).text) > 0


def test_files_that_were_moved(tmp_path: Path, python: Run) -> None:
    (tmp_path / "old").mkdir()
    write(tmp_path / "old", 1, "deflate", "h5netcdf")
    ipldstore.reference(tmp_path / "old" / "1.nc", tmp_path / "x.car")
    (tmp_path / "old").rename(tmp_path / "new")
    code = (
        "import sys, ipldstore; archive, old, new = sys.argv[1:]\n"
        "store = ipldstore.open(archive, allow=[new], moved={old: new})\n"
        "print(bool(store.verify()))"
    )
    assert python(code, tmp_path / "x.car", tmp_path / "old", tmp_path / "new").text.strip() == "True"


def test_push_moves_to_stored_blocks(tmp_path: Path) -> None:
    write(tmp_path, 1, "deflate", "h5netcdf")
    root = ipldstore.reference(tmp_path / "1.nc", tmp_path / "x.car")
    there = MappingCAStore()
    with ipldstore.open(tmp_path / "x.car") as store:
        ipldstore.push(root, store, there)
    (tmp_path / "1.nc").unlink()
    assert copied_root(IPLDStore(there, root=root)) == root


@pytest.mark.parametrize("layout", ["deflate", "contiguous"])
def test_a_series_is_read_as_each_file_alone(tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files like the first one are read without VirtualiZarr; one that is not is parsed."""
    files = [write(tmp_path, number, layout, "h5netcdf") for number in range(3)]
    with h5py.File(files[2], "r+") as file:
        file["lat"].attrs["units"] = "degrees_north"
    with pytest.raises(ValueError, match="expected units None of array 'lat'"):
        ipldstore.reference(files, tmp_path / "a.car", concat_dim="time")
    with h5py.File(files[2], "r+") as file:
        del file["lat"].attrs["units"]
    parsed: list[str] = []
    parse = SourceReader._parse

    def note(self: SourceReader, name: str, *how: Any) -> Any:
        parsed.append(name)
        return parse(self, name, *how)

    monkeypatch.setattr(SourceReader, "_parse", note)
    root = ipldstore.reference(files, tmp_path / "b.car", concat_dim="time")
    assert parsed == [str(files[0])]
    monkeypatch.setattr(Series, "read", lambda *_: None)
    assert ipldstore.reference(files, tmp_path / "c.car", concat_dim="time") == root
    assert len(parsed) == 4
