"""What a netCDF-3 file holds: each array is one range of it, or one range for each record."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from ipld_castore import RangeHasher

from ipldstore._format import keys
from ipldstore._there.model import Ranges, Source, SourceArray, encode_json

from . import header as headers

_FIRST_BYTES: Final = 64 << 10
_MAX_BYTES: Final = 64 << 20
"""Bytes of a header at most."""
_CHUNK_BYTES: Final = 16 << 20
"""Bytes of a chunk of a variable without records at most, if its axes can be divided so."""
_TEXT: Final = {"name": "null_terminated_bytes", "configuration": {"length_bytes": 1}}
_BYTES: Final = {"name": "bytes"}
_BIG_ENDIAN: Final = {"name": "bytes", "configuration": {"endian": "big"}}


def read(name: str, hasher: RangeHasher) -> Source:
    """Return what a netCDF-3 file holds.

    :raises ValueError: if it is none
    """
    header = _header(name, hasher)
    source = Source(name, [name], {}, {})
    attributes = {key: _plain(value) for key, value in header.attributes.items()}
    source.documents[keys.ZARR_JSON] = encode_json({"zarr_format": 3, "node_type": "group", "attributes": attributes})
    for variable in header.variables:
        if "/" in variable.name or variable.name in source.arrays:
            raise ValueError(f"expected names of variables without '/', each once; found {variable.name!r} in {name}")
        metadata = _document(variable)
        source.documents[f"{variable.name}/{keys.ZARR_JSON}"] = encode_json(metadata)
        ranges = _ranges(variable, header.record_size)
        source.arrays[variable.name] = SourceArray(variable.name, metadata, metadata["attributes"], ranges)
    return source


def _header(name: str, hasher: RangeHasher) -> headers.Header:
    size, length = hasher.size(name), _FIRST_BYTES
    while True:
        length = min(length, size)
        try:
            return headers.parse(hasher.read(name, 0, length), size)
        except headers.HeaderCutError as error:
            if length == size or length >= _MAX_BYTES:
                raise ValueError(f"cannot parse {name}: {error}") from None
            length *= 8
        except ValueError as error:
            raise ValueError(f"cannot parse {name}: {error}") from error


def _ranges(variable: headers.Variable, record_size: int) -> Ranges:
    if not variable.size:
        return Ranges.of(len(variable.shape), [])
    chunks = _chunk_shape(variable)
    grid = [length // own for length, own in zip(variable.shape, chunks, strict=True)]
    size = variable.kind.itemsize * math.prod(chunks)
    numbers = np.arange(math.prod(grid), dtype=np.int64)
    coordinates = np.stack(np.unravel_index(numbers, grid), axis=1) if grid else np.zeros((1, 0), np.int64)
    offsets = variable.begin + numbers * (record_size if variable.has_records else size)
    return Ranges(coordinates, np.zeros_like(numbers), offsets, np.full_like(numbers, size))


def _chunk_shape(variable: headers.Variable) -> tuple[int, ...]:
    """Return the shape of the chunks of a variable: each is one range of the file.

    A chunk is a record, or of a variable without records a part that all others are as long as, as zarr has no shorter
    chunks at an edge.
    """
    chunks = [max(length, 1) for length in variable.shape]
    if variable.has_records:
        return 1, *chunks[1:]
    for axis, length in enumerate(chunks):
        most = _CHUNK_BYTES // (variable.kind.itemsize * math.prod(chunks[axis + 1 :]))
        chunks[axis] = max((part for part in _divisors(length) if part <= most), default=1)
        if most:  # else the axes behind it are divided too
            break
    return tuple(chunks)


def _divisors(number: int) -> Iterator[int]:
    """Yield all divisors of a number.

    >>> sorted(_divisors(12))
    [1, 2, 3, 4, 6, 12]
    """
    for part in range(1, math.isqrt(number) + 1):
        if number % part == 0:
            yield part
            yield number // part


def _document(variable: headers.Variable) -> dict[str, Any]:
    """Return the metadata of the array of a variable, as zarr of format 3 has it.

    zarr would make the same, in milliseconds for each file of a series, and with warnings of texts, which no thread can
    hold back for itself.
    """
    kind = variable.kind
    attributes = {key: _plain(value) for key, value in variable.attributes.items() if key != "_FillValue"}
    fill: Any = b"" if kind.kind == "S" else kind.type(0)
    given = variable.attributes.get("_FillValue")
    if given is not None and len(given) == 1 and isinstance(given, str) == (kind.kind == "S"):
        fill = given.encode() if isinstance(given, str) else given.astype(kind)[0]
        attributes["_FillValue"] = _encoded_fill(fill)
    is_text = kind.kind == "S"
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(variable.shape),
        "data_type": _TEXT if is_text else kind.newbyteorder("=").name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(_chunk_shape(variable))}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": base64.b64encode(fill).decode() if is_text else _json_number(fill.item()),
        "codecs": [_BYTES if kind.itemsize == 1 else _BIG_ENDIAN],
        "attributes": attributes,
        "dimension_names": list(variable.dimensions),
        "storage_transformers": [],
    }


def _json_number(value: float) -> float | str:
    """Return a fill value as zarr has it in JSON, which has no name for some floats."""
    if math.isnan(value):
        return "NaN"
    return value if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"


def _encoded_fill(value: Any) -> str | int:
    """Return a fill value as xarray keeps it in the attributes of zarr of format 3."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if np.issubdtype(value.dtype, np.floating):
        return base64.b64encode(struct.pack("<d", float(value))).decode()
    return int(value)


def _plain(value: Any) -> Any:
    """Return the value of an attribute as JSON has it; one number is no list."""
    if isinstance(value, str):
        return value
    values = value.tolist()
    return values[0] if len(values) == 1 else values
