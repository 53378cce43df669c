"""The same xarray dataset has one root, however many processes write it, in whatever way, and wherever."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import ipldstore
import pytest
from ipldstore import IPFSStore, IPLDStore
from multiformats import CID

from ..support.processes import FRESH
from .workers import fields

dask: Any = pytest.importorskip("dask", reason="dask is optional")
xr: Any = pytest.importorskip("xarray", reason="xarray is optional")

slow = pytest.mark.slow
FIELDS = [pytest.param(fields.FEW[layout], id=f"few, {layout}") for layout in fields.LAYOUTS] + [
    # Not in CI: they take a minute each over a bucket, and the same ways as the few.
    pytest.param(fields.MANY[layout], id=f"2,000 chunks, {layout}", marks=pytest.mark.soak)
    for layout in fields.LAYOUTS
]


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, mp_context=FRESH) as pool:
        yield pool


@cache
def root_of_one_thread(field: fields.Field) -> CID:
    store = IPLDStore()
    with dask.config.set(scheduler="synchronous"):
        fields.write_whole(store, field)
    return store.freeze()


@pytest.fixture(
    params=[
        "folder",
        pytest.param("bucket", marks=slow),
        pytest.param("bucket of Google's", marks=slow),
        pytest.param("node", marks=[slow, pytest.mark.kubo]),
    ]
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[IPLDStore]:
    if request.param == "node":
        kubo = request.getfixturevalue("kubo")
        with IPFSStore(kubo.url) as castore, IPLDStore(castore) as store:
            yield store
        kubo.empty()
        return
    place: dict[str, Any] = {"what": str(tmp_path / "blocks")}
    if request.param == "bucket":
        server, bucket = request.getfixturevalue("atomic_s3"), request.getfixturevalue("bucket")
        place = {"what": f"s3://{bucket}/air", "storage_options": server.options()}
    if request.param == "bucket of Google's":
        server = request.getfixturevalue("gcs")
        place = {"what": f"{server.new_bucket()}/air", "storage_options": server.options()}
    with ipldstore.open(**place, mode="a", fsync=False) as store:
        yield store
    with ipldstore.open(**place) as again:
        assert again.root_cid == store.root_cid


def check(store: IPLDStore, field: fields.Field) -> None:
    """Compare what can be read before a freeze, the root, and what another process reads below it."""
    data = fields.dataset(field).compute()
    xr.testing.assert_identical(xr.open_zarr(store).compute(), data)
    root = store.freeze()
    assert root == root_of_one_thread(field)
    xr.testing.assert_identical(xr.open_zarr(IPLDStore(store.castore, root=root, read_only=True)).compute(), data)


def test_the_size() -> None:
    field = fields.MANY["format 3"]
    chunked = fields.dataset(field).data_vars.values()
    assert sum(variable.data.npartitions for variable in chunked) == field.chunks == 2000
    assert len(chunked) == 3


@slow
@pytest.mark.covering(1)
@pytest.mark.parametrize("field", FIELDS)
def test_a_cluster(store: IPLDStore, field: fields.Field, cluster: Any) -> None:
    """Plain ``to_zarr``, with no new verb."""
    with cluster.as_current(), dask.config.set(scheduler="distributed"):
        fields.write_whole(store, field)
    check(store, field)


@pytest.mark.covering(1)
@pytest.mark.parametrize("field", FIELDS)
def test_regions(store: IPLDStore, field: fields.Field, pool: ProcessPoolExecutor) -> None:
    fields.write_regions(store, field, pool)
    check(store, field)


@pytest.mark.covering(1)
@pytest.mark.parametrize("field", FIELDS)
def test_forks(store: IPLDStore, field: fields.Field, pool: ProcessPoolExecutor) -> None:
    fields.write_forks(store, field, pool)
    check(store, field)
