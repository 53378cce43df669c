"""What a netCDF-3 file holds: each array is one range of it, or one range for each record."""

from __future__ import annotations

import base64
import struct
import warnings
from typing import Any, Final

import numpy as np
import zarr
from ipld_castore import RangeHasher
from zarr.codecs import BytesCodec
from zarr.storage import MemoryStore

from ipldstore._format import keys
from ipldstore._there.model import Ranges, Source, SourceArray, encode_json, parse_json

from . import header as headers

_FIRST_BYTES: Final = 64 << 10
_MAX_BYTES: Final = 64 << 20
"""Bytes of a header at most."""


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
        text = _document(variable)
        metadata = parse_json(text)
        source.documents[f"{variable.name}/{keys.ZARR_JSON}"] = text
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
    axes = len(variable.shape)
    if not variable.size:
        return Ranges.of(axes, [])
    if not variable.has_records:
        return Ranges.of(axes, [([0] * axes, 0, variable.begin, variable.size)])
    numbers = np.arange(variable.shape[0], dtype=np.int64)
    coordinates = np.zeros((len(numbers), axes), np.int64)
    coordinates[:, 0] = numbers
    offsets = variable.begin + numbers * record_size
    return Ranges(coordinates, np.zeros_like(numbers), offsets, np.full_like(numbers, variable.size))


def _document(variable: headers.Variable) -> bytes:
    """Return the metadata of the array of a variable."""
    kind, own = variable.kind, dict(variable.attributes)
    attributes = {key: _plain(value) for key, value in own.items() if key != "_FillValue"}
    fill: Any = b"" if kind.kind == "S" else kind.type(0)
    given = own.get("_FillValue")
    if given is not None and len(given) == 1 and isinstance(given, str) == (kind.kind == "S"):
        fill = given.encode() if isinstance(given, str) else given.astype(kind)[0]
        attributes["_FillValue"] = _encoded_fill(fill)
    chunks = tuple(max(length, 1) for length in variable.shape)
    store = MemoryStore()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of texts, whose data type has no specification; zarr repeats it when it reads
        zarr.create_array(
            store,
            shape=variable.shape,
            chunks=(1, *chunks[1:]) if variable.has_records else chunks,
            dtype=kind,
            fill_value=fill,
            serializer=BytesCodec(endian="big") if kind.itemsize > 1 else "auto",
            filters=None,
            compressors=None,
            dimension_names=variable.dimensions,
            attributes=attributes,
        )
    found: bytes = store._store_dict[keys.ZARR_JSON].to_bytes()  # noqa: SLF001  # its contents
    return found


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
