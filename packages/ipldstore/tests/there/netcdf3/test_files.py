"""Files of netCDF-3 are read as the netCDF library reads them, and broken ones are errors."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from ipldstore._there.netcdf3 import files, header

netCDF4: Any = pytest.importorskip("netCDF4")  # noqa: N816  # its name
xr: Any = pytest.importorskip("xarray")

pytestmark = pytest.mark.filterwarnings("ignore:numpy.ndarray size changed")

FORMATS = ("NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA")


def make(path: Path, file_format: str = "NETCDF3_CLASSIC", records: int = 4) -> Path:
    """Write a file with all kinds of variables and attributes."""
    with netCDF4.Dataset(path, "w", format=file_format) as file:
        file.setncatts({"title": "é", "numbers": np.arange(3), "one": np.float32(0.1), "none": ""})
        for name, size in {"t": None, "x": 3, "n": 5}.items():
            file.createDimension(name, size)
        for kind in ("i1", "i2", "i4", "f4", "f8", *(("u1", "u2", "u4", "i8", "u8") if "DATA" in file_format else ())):
            variable = file.createVariable(kind, kind, ("t", "x"), fill_value=7)
            variable.setncatts({"missing_value": np.array(7, kind), "pair": np.array([1, 2], "i2")})
            variable[:] = np.arange(records * 3).reshape(records, 3)
        packed = file.createVariable("packed", "i2", ("x",))
        packed.setncatts({"scale_factor": np.float32(0.1), "add_offset": 270.0, "units": "K"})
        packed[:] = [270, 271, 272]
        file.createVariable("crs", "i4", ()).grid_mapping_name = "latitude_longitude"
        file.createVariable("text", "S1", ("x", "n"))[:] = netCDF4.stringtochar(np.array(["abc", "d", "ef"], "S5"))
    return path


def check(path: Path, into: Path) -> None:
    """Require that xarray sees the same in the file and in a dataset over it, which has the root of a stored copy."""
    root = ipldstore.reference(path, into)
    for decode in (False, True):
        with (
            xr.open_dataset(path, engine="netcdf4", decode_cf=decode) as expected,
            xr.open_dataset(into, engine="ipldstore", consolidated=False, decode_cf=decode) as found,
        ):
            xr.testing.assert_identical(found.load(), expected.load())
            assert {name: each.dtype for name, each in found.variables.items()} == {
                name: each.dtype for name, each in expected.variables.items()
            }
    assert ipldstore.copy(into, into.with_name("copy.car")) == root


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("records", [0, 1, 4])
def test_all_kinds_of_variables(tmp_path: Path, file_format: str, records: int) -> None:
    """Scalars, texts and numbers as attributes were errors or became other values; CDF-5 could not be read."""
    check(make(tmp_path / "x.nc", file_format, records), tmp_path / "x.car")


@pytest.mark.parametrize("file_format", FORMATS)
def test_records_of_the_only_variable_are_not_padded(tmp_path: Path, file_format: str) -> None:
    with netCDF4.Dataset(tmp_path / "x.nc", "w", format=file_format) as file:
        file.createDimension("t", None)
        file.createDimension("x", 3)
        file.createVariable("a", "i2", ("t", "x"))[:] = np.arange(12).reshape(4, 3)
    check(tmp_path / "x.nc", tmp_path / "x.car")


@pytest.mark.filterwarnings("ignore:The data type")  # zarr's own, of texts
@pytest.mark.parametrize(
    ("kind", "fill"),
    [
        *[(kind, 7) for kind in ("S1", "i1", ">i2", ">i4", "u1", ">u8", ">f4", ">f8")],
        *[(kind, fill) for kind in (">f4", ">f8") for fill in (np.nan, np.inf, -np.inf, 0.1, -0.0)],
    ],
)
def test_metadata_are_those_that_zarr_makes(tmp_path: Path, kind: str, fill: float) -> None:
    given: Any = "x" if kind == "S1" else np.array([fill], kind)
    attributes = {"_FillValue": given, "units": "K"}
    found = files._document(header.Variable("a", ("t", "x"), (4, 3), True, attributes, np.dtype(kind), 80))
    zarr.create_array(
        tmp_path / "a.zarr",
        shape=(4, 3),
        chunks=(1, 3),
        dtype=kind,
        fill_value=given.encode() if isinstance(given, str) else given[0],
        serializer=zarr.codecs.BytesCodec(endian="big") if np.dtype(kind).itemsize > 1 else "auto",
        filters=None,
        compressors=None,
        dimension_names=("t", "x"),
        attributes=found["attributes"],
    )
    expected = json.loads((tmp_path / "a.zarr/zarr.json").read_text())
    assert json.dumps(found, sort_keys=True) == json.dumps(expected, sort_keys=True)


@pytest.mark.parametrize(("shape", "chunks"), [((6, 5, 4), (3, 5, 4)), ((7, 5, 4), (1, 5, 4)), ((2, 35, 4), (1, 7, 4))])
def test_a_large_variable_has_several_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], chunks: tuple[int, ...]
) -> None:
    """Whoever reads one value needs one chunk of it in memory."""
    monkeypatch.setattr(files, "_CHUNK_BYTES", 300)
    with netCDF4.Dataset(tmp_path / "x.nc", "w", format="NETCDF3_CLASSIC") as file:
        for name, length in zip("zyx", shape, strict=True):
            file.createDimension(name, length)
        file.createVariable("a", "i4", tuple("zyx"))[:] = np.arange(np.prod(shape)).reshape(shape)
    check(tmp_path / "x.nc", tmp_path / "x.car")
    with ipldstore.open(tmp_path / "x.car") as store:
        assert zarr.open_array(store, path="a", mode="r").chunks == chunks


def test_records_are_counted_where_the_header_does_not(tmp_path: Path) -> None:
    """A file that is written as a stream has a count of 2^32 - 1."""
    path = make(tmp_path / "x.nc")
    data = path.read_bytes()
    path.write_bytes(data[:4] + b"\xff" * 4 + data[8:])
    ipldstore.reference(path, tmp_path / "x.car")
    with xr.open_dataset(tmp_path / "x.car", engine="ipldstore", consolidated=False, decode_cf=False) as found:
        assert np.array_equal(found["i4"], np.arange(12).reshape(4, 3))


def test_a_long_header(tmp_path: Path) -> None:
    with netCDF4.Dataset(tmp_path / "x.nc", "w", format="NETCDF3_CLASSIC") as file:
        file.history = "x" * 200_000
        file.createDimension("x", 3)
        file.createVariable("a", "i2", ("x",))[:] = 1
    check(tmp_path / "x.nc", tmp_path / "x.car")


@pytest.mark.parametrize("cut", [1, 40, 4000])
def test_a_truncated_file_is_an_error_that_names_it(tmp_path: Path, cut: int) -> None:
    path = make(tmp_path / "x.nc")
    path.write_bytes(path.read_bytes()[: -min(cut, path.stat().st_size - 30)])
    with pytest.raises(ValueError, match=r"cannot parse .*x\.nc: expected .*(truncated|found its end)"):
        ipldstore.reference(path, tmp_path / "x.car")
    assert not list(tmp_path.glob("x.car*"))


@given(st.integers(0, 400), st.binary(min_size=1, max_size=8), st.sampled_from([1, 2, 5]))
def test_hostile_headers_are_errors(at: int, garbage: bytes, version: int) -> None:
    """No header takes memory or time by what it declares."""
    good = struct.pack(">4s 3I 4s I 3I", b"CDF" + bytes([version]), 2, 10, 1, b"\0\0\0\1", 0x61000000, 3, 0, 0) * 8
    data = good[:at] + garbage + good[at + len(garbage) :]
    try:
        found = header.parse(data, len(data))
    except ValueError:
        return
    assert all(variable.begin + variable.size <= len(data) for variable in found.variables if all(variable.shape))
