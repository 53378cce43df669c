"""Fetching what a walk over a graph asks for next, before it does."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Container, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

from .ordered import THREADS

_NEAR: Final = 32
"""Blocks that wait in the walk and are fetched before it comes to them; each has at most 2 MiB."""
_FAR_BYTES: Final = 32 << 20
"""Bytes of blocks that have come and wait for the walk, from which on nothing is fetched that is further away."""
_MOST_FAR: Final = 1 << 17
"""Links that are kept until they are fetched. The walk itself comes to those beyond."""

Below = Callable[[bytes, bytes], Iterable[bytes]]
"""Gives the keys of the blocks that a block links; for a block that cannot be read, none. Called from several threads.
"""


class ReadAhead:
    """Fetches the blocks that a walk asks for next, while it parses those before.

    A walk knows what it asks for next only as far as it has come. With ``below``, each block that has come leads on to
    those that it links, while the walk waits elsewhere: a graph that is deep and narrow, such as a history, takes as
    many round trips as it has levels, and not one a block. In memory are up to 32 MiB and 32 blocks, beside those that
    are on their way.

    Use it from one thread, in a ``with`` statement.

    :param get: gives a block by its binary CID; called from several threads
    :param threads: calls at a time
    :param below: what a block links; None if only blocks that the walk has met are fetched
    """

    def __init__(self, get: Callable[[bytes], bytes], *, threads: int = THREADS, below: Below | None = None) -> None:
        self._get = get
        self._threads = threads
        self._below = below
        self._pool: ThreadPoolExecutor | None = None
        self._begun: dict[bytes, Future[bytes]] = {}
        """Blocks that are fetched, or have come and wait."""
        self._near: set[bytes] = set()
        """Those of them that the walk has met."""
        self._lock = threading.Lock()
        """Held for what follows, and for adding to what is begun."""
        self._far: deque[bytes] = deque()
        self._far_calls = 0
        """Calls for blocks that the walk has not met, which have not returned."""
        self._held_bytes = 0
        self._seen: Container[bytes] = ()
        self._closed = False

    def ahead(self, waiting: Sequence[bytes], seen: Container[bytes]) -> None:
        """Begin to fetch the blocks that come next; see :func:`ipld_car.walk_binary`."""
        if len(waiting) < 2 and not self._begun:
            return
        self._seen = seen
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads)
        with self._lock:
            for cid in reversed(waiting[-_NEAR:]):
                if len(self._near) >= _NEAR:
                    break
                if cid not in seen and cid not in self._near:
                    self._near.add(cid)
                    if cid not in self._begun:
                        self._begun[cid] = self._pool.submit(self._fetch, cid, is_far=False)
            self._fetch_far()

    def _fetch(self, cid: bytes, *, is_far: bool) -> bytes:
        """Fetch a block, and begin to fetch what it links."""
        size, links = 0, list[bytes]()
        try:
            data = self._get(cid)
            size = len(data)
            links += self._below(cid, data) if self._below is not None else ()
            return data
        finally:
            with self._lock:
                self._held_bytes += size
                self._far_calls -= is_far
                self._far.extend(links[: max(0, _MOST_FAR - len(self._far))])
                self._fetch_far()

    def _fetch_far(self) -> None:
        """Begin to fetch blocks that the walk has not met, as many as may be; the caller holds the lock."""
        while self._far and self._far_calls < self._threads and self._held_bytes < _FAR_BYTES and not self._closed:
            cid = self._far.popleft()
            if cid not in self._begun and cid not in self._seen and self._pool is not None:
                self._far_calls += 1
                self._begun[cid] = self._pool.submit(self._fetch, cid, is_far=True)

    def get(self, cid: bytes) -> bytes:
        """Return a block, fetched already or not."""
        with self._lock:
            begun = self._begun.pop(cid, None)
            self._near.discard(cid)
        try:
            if begun is None:
                return self._get(cid)
            data = begun.result()
        finally:
            del begun  # it holds the error, whose traceback holds this frame
        with self._lock:
            self._held_bytes -= len(data)
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._closed = True
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
