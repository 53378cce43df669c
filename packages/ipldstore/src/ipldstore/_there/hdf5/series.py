"""Series of HDF5 files that differ in values only: the second and later ones are read without VirtualiZarr.

What VirtualiZarr makes of a dataset depends on its type, its creation properties (layout, filters, fill value), its
dimensions and its attributes. Where all of these are those of the first file, the metadata is that of the first file,
and only the places of chunks are read. That takes a twentieth of the time, by the functions of HDF5 itself: the objects
that h5py puts over them would take four times as long.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self

import numpy as np

from ipldstore._there.model import VALUE_ATTRIBUTES, Content, Ranges, Source, SourceArray

from .files import check_filter_mask
from .texts import is_text

_UNITS: Final = "units"
"""The value attribute that a later file may have otherwise, if it is text: times are converted."""
_VALUE_ATTRIBUTES: Final = {name.encode(): name for name in VALUE_ATTRIBUTES}


class _Attribute(NamedTuple):
    """An attribute, as it lies in a file."""

    kind: Any
    """Its type."""
    shape: tuple[int, ...] | None
    data: bytes | None
    """Its bytes; None where they are elsewhere in the file."""
    value: Any
    """Its value, where the bytes are elsewhere."""
    text: str | None
    """Its value, if it is one text."""

    def is_same(self, other: _Attribute) -> bool:
        if self.shape != other.shape or not self.kind.equal(other.kind) or self.data != other.data:
            return False
        return self.data is not None or bool(np.array_equal(np.asarray(self.value), np.asarray(other.value)))


class _Dataset(NamedTuple):
    """A dataset of the first file."""

    array: SourceArray | None
    """What VirtualiZarr has made of it; None where it has left it out."""
    kind: Any
    creation: Any
    has_filters: bool
    chunks: tuple[int, ...] | None
    dimensions: list[list[bytes]]
    is_scale: bool
    attributes: Mapping[str, _Attribute]
    """Its value attributes."""
    shape: tuple[int, ...]


class _File:
    """A file that is open in a ``with`` statement.

    :param path: the file, on this machine
    """

    def __init__(self, path: str) -> None:
        import h5py  # type: ignore[import-untyped,unused-ignore]  # it has no types

        self._h5 = h5py
        access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
        access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
        self._id = h5py.h5f.open(os.fsencode(path), h5py.h5f.ACC_RDONLY, access)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._id.close()

    def datasets(self) -> dict[bytes, Any] | None:
        """Return the datasets of the file by name; None if it has groups, or objects that have to be parsed."""
        h5 = self._h5
        root = h5.h5g.open(self._id, b"/")
        number = h5.h5o.get_info(root).fileno
        found = {}
        for name in root:
            item = h5.h5o.open(self._id, name)
            if not isinstance(item, h5.h5d.DatasetID) or h5.h5o.get_info(item).fileno != number:
                return None
            if item.shape is None or is_text(item):
                return None
            found[name] = item
        return found

    def dimensions(self, dataset: Any) -> list[list[bytes]]:
        """Return the names of the scales of each axis."""
        scales = self._h5.h5ds
        found: list[list[bytes]] = [[] for _ in range(dataset.rank)]
        for axis, names in enumerate(found):
            if scales.get_num_scales(dataset, axis):
                scales.iterate(dataset, axis, lambda scale, names=names: names.append(self._h5.h5i.get_name(scale)))
        return found

    def values(self, dataset: Any) -> bytes:
        """Return the bytes of a small dataset."""
        values = np.empty(dataset.shape, dataset.dtype)
        dataset.read(self._h5.h5s.ALL, self._h5.h5s.ALL, values)
        return values.tobytes()

    def is_chunked(self, creation: Any) -> bool:
        return bool(creation.get_layout() == self._h5.h5d.CHUNKED)

    def is_scale(self, dataset: Any) -> bool:
        return bool(self._h5.h5ds.is_scale(dataset))

    def attributes(self, dataset: Any) -> dict[str, _Attribute]:
        """Return the value attributes of a dataset."""
        h5a = self._h5.h5a
        return {
            name: self._attribute(dataset, key) for key, name in _VALUE_ATTRIBUTES.items() if h5a.exists(dataset, key)
        }

    def _attribute(self, dataset: Any, name: bytes) -> _Attribute:
        h5 = self._h5
        attribute = h5.h5a.open(dataset, name)
        kind = attribute.get_type()
        if attribute.get_space().get_simple_extent_type() == h5.h5s.NULL:
            return _Attribute(kind, None, b"", None, None)
        is_text = kind.get_class() == h5.h5t.STRING
        if kind.detect_class(h5.h5t.VLEN) or (is_text and kind.is_variable_str()):
            value = h5.Dataset(dataset).attrs[name.decode()]
            return _Attribute(kind, attribute.shape, None, value, value if isinstance(value, str) else None)
        data = np.empty(attribute.shape, np.dtype(f"V{kind.get_size()}"))
        attribute.read(data, kind)
        text = _decoded(data.tobytes()) if is_text and attribute.shape == () else None
        return _Attribute(kind, attribute.shape, data.tobytes(), None, text)


def _decoded(data: bytes) -> str | None:
    """Return a text of fixed length, as netCDF-4 writes it."""
    try:
        return data.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return None


class Series:
    """The first file of a series. Threads may share it.

    :param source: what VirtualiZarr has found in it, completed
    :param path: the file, on this machine
    """

    def __init__(self, source: Source, path: str) -> None:
        self._source = source
        self._datasets: dict[bytes, _Dataset] | None = None
        with _File(path) as file:
            found = file.datasets()
            # Else there are groups in groups, or variables with other names in the file: each file is parsed.
            if found is not None and source.arrays.keys() <= set(map(os.fsdecode, found)):
                self._datasets = {name: self._first(file, name, dataset) for name, dataset in found.items()}

    def _first(self, file: _File, name: bytes, dataset: Any) -> _Dataset:
        creation = dataset.get_create_plist()
        return _Dataset(
            self._source.arrays.get(os.fsdecode(name)),
            dataset.get_type(),
            creation,
            bool(creation.get_nfilters()),
            creation.get_chunk() if file.is_chunked(creation) else None,
            file.dimensions(dataset),
            file.is_scale(dataset),
            file.attributes(dataset),
            dataset.shape,
        )

    def read(self, path: str) -> Source | None:
        """Return what a later file holds; None if it is not like the first one.

        :raises ValueError: if a chunk has left out filters
        """
        if self._datasets is None:
            return None
        with _File(path) as file:
            found = file.datasets()
            if found is None or found.keys() != self._datasets.keys():
                return None
            arrays: dict[str, SourceArray] = {}
            for name, first in self._datasets.items():
                dataset = found[name]
                attributes = file.attributes(dataset)
                if not _is_like(file, dataset, attributes, first):
                    return None
                if first.array is not None:
                    arrays[first.array.path] = _array(file, path, dataset, attributes, first)
        if not _fits(arrays):
            return None
        documents = {array.document: self._source.documents[array.document] for array in arrays.values()}
        return Source(path, [path], documents, arrays)


def _fits(arrays: Mapping[str, SourceArray]) -> bool:
    """Return whether each dimension has one length: else a part of a variable was never written."""
    lengths: dict[str | None, int] = {}
    return all(
        name is None or lengths.setdefault(name, size) == size
        for array in arrays.values()
        for name, size in zip(array.dimensions, array.shape, strict=True)
    )


def _is_like(file: _File, dataset: Any, attributes: Mapping[str, _Attribute], first: _Dataset) -> bool:
    creation = dataset.get_create_plist()
    return (
        len(dataset.shape) == len(first.shape)
        and (dataset.shape == first.shape or first.chunks is not None)
        and dataset.get_type().equal(first.kind)
        and creation.equal(first.creation)
        and (creation.get_chunk() if file.is_chunked(creation) else None)
        == first.chunks  # HDF5 passes over the last axis
        and file.is_scale(dataset) == first.is_scale
        and file.dimensions(dataset) == first.dimensions
        and attributes.keys() == first.attributes.keys()
        and all(
            value.is_same(first.attributes[name]) or (name == _UNITS and value.text is not None)
            for name, value in attributes.items()
        )
    )


def _array(file: _File, path: str, dataset: Any, attributes: Mapping[str, _Attribute], first: _Dataset) -> SourceArray:
    assert first.array is not None  # noqa: S101  # see the caller
    own = first.array.attributes
    if _UNITS in attributes and attributes[_UNITS].text is not None:
        own = own | {_UNITS: attributes[_UNITS].text}
    shape = dataset.shape
    metadata = first.array.metadata | {"shape": list(shape)}
    inlined: dict[tuple[int, ...], Content] = {}
    if first.chunks is not None:
        ranges = _chunks_of(path, dataset, first, first.chunks)
    else:
        rows: list[tuple[list[int], int, int, int]] = []
        if first.array.inlined:
            inlined[(0,) * len(shape)] = file.values(dataset)
        elif (offset := dataset.get_offset()) is not None:
            rows.append(([0] * len(shape), 0, offset, dataset.get_storage_size()))
        ranges = Ranges.of(len(shape), rows)
    return SourceArray(first.array.path, metadata, own, ranges, inlined)


def _chunks_of(path: str, dataset: Any, first: _Dataset, chunks: tuple[int, ...]) -> Ranges:
    rows: list[tuple[tuple[int, ...], int, int]] = []

    def add(chunk: Any) -> None:
        if chunk.filter_mask and first.has_filters:
            check_filter_mask(path, first.array.path if first.array else "", chunk)
        rows.append((chunk.chunk_offset, chunk.byte_offset, chunk.size))

    dataset.chunk_iter(add)
    count = len(rows)
    offsets = np.array([row[0] for row in rows], np.int64).reshape(count, len(chunks))
    places = np.array([row[1:] for row in rows], np.int64).reshape(count, 2)
    return Ranges(offsets // np.array(chunks), np.zeros(count, np.int64), places[:, 0], places[:, 1])
