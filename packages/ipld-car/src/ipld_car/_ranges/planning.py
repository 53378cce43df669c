"""Many blocks of an archive at a time, with few reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from ipld_car._car.index import CarIndex
from ipld_car.errors import CarError

from .range_blocks import LEAST_WINDOW, MOST_WINDOW, RangeBlocks
from .range_index import RangeIndex

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""Calls a function on each of several items, one after the other or at a time."""

MAX_PLANNED: Final = 1024
"""Blocks that are planned at once."""
_GAP: Final = 32 << 10
"""Bytes that are read rather than skipped by another read."""
_SAMPLE: Final = 16
"""Blocks that are looked up first: if they are near each other, so are those between them."""
_ROUNDS: Final = 3
_LEAST_SPAN: Final = 4 << 10
"""Bytes that are read for one block at least."""


def planned_at_once(blocks: RangeBlocks) -> int:
    """Return for how many blocks the cache has room twice, at most 1024."""
    mean = blocks.mean_bytes or LEAST_WINDOW
    return min(max(blocks.windows.max_bytes // 2 // (_LEAST_SPAN + 2 * mean), 1), MAX_PLANNED)


def prefetch(blocks: RangeBlocks, keys: Iterable[bytes], run: Map) -> None:
    """Read the blocks with some multihashes into memory, as far as they are not there.

    Blocks that follow each other, as the chunks of an array often do, are read without the index. Of the others a
    sample is looked up: where it is dense, all between is read. What is missing then is looked up one by one. A block
    that is absent, or an index that is wrong, is no error here.

    :param run: calls a function on each of several items, for reads at a time
    """
    missing = [key for key in dict.fromkeys(keys) if key not in blocks.windows]
    if not missing:
        return
    try:
        missing = _read_run(blocks, missing)
        index = blocks.index()
    except CarError:
        return
    for _ in range(_ROUNDS):
        if len(missing) < 4 * _SAMPLE:
            break
        before, step = len(missing), len(missing) // _SAMPLE
        _read_known(blocks, index, missing[::step], step, run)
        missing = [key for key in missing if key not in blocks.windows]
        if len(missing) > before // 2:
            break  # they are scattered
    if len(missing) > 1:
        _read_known(blocks, index, missing, 1, run)


def _read_known(blocks: RangeBlocks, index: CarIndex | RangeIndex, keys: list[bytes], step: int, run: Map) -> None:
    """Look up the places of blocks, and read them, near ones together.

    :param step: how many blocks are wanted for each of these; those between near ones are read with them
    """
    found = run(lambda key: _offset_of(blocks, index, key), keys)
    offsets = sorted({offset for offset in found if offset is not None})
    for _ in run(lambda span: _read_span(blocks, *span), _spans(offsets, blocks.mean_bytes, step)):
        pass


def _read_run(blocks: RangeBlocks, missing: list[bytes]) -> list[bytes]:
    """Read the first block and the wanted blocks that follow it; return the blocks that are still missing."""
    first = next(blocks.copies(missing[0]), None)
    left = [key for key in missing[1:] if key not in blocks.windows]
    if first is None:
        return left
    offset, size = first.next_offset, 2 * LEAST_WINDOW
    if len(left) == len(missing) - 1 and blocks.window_bytes() > 2 * blocks.mean_bytes:
        return left  # several blocks came with it, and none of them was wanted
    while left and offset < blocks.end:
        window = blocks.read_window(offset, min(size, len(left) * max(blocks.mean_bytes, _GAP) * 2))
        before, left = len(left), [key for key in left if key not in window.blocks]
        if 2 * (before - len(left)) < len(window.blocks):
            break
        offset, size = window.next_offset, min(2 * size, MOST_WINDOW)
    return left


def _offset_of(blocks: RangeBlocks, index: CarIndex | RangeIndex, key: bytes) -> int | None:
    try:
        return next(iter(blocks.offsets(index, key)), None)
    except CarError:
        return None


def _spans(offsets: list[int], mean: int, step: int) -> Iterator[tuple[int, int]]:
    """Yield offsets and sizes of ranges that hold the sections at these offsets, as far as these are not large."""
    near, tail = _GAP + (2 * step - 1) * mean, _LEAST_SPAN + (step + 1) * mean
    left = iter(offsets)
    start = last = next(left, None)
    if start is None or last is None:
        return
    for offset in left:
        if offset - last > near or offset - start > MOST_WINDOW:
            yield start, last - start + tail
            start = offset
        last = offset
    yield start, last - start + tail


def _read_span(blocks: RangeBlocks, offset: int, size: int) -> None:
    try:
        blocks.read_window(offset, size)
    except CarError:
        return
