"""Series of HDF5 files that differ in values only: the second and later ones are read without VirtualiZarr.

What VirtualiZarr makes of a dataset depends on its type, its creation properties (layout, filters, fill value), its
dimensions and its attributes. Where all of these are those of the first file, the metadata is that of the first file,
and only the places of chunks are read. That takes a tenth of the time.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from .hdf5 import check_filter_mask
from .model import VALUE_ATTRIBUTES, Ranges, Source, SourceArray

_MAY_DIFFER: Final = "units"
"""The value attribute that a later file may have otherwise, if it is text: times are converted."""


class _Dataset(NamedTuple):
    """A dataset of the first file."""

    array: SourceArray | None
    """What VirtualiZarr has made of it; None where it has left it out."""
    kind: Any
    creation: Any
    dimensions: list[str]
    attributes: dict[str, Any]
    """Its value attributes, as HDF5 has them."""
    shape: tuple[int, ...]


class Series:
    """The first file of a series.

    :param source: what VirtualiZarr has found in it, completed
    :param path: the file, on this machine
    """

    def __init__(self, source: Source, path: str) -> None:
        import h5py  # type: ignore[import-untyped,unused-ignore]  # it has no types

        self._h5py = h5py
        self._source = source
        self._datasets: dict[str, _Dataset] | None = {}
        with h5py.File(path, "r") as file:
            for name, dataset in file.items():
                if not isinstance(dataset, h5py.Dataset):
                    self._datasets = None  # groups in groups: each file is parsed
                    return
                self._datasets[name] = _Dataset(
                    source.arrays.get(name),
                    dataset.id.get_type(),
                    dataset.id.get_create_plist(),
                    self._dimensions(dataset),
                    _value_attributes(dataset),
                    dataset.shape,
                )

    def read(self, path: str) -> Source | None:
        """Return what a later file holds; None if it is not like the first one.

        :raises ValueError: if a chunk has left out filters
        """
        if self._datasets is None:
            return None
        with self._h5py.File(path, "r") as file:
            if set(file) != set(self._datasets):
                return None
            arrays: dict[str, SourceArray] = {}
            for name, first in self._datasets.items():
                dataset = file[name]
                if not isinstance(dataset, self._h5py.Dataset) or not self._is_like(dataset, first):
                    return None
                if first.array is not None:
                    arrays[name] = self._array(path, name, dataset, first.array)
        documents = {array.document: self._source.documents[array.document] for array in arrays.values()}
        return Source(path, [path], documents, arrays)

    def _is_like(self, dataset: Any, first: _Dataset) -> bool:
        found = _value_attributes(dataset)
        return (
            len(dataset.shape) == len(first.shape)
            and (dataset.shape == first.shape or dataset.chunks is not None)
            and dataset.id.get_type().equal(first.kind)
            and dataset.id.get_create_plist().equal(first.creation)
            and self._dimensions(dataset) == first.dimensions
            and found.keys() == first.attributes.keys()
            and all(
                _is_same(value, first.attributes[name]) or (name == _MAY_DIFFER and _text_of(value) is not None)
                for name, value in found.items()
            )
        )

    def _dimensions(self, dataset: Any) -> list[str]:
        """Return the names of the scales of each axis, and whether the dataset is one itself."""
        names = [",".join(scale.name for scale in axis.values()) for axis in dataset.dims]
        return [*names, str(self._h5py.h5ds.is_scale(dataset.id))]

    def _array(self, path: str, name: str, dataset: Any, first: SourceArray) -> SourceArray:
        attributes = first.attributes
        units = _text_of(dataset.attrs.get(_MAY_DIFFER))
        if units is not None:
            attributes = attributes | {_MAY_DIFFER: units}
        metadata = first.metadata | {"shape": list(dataset.shape)}
        rows: list[tuple[list[int], int, int, int]] = []
        inlined: dict[tuple[int, ...], bytes] = {}
        if dataset.chunks is not None:
            chunks = dataset.chunks
            has_filters = bool(dataset.id.get_create_plist().get_nfilters())

            def add(chunk: Any) -> None:
                if has_filters:
                    check_filter_mask(path, name, chunk)
                at = [offset // length for offset, length in zip(chunk.chunk_offset, chunks, strict=True)]
                rows.append((at, 0, chunk.byte_offset, chunk.size))

            dataset.id.chunk_iter(add)
        elif first.inlined:
            inlined[(0,) * dataset.ndim] = dataset[()].tobytes()
        elif dataset.id.get_offset() is not None:
            rows.append(([0] * dataset.ndim, 0, dataset.id.get_offset(), dataset.id.get_storage_size()))
        return SourceArray(name, metadata, attributes, Ranges.of(dataset.ndim, rows), inlined)


def _value_attributes(dataset: Any) -> dict[str, Any]:
    return {name: dataset.attrs[name] for name in VALUE_ATTRIBUTES if name in dataset.attrs}


def _text_of(value: Any) -> str | None:
    """Return an attribute that is text; netCDF-4 writes it with a fixed length, which h5py gives as bytes."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return value if isinstance(value, str) else None


def _is_same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(
        np.array_equal(np.asarray(one), np.asarray(other), equal_nan=_is_float(one))
    )


def _is_float(value: Any) -> bool:
    return bool(np.asarray(value).dtype.kind == "f")
