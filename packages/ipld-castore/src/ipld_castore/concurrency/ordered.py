"""Several calls at a time, their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from types import TracebackType
from typing import Final, Self, TypeVar

A = TypeVar("A")
R = TypeVar("R")

THREADS: Final = 8
"""Calls at a time; more do not run faster in Python."""

_AHEAD: Final = 32
"""Calls that are begun before their result is wanted; each holds a block of at most 2 MiB in memory."""


def in_order(action: Callable[[A], R], items: Iterable[A], *, threads: int = THREADS) -> Iterator[tuple[A, R]]:
    """Yield each item and what the action returns for it, in the order of the items.

    The calls for the next items run meanwhile, at most 32 or twice the number of threads of them.

    :param threads: calls at a time
    """
    left = iter(items)
    first = list(islice(left, 2))
    if len(first) < 2:  # one call needs no thread
        for item in first:
            yield item, action(item)
        return
    pool = ThreadPoolExecutor(threads)
    ahead = max(_AHEAD, 2 * threads)
    try:
        waiting: deque[tuple[A, Future[R]]] = deque((item, pool.submit(action, item)) for item in first)
        waiting.extend((item, pool.submit(action, item)) for item in islice(left, ahead - len(first)))
        while waiting:
            item, future = waiting.popleft()
            try:
                result = future.result()
            finally:
                del future  # it holds the error, whose traceback holds this frame
            waiting.extend((item, pool.submit(action, item)) for item in islice(left, 1))
            yield item, result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class ReadAhead:
    """Fetches the blocks that a walk asks for next, while it parses those before.

    :param get: gives a block by its binary CID; called from several threads
    :param threads: calls at a time
    """

    def __init__(self, get: Callable[[bytes], bytes], *, threads: int = THREADS) -> None:
        self._get = get
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._begun: dict[bytes, Future[bytes]] = {}

    def ahead(self, waiting: Sequence[bytes], seen: Container[bytes]) -> None:
        """Begin to fetch the blocks that come next; see :func:`ipld_car.walk_binary`."""
        if len(waiting) < 2 and not self._begun:
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads)
        for cid in reversed(waiting[-_AHEAD:]):
            if len(self._begun) >= _AHEAD:
                return
            if cid not in seen and cid not in self._begun:
                self._begun[cid] = self._pool.submit(self._get, cid)

    def get(self, cid: bytes) -> bytes:
        """Return a block, fetched already or not."""
        begun = self._begun.pop(cid, None)
        try:
            return self._get(cid) if begun is None else begun.result()
        finally:
            del begun  # it holds the error, whose traceback holds this frame

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
