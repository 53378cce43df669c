"""One xarray dataset, and the ways in which one or many processes write it. Spawned processes import this module."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from concurrent.futures import Executor
from itertools import pairwise
from typing import Any, NamedTuple

from ipldstore import Changes, IPLDStore

LAYOUTS: dict[str, dict[str, Any]] = {
    "format 2": {"zarr_format": 2},
    "format 3": {"zarr_format": 3},
    "sharded": {"zarr_format": 3, "encoding": {"t": {"chunks": (1, 15, 9), "shards": (1, 45, 18)}}},
}
"""By name, the options of ``to_zarr``."""
SIDE = 90


class Field(NamedTuple):
    """How large the dataset is, and how it is laid out."""

    layout: str
    steps: int
    """Steps of time: each is 19 chunks."""
    cells: int
    """Chunks of the variable without time."""

    @property
    def chunks(self) -> int:
        """The chunks of the three variables."""
        return self.steps * 19 + self.cells

    @property
    def options(self) -> dict[str, Any]:
        """The options of ``to_zarr``."""
        return LAYOUTS[self.layout]


FEW = {layout: Field(layout, 4, 4) for layout in LAYOUTS}
MANY = {layout: Field(layout, 100, 100) for layout in LAYOUTS}


def dataset(field: Field) -> Any:
    """Return the dataset: three variables in chunks, and coordinates."""
    np, xr = importlib.import_module("numpy"), importlib.import_module("xarray")
    da = importlib.import_module("dask.array")
    random = np.random.default_rng(1)
    cell = SIDE // round(field.cells**0.5)
    shapes: dict[str, tuple[str, tuple[int, ...], tuple[int, ...]]] = {
        "t": ("time y x", (field.steps, SIDE, SIDE), (1, 45, 18)),
        "u": ("time y", (field.steps, SIDE), (1, 10)),
        "s": ("y x", (SIDE, SIDE), (cell, cell)),
    }
    made = {
        name: (dims.split(), da.from_array(random.normal(size=shape).round(3), chunks=chunks))
        for name, (dims, shape, chunks) in shapes.items()
    }
    time = np.datetime64("2000-01-01", "ns") + np.arange(field.steps) * np.timedelta64(1, "D")
    return xr.Dataset(made, {"time": time, "y": np.arange(SIDE), "x": np.linspace(0, 1, SIDE)}, {"title": "a field"})


def write_whole(store: IPLDStore, field: Field) -> None:
    """Write it by plain ``to_zarr``, with the scheduler that dask has."""
    dataset(field).to_zarr(store, **field.options)


def begin(store: IPLDStore, field: Field) -> None:
    """Write all but the chunks of the variables."""
    dataset(field).to_zarr(store, compute=False, **field.options)


def parts(field: Field, count: int) -> list[tuple[int, int] | None]:
    """Return the ranges of time that processes write; None stands for the variable without time."""
    edges = [field.steps * number // count for number in range(count + 1)]
    return [None, *pairwise(edges)]


def write_part(store: IPLDStore, field: Field, part: tuple[int, int] | None) -> None:
    """Write a region."""
    dask, whole = importlib.import_module("dask"), dataset(field)
    if part is None:
        chosen, region = whole[["s"]], {"y": slice(0, SIDE), "x": slice(0, SIDE)}
    else:
        region = {"time": slice(*part)}
        chosen = whole[["t", "u"]].isel(region)
    with dask.config.set(scheduler="synchronous"):
        chosen.drop_vars(["time", "y", "x"], errors="ignore").to_zarr(store, region=region)


def write_part_of_fork(fork: IPLDStore, field: Field, part: tuple[int, int] | None) -> Changes:
    """Write a region to a fork; return what it has changed."""
    write_part(fork, field, part)
    return fork.changes()


def write_regions(store: IPLDStore, field: Field, pool: Executor) -> None:
    """Write the regions in other processes, through the journal."""
    begin(store, field)
    for future in [pool.submit(write_part, store, field, part) for part in parts(field, 4)]:
        future.result(600)


def write_forks(store: IPLDStore, field: Field, pool: Executor) -> None:
    """Write the regions in other processes, to forks that are merged."""
    begin(store, field)
    store.merge(*_changes(store, field, pool))


def _changes(store: IPLDStore, field: Field, pool: Executor) -> Iterator[Changes]:
    futures = [pool.submit(write_part_of_fork, store.fork(), field, part) for part in parts(field, 4)]
    return (future.result(600) for future in reversed(futures))
