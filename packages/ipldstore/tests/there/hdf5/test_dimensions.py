"""Datasets over netCDF-4 and HDF5 have the variables and dimensions that the netCDF library sees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest

h5py: Any = pytest.importorskip("h5py")
netCDF4: Any = pytest.importorskip("netCDF4")  # noqa: N816  # its name
xr: Any = pytest.importorskip("xarray")
virtualizarr: Any = pytest.importorskip("virtualizarr.parsers") and pytest.importorskip("virtualizarr")

pytestmark = pytest.mark.filterwarnings("ignore:numpy.ndarray size changed", "ignore:Numcodecs codecs are not")


def check(path: Path) -> None:
    """Require that xarray sees the same in the file and over it."""
    root = ipldstore.reference(path, path.with_suffix(".car"))
    with (
        xr.open_datatree(path, engine="netcdf4") as expected,
        xr.open_datatree(path.with_suffix(".car"), engine="ipldstore", consolidated=False) as found,
    ):
        xr.testing.assert_identical(found.load(), expected.load())
    assert ipldstore.copy(path.with_suffix(".car"), path.with_suffix(".copy.car")) == root


def partly_written(file: Any) -> None:
    file.createDimension("t", None)
    file.createDimension("x", 3)
    file.createVariable("t", "f8", ("t",))
    file.createVariable("a", "i4", ("t", "x"), fill_value=-9)[3] = [1, 2, 3]
    file.createVariable("b", "f4", ("t", "x"), zlib=True)[0] = 1
    file.createVariable("none", "f4", ("t",))


def no_records(file: Any) -> None:
    file.createDimension("t", None)
    file.createVariable("t", "f8", ("t",)).units = "days since 2000-01-01"
    file.createVariable("a", "f4", ("t",))


def coordinate_unwritten(file: Any) -> None:
    file.createDimension("x", 3)
    file.createDimension("y", 2)
    file.createVariable("x", "f4", ("x",))
    file.createVariable("a", "f4", ("x", "y"))[:] = 1


def groups(file: Any) -> None:
    file.createDimension("grid", 3)
    group = file.createGroup("g")
    group.createDimension("y", 2)
    group.createVariable("a", "f4", ("grid", "y"))[:] = 1
    group.createGroup("h").createVariable("b", "f4", ("y", "grid"))[:] = 2


def texts_in_groups(file: Any) -> None:
    file.createDimension("x", 2)
    file.title = "top"
    for path in ("g", "g/h", "i"):
        group = file.createGroup(path)
        group.note = path
        text = group.createVariable(f"text_{path[-1]}", str, ("x",))
        text.number, text[:] = 1, np.array(["a", "é"], object)
        group.createVariable("a", "f4", ("x",))[:] = 1


def coordinate_with_two_axes(file: Any) -> None:
    file.createDimension("x", 3)
    file.createDimension("y", 2)
    file.createVariable("x", "f8", ("x", "y"))[:] = 1


def no_coordinate(file: Any) -> None:
    """Write a variable with the name of a dimension that it has not."""
    file.createDimension("x", 3)
    file.createDimension("y", 2)
    file.createVariable("x", "f8", ("y",))[:] = [5, 6]
    file.createVariable("a", "f4", ("x", "y"))[:] = 1


@pytest.mark.parametrize(
    "fill",
    [
        partly_written,
        no_records,
        coordinate_unwritten,
        groups,
        texts_in_groups,
        coordinate_with_two_axes,
        no_coordinate,
    ],
)
def test_variables_and_dimensions(tmp_path: Path, fill: Callable[[Any], None]) -> None:
    with netCDF4.Dataset(tmp_path / "x.nc", "w") as file:
        fill(file)
    check(tmp_path / "x.nc")


def test_axes_without_dimensions(tmp_path: Path) -> None:
    """Axes were numbered in each dataset, so that xarray could not open files with two shapes."""
    with h5py.File(tmp_path / "x.nc", "w") as file:
        for name, shape in {"a": (2, 3), "b": (3, 3), "c": (3,), "d": (3, 2, 2)}.items():
            file[name] = np.ones(shape)
    check(tmp_path / "x.nc")


def test_axes_without_dimensions_in_groups(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.nc", "w") as file:
        file["a"], file["g/q"], file["g/r"] = np.ones(3), np.ones((5, 2)), np.ones(2)
    ipldstore.reference(tmp_path / "x.nc", tmp_path / "x.car")
    with xr.open_datatree(tmp_path / "x.car", engine="ipldstore", consolidated=False) as found:
        assert found["g/q"].dims[1:] == found["g/r"].dims
        assert found["g/q"].shape == (5, 2)


def test_a_parser_of_hdf5_that_the_user_has_chosen(tmp_path: Path) -> None:
    """Its sources are completed too: a compact dataset read as fill values."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["top"] = np.ones(2)
        group = file.create_group("g")
        group["dropped"], group["a"] = np.ones(7), np.ones((2, 3))
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((4,))
        h5py.h5d.create(group.id, b"c", h5py.h5t.NATIVE_INT32, space, layout)
        group["c"][:] = [1, 2, 3, 4]
    parser = virtualizarr.parsers.HDFParser(group="g", drop_variables=["dropped"])
    ipldstore.reference(tmp_path / "x.h5", tmp_path / "x.car", parser=parser)
    with xr.open_dataset(tmp_path / "x.car", engine="ipldstore", consolidated=False) as found:
        assert found["c"].values.tolist() == [1, 2, 3, 4]
        assert set(found) == {"a", "c"}


def test_names_of_axes_stay_where_they_fit(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.nc", "w") as file:
        file["a"], file["b"] = np.ones((4, 4)), np.ones(4)
    ipldstore.reference(tmp_path / "x.nc", tmp_path / "x.car")
    with xr.open_dataset(tmp_path / "x.car", engine="ipldstore", consolidated=False) as found:
        assert found["a"].dims == ("phony_dim_0", "phony_dim_1")


@pytest.mark.parametrize("at", [0, 1, 2])
def test_series_with_a_file_that_is_partly_written(tmp_path: Path, at: int) -> None:
    """Later files are read by the first one's metadata only where no variable is shorter than its dimension."""
    paths = [tmp_path / f"{number}.nc" for number in range(3)]
    for number, path in enumerate(paths):
        with netCDF4.Dataset(path, "w") as file:
            file.createDimension("t", None)
            file.createVariable("t", "f8", ("t",))[:] = [2 * number, 2 * number + 1]
            variable = file.createVariable("a", "f8", ("t",), chunksizes=(2,))
            variable[: 1 if number == at else 2] = number
            file.createVariable("x", "f8", ("t",), chunksizes=(1,))[: 0 if number == at else 2] = number
    ipldstore.reference(paths, tmp_path / "x.car", concat_dim="t")
    with (
        xr.open_mfdataset(paths, combine="nested", concat_dim="t") as expected,
        xr.open_dataset(tmp_path / "x.car", engine="ipldstore", consolidated=False) as found,
    ):
        xr.testing.assert_equal(found.load(), expected.load())


def no_shape(file: Any) -> None:
    file["g/bad"] = h5py.Empty("f4")


def sequences(file: Any) -> None:
    file.create_dataset("g/bad", (2,), h5py.vlen_dtype(np.int32))


def references(file: Any) -> None:
    file.create_dataset("g/bad", (2,), h5py.ref_dtype)


def long_doubles(file: Any) -> None:
    file["g/bad"] = np.arange(3, dtype=np.longdouble)


def unknown_filter(file: Any) -> None:
    file.create_dataset("g/bad", data=np.arange(100), chunks=(30,), scaleoffset=0)


def dangling_link(file: Any) -> None:
    file["g/bad"] = h5py.SoftLink("/nowhere")


@pytest.mark.parametrize("fill", [no_shape, sequences, references, long_doubles, unknown_filter, dangling_link])
def test_errors_name_the_dataset(tmp_path: Path, fill: Callable[[Any], None]) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"] = np.arange(3)
        fill(file)
    with pytest.raises(ValueError, match=r"cannot parse .*x\.h5: expected .*'g/bad'"):
        ipldstore.reference(tmp_path / "x.h5", tmp_path / "x.car")
    assert not list(tmp_path.glob("x.car*"))


def test_a_group_in_itself_is_an_error(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_group("g")["loop"] = file["/"]
    with pytest.raises(ValueError, match=r"cannot parse .*x\.h5: expected groups that end"):
        ipldstore.reference(tmp_path / "x.h5", tmp_path / "x.car")


def test_a_group_in_itself_can_be_left_out(tmp_path: Path) -> None:
    """What completes the source of a parser goes no further than the parser: it would not end here."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"], file["loop"] = np.ones(2), file["/"]
    parser = virtualizarr.parsers.HDFParser(drop_variables=["loop"])
    ipldstore.reference(tmp_path / "x.h5", tmp_path / "x.car", parser=parser)
    with xr.open_dataset(tmp_path / "x.car", engine="ipldstore", consolidated=False) as found:
        assert set(found) == {"a"}


def test_attributes_of_other_kinds_with_the_names_of_netcdf(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name, value in {"a": 5, "b": "text"}.items():
            file[name] = np.zeros(0)
            file[name].attrs["NAME"] = file[name].attrs["_Netcdf4Dimid"] = value
    ipldstore.reference(tmp_path / "x.h5", tmp_path / "x.car")
    with xr.open_dataset(tmp_path / "x.car", engine="ipldstore", consolidated=False) as found:
        assert found["a"].shape == found["b"].shape == (0,)
