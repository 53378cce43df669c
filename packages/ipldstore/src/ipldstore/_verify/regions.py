"""Where lost chunks are in an array: boxes of chunks, and of elements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product
from math import prod
from typing import Final

from ipldstore._format import index_tree, keys
from ipldstore._format.chunk_form import ChunkForm, chunk_form
from ipldstore._merge.node_diff import ChunkRange
from ipldstore._merge.nodes.documents import NodeDocuments
from ipldstore._merge.nodes.grid import ChunkGrid, Coordinates, boxes_of, dimensions_of, grid_of

from .labels import Labels
from .report import Region

_MOST_CELLS: Final = 1_000_000
"""Chunks of a grid that are looked through for those that a lost node may have had."""


def regions_of(
    documents: NodeDocuments | None, points: Iterable[Coordinates], path: str = "", labels: Labels | None = None
) -> tuple[Region, ...]:
    """Return the regions of an array that chunks are in.

    :param path: the path of the array
    :param labels: the labels of positions; None for regions without labels
    """
    grid = None if documents is None else grid_of(documents)
    names = None if documents is None else dimensions_of(documents)
    regions = tuple(_region(ChunkRange(*box), grid, names) for box in boxes_of(set(points)))
    return regions if labels is None or names is None else _labelled(regions, names, path, labels)


def _labelled(
    regions: tuple[Region, ...], names: tuple[str | None, ...], path: str, labels: Labels
) -> tuple[Region, ...]:
    """Return regions with the labels of their first and last elements."""
    placed = [each for each in regions if each.start is not None and each.stop is not None and each.dimensions]
    on_axis: list[dict[int, str]] = []
    for axis, name in enumerate(names):
        ends = {at for each in placed for at in _ends(each, axis)}
        on_axis.append({} if name is None else labels.of(path, name, ends))

    def label(region: Region, axis: int) -> tuple[str, str] | None:
        first, last = (on_axis[axis].get(at) for at in _ends(region, axis))
        return None if first is None or last is None else (first, last)

    found = {id(each): tuple(label(each, axis) for axis in range(len(names))) for each in placed}
    return tuple(replace(each, labels=found[id(each)]) if any(found.get(id(each), ())) else each for each in regions)


def _ends(region: Region, axis: int) -> tuple[int, int]:
    assert region.start is not None and region.stop is not None  # noqa: S101, PT018  # regions with a place alone
    return region.start[axis], max(region.start[axis], region.stop[axis] - 1)


def _region(chunks: ChunkRange, grid: ChunkGrid | None, names: tuple[str | None, ...] | None) -> Region:
    if grid is None or len(grid.shape) != len(chunks.start):
        return Region(chunks, None, None)
    start = tuple(low * size for low, size in zip(chunks.start, grid.chunks, strict=True))
    ends = zip(chunks.stop, grid.chunks, grid.shape, strict=True)
    stop = tuple(min(high * size, length) for high, size, length in ends)
    return Region(chunks, start, stop, names if names is not None and len(names) == len(start) else None)


def chunks_between(documents: NodeDocuments | None, first: bytes, end: bytes | None) -> Iterator[Coordinates] | None:
    """Yield the chunks of a grid whose codes are from ``first`` to below ``end``; None where the grid is not known.

    :param first: a code of the chunk index
    :param end: likewise; None for no end
    """
    grid = None if documents is None else grid_of(documents)
    if grid is None:
        return None
    counts = [-(-length // size) for length, size in zip(grid.shape, grid.chunks, strict=True)]
    if prod(counts) > _MOST_CELLS:
        return None
    code, form = index_tree.CHUNKS.code, _form(documents, len(counts))
    if form is None:
        return None

    def is_between(point: Coordinates) -> bool:
        at = code(form.key(point))
        return first <= at and (end is None or at < end)

    return filter(is_between, product(*map(range, counts)))


def _form(documents: NodeDocuments | None, axes: int) -> ChunkForm | None:
    """Return the form of the chunk keys of an array; None if its metadata do not tell it."""
    for name, content in documents.contents.items() if documents is not None and axes else ():
        if name in (keys.ZARRAY, keys.ZARR_JSON) and isinstance(content, dict):
            try:
                return chunk_form(content, axes)
            except ValueError:
                return None
    return None
