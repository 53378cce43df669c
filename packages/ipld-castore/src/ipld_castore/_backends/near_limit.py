"""The limit in bytes of what a tiered store keeps near."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, Protocol

from ipld_car import cids
from ipld_car.lru import LRU
from multiformats import CID

from ipld_castore._core.capabilities import SupportsAge
from ipld_castore._core.store import ContentAddressableStore
from ipld_castore.concurrency import ForkLocal
from ipld_castore.errors import BlockNotFoundError

from .filesystem import FileSystemCAStore

_MAX_LIMITS: Final = 8

RECOUNT_AFTER: Final = 4
"""The part of the limit, as a divisor, that is put before the store is counted again."""


class BoundableStore(Protocol):
    """A store whose size can be limited: it lists, deletes and puts blocks, and knows their sizes."""

    def __iter__(self) -> Iterator[CID]: ...
    def delete_block(self, cid: CID) -> None: ...
    def put_block(self, cid: CID, data: bytes) -> None: ...
    def block_size(self, cid: CID) -> int: ...


class NearLimit:
    """Keeps the blocks of a store within a limit of bytes; the least recently used are deleted. Safe with threads.

    Other processes may write to the store. What they put is counted when a quarter of the limit has been put here, so
    each of them may exceed the limit by a quarter. Of a store that knows the ages of blocks, the oldest count as the
    least recently used to begin with.

    :param near: the store; its blocks count, and are deleted above the limit
    :param max_bytes: the most bytes of blocks
    """

    def __init__(self, near: BoundableStore, max_bytes: int) -> None:
        self._near = near
        self._max_bytes = max_bytes
        self._lock: ForkLocal[threading.Lock] = ForkLocal(threading.Lock)
        self._blocks: LRU[bytes, CID] = LRU(max_bytes)
        self._put_since = 0
        """The bytes that were put since the store was counted."""
        self._count()

    def _count(self) -> None:
        """Count the blocks that others have put, and forget those that they have deleted."""
        there = set()
        for cid, size in self._sizes():
            key = cids.multihash_of(cids.to_bytes(cid))
            there.add(key)
            if size > self._max_bytes:
                self._near.delete_block(cid)
            elif self._blocks.peek(key) is None:
                self._note(key, cid, size)
        for key in [key for key in self._blocks if key not in there]:
            self._blocks.pop(key)
        self._put_since = 0

    def _sizes(self) -> list[tuple[CID, int]]:
        """Return the blocks of the store and their sizes, the oldest first where it knows their ages."""
        if isinstance(self._near, SupportsAge):
            found = sorted(self._near.block_statuses(), key=lambda status: status.time)
            return [(status.cid, status.size) for status in found]
        sizes = []
        for cid in list(self._near):
            with suppress(BlockNotFoundError):  # another process has deleted it
                sizes.append((cid, self._near.block_size(cid)))
        return sizes

    def note_read(self, binary: bytes) -> None:
        """Note that a block was read."""
        with self._lock.value:
            self._blocks.get(cids.multihash_of(binary))

    def put(self, binary: bytes, data: bytes) -> None:
        """Put a block, and delete others for it; a block that is larger than the limit is not put."""
        if len(data) > self._max_bytes:
            return
        cid, key = cids.from_validated(binary), cids.multihash_of(binary)
        with self._lock.value:
            before = self._blocks.peek(key)
            if before is not None and before != cid:  # under another codec, which some stores keep apart
                self._near.delete_block(before)
            self._near.put_block(cid, data)
            self._note(key, cid, len(data))
            self._put_since += len(data)
            if self._put_since * RECOUNT_AFTER > self._max_bytes and self._is_shared:
                self._count()

    @property
    def is_current(self) -> bool:
        """Whether the store can still be written: its folder was neither removed nor replaced."""
        return not isinstance(self._near, FileSystemCAStore) or self._near.is_current

    @property
    def _is_shared(self) -> bool:
        """Whether other processes can write to the store."""
        return isinstance(self._near, SupportsAge)

    def note_deleted(self, binary: bytes) -> None:
        """Note that a block was deleted."""
        with self._lock.value:
            self._blocks.pop(cids.multihash_of(binary))

    def _note(self, key: bytes, cid: CID, size: int) -> None:
        for _, dropped in self._blocks.put(key, cid, size):
            self._near.delete_block(dropped)


class _Limits:
    """The limits of folders that this process uses, the latest last."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.by_place: OrderedDict[tuple[str, int], NearLimit] = OrderedDict()


_limits: ForkLocal[_Limits] = ForkLocal(_Limits)


def limit_of(near: BoundableStore, max_bytes: int) -> NearLimit:
    """Return the limit of a store; all stores over one folder share it, so that a pickle does not count it anew."""
    if not (isinstance(near, SupportsAge) and isinstance(near, ContentAddressableStore)):
        return NearLimit(near, max_bytes)
    place = (near.address, max_bytes)
    mine = _limits.value
    with mine.lock:
        found = mine.by_place.get(place)
        if found is None or not found.is_current:
            found = mine.by_place[place] = NearLimit(near, max_bytes)
        mine.by_place.move_to_end(place)
        while len(mine.by_place) > _MAX_LIMITS:
            mine.by_place.popitem(last=False)
    return found
