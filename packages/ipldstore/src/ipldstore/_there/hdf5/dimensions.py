"""Dimensions of HDF5 and netCDF-4, as the netCDF library has them.

VirtualiZarr leaves out a coordinate that was never written, names a dimension of another group by its path, calls both
axes of a coordinate with two axes by its own name, and counts nameless axes anew in each dataset. A variable that was
not written up to the end of an unlimited dimension is shorter in the file than the dimension: the rest is fill values.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from typing import Any, Final

import numpy as np

from ipldstore._format import keys
from ipldstore._there.manifests import array_of, document_of
from ipldstore._there.model import Ranges, Source, SourceArray, encode_json, parse_json

_NO_VARIABLE: Final = b"This is a netCDF dimension but not a netCDF variable"
"""How the name of a scale begins that is a dimension alone."""
_RENAMED: Final = "_nc4_non_coord_"
"""What a variable is called in the file that has the name of a dimension, and is no coordinate of it."""
_PHONY: Final = "phony_dim_"

Axes = list[str | None]


def add_unwritten(source: Source, url: str, file: Any, dropped: frozenset[str]) -> None:
    """Add the coordinates that the parser has left out, as no chunk of them was written.

    :param dropped: names of datasets and groups that it was to leave out
    """
    for path, dataset in _datasets(source, file):
        is_wanted = path not in source.arrays and dropped.isdisjoint(path.split("/"))
        if is_wanted and not _is_dimension_alone(dataset):
            text = document_of(array_of(url, dataset).metadata)
            metadata = parse_json(text)
            array = SourceArray(path, metadata, metadata["attributes"], Ranges.of(dataset.ndim, []))
            source.documents[array.document], source.arrays[path] = text, array


def _is_dimension_alone(dataset: Any) -> bool:
    name = dataset.attrs.get("NAME")
    return isinstance(name, bytes) and name.startswith(_NO_VARIABLE)


def name_axes(source: Source, file: Any) -> None:
    """Give axes the names and lengths of their dimensions, and arrays the names of their variables."""
    number = "_Netcdf4Dimid"
    numbers = {
        found.item(): path
        for path, dataset in _datasets(source, file)
        if isinstance(found := dataset.attrs.get(number), np.integer)
    }
    datasets = {path: file[path] for path in source.arrays}
    scales = {path: _scales(path, dataset, numbers) for path, dataset in datasets.items()}
    lengths: dict[str, int] = defaultdict(int)
    for path, dataset in datasets.items():
        for scale, size in zip(scales[path], dataset.shape, strict=True):
            if scale is not None:
                lengths[scale] = max(lengths[scale], size)
    phony = _phony_names(datasets, scales)
    for path, array in list(source.arrays.items()):
        dataset = datasets[path]
        names = [
            phony[path, axis] if scale is None else scale.rpartition("/")[2] for axis, scale in enumerate(scales[path])
        ]
        shape = [
            lengths[scale] if scale is not None and dataset.chunks and dataset.maxshape[axis] is None else size
            for axis, (scale, size) in enumerate(zip(scales[path], dataset.shape, strict=True))
        ]
        _change(source, array, {"shape": shape} | ({"dimension_names": names} if names else {}))


def _change(source: Source, array: SourceArray, new: dict[str, Any]) -> None:
    group, _, name = array.path.rpartition("/")
    is_renamed = name.startswith(_RENAMED)
    if not is_renamed and all(array.metadata.get(key) == value for key, value in new.items()):
        return
    del source.documents[array.document], source.arrays[array.path]
    path = f"{group}/{name.removeprefix(_RENAMED)}".lstrip("/")
    changed = SourceArray(path, array.metadata | new, array.attributes, array.ranges, array.inlined)
    source.documents[changed.document] = encode_json(changed.metadata)
    source.arrays[path] = changed


def _datasets(source: Source, file: Any) -> Iterator[tuple[str, Any]]:
    """Yield path and dataset of all datasets in the groups of a source: a file may have one that holds itself."""
    import h5py  # type: ignore[import-untyped,unused-ignore]  # it has no types

    todo = [("", file)]
    while todo:
        path, group = todo.pop()
        for name in group:
            item, below = group[name], f"{path}/{name}".lstrip("/")
            if isinstance(item, h5py.Dataset):
                yield below, item
            elif isinstance(item, h5py.Group) and f"{below}/{keys.ZARR_JSON}" in source.documents:
                todo.append((below, item))


def _scales(path: str, dataset: Any, numbers: dict[int, str]) -> Axes:
    """Return for each axis the path of its dimension; None where it has none."""
    import h5py

    if not h5py.h5ds.is_scale(dataset.id):
        return [str(axis[0].name).lstrip("/") if len(axis) else None for axis in dataset.dims]
    own = [numbers.get(number) for number in np.ravel(dataset.attrs.get("_Netcdf4Coordinates", ())).tolist()]
    return own if len(own) == dataset.ndim and None not in own else [path] * dataset.ndim


def _phony_names(datasets: dict[str, Any], scales: dict[str, Axes]) -> dict[tuple[str, int], str]:
    """Return names for the axes without a dimension, by path and axis.

    They are numbered in each dataset, as VirtualiZarr does. Where a name would have two lengths, they are numbered by
    their lengths in each group, as the netCDF library does.
    """
    axes = [(path, axis) for path, own in scales.items() for axis, scale in enumerate(own) if scale is None]
    by_axis = {axis: datasets[path].shape[axis] for path, axis in axes}
    if all(by_axis[axis] == datasets[path].shape[axis] for path, axis in axes):
        return {(path, axis): f"{_PHONY}{axis}" for path, axis in axes}
    found: dict[tuple[str, int], str] = {}
    numbers = count()
    of_group: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for path, axis in sorted(axes):
        there = of_group[path.rpartition("/")[0]]
        used = {found.get((path, other)) for other in range(axis)}
        size = datasets[path].shape[axis]
        name = next((name for length, name in there if length == size and name not in used), None)
        if name is None:
            name = f"{_PHONY}{next(numbers)}"
            there.append((size, name))
        found[path, axis] = name
    return found
