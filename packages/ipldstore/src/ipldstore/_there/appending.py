"""Take sources into a dataset, one behind the other along a dimension."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import zarr

from ipldstore._format import keys
from ipldstore._store.ipld_store import IPLDStore

from . import times
from .linking import Linked
from .model import Source, SourceArray, content, encode_json, parse_json

MAX_COPIED_BYTES: Final = 64 << 20
"""Bytes of an array whose values are copied, as its chunks cannot stand one behind the other."""

Read = Callable[[str, int, int], bytes]
"""Returns a range of a file."""


@dataclass
class _Pending:
    """The part of an array that is not in the store yet."""

    linked: list[Linked] = field(default_factory=list)
    values: list[npt.NDArray[Any]] = field(default_factory=list)


class Appender:
    """A dataset that sources are taken into.

    An array with the dimension gets the chunks of each source behind those of the sources before; one without it must
    be the same in all. Values of the dimension's own coordinate, and of arrays whose chunks end within a source, are
    copied: their units may differ, or chunks would have to be cut.

    :param store: the dataset; it may hold what earlier calls have taken in
    :param dimension: the name of the dimension; None where there is one source alone
    :param read: returns ranges of files
    """

    def __init__(self, store: IPLDStore, dimension: str | None, read: Read) -> None:
        self._store = store
        self._dimension = dimension
        self._read = read
        self._arrays = self._arrays_there()
        self._pending: dict[str, _Pending] = {}
        self._new: dict[str, bytes] = {}
        self._links: dict[str, bytes] = {}

    def _arrays_there(self) -> dict[str, SourceArray]:
        from .keyed.source import source_of

        documents = ((key, self._store[key]) for key in self._store if key.rpartition("/")[2] in keys.DOCUMENTS)
        return source_of("", documents).arrays

    @property
    def length(self) -> int:
        """The length of the dataset along the dimension; without a dimension, 1 if it has contents, else 0."""
        if self._dimension is None:
            return 1 if self._arrays else 0
        for array in self._arrays.values():
            axis = array.axis_of(self._dimension)
            if axis is not None:
                return array.shape[axis]
        return 0

    @property
    def tells_length(self) -> bool:
        """Whether the length tells what was taken in: not if there are arrays, none of which has the dimension."""
        return not self._arrays or any(array.axis_of(self._dimension) is not None for array in self._arrays.values())

    def add(self, source: Source, linked: dict[str, Linked], values: dict[str, bytes]) -> int:
        """Take in a source; return the length of the dataset along the dimension after it.

        :param linked: the links of its arrays
        :param values: the links of its other keys
        :raises ValueError: if an array is not of the same kind as that of the sources before, or differs from it
        """
        is_first = not self._arrays
        before = self.length
        own = {
            array.shape[axis]
            for array in source.arrays.values()
            if (axis := array.axis_of(self._dimension)) is not None
        }
        if self._dimension is not None and len(own) != 1:
            raise ValueError(
                f"expected one length of the dimension {self._dimension!r} in {source.name}, found {sorted(own)}"
            )
        if not is_first:
            self._check_names(source)
        for path, array in source.arrays.items():
            if is_first:
                self._begin(array, linked[path], source)
            else:
                self._append(self._arrays[path], array, linked[path], before, source)
        if is_first:
            self._new.update({key: text for key, text in source.documents.items() if key not in self._new})
            self._links.update(values)
        return own.pop() if own else 1

    def _check_names(self, source: Source) -> None:
        lacks, more = self._arrays.keys() - source.arrays.keys(), source.arrays.keys() - self._arrays.keys()
        if lacks or more:
            raise ValueError(
                f"expected the arrays {sorted(self._arrays)} in each source, found in {source.name} "
                f"{f'no {sorted(lacks)}' if lacks else f'also {sorted(more)}'}"
            )

    def _begin(self, array: SourceArray, linked: Linked, source: Source) -> None:
        axis = array.axis_of(self._dimension)
        metadata = array.metadata
        if axis is None or not self._is_copied(array, axis):
            self._new[array.document] = source.documents[array.document]
            self._pending_of(array).linked.append(linked)
        else:
            metadata = metadata | {"shape": [0 if at == axis else size for at, size in enumerate(array.shape)]}
            self._new[array.document] = encode_json(metadata)
            self._pending_of(array).values.append(self._values(array, source))
        kept = SourceArray(array.path, array.metadata | {}, array.attributes, array.ranges)
        self._arrays[array.path] = kept

    def _append(self, there: SourceArray, array: SourceArray, linked: Linked, before: int, source: Source) -> None:
        axis = there.axis_of(self._dimension)
        is_copied = axis is not None and self._is_copied(there, axis)
        expected, found = there.signature(axis), array.signature(axis)
        differs = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
        if differs and not (is_copied and set(differs) <= {"units", "calendar", *_CHUNKING}):
            name = differs[0]
            raise ValueError(
                f"expected {name} {expected.get(name)!r} of array {array.path!r}, as in the sources before; found "
                f"{found.get(name)!r} in {source.name}: chunks with different metadata are no chunks of one array"
            )
        if axis is None:
            self._check_same(array, linked, source)
            return
        pending = self._pending_of(there)
        if is_copied:
            values = self._values(array, source)
            pending.values.append(times.converted(values, array.attributes, there.attributes, source.name))
        else:
            chunk = there.chunk_shape[axis]
            if before % chunk:
                raise ValueError(
                    f"expected each source but the last to end at the end of a chunk, of {chunk} along "
                    f"{self._dimension!r} in array {array.path!r}; found {before} before {source.name}"
                )
            shift = np.zeros(linked.coordinates.shape[1], np.int64)
            shift[axis] = before // chunk
            pending.linked.append(Linked(linked.coordinates + shift, linked.links))
        there.metadata["shape"] = [
            size + (array.shape[axis] if at == axis else 0) for at, size in enumerate(there.shape)
        ]

    def _check_same(self, array: SourceArray, linked: Linked, source: Source) -> None:
        pending = self._pending.get(array.path)
        there = pending.linked[0] if pending is not None and pending.linked else Linked(*self._store.links(array.path))
        if _sorted(there) != _sorted(linked):
            raise ValueError(
                f"expected the same values of array {array.path!r} in each source, as it has no dimension "
                f"{self._dimension!r}; found others in {source.name}"
            )

    def _is_copied(self, array: SourceArray, axis: int) -> bool:
        if array.path.rpartition("/")[2] == self._dimension:
            return True
        size = math.prod(size for at, size in enumerate(array.shape) if at != axis)
        is_small = size * 8 * array.chunk_shape[axis] <= MAX_COPIED_BYTES and len(array.shape) == 1
        return is_small and bool(array.shape[axis] % array.chunk_shape[axis])

    def _pending_of(self, array: SourceArray) -> _Pending:
        return self._pending.setdefault(array.path, _Pending())

    def _values(self, array: SourceArray, source: Source) -> npt.NDArray[Any]:
        """Return the values of a small array of a source, as zarr reads its chunks."""
        size = int(array.ranges.length.sum())
        if size > MAX_COPIED_BYTES:
            raise ValueError(
                f"expected at most {MAX_COPIED_BYTES} bytes in array {array.path!r} of {source.name}, whose values are "
                f"copied; found {size}"
            )
        plain = _plain_values(array, source, self._read)
        if plain is not None:
            return plain
        store = IPLDStore()
        store[array.document] = source.documents[array.document]
        if array.metadata["zarr_format"] == 2:
            store[array.document.replace(keys.ZARRAY, keys.ZATTRS)] = json.dumps(array.attributes).encode()
        prefix = f"{array.path}/" if array.path else ""
        for numbers, file, offset, length in zip(*(column.tolist() for column in array.ranges), strict=True):
            store[prefix + array.form.key(numbers)] = self._read(source.files[file], offset, length)
        for numbers, data in array.inlined.items():
            store[prefix + array.form.key(numbers)] = content(data)
        return np.asarray(zarr.open_array(store, path=array.path, mode="r")[...])

    def write(self) -> None:
        """Write the sources that were taken in into the store, which is frozen after that.

        :raises IPLDStoreError: if a node or chunk cannot be written
        """
        self._store.mapping.update(self._new)
        self._store._data.apply(self._links)  # noqa: SLF001  # links of blocks that lie elsewhere
        for path, pending in self._pending.items():
            there = self._arrays[path]
            if pending.linked:
                coordinates = np.concatenate([linked.coordinates for linked in pending.linked])
                links = np.concatenate([linked.links for linked in pending.linked])
                self._store.set_links(path, coordinates, links)
            if pending.values:
                self._write_values(there, pending.values)
            elif there.axis_of(self._dimension) is not None:
                text = parse_json(self._store[there.document]) | {"shape": list(there.shape)}
                self._store[there.document] = encode_json(text)
        self._write_consolidated()
        self._new, self._pending, self._links = {}, {}, {}

    def _write_consolidated(self) -> None:
        """Write the new shapes where a group repeats the metadata of its arrays, which readers take for these."""
        parts = [path.split("/") for path in self._arrays]
        for above in dict.fromkeys("/".join(each[:at]) for each in parts for at in range(len(each))):
            prefix = f"{above}/" if above else ""
            for name, ending in ((keys.ZARR_JSON, ""), (keys.ZMETADATA, f"/{keys.ZARRAY}")):
                text = self._store.mapping.get(prefix + name)
                document = parse_json(text) if text is not None else {}
                holder = document if name == keys.ZMETADATA else document.get("consolidated_metadata")
                repeated, is_changed = (holder or {}).get("metadata") or {}, False
                for array in self._arrays.values():
                    key = (array.path.removeprefix(prefix) + ending).lstrip("/")
                    own = repeated.get(key) if array.path.startswith(prefix) else None
                    if isinstance(own, dict) and own.get("shape") != list(array.shape):
                        own["shape"], is_changed = list(array.shape), True
                if is_changed:
                    self._store[prefix + name] = encode_json(document)

    def _write_values(self, there: SourceArray, values: list[npt.NDArray[Any]]) -> None:
        axis = there.axis_of(self._dimension)
        assert axis is not None  # noqa: S101  # only arrays with the dimension are copied
        array = zarr.open_array(self._store, path=there.path, mode="r+")
        start = array.shape[axis]
        array.resize(there.shape)
        place = tuple(slice(start, None) if at == axis else slice(None) for at in range(len(there.shape)))
        array[place] = np.concatenate(values, axis)


def _plain_values(array: SourceArray, source: Source, read: Read) -> npt.NDArray[Any] | None:
    """Return the values of an array that is one chunk of plain numbers; None where zarr has to decode it."""
    ranges = array.ranges
    if array.metadata["zarr_format"] != 3 or array.chunk_shape != array.shape or len(ranges.file) != 1 or array.inlined:
        return None
    codecs, kind = array.metadata["codecs"], array.metadata["data_type"]
    is_plain = len(codecs) == 1 and codecs[0].get("configuration") == {"endian": "little"}
    if not is_plain or kind not in ("int32", "int64", "float32", "float64"):
        return None
    data = read(source.files[int(ranges.file[0])], int(ranges.offset[0]), int(ranges.length[0]))
    return np.frombuffer(data, np.dtype(kind).newbyteorder("<")).reshape(array.shape)


_CHUNKING: Final = ("chunk_grid", "chunks", "codecs", "compressor", "filters", "data_type")
"""What may differ between sources where values are copied."""


def _sorted(linked: Linked) -> tuple[bytes, bytes]:
    """Return coordinates and links in one order, to be compared."""
    if not linked.coordinates.shape[1]:
        return b"", linked.links.tobytes()
    order = np.lexsort(linked.coordinates.T)
    return linked.coordinates[order].tobytes(), linked.links[order].tobytes()
