"""Threads that wait for blocks that are far away: more than asyncio has, as waiting takes no processor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Final, TypeVar

from ipld_castore.concurrency import ForkLocal

T = TypeVar("T")

THREADS: Final = 64
"""Requests of all stores of a process at one time, at most; asyncio has a few threads more than processors."""

_threads: Final = ForkLocal(lambda: ThreadPoolExecutor(THREADS, thread_name_prefix="ipldstore"))
"""One pool for the process; it starts threads when they are needed."""
_ends: Final = ForkLocal(lambda: ThreadPoolExecutor(THREADS, thread_name_prefix="ipldstore-end"))
_requests: Final = ForkLocal(lambda: ThreadPoolExecutor(THREADS, thread_name_prefix="ipldstore-request"))


async def in_far_thread(action: Callable[[], T]) -> T:
    """Run an action that waits for a network, as ``asyncio.to_thread`` does, with more threads; return its result."""
    return await _run(_threads.value, action)


async def in_end_thread(action: Callable[[], T]) -> T:
    """Run an action that actions of :func:`in_far_thread` may wait for, in a thread of its own; return its result."""
    return await _run(_ends.value, action)


async def in_request_thread(action: Callable[[], T]) -> T:
    """Run an action that waits for the network alone, and for which other actions may wait; return its result."""
    return await _run(_requests.value, action)


async def _run(pool: ThreadPoolExecutor, action: Callable[[], T]) -> T:
    context = copy_context()
    return await asyncio.get_running_loop().run_in_executor(pool, lambda: context.run(action))
