"""Pictures of arrays: one slice as an image, or a line, made of bounded numbers of chunks."""

from __future__ import annotations

import struct
import zlib
from typing import Any, Final

import numpy as np
import zarr
from zarr.abc.store import Store

from ipldstore._display.outline import ArrayOutline
from ipldstore._serve.traversal import NoSuchPathError

_PIXELS: Final = 480
"""The longest side of a picture."""
_ANCHORS: Final = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
"""Colours from the least value to the greatest, evenly apart: those of viridis."""


def picture_of(store: Store, array: ArrayOutline, max_bytes: int) -> tuple[str, bytes]:
    """Return the media type and the bytes of a picture of an array.

    Of more than two axes the last two are shown, at the first place of the others. An array whose slice has more bytes
    of chunks than ``max_bytes`` is shown as far as these go.

    :param max_bytes: the most bytes of decoded chunks
    :raises NoSuchPathError: if the array has no number that can be shown
    """
    if not is_shown(array, max_bytes):
        raise NoSuchPathError(
            f"expected an array of numbers with chunks of at most {max_bytes} bytes, found {array.path!r}"
        )
    values = _slice(store, array, max_bytes)
    if values.ndim == 1:
        return "image/svg+xml", _line(values).encode()
    return "image/png", _image(values)


def is_shown(array: ArrayOutline, max_bytes: int) -> bool:
    """Return whether there can be a picture of an array, from its metadata alone."""
    try:
        dtype = np.dtype(array.dtype)
    except TypeError:
        return False
    unit = array.shards or array.chunks
    chunk = dtype.itemsize * int(np.prod([float(each) for each in unit]))
    return dtype.kind in "biufmM" and 0 not in array.shape and len(array.shape) > 0 and 0 < chunk <= max_bytes


def _slice(store: Store, array: ArrayOutline, max_bytes: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the values that are shown, as floats, at most :data:`_PIXELS` along each axis."""
    source = zarr.open_array(store, path=array.path, mode="r")
    unit = array.shards or array.chunks
    axes = min(2, len(array.shape))
    chunk_bytes = source.dtype.itemsize * int(np.prod(unit))
    budget = max(1, max_bytes // chunk_bytes)  # chunks that may be read
    lengths = []
    for axis in range(-axes, 0):
        along = max(1, budget if axis == -1 else int(budget**0.5))
        length = min(array.shape[axis], along * unit[axis])
        budget = max(1, budget // -(-length // unit[axis]))
        lengths.append(length)
    place = (0,) * (len(array.shape) - axes) + tuple(slice(0, length) for length in lengths)
    found = np.asarray(source[place])
    found = found[tuple(slice(None, None, -(-length // _PIXELS)) for length in found.shape)]
    if found.dtype.kind in "mM":
        found = np.where(np.isnat(found), np.nan, found.astype("i8").astype("f8"))
    values = found.astype("f8")
    if isinstance(array.fill_value, (int, float, np.number)) and array.fill_value != 0:
        values = np.where(values == float(array.fill_value), np.nan, values)
    return values


def _scaled(values: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return values from 0 to 1; NaN where there is none."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return np.full(values.shape, np.nan)
    low, high = float(finite.min()), float(finite.max())
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = (values - low) / (high - low) if high > low else np.where(np.isfinite(values), 0.5, np.nan)
    return np.where(np.isfinite(scaled), np.clip(scaled, 0, 1), np.nan)


def _image(values: np.ndarray[Any, np.dtype[np.float64]]) -> bytes:
    scaled = _scaled(values)
    anchors = np.array(_ANCHORS, "f8")
    at = np.nan_to_num(scaled) * (len(anchors) - 1)
    colours = np.stack([np.interp(at, np.arange(len(anchors)), anchors[:, each]) for each in range(3)], -1)
    alpha = np.where(np.isnan(scaled), 0, 255)[..., None]
    pixels = np.concatenate([colours, alpha], -1).astype("u1")
    grow = max(1, 240 // max(pixels.shape[:2]))  # a few pixels alone would hardly be seen
    return png(pixels.repeat(grow, 0).repeat(grow, 1))


def png(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """Return an image as PNG (https://www.w3.org/TR/png/).

    :param pixels: height x width x 4: red, green, blue, alpha
    """
    height, width = pixels.shape[:2]
    rows = np.concatenate([np.zeros((height, 1), "u1"), pixels.reshape(height, width * 4)], 1)  # filter 0 before a row
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body


def _line(values: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    scaled = _scaled(values)
    step = 480 / max(1, len(scaled) - 1)
    runs, points = [], ""
    for at, value in enumerate(scaled):
        if np.isnan(value):
            runs.append(points)
            points = ""
        else:
            points += f"{at * step:.1f},{118 - value * 116:.1f} "
    runs.append(points)
    lines = "".join(f'<polyline points="{each}"/>' for each in runs if each)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 480 120" width="480" height="120">'
        f'<g fill="none" stroke="#3b528b" stroke-width="1.5">{lines}</g></svg>'
    )
