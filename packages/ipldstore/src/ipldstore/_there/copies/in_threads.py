"""Copies by threads that take keys as they come: a thread waits for a file or an answer, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Final, NamedTuple

from zarr.core.sync import sync

from .budget import Budget

_PAGE: Final = 1024
"""Keys that come from the event loop at a time: each time a thread waits for it."""


class Threads(NamedTuple):
    """How many threads copy, and what they take at a time."""

    number: int
    most: int
    """Keys that a thread takes in one go; at first it takes fewer, until they tell how large chunks are."""
    most_bytes: int
    """Bytes that a thread takes in one go, as far as the largest chunk so far tells."""


def copy_in_threads(
    keys: AsyncGenerator[str, None], budget: Budget, threads: Threads, copy: Callable[[list[str]], None]
) -> None:
    """Let threads copy keys, and return when all have ended. After an error no further keys are taken.

    :param copy: copies some keys
    :raises Exception: the first error of a thread, or of the listing
    """
    left = _each(keys)
    lock = threading.Lock()
    stopped = threading.Event()
    length = 1

    def take() -> list[str]:
        nonlocal length
        batch: list[str] = []
        with lock:
            for key in left if not stopped.is_set() else ():
                batch.append(key)
                if len(batch) >= min(length, threads.most_bytes // budget.size(key)):
                    break
            length = min(2 * length, threads.most)
        return batch

    def work() -> None:
        try:
            while batch := take():
                with budget.held_here(max(map(budget.size, batch))):
                    copy(batch)
        except BaseException:
            stopped.set()
            raise

    try:
        with ThreadPoolExecutor(threads.number, "copy") as pool:
            try:
                for task in as_completed([pool.submit(work) for _ in range(threads.number)]):
                    task.result()
            finally:
                stopped.set()  # also where the caller is interrupted
    finally:
        sync(keys.aclose())  # a listing of a zip file holds its lock


def _each(keys: AsyncGenerator[str, None]) -> Iterator[str]:
    """Yield keys that an event loop lists, in threads without one."""

    async def page() -> list[str]:
        found: list[str] = []
        async for key in keys:
            found.append(key)
            if len(found) == _PAGE:
                break
        return found

    while found := sync(page()):
        yield from found
