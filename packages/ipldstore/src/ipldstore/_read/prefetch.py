"""The reader of stores that are far away: it fetches what is likely to be read next with what is read now."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final

from ipld_car import CarError, binary_links, cids, unixfs
from ipld_car.lru import LRU
from ipld_castore import CAStoreError, ContentAddressableStore, PathStep
from ipld_castore.concurrency import renew_after_fork
from multiformats import CID

from ipldstore._format.path_hint import NO_HINT, PathHint

from .block_fetch import BlockFetch
from .byte_range import WHOLE, ByteRange, read_range
from .prefetch_policy import MAX_LEAF_BYTES, MAX_VALUE_BYTES, LeafLinks, PrefetchPolicy

CACHE_BYTES: Final = 128 << 20
"""Bytes of blocks that are cached, read or prefetched."""

Blocks = Iterator[tuple[CID, bytes]]

FindLeaf = Callable[[], LeafLinks | None]
"""Finds the leaf that links a chunk; None if no leaf that was read does."""


class PrefetchingReader(ContentAddressableStore):
    """A :class:`~ipldstore._read.reader.Reader` with a cache of blocks, for a store that is far away.

    A node comes with the blocks on the path that its caller resolves next, and the chunks of a leaf come together where
    :class:`~ipldstore._read.prefetch_policy.PrefetchPolicy` says that it pays. Each block is fetched once, however many
    threads want it. A prefetched block that is missing or damaged is an error only when it is read. Safe with threads.

    It is a block store too, so that ranges and sizes of values are read through the cache.

    :param castore: the store that is far away
    """

    def __init__(self, castore: ContentAddressableStore) -> None:
        super().__init__()
        self._castore = castore
        self.blocking, self.local = castore.blocking, castore.local
        self._cache: LRU[bytes, bytes] = LRU(CACHE_BYTES)
        self._in_flight: dict[bytes, BlockFetch] = {}
        self._policy = PrefetchPolicy()
        self._lock = threading.Lock()
        renew_after_fork(self._renew)

    def _renew(self) -> None:
        self._lock, self._in_flight = threading.Lock(), {}

    # -- as a block store --

    def put_block(self, cid: CID, data: bytes) -> None:
        """Put a block into the store that is far away."""
        self._castore.put_block(cid, data)

    def get_block(self, cid: CID) -> bytes:
        """Return a block, verified, from the cache or from the store that is far away."""
        binary = cids.to_bytes(cid)
        return self._get(binary, lambda: iter([(cid, self._castore.get_raw(binary))]))

    # -- as a reader --

    def load(self, cid: bytes, hint: PathHint = NO_HINT, /) -> bytes:
        """Return the verified block of a node, and cache the blocks on the path of the hint with it."""
        if not hint.names:
            return self.get_raw(cid)
        with self._lock:
            whole_leaf = self._policy.expects_whole_leaf(hint.keys)
        if whole_leaf:
            return self._get(cid, lambda: self._fetch_expected_leaf(cid))
        start = cid if hint.start is None else hint.start
        return self._get(cid, lambda: self._fetch_path(cid, PathStep(start, hint.names)))

    def read_value(self, link: bytes, byte_range: ByteRange = WHOLE) -> bytes:
        """Return the value that a link names, or a range of it."""
        if byte_range == WHOLE and cids.codec_of(link) == cids.RAW:
            return self.get_block(cids.from_validated(link))  # verified when it came
        return read_range(self, link, byte_range)

    def try_read_nowait(self, link: bytes, byte_range: ByteRange, max_bytes: int) -> bytes | None:  # as Reader has it
        """Return None: a store that is far away may have to be waited for."""
        return None

    def get_cached(self, chunk: bytes, leaf: bytes) -> bytes | None:
        """Return a chunk that is cached, and count the read of its leaf; None if it has to be waited for."""
        if cids.codec_of(chunk) != cids.RAW:
            return None
        with self._lock:
            data = self._cache.get(chunk)
            if data is not None:
                self._policy.note_read(leaf, self)
            return data

    def prefetch(self, wanted: Iterable[bytes]) -> None:
        """Fetch blocks that the caller is about to load."""
        with self._lock:
            missing = [cid for cid in dict.fromkeys(wanted) if self.is_missing(cid)]
            flight = self._register(missing)
        self._fetch_unasked(flight, self._castore.get_many_raw(map(cids.from_validated, missing)))

    def prefetch_value(self, link: bytes, find_leaf: FindLeaf) -> None:
        """Fetch all chunks of the leaf that links a value, if that pays, or the blocks of a UnixFS file."""
        found = find_leaf()
        if found is not None:
            self._prefetch_leaf(link, found)
        if cids.codec_of(link) != cids.DAG_PB:
            return
        with self._lock:
            if not self.is_missing(link):
                return
            flight = self._register([link])
        self._fetch_unasked(flight, self._fetch_file(link))

    def _prefetch_leaf(self, chunk: bytes, found: LeafLinks) -> None:
        with self._lock:
            found = self._policy.part_of(found)
            leaf = found.cid
            others = self._in_flight.get(leaf) if found.mixed and self.is_missing(chunk) else None
            missing = set() if others is not None else self._policy.chunks_to_fetch(chunk, found, self)
            flight = self._register([leaf, *missing] if found.mixed and missing else missing)
        if others is not None:
            others.wait_for(chunk)  # another thread fetches all that is below, the chunk too
        if not missing:
            return
        if not self._fetch_unasked(flight, self._castore.get_dag(leaf), 2 * MAX_LEAF_BYTES):
            with self._lock:
                self._policy.note_failure(leaf)

    # -- what the policy asks; the caller holds the lock --

    def cached_size(self, cid: bytes) -> int | None:
        """Return the size in bytes of a cached block; None if it is not cached."""
        data = self._cache.peek(cid)
        return None if data is None else len(data)

    def is_missing(self, cid: bytes) -> bool:
        """Return whether a block is neither cached nor being fetched."""
        return cid not in self._cache and cid not in self._in_flight

    # -- what a fetch brings --

    def _fetch_path(self, node: bytes, start: PathStep) -> Blocks:
        """Fetch the blocks on a path. Each is registered before the block that links it is delivered.

        So no other thread, which sees the link, fetches the next block too.

        :param node: the block that is wanted first; the path may begin above it
        """
        step: PathStep | None = start
        for cid, data in self._castore.get_path(start.cid, start.names):
            step = None if step is None else step.next(data)
            if step is not None:
                with self._lock:
                    if self.is_missing(step.cid):
                        self._register([step.cid], self._in_flight[node])
            yield cid, data

    def _fetch_expected_leaf(self, leaf: bytes) -> Blocks:
        """Fetch the blocks of a leaf and its chunks, none of which was read yet."""
        size = 0
        for cid, data in self._castore.get_dag(leaf):
            if not size:
                with self._lock:
                    links = {link for link in binary_links(leaf, data) if self.is_missing(link)}
                    self._register(links, self._in_flight[leaf])
                    self._policy.note_expected_leaf(leaf, links)
            size += len(data)
            yield cid, data
            if size > 2 * MAX_LEAF_BYTES:
                return

    def _fetch_file(self, cid: bytes) -> Blocks:
        """Fetch the blocks of a UnixFS file; only the first where the file is large."""
        for found, data in self._castore.get_dag(cid):
            yield found, data
            if cids.to_bytes(found) == cid and unixfs.size_of(lambda _: data, cid) > MAX_VALUE_BYTES:  # noqa: B023  # called at once
                return

    # -- the cache, and fetches in flight --

    def _get(self, cid: bytes, fetch: Callable[[], Blocks]) -> bytes:
        """Return a block from the cache, from a fetch in flight, or from ``fetch``, which may bring others too."""
        while True:
            with self._lock:
                data = self._cache.get(cid)
                if data is not None:
                    return data
                flight = self._in_flight.get(cid)
                own = self._register([cid]) if flight is None else None
            if own is not None:
                return self._fetch(own, cid, fetch)
            assert flight is not None  # noqa: S101  # one of the two
            data = flight.wait_for(cid)
            if data is not None:
                return data

    def _fetch(self, flight: BlockFetch, wanted: bytes, fetch: Callable[[], Blocks]) -> bytes:
        """Return one of the blocks of a fetch. What fails after it is an error only when it is read."""
        found: bytes | None = None
        try:
            for cid, data in fetch():
                binary = cids.to_bytes(cid)
                self._deliver(flight, binary, data)
                found = data if binary == wanted else found
        except (CAStoreError, CarError):
            if found is None:
                raise
        finally:
            self._finish(flight)
        # A path that begins above the block may have ended before it.
        return self._castore.get_raw(wanted) if found is None else found

    def _fetch_unasked(self, flight: BlockFetch, blocks: Blocks, max_bytes: int = CACHE_BYTES) -> bool:
        """Fetch blocks that were not asked for yet, up to ``max_bytes``; return whether none of them failed.

        Reading a block that failed fetches it again, and raises its error.
        """
        size = 0
        try:
            with suppress(CAStoreError, CarError):  # see above
                for cid, data in blocks:
                    self._deliver(flight, cids.to_bytes(cid), data)
                    size += len(data)
                    if size > max_bytes:
                        break
                return True
            return False
        finally:
            self._finish(flight)

    def _deliver(self, flight: BlockFetch, cid: bytes, data: bytes) -> None:
        with self._lock:
            self._cache.put(cid, data, len(data))
        flight.deliver(cid, data)

    def _register(self, wanted: Iterable[bytes], flight: BlockFetch | None = None) -> BlockFetch:
        """Register blocks that no fetch brings yet with a fetch, by default a new one; the caller holds the lock."""
        flight = BlockFetch() if flight is None else flight
        for cid in wanted:
            self._in_flight[cid] = flight
            flight.registered.append(cid)
        return flight

    def _finish(self, flight: BlockFetch) -> None:
        with self._lock:
            for cid in flight.registered:
                self._in_flight.pop(cid, None)
        flight.finish()
