"""The contents of a source, in any format: documents, and the places of the chunks of each array."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ipldstore._format import keys
from ipldstore._format.chunk_form import ChunkForm, chunk_form

VALUE_ATTRIBUTES: Final = (
    "units",
    "calendar",
    "scale_factor",
    "add_offset",
    "_FillValue",
    "missing_value",
    "_Unsigned",
    "dtype",
)
"""The attributes by which the values of an array are read (CF conventions, as xarray takes them)."""


Content = bytes | Callable[[], bytes]
"""Bytes, or a function that reads them when they are needed."""


def content(given: Content) -> bytes:
    """Return bytes that may have to be read.

    >>> content(b"a"), content(lambda: b"b")
    (b'a', b'b')
    """
    return given if isinstance(given, bytes) else given()


class Ranges(NamedTuple):
    """Chunks that are ranges of files."""

    coordinates: npt.NDArray[np.int64]
    """(n, axes): the position of each chunk in the grid of chunks."""
    file: npt.NDArray[np.int64]
    """Position of the file of each chunk in the names of its source."""
    offset: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]

    @classmethod
    def of(cls, axes: int, rows: Iterable[tuple[list[int], int, int, int]]) -> Ranges:
        """Return the ranges of chunks given one by one: coordinates, file, offset, length."""
        found = list(rows)
        coordinates = np.array([row[0] for row in found], np.int64).reshape(len(found), axes)
        rest = np.array([row[1:] for row in found], np.int64).reshape(len(found), 3)
        return cls(coordinates, rest[:, 0], rest[:, 1], rest[:, 2])


@dataclass
class SourceArray:
    """An array of a source."""

    path: str
    metadata: dict[str, Any]
    """The contents of its ``zarr.json`` or ``.zarray``."""
    attributes: dict[str, Any]
    ranges: Ranges
    inlined: dict[tuple[int, ...], Content] = field(default_factory=dict)
    """Bytes of chunks that no file holds as they are."""

    @property
    def document(self) -> str:
        """The key of the document of the metadata."""
        name = keys.ZARRAY if self.metadata["zarr_format"] == 2 else keys.ZARR_JSON
        return f"{self.path}/{name}" if self.path else name

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.metadata["shape"])

    @property
    def form(self) -> ChunkForm:
        return chunk_form(self.metadata, len(self.shape))

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """The shape of a chunk; of a sharded array that of a shard."""
        if self.metadata["zarr_format"] == 2:
            return tuple(self.metadata["chunks"])
        return tuple(self.metadata["chunk_grid"]["configuration"]["chunk_shape"])

    @cached_property
    def dimensions(self) -> tuple[str | None, ...]:
        """The names of the dimensions, as xarray has them."""
        named = self.metadata.get("dimension_names") or self.attributes.get("_ARRAY_DIMENSIONS") or ()
        return tuple(named) if len(named) == len(self.shape) else (None,) * len(self.shape)

    def axis_of(self, dimension: str | None) -> int | None:
        """Return the axis of a dimension; None if the array has it not."""
        dimensions = self.dimensions
        return dimensions.index(dimension) if dimension is not None and dimension in dimensions else None

    def signature(self, axis: int | None) -> dict[str, Any]:
        """Return the properties that two arrays must share for their chunks to be chunks of one array.

        :param axis: the axis along which the two may differ in length
        """
        shape = [None if number == axis else size for number, size in enumerate(self.shape)]
        fields = {name: value for name, value in self.metadata.items() if name not in ("shape", "attributes")}
        if fields.get("dimension_separator") == ".":  # the default, which a dataset of ours leaves out
            del fields["dimension_separator"]
        values: dict[str, Any] = {name: self.attributes[name] for name in VALUE_ATTRIBUTES if name in self.attributes}
        return {**fields, "shape": shape, "dimensions": list(self.dimensions), **values}


@dataclass
class Source:
    """The contents of a source."""

    name: str
    """Its path or URL."""
    files: list[str]
    """The paths and URLs of the files that chunks lie in."""
    documents: dict[str, bytes]
    arrays: dict[str, SourceArray]
    values: dict[str, tuple[int, int, int] | Content] = field(default_factory=dict)
    """Keys that are neither documents nor chunks: file, offset and length, or their bytes."""
    inflated: int = 0
    """The number of keys whose bytes are deflated in a zip file, so that they are no ranges of it."""


def parse_json(text: bytes) -> Any:
    """Return the value of a document."""
    return json.loads(text)


def encode_json(value: Mapping[str, Any]) -> bytes:
    """Return the text of a document."""
    return json.dumps(value).encode()
