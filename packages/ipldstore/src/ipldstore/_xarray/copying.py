"""Datasets that lie in zarr already: written as ``to_zarr`` does, their chunks copied as the bytes that they are."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Final

import xarray as xr
import zarr

from ipldstore._store.ipld_store import IPLDStore
from ipldstore._there.copies.copy import copy_chunks
from ipldstore._there.model import VALUE_ATTRIBUTES

_OPTIONS: Final = frozenset({"consolidated", "encoding", "group", "mode", "zarr_format"})
"""Options of ``to_zarr`` with which an array is written whole, and at once."""
_WRAPPERS: Final = {
    "CopyOnWriteArray": "array",
    "DataNode": "value",
    "ImplicitToExplicitIndexingAdapter": "array",
    "LazilyIndexedArray": "array",
    "MemoryCachedArray": "array",
    "_ElementwiseFunctionArray": "array",
}
"""What xarray and dask put around an array of zarr that they read when it is needed, and where each has it."""


def write_zarr(data: xr.Dataset | xr.DataTree, store: IPLDStore, options: Mapping[str, Any]) -> None:
    """Write a dataset or tree by ``to_zarr``.

    Variables that xarray has opened from zarr, and that were not changed since, are not decoded: where their metadata
    come out as they were, the chunks are copied as bytes. That takes dask, which writes metadata without values.

    :param options: of ``to_zarr``
    """
    arrays = _arrays_behind(data, store) if isinstance(data, xr.Dataset) and options.keys() <= _OPTIONS else {}
    if not arrays or options.get("mode") not in (None, "w", "w-") or not isinstance(data, xr.Dataset):
        data.to_zarr(store, **options)
        return
    import dask.array

    metadata = data.copy(deep=False)
    for name in arrays:
        nothing = dask.array.zeros(data[name].shape, dtype=data[name].dtype, chunks=data[name].shape)
        metadata[name] = data[name].copy(data=nothing)
    metadata.to_zarr(store, compute=False, **options)
    group = str(options.get("group") or "").strip("/")
    for name, array in arrays.items():
        target = zarr.open_array(store, path=f"{group}/{name}" if group else str(name), mode="r+")
        if array is not None and _has_same_chunks(array, target):
            copy_chunks(array, target)
        else:
            xr.Dataset({name: data[name].variable}).to_zarr(store, group=group or None, mode="r+")


def _arrays_behind(data: xr.Dataset, store: IPLDStore) -> dict[Any, zarr.Array[Any] | None]:
    """Return by name the arrays of zarr that variables are, unchanged, and None for each other variable of dask.

    Nothing is returned where that saves nothing, or a variable of dask has metadata that depend on its values.
    """
    if find_spec("dask") is None:
        return {}
    found: dict[Any, zarr.Array[Any] | None] = {}
    for name, variable in data.variables.items():
        array = _array_behind(variable) if variable.dtype.kind in "iufb" else None
        if array is not None and array.store_path.store is not store:
            found[name] = array
        elif variable.chunks is not None:
            if variable.dtype.kind not in "iufbMm":
                return {}
            found[name] = None
    return found if any(array is not None for array in found.values()) else {}


def _array_behind(variable: xr.Variable) -> zarr.Array[Any] | None:
    """Return the array of zarr that a variable is read from, all of it and unchanged; None if there is none."""
    found: Any = variable._data  # noqa: SLF001  # `data` would read it
    if variable.chunks is not None:
        found = dict(found.dask).get(f"original-{found.name}")
    while True:
        kind = type(found).__name__
        if kind == "ZarrArrayWrapper":
            array = found.get_array()
            return array if isinstance(array, zarr.Array) and array.shape == variable.shape else None
        if kind not in _WRAPPERS:
            return None
        if kind == "LazilyIndexedArray" and any(part != slice(None) for part in found.key.tuple):
            return None
        found = getattr(found, _WRAPPERS[kind])


def _has_same_chunks(source: zarr.Array[Any], target: zarr.Array[Any]) -> bool:
    """Return whether chunks of one array are chunks of another, with the same values."""
    one, other = (dict(array.metadata.to_dict()) for array in (source, target))
    values = [
        {name: attributes.get(name) for name in VALUE_ATTRIBUTES}
        for attributes in (dict(source.attrs), dict(target.attrs))
    ]
    for found in (one, other):
        found.pop("attributes", None)
    return one == other and values[0] == values[1]
