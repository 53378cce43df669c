"""Copies with other chunks: metadata of the new arrays, and their values region by region."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import zarr

from ipldstore._display.bars import Bar
from ipldstore._format import keys
from ipldstore._there.ends import End
from ipldstore._there.keyed.source import source_of
from ipldstore._there.model import SourceArray, encode_json, parse_json

_REGION_BYTES: Final = 64 << 20
"""Bytes of values that are in memory at a time, unless one new chunk has more."""
_WHOLE: Final = -1
"""In place of a length: one chunk along the axis, as xarray and dask have it."""


class ArrayPlan(NamedTuple):
    """An array that gets other chunks."""

    path: str
    chunks: tuple[int, ...]

    def copy(self, source: End, target: End, bar: Bar) -> None:
        """Copy the values, in regions of whole new chunks."""
        begin = zarr.open_array(source.store, path=source.prefix + self.path, mode="r")
        end = zarr.open_array(target.store, path=target.prefix + self.path, mode="r+")
        for region in regions(begin.shape, self.chunks, begin.dtype.itemsize):
            values = begin[region]
            end[region] = values
            bar.update(getattr(values, "nbytes", 0))


class Plans(NamedTuple):
    """What is rechunked."""

    arrays: list[ArrayPlan]
    documents: dict[str, bytes]
    """The metadata of these arrays with other chunks, by key."""

    @property
    def paths(self) -> tuple[str, ...]:
        """What the keys of these arrays begin with."""
        return tuple(f"{plan.path}/" if plan.path else "" for plan in self.arrays)


def plans(documents: Mapping[str, bytes], rechunk: Mapping[str, int | tuple[int, ...]]) -> Plans:
    """Return which arrays are rechunked, and how.

    :param documents: the documents of the source by key
    :param rechunk: see :func:`ipldstore.copy`
    :raises ValueError: if a name is neither a dimension nor an array, or a length is neither positive nor -1
    """
    found = Plans([], {})
    if not rechunk:
        return found
    rechunk = {name: _lengths(name, value) for name, value in rechunk.items()}
    unused = set(rechunk)
    arrays = source_of("the source", documents.items()).arrays
    for array in arrays.values():
        chunks = _chunks_of(array, rechunk, unused)
        if chunks != array.chunk_shape:
            found.arrays.append(ArrayPlan(array.path, chunks))
            found.documents[array.document] = encode_json(_with_chunks(array, chunks))
    found.documents.update(_consolidated(documents, found.documents))
    for name in sorted(unused & arrays.keys()):
        raise ValueError(
            f"expected {len(arrays[name].shape)} lengths for the array {name!r}, one for each axis, as no dimension "
            f"has that name; found {rechunk[name]}"
        )
    if unused:
        raise ValueError(f"expected names of dimensions or paths of arrays to rechunk, found {sorted(unused)}")
    return found


def _lengths(name: str, given: Any) -> int | tuple[int, ...]:
    try:
        if isinstance(given, (list, tuple)):
            return tuple(map(operator.index, given))
        if not isinstance(given, bool):
            return operator.index(given)  # also of numpy
    except TypeError:
        pass
    raise ValueError(f"expected a length of chunks for {name!r}, or one for each axis; found {given!r}")


def _chunks_of(array: SourceArray, rechunk: Mapping[str, int | tuple[int, ...]], unused: set[str]) -> tuple[int, ...]:
    given = rechunk.get(array.path)
    if isinstance(given, tuple):
        unused.discard(array.path)
        if len(given) != len(array.shape) or not all(map(_is_length, given)):
            raise ValueError(
                f"expected {len(array.shape)} positive lengths for {array.path!r}, or {_WHOLE} for whole axes, "
                f"found {given}"
            )
        return tuple(map(_length_along, array.shape, given))
    lengths = []
    for name, length, old in zip(array.dimensions, array.shape, array.chunk_shape, strict=True):
        new = rechunk.get(name) if name is not None else None
        if isinstance(new, int):
            unused.discard(str(name))
            if not _is_length(new):
                raise ValueError(
                    f"expected a positive length of chunks along {name!r}, or {_WHOLE} for the whole axis, found {new}"
                )
        lengths.append(_length_along(length, new) if isinstance(new, int) else old)
    return tuple(lengths)


def _is_length(given: int) -> bool:
    return given > 0 or given == _WHOLE


def _length_along(axis: int, given: int) -> int:
    """Return the length of chunks along an axis.

    :param axis: the length of the axis, which may be 0
    """
    return max(axis, 1) if given == _WHOLE else given


def _with_chunks(array: SourceArray, chunks: tuple[int, ...]) -> dict[str, Any]:
    """Return the metadata with other chunks. A sharded array is no longer sharded, as its shards are its chunks."""
    if array.metadata["zarr_format"] == 2:
        return array.metadata | {"chunks": list(chunks)}
    codecs = array.metadata["codecs"]
    if codecs and codecs[0]["name"] == "sharding_indexed":
        codecs = codecs[0]["configuration"]["codecs"]
    grid = {"name": "regular", "configuration": {"chunk_shape": list(chunks)}}
    return array.metadata | {"chunk_grid": grid, "codecs": codecs}


def _consolidated(documents: Mapping[str, bytes], changed: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the documents that repeat metadata of arrays with other chunks, with the new ones."""
    found = {}
    for key, text in documents.items():
        above, _, name = key.rpartition("/")
        if name not in (keys.ZMETADATA, keys.ZARR_JSON):
            continue
        document = parse_json(text)
        holder = document.get("consolidated_metadata") if name == keys.ZARR_JSON else document
        repeated = (holder or {}).get("metadata") or {}
        prefix = f"{above}/" if above else ""
        ending = f"/{keys.ZARR_JSON}" if name == keys.ZARR_JSON else ""
        own = {each: changed[f"{prefix}{each}{ending}"] for each in repeated if f"{prefix}{each}{ending}" in changed}
        if own:
            repeated.update((each, parse_json(new)) for each, new in own.items())
            found[key] = encode_json(document)
    return found


def regions(shape: tuple[int, ...], chunks: tuple[int, ...], item: int) -> Iterator[tuple[slice, ...]]:
    """Yield regions that cover an array, each of whole chunks, widened from the last axis on up to 64 MiB.

    >>> list(regions((4, 3), (2, 3), 8 << 20))
    [(slice(0, 2, None), slice(0, 3, None)), (slice(2, 4, None), slice(0, 3, None))]
    """
    steps = list(chunks)
    for axis in range(len(shape) - 1, -1, -1):
        size = math.prod(steps) * max(item, 1)
        steps[axis] *= max(1, min(-(-shape[axis] // steps[axis]), _REGION_BYTES // max(size, 1)))
    starts = [range(0, length, step) for length, step in zip(shape, steps, strict=True)]
    for corner in itertools.product(*starts):
        yield tuple(
            slice(start, min(start + step, length)) for start, step, length in zip(corner, steps, shape, strict=True)
        )
