"""Threads that wait for blocks that are far away: many, as waiting costs nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Final, TypeVar

T = TypeVar("T")

THREADS: Final = 64
"""Requests that all stores of a process may have under way; asyncio's own threads are a few more than processors."""

_pool: tuple[int, ThreadPoolExecutor] | None = None


def _threads() -> ThreadPoolExecutor:
    global _pool  # noqa: PLW0603  # one for the process: they are made when they are first needed
    if _pool is None or _pool[0] != os.getpid():  # a fork has none of its parent's threads
        _pool = (os.getpid(), ThreadPoolExecutor(THREADS, thread_name_prefix="ipldstore"))
    return _pool[1]


async def in_far_thread(action: Callable[[], T]) -> T:
    """Return the result of an action that waits for a network: as ``asyncio.to_thread``, with more threads."""
    context = copy_context()
    return await asyncio.get_running_loop().run_in_executor(_threads(), lambda: context.run(action))
