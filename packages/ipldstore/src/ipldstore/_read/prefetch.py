"""Reading ahead, where blocks are far away: what will be wanted next comes with what is wanted now."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from ipld_car import CarError, binary_links, cids, unixfs
from ipld_castore import CAStoreError, ContentAddressableStore, follow
from multiformats import CID

from ipldstore._format.path_hint import Way

CACHE_BYTES: Final = 64 << 20
"""Bytes of blocks that are kept after they were read, or before."""

MAX_LEAF_BYTES: Final = 24 << 20
"""Bytes up to which a whole leaf, with its chunks, comes at once."""

SEVERAL: Final = 3
"""Chunks of a leaf that are asked for before the whole leaf is."""

MANY: Final = 16
"""Chunks that were wanted of the last whole leaf, so that of the next one all are asked for at once."""

MAX_FILE_BYTES: Final = 32 << 20
"""Bytes up to which a value of several blocks comes at once."""

_MAX_LEAVES: Final = 1024
_SAMPLES: Final = 16
_GUESSES: Final = 3
"""Whole leaves that were asked for on a guess; if none of the last ones was of use, no more is."""

Blocks = Iterator[tuple[CID, bytes]]


class _Flight:
    """Blocks that are on their way; threads wait for the one that they want."""

    def __init__(self) -> None:
        self.promised: list[bytes] = []
        """CIDs of blocks that it may bring; who promises more holds the lock of the store."""
        self._change = threading.Condition()
        self._arrived: dict[bytes, bytes] = {}
        self._wanted: set[bytes] = set()
        """What threads wait for: to wake them for each of thousands of blocks takes longer than to bring these."""
        self._over = False

    def arrive(self, cid: bytes, data: bytes) -> None:
        """Give a block to who waits for it."""
        with self._change:
            self._arrived[cid] = data
            if cid in self._wanted:
                self._change.notify_all()

    def end(self) -> None:
        """Say that nothing more will arrive."""
        with self._change:
            self._over = True
            self._change.notify_all()

    def wait_for(self, cid: bytes) -> bytes | None:
        """A block as soon as it arrives; None if it does not."""
        with self._change:
            self._wanted.add(cid)
            self._change.wait_for(lambda: self._over or cid in self._arrived)
            return self._arrived.get(cid)


@dataclass
class _LeafUse:
    """What is known of a leaf of a chunk index."""

    asked: int = 0
    """Chunks that were asked for."""
    look_again: int = SEVERAL
    """With so many it is decided whether the whole leaf is worth it."""
    blocks: Collection[bytes] = field(default_factory=frozenset)
    """Once it was asked for as a whole, the blocks that this was for."""


class Ahead(ContentAddressableStore):
    """A store that is far away, and those of its blocks that were read lately or are likely to be wanted next.

    A node comes with what is on the way from it; once several chunks of a leaf were asked for, and they are small, the
    whole leaf comes at once. A block is asked for once, however many threads want it. What comes unasked and is
    missing or wrong is no error until somebody wants it. Threads may use it at once.

    :param far: the store
    """

    def __init__(self, far: ContentAddressableStore) -> None:
        super().__init__()
        self.far = far
        self.blocking, self.local = far.blocking, far.local
        self._cache: OrderedDict[bytes, bytes] = OrderedDict()
        self._held = 0
        self._flights: dict[bytes, _Flight] = {}
        self._leaves: OrderedDict[bytes, _LeafUse] = OrderedDict()
        self._chunk_bytes: float | None = None
        """Mean size of a chunk, where many chunks of a leaf were wanted lately."""
        self._guesses: deque[_LeafUse] = deque(maxlen=_GUESSES)
        self._lock = threading.Lock()

    def renew_lock(self) -> None:
        """In the child of a fork, which has none of the threads that hold the lock or bring blocks."""
        self._lock, self._flights = threading.Lock(), {}

    # -- verbs --

    def put_block(self, cid: CID, data: bytes) -> None:
        """Put into the far store."""
        self.far.put_block(cid, data)

    def get_block(self, cid: CID) -> bytes:
        """A block, verified, from here or from the far store."""
        binary = cids.to_bytes(cid)
        return self._get(binary, lambda: iter([(cid, self.far.get_raw(binary))]))

    def at_hand(self, cid: bytes, leaf: bytes) -> bytes | None:
        """A chunk that is here, verified when it came, read of a leaf; None if it would have to be waited for."""
        with self._lock:
            data = self._cache.get(cid)
            if data is not None:
                self._cache.move_to_end(cid)
                use = self._use_of(leaf)
                use.asked += 1
                self._note_use(use)
            return data

    def along(self, cid: bytes, way: Way) -> bytes:
        """The verified block of a node, and what follows on the way comes with it, if it has to be asked for."""
        if not way.names:
            return self.get_raw(cid)
        if self._is_guess_good(way.keys):
            return self._get(cid, lambda: self._whole_leaf(cid))
        return self._get(cid, lambda: self._on_way(cid, way.names))

    def _on_way(self, node: bytes, names: Sequence[str]) -> Blocks:
        """The blocks of a way, each promised before the one that links it is here: nobody else asks for it then."""
        step: tuple[bytes, Sequence[str]] | None = (node, names)
        for cid, data in self.far.get_way(node, names):
            step = None if step is None else follow(cids.to_bytes(cid), data, step[1])
            if step is not None:
                with self._lock:
                    if self._is_missing(step[0]):
                        self._promise([step[0]], self._flights[node])
            yield cid, data

    def prefetch(self, wanted: Iterable[bytes]) -> None:
        """Have blocks here that are about to be wanted."""
        with self._lock:
            missing = [cid for cid in dict.fromkeys(wanted) if self._is_missing(cid)]
            flight = self._promise(missing)
        self._fly(flight, self.far.get_many_raw(map(cids.from_validated, missing)))

    def value(self, cid: bytes) -> None:
        """Have a value here that is about to be read whole; one of several blocks comes in one answer."""
        if cids.codec_of(cid) != cids.DAG_PB:
            return
        with self._lock:
            if not self._is_missing(cid):
                return
            flight = self._promise([cid])
        self._fly(flight, self._file(cid))

    def _file(self, cid: bytes) -> Blocks:
        for found, data in self.far.get_dag(cid):
            yield found, data
            if cids.to_bytes(found) == cid and unixfs.size_of(lambda _: data, cid) > MAX_FILE_BYTES:  # noqa: B023  # at once
                return

    def chunk_of(self, leaf: bytes, links: Collection[bytes], wanted: bytes) -> None:
        """Note that a chunk of a leaf is about to be read; the whole leaf comes if that pays.

        :param links: all links of the leaf
        """
        with self._lock:
            use = self._use_of(leaf)
            use.asked += 1
            self._note_use(use)
            if use.asked < use.look_again or not self._is_missing(wanted):
                return
            use.look_again = 2 * use.asked
            missing = self._worth_it(links)
            if not missing:
                return
            use.blocks = missing
            flight = self._promise(missing)
        if not self._fly(flight, self.far.get_dag(leaf), 2 * MAX_LEAF_BYTES):
            use.look_again = sys.maxsize  # a block of it cannot be had, which would be waited for each time

    # -- what is here, and what is on its way --

    def _get(self, cid: bytes, ask: Callable[[], Blocks]) -> bytes:
        """A block from here, from a flight that brings it, or from one of its own, which may bring others too."""
        while True:
            with self._lock:
                data = self._cache.get(cid)
                if data is not None:
                    self._cache.move_to_end(cid)
                    return data
                flight = self._flights.get(cid)
                mine = self._promise([cid]) if flight is None else None
            if mine is not None:
                return self._lead(mine, ask)
            assert flight is not None  # noqa: S101  # one of the two
            data = flight.wait_for(cid)
            if data is not None:
                return data

    def _lead(self, flight: _Flight, ask: Callable[[], Blocks]) -> bytes:
        """Bring a block, and what comes behind it; only that it does not come itself is an error."""
        first: bytes | None = None
        try:
            for cid, data in ask():
                self._take(flight, cids.to_bytes(cid), data)
                first = data if first is None else first
        except (CAStoreError, CarError):
            if first is None:
                raise
        finally:
            self._land(flight)
        assert first is not None  # noqa: S101  # without it the store raises
        return first

    def _fly(self, flight: _Flight, blocks: Blocks, max_bytes: int = CACHE_BYTES) -> bool:
        """Bring blocks that nobody has asked for by themselves: whoever does will hear what is wrong with one.

        Returns whether nothing was.
        """
        size = 0
        try:
            with suppress(CAStoreError, CarError):  # see above
                for cid, data in blocks:
                    self._take(flight, cids.to_bytes(cid), data)
                    size += len(data)
                    if size > max_bytes:
                        break
                return True
            return False
        finally:
            self._land(flight)

    def _take(self, flight: _Flight, cid: bytes, data: bytes) -> None:
        with self._lock:
            before = self._cache.pop(cid, None)
            self._held += len(data) - len(before or b"")
            self._cache[cid] = data
            while self._held > CACHE_BYTES and len(self._cache) > 1:
                self._held -= len(self._cache.popitem(last=False)[1])
        flight.arrive(cid, data)

    def _promise(self, wanted: Iterable[bytes], flight: _Flight | None = None) -> _Flight:
        """A flight that brings these blocks, which none does yet; the caller holds the lock."""
        flight = _Flight() if flight is None else flight
        for cid in wanted:
            self._flights[cid] = flight
            flight.promised.append(cid)
        return flight

    def _land(self, flight: _Flight) -> None:
        with self._lock:
            for cid in flight.promised:
                self._flights.pop(cid, None)
        flight.end()

    def _is_missing(self, cid: bytes) -> bool:
        return cid not in self._cache and cid not in self._flights

    # -- whole leaves --

    def _use_of(self, leaf: bytes) -> _LeafUse:
        use = self._leaves.setdefault(leaf, _LeafUse())
        self._leaves.move_to_end(leaf)
        if len(self._leaves) > _MAX_LEAVES:
            self._leaves.popitem(last=False)
        return use

    def _worth_it(self, links: Collection[bytes]) -> set[bytes]:
        """The blocks that asking for a whole leaf would bring; none if nothing is known of them, or they are large."""
        sizes: list[int] = []
        for link in links:
            data = self._cache.get(link)
            if data is not None:
                sizes.append(len(data))
                if len(sizes) == _SAMPLES:
                    break
        if not sizes or len(links) * sum(sizes) > MAX_LEAF_BYTES * len(sizes):
            return set()
        return {link for link in links if self._is_missing(link) and cids.codec_of(link) == cids.RAW}

    def _note_use(self, use: _LeafUse) -> None:
        """Whether it is worth a guess that the next leaf will be wanted as a whole too."""
        if use.asked >= MANY and use.blocks and self._chunk_bytes is None:
            sizes = [len(data) for cid in use.blocks if (data := self._cache.get(cid)) is not None]
            if sizes:
                self._chunk_bytes = sum(sizes) / len(sizes)

    def _is_guess_good(self, keys: int) -> bool:
        """Whether a leaf with so many keys is asked for as a whole before anything is known of it."""
        with self._lock:
            if len(self._guesses) == _GUESSES and all(use.asked < MANY for use in self._guesses):
                self._chunk_bytes = None
                self._guesses.clear()
            return self._chunk_bytes is not None and 0 < keys * self._chunk_bytes <= MAX_LEAF_BYTES

    def _whole_leaf(self, leaf: bytes) -> Blocks:
        """The blocks of a leaf of which nothing is known yet but that many will likely be wanted."""
        size = 0
        for cid, data in self.far.get_dag(leaf):
            if not size:
                with self._lock:
                    links = {link for link in binary_links(leaf, data) if self._is_missing(link)}
                    self._promise(links, self._flights[leaf])
                    use = self._use_of(leaf)
                    use.blocks = links
                    self._guesses.append(use)
            size += len(data)
            yield cid, data
            if size > 2 * MAX_LEAF_BYTES:
                return
