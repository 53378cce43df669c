"""What lies in zarr is written without decoding it: the root of to_zarr, chunks as bytes, and changes are not lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipldstore
import numpy as np
import pytest
from ipldstore import IPLDStore
from ipldstore._there.copies.copy import copy_chunks

xr: Any = pytest.importorskip("xarray")
pytest.importorskip("dask")


def source(folder: Path) -> Any:
    values = np.arange(40 * 6, dtype="f8").reshape(40, 6) / 10
    times = np.datetime64("2026-01-01", "ns") + np.arange(40) * np.timedelta64(1, "D")
    ds = xr.Dataset(
        {"t2m": (("time", "x"), values, {"units": "K"}), "packed": (("time", "x"), values), "when": ("time", times)},
        coords={"time": np.arange(40), "lat": ("x", np.linspace(0, 1, 6))},
        attrs={"title": "copied"},
    )
    encoding = {"t2m": {"chunks": (10, 6)}, "packed": {"dtype": "i2", "scale_factor": 0.1, "_FillValue": -1}}
    ds.to_zarr(folder / "a.zarr", encoding=encoding, zarr_format=3)
    return folder / "a.zarr"


def changed_value(ds: Any) -> Any:
    ds["t2m"][0, 0] = 99.0
    return ds


def changed_scale(ds: Any) -> Any:
    ds["packed"].encoding["scale_factor"] = 0.2
    return ds


CHANGES: dict[str, tuple[Callable[[Any], Any], set[str]]] = {
    "none": (lambda ds: ds, {"t2m", "packed", "lat"}),
    "attributes": (lambda ds: ds.assign_attrs(title="new"), {"t2m", "packed", "lat"}),
    "renamed": (lambda ds: ds.rename(t2m="temperature"), {"t2m", "packed", "lat"}),
    "part": (lambda ds: ds.isel(x=slice(0, 3)), set()),
    "scale": (changed_scale, {"t2m", "lat"}),
    "loaded": (lambda ds: ds.load(), set()),
}


@pytest.mark.parametrize("chunks", [None, {}], ids=["lazy", "dask"])
@pytest.mark.parametrize("change", CHANGES)
def test_the_root_is_that_of_to_zarr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunks: Any, change: str) -> None:
    path = source(tmp_path)
    make, expected = CHANGES[change]
    copied: set[str] = set()

    def note(one: Any, other: Any) -> None:
        copied.add(one.store_path.path)
        copy_chunks(one, other)

    monkeypatch.setattr("ipldstore._xarray.copying.copy_chunks", note)
    store = IPLDStore()
    make(xr.open_zarr(path, chunks=chunks)).to_zarr(store)
    root = make(xr.open_zarr(path, chunks=chunks)).ipld.to_ipld(tmp_path / "a.car")
    assert root == store.freeze()
    assert copied == expected


def test_a_changed_value_is_written(tmp_path: Path) -> None:
    path = source(tmp_path)
    changed_value(xr.open_zarr(path, chunks=None)).ipld.to_ipld(tmp_path / "a.car")
    with ipldstore.open(tmp_path / "a.car") as store:
        assert float(xr.open_zarr(store)["t2m"][0, 0]) == 99.0


def test_a_group(tmp_path: Path) -> None:
    path = source(tmp_path)
    xr.open_zarr(path).ipld.to_ipld(tmp_path / "a.car", group="deep/here")
    with ipldstore.open(tmp_path / "a.car") as store:
        xr.testing.assert_identical(xr.open_zarr(store, group="deep/here").load(), xr.open_zarr(path).load())
