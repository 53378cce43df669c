"""The limit in bytes of what a tiered store keeps near."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Protocol

from ipld_car import cids
from ipld_car.lru import LRU
from multiformats import CID

from ipld_castore.concurrency import ForkLocal


class BoundableStore(Protocol):
    """A store whose size can be limited: it lists, deletes and puts blocks, and knows their sizes."""

    def __iter__(self) -> Iterator[CID]: ...
    def delete_block(self, cid: CID) -> None: ...
    def put_block(self, cid: CID, data: bytes) -> None: ...
    def block_size(self, cid: CID) -> int: ...


class NearLimit:
    """Keeps the blocks of a store within a limit of bytes; the least recently used are deleted. Safe with threads.

    No other process should write to the store.

    :param near: the store; what it has counts, and is deleted where it is over the limit
    :param max_bytes: the most bytes of blocks
    """

    def __init__(self, near: BoundableStore, max_bytes: int) -> None:
        self._near = near
        self._max_bytes = max_bytes
        self._lock: ForkLocal[threading.Lock] = ForkLocal(threading.Lock)
        self._blocks: LRU[bytes, CID] = LRU(max_bytes)
        for cid in list(near):
            size = near.block_size(cid)
            if size > max_bytes:
                near.delete_block(cid)
            else:
                self._note(cids.multihash_of(cids.to_bytes(cid)), cid, size)

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

    def note_deleted(self, binary: bytes) -> None:
        """Note that a block was deleted."""
        with self._lock.value:
            self._blocks.pop(cids.multihash_of(binary))

    def _note(self, key: bytes, cid: CID, size: int) -> None:
        for _, dropped in self._blocks.put(key, cid, size):
            self._near.delete_block(dropped)
