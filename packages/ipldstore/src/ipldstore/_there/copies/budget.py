"""How many bytes of chunks a copy has in memory at a time."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import numpy as np

from ipldstore._format import keys

from .nodes import parsed

BYTES: Final = 256 << 20
_UNKNOWN_ITEM: Final = 64
"""Bytes of an item whose type numpy does not know, such as a text."""


class Budget:
    """Sizes of chunks by array: what was read tells, and before that the metadata, of chunks that do not shrink.

    Coordinates come before arrays whose chunks are a thousand times as large, so that one size for all would be wrong.

    :param bounds: the largest size of a chunk of each array, by path
    """

    def __init__(self, bounds: Mapping[str, int]) -> None:
        self._bounds = bounds
        self._found: dict[str, int] = {}
        self._last = "\0", ""
        """What the keys of an array begin with, and its path: keys of one array follow each other."""
        self._used = 0
        self._room = asyncio.Condition()
        self._room_here = threading.Condition()

    @classmethod
    def of(cls, documents: Mapping[str, bytes]) -> Budget:
        """Return the budget of a copy of arrays by their documents."""
        places = (key.rpartition("/") for key in documents)
        named = [place for place in places if place[2] in (keys.ZARRAY, keys.ZARR_JSON)]
        return cls({path: _bound(documents[path + sign + name]) for path, sign, name in named})

    def _array_of(self, key: str) -> str:
        prefix, path = self._last
        if not key.startswith(prefix):
            path = key
            while path and path not in self._bounds:
                path = path.rpartition("/")[0]
            self._last = f"{path}/" if path else "\0", path
        return path

    def size(self, key: str) -> int:
        """Return how many bytes a chunk has at most, as far as is known; at least 1."""
        path = self._array_of(key)
        return self._found.get(path) or self._bounds.get(path, 0) or 1

    def note(self, key: str, size: int) -> None:
        """Note the size of a chunk."""
        path = self._array_of(key)
        if size > self._found.get(path, 0):
            self._found[path] = size

    @asynccontextmanager
    async def held(self, size: int) -> AsyncIterator[None]:
        """Hold memory in an ``async with`` statement, once there is as much; one chunk may always be there."""
        async with self._room:
            await self._room.wait_for(lambda: not self._used or self._used + size <= BYTES)
            self._used += size
        try:
            yield
        finally:
            async with self._room:
                self._used -= size
                self._room.notify_all()

    @contextmanager
    def held_here(self, size: int) -> Iterator[None]:
        """Do as :meth:`held` in a thread that may wait; all of a copy hold memory in one of the two ways."""
        with self._room_here:
            self._room_here.wait_for(lambda: not self._used or self._used + size <= BYTES)
            self._used += size
        try:
            yield
        finally:
            with self._room_here:
                self._used -= size
                self._room_here.notify_all()


def _bound(document: bytes) -> int:
    """Return the bytes of a chunk that is not compressed, by a document; 0 where it does not tell."""
    found = parsed(document)
    try:
        shape = found["chunks"] if "chunks" in found else found["chunk_grid"]["configuration"]["chunk_shape"]
        kind = found.get("dtype", found.get("data_type"))
        length = math.prod(map(int, shape))
    except (KeyError, TypeError, ValueError):  # of a group, or of a grid that is not known here
        return 0
    try:
        return length * (np.dtype(kind).itemsize if isinstance(kind, str) else _UNKNOWN_ITEM)
    except TypeError:
        return length * _UNKNOWN_ITEM
