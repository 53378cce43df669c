"""Chunks of an array by their coordinates: the grid that its metadata say, and boxes of chunks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from ipldstore._format import keys

from .documents import NodeDocuments

Coordinates = tuple[int, ...]


class ChunkGrid(NamedTuple):
    """The regular grid of an array."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    """The shape of a chunk; of a shard where the array is sharded."""


def _sizes(value: Any, least: int) -> tuple[int, ...] | None:
    if isinstance(value, list) and all(type(size) is int and size >= least for size in value):
        return tuple(value)
    return None


def grid_of(documents: NodeDocuments) -> ChunkGrid | None:
    """Return the grid of an array; None if it is no regular grid, or the documents of both formats do not agree."""
    found = set()
    for name, content in documents.contents.items():
        if isinstance(content, bytes):
            return None
        if name == keys.ZARRAY:
            chunks = _sizes(content.get("chunks"), 1)
        elif name == keys.ZARR_JSON and content.get("node_type") == "array":
            chunks = _regular(content.get("chunk_grid"))
        else:
            continue
        shape = _sizes(content.get("shape"), 0)
        if shape is None or chunks is None or len(shape) != len(chunks):
            return None
        found.add(ChunkGrid(shape, chunks))
    return found.pop() if len(found) == 1 else None


def _regular(chunk_grid: Any) -> tuple[int, ...] | None:
    if not isinstance(chunk_grid, dict) or chunk_grid.get("name") != "regular":
        return None
    configuration = chunk_grid.get("configuration")
    return _sizes(configuration.get("chunk_shape"), 1) if isinstance(configuration, dict) else None


def dimensions_of(documents: NodeDocuments) -> tuple[str | None, ...] | None:
    """Return the names of the dimensions of an array; None if its metadata do not name them."""
    metadata = documents.contents.get(keys.ZARR_JSON)
    names: Any = metadata.get("dimension_names") if isinstance(metadata, dict) else None
    if names is None:
        attributes = documents.contents.get(keys.ZATTRS)
        names = attributes.get("_ARRAY_DIMENSIONS") if isinstance(attributes, dict) else None
    if not isinstance(names, list):
        return None
    return tuple(name if isinstance(name, str) else None for name in names)


def lengths_of(documents: NodeDocuments) -> dict[str, set[int]]:
    """Return the lengths of each named dimension of an array; one that is named twice may have two."""
    names = dimensions_of(documents)
    if names is None:
        return {}
    found: dict[str, set[int]] = {}
    for content in documents.contents.values():
        shape = _sizes(content.get("shape"), 0) if isinstance(content, dict) else None
        if shape is not None and len(shape) == len(names):
            for name, size in zip(names, shape, strict=True):
                if name is not None:
                    found.setdefault(name, set()).add(size)
    return found


def coordinates_of(rest: str) -> Coordinates | None:
    """Return the coordinates of a chunk key, relative to its array; None if it has not the form of one.

    >>> coordinates_of("c/0/12"), coordinates_of("3.4"), coordinates_of("c")
    ((0, 12), (3, 4), ())
    """
    if rest == "c":
        return ()
    if not keys.is_chunk_key(rest):
        return None
    numbers = rest.split("/" if "/" in rest else ".")
    if numbers[0] == "c":
        del numbers[0]
    return tuple(map(int, numbers))


def with_coordinates(rest: str, at: Coordinates) -> str:
    """Return a chunk key of the same form with other coordinates.

    >>> with_coordinates("c/0/12", (7, 8)), with_coordinates("0.1", (2, 3))
    ('c/7/8', '2.3')
    """
    separator = "/" if "/" in rest else "."
    begin = f"c{separator}" if rest.startswith("c") else ""
    return begin + separator.join(map(str, at))


def fits(grid: ChunkGrid | None, at: Coordinates | None) -> Coordinates | None:
    """Return the coordinates of a chunk if they have as many axes as a grid.

    An array without axes has its chunk at ``c`` or ``0``.
    """
    if grid is None or at is None:
        return None
    if not grid.shape and at == (0,):
        return ()
    return at if len(at) == len(grid.shape) else None


def grown_axes(old: tuple[int, ...], new: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the axes along which a shape grew; None if an axis is smaller, or their number changed."""
    if len(old) != len(new) or any(low > high for low, high in zip(old, new, strict=True)):
        return None
    return tuple(axis for axis, (low, high) in enumerate(zip(old, new, strict=True)) if low < high)


def is_inside(grid: ChunkGrid | None, axes: Iterable[int], rest: str) -> bool:
    """Return whether a chunk is wholly inside a shape along some axes; False where that is not known.

    :param rest: the chunk key, relative to the array
    """
    at = fits(grid, coordinates_of(rest))
    if grid is None or at is None:
        return False
    return all((at[axis] + 1) * grid.chunks[axis] <= grid.shape[axis] for axis in axes)


class Box(NamedTuple):
    """Chunks from ``start`` to below ``stop`` on each axis."""

    start: Coordinates
    stop: Coordinates


def boxes_of(points: Iterable[Coordinates]) -> list[Box]:
    """Return boxes that hold just the given coordinates: runs along the last axis, then runs of equal runs.

    >>> boxes_of([(0, 0), (0, 1), (1, 0), (1, 1), (5, 5)])
    [Box(start=(0, 0), stop=(2, 2)), Box(start=(5, 5), stop=(6, 6))]
    """
    by_axes: dict[int, list[Coordinates]] = {}
    for point in points:
        by_axes.setdefault(len(point), []).append(point)
    found: list[Box] = []
    for axes, own in sorted(by_axes.items()):
        boxes = {Box(point, tuple(number + 1 for number in point)) for point in own}
        for axis in reversed(range(axes)):
            boxes = _joined(boxes, axis)
        found.extend(sorted(boxes))
    return found


def _joined(boxes: Iterable[Box], axis: int) -> set[Box]:
    """Join boxes that differ on one axis alone, where they touch."""

    def others(box: Box) -> tuple[Coordinates, ...]:
        return tuple(corner[:axis] + corner[axis + 1 :] for corner in box)

    joined: set[Box] = set()
    last: Box | None = None
    for box in sorted(boxes, key=lambda box: (others(box), box.start[axis])):
        if last is not None and others(last) == others(box) and last.stop[axis] == box.start[axis]:
            last = Box(last.start, box.stop)
            continue
        if last is not None:
            joined.add(last)
        last = box
    if last is not None:
        joined.add(last)
    return joined
