"""What is lost is an IPLDStoreError through xarray too, however it looks for metadata.

xarray takes ValueError for "not consolidated" and then tries another way; KeyError is "no such variable".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ipld_castore import BackendUnavailableError, ContentAddressableStore, FileSystemCAStore, MappingCAStore
from ipldstore import IPLDStore, IPLDStoreError
from multiformats import CID

from ..support.store_samples import DAMAGES, ObservedCAStore, damage, link_at
from ..support.xarray_samples import xr

pytestmark = pytest.mark.covering


@pytest.fixture(params=[2, 3], ids=["v2", "v3"])
def zarr_format(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(params=[True, False, None], ids=["consolidated", "not consolidated", "either"])
def consolidated(request: pytest.FixtureRequest) -> bool | None:
    found: bool | None = request.param
    return found


@pytest.fixture(params=[*DAMAGES, "flipped in a folder"])
def damaged(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ContentAddressableStore, str]:
    """An empty store, and what will happen to a block of it."""
    how, _, folder = request.param.partition(" ")
    return FileSystemCAStore(tmp_path / "blocks", fsync=False) if folder else MappingCAStore(), how


def dataset(history: int = 0) -> Any:
    """Ten variables whose directories are blocks of their own, and metadata as long as asked for."""
    names = [f"v{number:02}" for number in range(18)]  # with equal contents they would be one block
    values = np.arange(12.0).reshape(3, 4)
    return xr.Dataset({name: (("y", "x"), values, {"history": name + "h" * history}) for name in names})


@cache
def archive(zarr_format: int, *, history: int, consolidated: bool) -> bytes:
    store = IPLDStore()
    written = dataset(history)
    encoding = {name: {"chunks": (1, 4)} for name in written}
    written.to_zarr(store, zarr_format=zarr_format, consolidated=consolidated, encoding=encoding)
    return store.to_car()


def write(castore: ContentAddressableStore, zarr_format: int, *, history: int, consolidated: bool) -> CID:
    store = IPLDStore(castore)
    store.import_car(archive(zarr_format, history=history, consolidated=consolidated))
    return store.freeze()


def refused(castore: ContentAddressableStore, root: CID, use: Callable[[IPLDStore], Any]) -> IPLDStoreError:
    """Check that a use raises an IPLDStoreError, whether or not the store is writable."""
    for read_only in (False, True):
        store = IPLDStore(castore, root=root, read_only=read_only)
        with pytest.raises(IPLDStoreError) as caught:
            pytest.fail(f"expected an error, found {use(store)!r:.300}")
        assert not isinstance(caught.value, (KeyError, OSError, ValueError))
    return caught.value


def test_the_consolidated_metadata(
    damaged: tuple[ContentAddressableStore, str], zarr_format: int, consolidated: bool | None
) -> None:
    """They are a block of their own where they are long. zarr reads them even where they are not wanted."""
    castore, how = damaged
    root = write(castore, zarr_format, history=3000, consolidated=True)
    name = ".zmetadata" if zarr_format == 2 else "zarr.json"
    damage(castore, link_at(castore, root, name), how)
    refused(castore, root, lambda store: xr.open_zarr(store, consolidated=consolidated))
    refused(castore, root, lambda store: xr.open_dataset(store, engine="zarr", consolidated=consolidated))
    refused(castore, root, lambda store: xr.open_datatree(store, engine="zarr", consolidated=consolidated))


def test_the_directory_of_a_variable(
    damaged: tuple[ContentAddressableStore, str], zarr_format: int, consolidated: bool | None
) -> None:
    castore, how = damaged
    root = write(castore, zarr_format, history=1200, consolidated=consolidated is not False)
    damage(castore, link_at(castore, root, "v07"), how)
    if consolidated is False:  # the metadata are in that block
        refused(castore, root, lambda store: xr.open_zarr(store, consolidated=False))
    refused(castore, root, lambda store: xr.open_zarr(store, consolidated=consolidated).load())
    refused(castore, root, lambda store: xr.open_zarr(store, consolidated=consolidated).v07[0, 0].to_numpy())
    refused(castore, root, lambda store: xr.open_zarr(store, consolidated=consolidated, chunks=None).v07.sum())
    refused(castore, root, lambda store: dataset(1200).to_zarr(store.with_read_only(False), mode="a"))
    if consolidated is not False:
        found = xr.open_zarr(IPLDStore(castore, root=root), consolidated=consolidated)
        xr.testing.assert_identical(found.drop_vars("v07").load(), dataset(1200).drop_vars("v07"))


def test_a_chunk(damaged: tuple[ContentAddressableStore, str], zarr_format: int, consolidated: bool | None) -> None:
    castore, how = damaged
    root = write(castore, zarr_format, history=0, consolidated=consolidated is not False)
    path = ("v00", "1.0") if zarr_format == 2 else ("v00", "c", "1", "0")
    damage(castore, link_at(castore, root, *path), how)
    refused(castore, root, lambda store: xr.open_zarr(store, consolidated=consolidated).load())
    refused(castore, root, lambda store: xr.open_zarr(store, consolidated=consolidated, chunks=None).v00[1].to_numpy())
    found = xr.open_zarr(IPLDStore(castore, root=root), consolidated=consolidated)
    assert np.array_equal(found.v00[2], np.arange(8.0, 12.0))


def test_a_backend_that_is_down(zarr_format: int, consolidated: bool | None) -> None:
    castore = ObservedCAStore(MappingCAStore())
    root = write(castore, zarr_format, history=3000, consolidated=consolidated is not False)
    stores = [IPLDStore(castore, root=root, read_only=read_only) for read_only in (False, True)]
    opened = [xr.open_zarr(store, consolidated=consolidated) for store in stores]
    fresh = [IPLDStore(castore, root=root, read_only=read_only) for read_only in (False, True)]
    castore.down = True
    for found in opened:
        with pytest.raises(IPLDStoreError, match="on fire"):
            found.load()
    for store in fresh:
        with pytest.raises(IPLDStoreError, match="on fire") as caught:
            xr.open_zarr(store, consolidated=consolidated)
        causes = []
        error: BaseException | None = caught.value
        while error is not None:
            causes.append(type(error))
            error = error.__cause__
        assert BackendUnavailableError in causes
        with pytest.raises(IPLDStoreError, match="on fire"):
            dataset().to_zarr(store.with_read_only(False), mode="a", consolidated=consolidated)
    castore.down = False
    xr.testing.assert_identical(xr.open_zarr(fresh[0], consolidated=consolidated).load(), dataset(3000))
