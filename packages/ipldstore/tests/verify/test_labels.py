"""Lost regions are told by the values of coordinates, where these can be read: dates of time steps, latitudes."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from ipld_car import cids
from ipld_castore import MappingCAStore
from ipldstore import IPLDStore, VerifyReport

DAYS = "days since 2020-01-01"


def lose(store: IPLDStore, *keys: str) -> VerifyReport:
    """Return what is found of a dataset whose chunks at some keys are gone."""
    root = store.freeze()
    for key in keys:
        store.castore.delete_block(cids.from_validated(store._data.find(key)))  # type: ignore[attr-defined, arg-type]  # in memory; a link
    return IPLDStore(store.castore, root=root).verify()


def write(store: IPLDStore, units: str = DAYS, group: str = "") -> None:
    """Write ``t`` over time and latitude, chunks of two days and three latitudes."""
    top = zarr.open_group(store, mode="a")
    time = top.create_array(
        "time", shape=(6,), chunks=(3,), dtype="i8", dimension_names=["time"], attributes={"units": units}
    )
    time[:] = np.arange(6)
    latitude = top.create_array("lat", shape=(6,), chunks=(6,), dtype="f4", dimension_names=["lat"])
    latitude[:] = [90, 54.1, 18, -18, -54, -90]
    names = top.create_group(group) if group else top
    values = names.create_array(
        "t", shape=(6, 6, 2), chunks=(2, 3, 2), dtype="i4", dimension_names=["time", "lat", None]
    )
    values[:] = np.arange(72).reshape(6, 6, 2)


@pytest.mark.parametrize("group", ["", "model/level"])
def test_dates_and_latitudes(group: str) -> None:
    """Also where the coordinates are in a group above, and with the index behind them."""
    store = IPLDStore(MappingCAStore())
    write(store, group=group)
    path = f"{group}/t" if group else "t"
    report = lose(store, f"{path}/c/1/0/0")
    (array,) = report.arrays
    (region,) = array.regions
    assert str(region) == "time 2020-01-03..2020-01-04 [2:4], lat 90.0..18.0 [0:3], axis 2 0:2"
    assert report.data["arrays"][0]["regions"][0]["labels"] == [["2020-01-03", "2020-01-04"], ["90.0", "18.0"], None]
    assert "time 2020-01-03..2020-01-04 [2:4]" in str(report)


def test_one_step_has_one_label() -> None:
    store = IPLDStore(MappingCAStore())
    top = zarr.open_group(store, mode="a")
    top.create_array("x", shape=(3,), dtype="<U3", dimension_names=["x"])[:] = np.array(["a", "b\x1b", "c"], "<U3")
    top.create_array("v", shape=(3,), chunks=(1,), dtype="i4", dimension_names=["x"])[:] = [1, 2, 3]
    (array,) = lose(store, "v/c/1").arrays
    assert str(array.regions[0]) == "x b\\x1b [1:2]"


def test_where_the_coordinate_is_lost_the_index_is_told() -> None:
    """Of a coordinate in several chunks the steps in the others still have their dates."""
    store = IPLDStore(MappingCAStore())
    write(store)
    report = lose(store, "time/c/1", "t/c/0/0/0", "t/c/2/1/0")
    found = {array.path: [str(region) for region in array.regions] for array in report.arrays}
    assert found["time"] == ["time 3:6"]
    assert found["t"] == [
        "time 2020-01-01..2020-01-02 [0:2], lat 90.0..18.0 [0:3], axis 2 0:2",
        "time 4:6, lat -18.0..-90.0 [3:6], axis 2 0:2",
    ]


@pytest.mark.parametrize("units", ["days since the flood", "parsecs since 2020-01-01"])
def test_units_that_mean_nothing_leave_the_numbers(units: str) -> None:
    store = IPLDStore(MappingCAStore())
    write(store, units)
    (array,) = lose(store, "t/c/1/0/0").arrays
    assert str(array.regions[0]).startswith("time 2..3 [2:4]")
