"""Several calls at a time, their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Final, TypeVar

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

    >>> list(in_order(len, ["a", "bc", "def"]))
    [('a', 1), ('bc', 2), ('def', 3)]
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
