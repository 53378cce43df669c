"""What xarray writes it reads back identical, from the CID alone: over the same blocks, and through a CAR elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ipld_castore import ContentAddressableStore, MappingCAStore
from ipldstore import IPLDStore

from ..support.store_samples import zarr
from ..support.xarray_samples import SAMPLES, assert_comes_back, numbers, ways_back, xr


@pytest.fixture(params=[2, 3], ids=["v2", "v3"])
def zarr_format(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def store() -> IPLDStore:
    """A store in memory; each way back goes through a folder too."""
    return IPLDStore()


@pytest.mark.covering
@pytest.mark.parametrize("sample", SAMPLES)
def test_each_kind_of_data(castore: ContentAddressableStore, zarr_format: int, sample: str, tmp_path: Path) -> None:
    store = IPLDStore(castore)
    written = SAMPLES[sample]()
    written.to_zarr(store, zarr_format=zarr_format)
    assert_comes_back(store, written.load(), tmp_path)


@pytest.mark.parametrize("sample", SAMPLES)
def test_the_same_as_from_a_memory_store(zarr_format: int, sample: str) -> None:
    """Encoding and dtypes too are those that zarr's own store gives."""
    written = SAMPLES[sample]()
    ours, theirs = IPLDStore(), zarr.storage.MemoryStore()
    written.to_zarr(ours, zarr_format=zarr_format)
    written.to_zarr(theirs, zarr_format=zarr_format)
    expected = xr.open_zarr(theirs)
    found = xr.open_zarr(IPLDStore(ours.castore, root=ours.freeze()))
    xr.testing.assert_identical(found.load(), expected.load())
    assert set(ours) == set(theirs._store_dict)
    for name, variable in expected.variables.items():
        assert found[name].dtype == variable.dtype
        assert repr(found[name].encoding) == repr(variable.encoding)


@pytest.mark.covering
@pytest.mark.parametrize("reading", [None, True, False])
@pytest.mark.parametrize("writing", [None, True, False])
def test_consolidated_or_not(
    store: IPLDStore, zarr_format: int, writing: bool | None, reading: bool | None, tmp_path: Path
) -> None:
    written = numbers()
    written.to_zarr(store, zarr_format=zarr_format, consolidated=writing)
    if writing is not False or reading is False:
        assert_comes_back(store, written, tmp_path, consolidated=reading)
        return
    root = store.freeze()
    writable, read_only = IPLDStore(store.castore, root=root), IPLDStore(store.castore, root=root, read_only=True)
    # It could be there, so xarray misses it ...
    if reading is True:
        with pytest.raises(ValueError, match="consolidated"):
            xr.open_zarr(writable, consolidated=True)
    else:
        with pytest.warns(RuntimeWarning, match="consolidated"):
            xr.testing.assert_identical(xr.open_zarr(writable).load(), written)
    # ... or it can not, and xarray does not look for it.
    xr.testing.assert_identical(xr.open_zarr(read_only, consolidated=reading).load(), written)


def test_without_compression(store: IPLDStore, zarr_format: int, tmp_path: Path) -> None:
    written = numbers()
    encoding = {name: {"compressors": None} for name in written.variables}
    written.to_zarr(store, zarr_format=zarr_format, encoding=encoding)
    assert_comes_back(store, written, tmp_path)


def test_packed_and_filled(store: IPLDStore, zarr_format: int, tmp_path: Path) -> None:
    written = xr.Dataset({"a": ("x", [1.5, np.nan, 3.0, -1.0])})
    encoding = {"a": {"dtype": "i2", "scale_factor": 0.5, "add_offset": 1.0, "_FillValue": -9999}}
    written.to_zarr(store, zarr_format=zarr_format, encoding=encoding)
    assert_comes_back(store, written, tmp_path)


@pytest.mark.parametrize("times", [1, 3])
def test_append_along_a_dimension(store: IPLDStore, zarr_format: int, times: int, tmp_path: Path) -> None:
    """The root equals that of the whole written at once: it depends on the contents alone."""
    steps = [numbers().drop_vars("count").assign_coords(time=np.arange(4) + 4 * step) for step in range(times + 1)]
    encoding = {"t2m": {"chunks": (2, 3, 5)}, "time": {"chunks": (4,)}}
    steps[0].to_zarr(store, zarr_format=zarr_format, encoding=encoding)
    for step in steps[1:]:
        before = store.freeze()
        step.to_zarr(store, append_dim="time")
        assert store.freeze() != before
    whole = xr.concat(steps, "time", data_vars="minimal")
    assert_comes_back(store, whole, tmp_path)
    at_once = IPLDStore()
    whole.to_zarr(at_once, zarr_format=zarr_format, encoding=encoding)
    assert at_once.freeze() == store.freeze()


def test_append_to_an_indexed_array(store: IPLDStore, zarr_format: int, tmp_path: Path) -> None:
    steps = [xr.Dataset({"a": (("t", "x"), np.arange(960).reshape(32, 30) + step)}) for step in range(3)]
    encoding = {"a": {"chunks": (1, 10)}}
    steps[0].to_zarr(store, zarr_format=zarr_format, encoding=encoding)
    for step in steps[1:]:
        step.to_zarr(IPLDStore(store.castore, root=store.freeze()), append_dim="t")  # forgotten, but not written there
        step.to_zarr(store, append_dim="t")
    assert_comes_back(store, xr.concat(steps, "t"), tmp_path)


def test_write_into_a_region(store: IPLDStore, zarr_format: int, tmp_path: Path) -> None:
    whole = xr.Dataset({"a": (("t", "x"), np.arange(40.0).reshape(8, 5))}, coords={"t": np.arange(8)})
    template = xr.zeros_like(whole).chunk({"t": 2}).assign_coords(t=whole.t)
    template.to_zarr(store, zarr_format=zarr_format, compute=False)
    for start in (4, 0, 6, 2):
        part = whole.isel(t=slice(start, start + 2)).drop_vars("t")
        part.to_zarr(store, region={"t": slice(start, start + 2)})
    assert_comes_back(store, whole, tmp_path)
    part.to_zarr(IPLDStore(store.castore, root=store.freeze()), region={"t": slice(2, 4)})
    whole.isel(t=slice(3, 5)).to_zarr(store, region="auto", mode="r+", safe_chunks=False)
    assert_comes_back(store, whole, tmp_path)


def test_add_variables(store: IPLDStore, zarr_format: int, tmp_path: Path) -> None:
    first = numbers()
    second = xr.Dataset({"new": ("x", np.arange(5.0)), "newer": ((), 7)}, coords={"x": first.x})
    first.to_zarr(store, zarr_format=zarr_format)
    store.freeze()
    second.to_zarr(store, mode="a")
    expected = first.merge(second).drop_attrs(deep=False)  # xarray writes those of the second
    assert_comes_back(store, expected, tmp_path)


def test_overwrite_variables(store: IPLDStore, zarr_format: int, tmp_path: Path) -> None:
    """No chunk of the old, longer variable is left."""
    xr.Dataset({"a": ("x", np.arange(100))}).chunk({"x": 1}).to_zarr(store, zarr_format=zarr_format)
    store.freeze()
    short = xr.Dataset({"a": ("z", [1, 2])})
    short.to_zarr(store, mode="w", zarr_format=zarr_format)
    assert_comes_back(store, short, tmp_path)
    fresh = IPLDStore()
    short.to_zarr(fresh, zarr_format=zarr_format)
    assert store.freeze() == fresh.freeze()


def test_delete_a_variable(store: IPLDStore, zarr_format: int, tmp_path: Path) -> None:
    numbers().to_zarr(store, zarr_format=zarr_format)
    store.freeze()
    group = zarr.open_group(store, mode="r+")
    del group["mask"]
    zarr.consolidate_metadata(store)
    without = numbers().drop_vars("mask")
    assert_comes_back(store, without, tmp_path)
    fresh = IPLDStore()
    without.to_zarr(fresh, zarr_format=zarr_format)
    assert store.freeze() == fresh.freeze()


def test_rename_by_rewriting(store: IPLDStore, zarr_format: int, tmp_path: Path) -> None:
    numbers().to_zarr(store, zarr_format=zarr_format)
    store.freeze()
    renamed = xr.open_zarr(IPLDStore(store.castore, root=store.root_cid)).rename(t2m="T", x="lon").load()
    renamed.to_zarr(store, mode="w", zarr_format=zarr_format)
    assert not [key for key in store if key.startswith(("t2m", "x/"))]
    assert_comes_back(store, numbers().rename(t2m="T", x="lon"), tmp_path)


def test_overwrite_with_the_other_format(store: IPLDStore, zarr_format: int, tmp_path: Path) -> None:
    numbers().to_zarr(store, zarr_format=5 - zarr_format)
    store.freeze()
    numbers().to_zarr(store, mode="w", zarr_format=zarr_format)
    assert_comes_back(store, numbers(), tmp_path)
    fresh = IPLDStore()
    numbers().to_zarr(fresh, zarr_format=zarr_format)
    assert store.freeze() == fresh.freeze()


def test_mode_w_minus_sees_what_is_there(store: IPLDStore, zarr_format: int) -> None:
    numbers().to_zarr(store, zarr_format=zarr_format)
    for existing in (store, IPLDStore(store.castore, root=store.freeze())):
        with pytest.raises((FileExistsError, zarr.errors.ContainsGroupError)):
            numbers().to_zarr(existing, mode="w-", zarr_format=zarr_format)


def test_groups(store: IPLDStore, zarr_format: int, tmp_path: Path) -> None:
    tree = xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs={"title": "a tree"}),
            "/forecast": numbers(),
            "/forecast/member 1": numbers() + 1,
            "/forecast/member 2": numbers() + 2,
            "/observed/stations/empty": xr.Dataset(),
        }
    )
    tree.to_zarr(store, zarr_format=zarr_format)
    for new in ways_back(store, tmp_path):
        with xr.open_datatree(new, engine="zarr") as found:
            xr.testing.assert_identical(found.load(), tree)
        with xr.open_zarr(new, group="forecast/member 2") as one:
            xr.testing.assert_identical(one.load(), tree["/forecast/member 2"].to_dataset(inherit=False))
    store.freeze()
    numbers().to_zarr(store, group="forecast/member 3", mode="a", zarr_format=zarr_format, consolidated=False)
    with xr.open_zarr(
        IPLDStore(store.castore, root=store.freeze()), group="forecast/member 3", consolidated=False
    ) as one:
        xr.testing.assert_identical(one.load(), numbers())


def test_a_group_in_one_store_from_many_datasets(store: IPLDStore, zarr_format: int, tmp_path: Path) -> None:
    for number in range(9):
        xr.Dataset({"a": ("x", [number, 2])}, attrs={"number": number}).to_zarr(
            store, group=f"g{number}", zarr_format=zarr_format, mode="w" if not number else "a"
        )
    for number in (0, 3, 8):
        expected = xr.Dataset({"a": ("x", [number, 2])}, attrs={"number": number})
        assert_comes_back(store, expected, tmp_path, group=f"g{number}")


def test_shards(store: IPLDStore, tmp_path: Path) -> None:
    written = xr.Dataset({"a": (("y", "x"), np.arange(64.0 * 48).reshape(64, 48))})
    encoding = {"a": {"chunks": (4, 6), "shards": (32, 24)}}
    written.to_zarr(store, zarr_format=3, encoding=encoding)
    assert sum("/c/" in key for key in store) == 4
    assert_comes_back(store, written, tmp_path)
    written.isel(y=slice(0, 32)).to_zarr(store, region={"y": slice(32, 64)})  # shards are rewritten
    expected = written.copy(deep=True)
    expected["a"][32:] = written["a"][:32].to_numpy()
    assert_comes_back(store, expected, tmp_path)
    with xr.open_zarr(IPLDStore(store.castore, root=store.freeze())) as found:
        np.testing.assert_array_equal(found["a"][33:35, 5:8], expected["a"][33:35, 5:8])


def test_structured_and_object_dtypes(store: IPLDStore, zarr_format: int, tmp_path: Path) -> None:
    """Through zarr, and through xarray as far as it knows them."""
    structured = np.array([(1, 2.5, b"ab"), (3, -0.0, b"")], dtype=[("n", "i4"), ("x", "f8"), ("s", "S2")])
    group = zarr.create_group(store, zarr_format=zarr_format)
    array = group.create_array("structured", shape=2, dtype=structured.dtype, chunks=1)
    array[...] = structured
    text = group.create_array("text", shape=3, dtype=str, chunks=2)
    text[...] = np.array(["a", "", "日本語"], object)
    for new in ways_back(store, tmp_path):
        found = zarr.open_group(new, mode="r")
        np.testing.assert_array_equal(found["structured"][...], structured)
        np.testing.assert_array_equal(found["text"][...].astype(object), ["a", "", "日本語"])
    objects = xr.Dataset({"o": ("x", np.array(["a", "", "日本語"], object)), "s": ("y", structured)})
    if zarr_format == 3:  # xarray gives its fill value in a form that zarr's format 3 does not take
        objects = objects.drop_vars("s")
    again = IPLDStore(store.castore)
    objects.to_zarr(again, zarr_format=zarr_format)
    for new in ways_back(again, tmp_path / "again"):
        with xr.open_zarr(new) as found:
            xr.testing.assert_identical(found.load(), objects)


@pytest.mark.covering
@pytest.mark.parametrize("chunk", ["single", "many"])
def test_dask_threads(castore: ContentAddressableStore, zarr_format: int, chunk: str, tmp_path: Path) -> None:
    store = IPLDStore(castore)
    dask = pytest.importorskip("dask", reason="dask is optional")
    written = numbers().drop_vars("swapped")
    sizes = {"time": 1, "y": 1, "x": 2} if chunk == "many" else {}
    with dask.config.set(scheduler="threads", num_workers=8):
        written.chunk(sizes).to_zarr(store, zarr_format=zarr_format)
        assert_comes_back(store, written, tmp_path, chunks={})
    with dask.config.set(scheduler="synchronous"):
        alone = IPLDStore(MappingCAStore())
        written.chunk(sizes).to_zarr(alone, zarr_format=zarr_format)
    assert alone.freeze() == store.freeze()


def test_a_delayed_write(store: IPLDStore, zarr_format: int, tmp_path: Path) -> None:
    dask = pytest.importorskip("dask", reason="dask is optional")
    written = numbers()
    delayed = written.chunk({"time": 1}).to_zarr(store, zarr_format=zarr_format, compute=False)
    store.freeze()  # the metadata are there, the chunks to come
    with dask.config.set(scheduler="threads"):
        dask.compute(delayed)
    assert_comes_back(store, written, tmp_path)


def test_reading_while_writing_the_same_store(store: IPLDStore, zarr_format: int, tmp_path: Path) -> None:
    """A lazily opened dataset is written back into the store that it comes from, under another group."""
    numbers().to_zarr(store, group="a", zarr_format=zarr_format)
    with xr.open_zarr(store, group="a") as lazy:
        lazy.to_zarr(store, group="b", zarr_format=zarr_format, mode="a")
    assert_comes_back(store, numbers(), tmp_path, group="b")


def test_the_fill_value_is_for_chunks_never_written(store: IPLDStore, zarr_format: int, tmp_path: Path) -> None:
    """Absent is absent: it is lost blocks that are errors."""
    array: Any = zarr.create_array(
        store, name="a", shape=(10,), chunks=(1,), dtype="i4", fill_value=-1, zarr_format=zarr_format
    )
    array[3] = 5
    for new in ways_back(store, tmp_path):
        assert zarr.open_array(new, path="a", mode="r")[...].tolist() == [-1, -1, -1, 5, -1, -1, -1, -1, -1, -1]
