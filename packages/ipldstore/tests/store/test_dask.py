"""dask: its threads and processes write correctly; where processes cannot, they fail loudly and lose no chunk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ipld_castore import ContentAddressableStore, FileSystemCAStore, MappingCAStore
from ipldstore import IPLDStore, IPLDStoreError

from ..support.processes import FRESH
from ..support.store_samples import contents, zarr

dask: Any = pytest.importorskip("dask", reason="dask is optional")
da: Any = pytest.importorskip("dask.array")

PROCESSES = {"scheduler": "processes", "num_workers": 2, "multiprocessing.context": FRESH.get_start_method()}
VALUES = np.arange(24 * 30, dtype="i4").reshape(24, 30)


@pytest.fixture(params=[2, 3], ids=["v2", "v3"])
def zarr_format(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def folder(tmp_path: Path) -> FileSystemCAStore:
    """Blocks that other processes reach."""
    return FileSystemCAStore(tmp_path / "blocks", fsync=False)


def target(castore: ContentAddressableStore, zarr_format: int = 3) -> Any:
    return zarr.create_array(
        IPLDStore(castore), name="a", shape=VALUES.shape, chunks=(2, 3), dtype="i4", zarr_format=zarr_format
    )


def lazy() -> Any:
    return da.from_array(VALUES, chunks=(2, 3))


def written_whole(zarr_format: int = 3) -> Any:
    """Return the root of the array that is written without threads."""
    array = target(MappingCAStore(), zarr_format)
    array[...] = VALUES
    return array.store.freeze()


def test_threads_write_all_chunks(castore: ContentAddressableStore, zarr_format: int) -> None:
    array = target(castore, zarr_format)
    with dask.config.set(scheduler="threads", num_workers=8):
        da.store(lazy(), array, lock=False)
    assert array.store.freeze() == written_whole(zarr_format)
    again = da.from_array(zarr.open_array(IPLDStore(castore, root=array.store.root_cid), path="a", mode="r"))
    with dask.config.set(scheduler="threads", num_workers=8):
        assert np.array_equal(again.compute(), VALUES)
        assert int(again.sum()) == int(VALUES.sum())


def test_a_scheduler_of_one_thread(castore: ContentAddressableStore) -> None:
    array = target(castore)
    with dask.config.set(scheduler="synchronous"):
        da.store(lazy(), array)
    assert array.store.freeze() == written_whole()


def test_tokens_follow_the_contents(castore: ContentAddressableStore) -> None:
    """The same store has the same name in dask's graphs, until it changes; and its data are never hashed for that."""
    store = IPLDStore(castore)
    store["a"] = b"1"
    store.freeze()
    token = dask.base.tokenize(store)
    assert dask.base.tokenize(IPLDStore(castore, root=store.root_cid)) == token
    store["a"] = b"2"
    changed = dask.base.tokenize(store)
    assert changed != token
    store["a"] = b"1"
    store.freeze()
    assert dask.base.tokenize(store) == token
    assert dask.base.tokenize(IPLDStore(MappingCAStore(), root=None)) != dask.base.tokenize(IPLDStore())


def test_lazy_arrays_of_two_states_are_two(castore: ContentAddressableStore) -> None:
    array = target(castore)
    array[...] = 1
    before = da.from_array(zarr.open_array(array.store, path="a", mode="r"))
    array[...] = 2
    after = da.from_array(zarr.open_array(array.store, path="a", mode="r"))
    assert before.name != after.name


@pytest.mark.slow
def test_dask_processes_write(folder: FileSystemCAStore, zarr_format: int) -> None:
    array = target(folder, zarr_format)
    with dask.config.set(PROCESSES):
        da.store(lazy(), array, lock=False)
        assert np.array_equal(array[...], VALUES), "before any freeze"
    assert array.store.freeze() == written_whole(zarr_format)


@pytest.mark.slow
def test_dask_processes_without_a_journal_fail_loudly() -> None:
    array = target(MappingCAStore())
    before = contents(array.store)
    with (
        dask.config.set(PROCESSES),
        pytest.raises(IPLDStoreError, match="another process"),
    ):
        da.store(lazy()[:4, :6], array, lock=False)
    assert contents(array.store) == before


def test_dask_processes_read(castore: ContentAddressableStore) -> None:
    array = target(castore)
    array[...] = VALUES
    with dask.config.set(PROCESSES):
        assert np.array_equal(da.from_array(array, chunks=(12, 30)).compute(), VALUES)


@pytest.fixture
def client(cluster: Any) -> Iterator[Any]:
    """Workers are processes: they read, and a write fails at the client."""
    with cluster.as_current(), dask.config.set(scheduler="distributed"):
        yield cluster


@pytest.mark.slow
def test_distributed_workers_write(client: Any, folder: FileSystemCAStore, zarr_format: int) -> None:
    array = target(folder, zarr_format)
    da.store(lazy(), array, lock=False)
    assert np.array_equal(array[...], VALUES), "before any freeze"
    assert array.store.freeze() == written_whole(zarr_format)
    assert client.nthreads()


@pytest.mark.slow
def test_distributed_workers_without_a_journal_fail_loudly(client: Any) -> None:
    array = target(MappingCAStore())
    before = contents(array.store)
    with pytest.raises(IPLDStoreError, match="another process"):
        da.store(lazy(), array, lock=False)
    assert contents(array.store) == before
    assert client.nthreads()  # they live


@pytest.mark.slow
def test_distributed_workers_read(client: Any, castore: ContentAddressableStore) -> None:
    array = target(castore)
    array[...] = VALUES
    reading = da.from_array(array, chunks=(8, 30))
    assert np.array_equal(reading.compute(), VALUES)
    array[3, 4] = -1
    newer = da.from_array(zarr.open_array(array.store, path="a", mode="r"), chunks=(8, 30))
    assert int(newer.compute()[3, 4]) == -1
    assert client.nthreads()


@pytest.mark.slow
def test_xarray_on_distributed_workers(client: Any, tmp_path: Path) -> None:
    xr: Any = pytest.importorskip("xarray", reason="xarray is optional")
    dataset = xr.Dataset({"a": (("y", "x"), VALUES)})
    with pytest.raises(IPLDStoreError, match="another process"):
        dataset.chunk({"y": 6}).to_zarr(IPLDStore())
    alone = IPLDStore()
    with dask.config.set(scheduler="threads"):  # what the error says to do
        dataset.chunk({"y": 6}).to_zarr(alone)
    store = IPLDStore(FileSystemCAStore(tmp_path / "blocks", fsync=False))
    dataset.chunk({"y": 6}).to_zarr(store)
    xr.testing.assert_identical(xr.open_zarr(store).compute(), dataset)
    assert store.freeze() == alone.freeze()
    found = xr.open_zarr(IPLDStore(store.castore, root=store.freeze()))
    xr.testing.assert_identical(found.compute(), dataset)  # on the workers
    assert client.nthreads()
