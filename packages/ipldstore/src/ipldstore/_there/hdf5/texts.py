"""Datasets of HDF5 with texts of variable length: the file has them scattered, so their values are copied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import zarr
from zarr.storage import MemoryStore

from ipldstore._format import keys
from ipldstore._there.model import Ranges, SourceArray, parse_json

_INTERNAL: Final = frozenset(
    {"CLASS", "DIMENSION_LIST", "NAME", "REFERENCE_LIST", "_FillValue", "_Netcdf4Coordinates", "_Netcdf4Dimid"}
)
"""Attributes that say how HDF5 and netCDF-4 keep the dataset, and the fill value, which zarr has elsewhere."""


def text_datasets(file: Any) -> Iterator[tuple[str, Any]]:
    """Yield path and dataset of all datasets with texts of variable length, in all groups."""
    import h5py  # type: ignore[import-untyped,unused-ignore]  # it has no types

    found: list[tuple[str, Any]] = []

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and is_text(item.id):
            found.append((name, item))

    file.visititems(note)
    yield from found


def is_text(dataset: Any) -> bool:
    """Return whether a dataset of h5py's lower level has texts of variable length."""
    kind = dataset.get_type()
    return bool(getattr(kind, "is_variable_str", bool)())


def copied(path: str, dataset: Any) -> tuple[bytes, SourceArray]:
    """Return the document of an array with the texts, and the array with its one chunk."""
    values = np.asarray(dataset.asstr()[...], dtype=object)
    store = MemoryStore()
    array = zarr.create_array(
        store,
        shape=values.shape,
        chunks=tuple(max(size, 1) for size in values.shape),
        dtype="string",
        fill_value="",
        dimension_names=[
            next((scale.name.rpartition("/")[2] for scale in axis.values()), None) for axis in dataset.dims
        ],
        attributes={name: _plain(value) for name, value in dataset.attrs.items() if name not in _INTERNAL},
    )
    array[...] = values
    contents = {key: buffer.to_bytes() for key, buffer in store._store_dict.items()}  # noqa: SLF001  # its contents
    text = contents.pop(keys.ZARR_JSON)
    metadata = parse_json(text)
    found = SourceArray(path, metadata, metadata.get("attributes", {}), Ranges.of(len(values.shape), []))
    found.inlined = {tuple(found.form.numbers(key) or ()): data for key, data in contents.items()}
    return text, found


def _plain(value: Any) -> Any:
    """Return the value of an attribute as JSON has it."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, np.generic | np.ndarray):
        return _plain_list(value.item() if value.size == 1 else value.tolist())  # netCDF-4 keeps one number as a list
    return value


def _plain_list(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain_list(item) for item in value]
    return value.decode(errors="replace") if isinstance(value, bytes) else value
