"""One call for many threads that each want an answer that is newer than their question."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, wait
from typing import Generic, TypeVar

from .fork import ForkLocal
from .single_flight import settle

T = TypeVar("T")


class SharedCall(Generic[T]):
    """Calls of one action: a call serves all threads that asked before it began.

    While a call runs, requests are collected, and one call after it serves them all. So each answer is at most two
    calls away, and no older than its question. Safe with threads; a forked child has no running calls.

    >>> SharedCall().call(lambda: "answer")
    'answer'
    """

    def __init__(self) -> None:
        self._state: ForkLocal[_Calls[T]] = ForkLocal(_Calls)

    def call(self, action: Callable[[], T]) -> T:
        """Return the result of ``action``, or raise its error; it begins after now, here or in another thread.

        A thread that is interrupted (:class:`KeyboardInterrupt`) does not interrupt those that wait for it: one of them
        calls ``action`` again.
        """
        calls = self._state.value
        while True:
            future, is_own, running = calls.join()
            try:
                return calls.run(future, running, action) if is_own else future.result()
            except CancelledError:
                if is_own:
                    raise
            finally:
                del future, running  # they hold errors, whose tracebacks hold this frame


class _Calls(Generic[T]):
    """The calls of one process: at most one that runs, and one that is next."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: Future[T] | None = None
        self._next: Future[T] | None = None

    def join(self) -> tuple[Future[T], bool, Future[T] | None]:
        """Return the next call, whether the caller is the one that must run it, and the call that runs now."""
        with self._lock:
            is_own = self._next is None
            if self._next is None:
                self._next = Future()
            return self._next, is_own, self._running

    def run(self, future: Future[T], running: Future[T] | None, action: Callable[[], T]) -> T:
        """Wait for the call that runs, then call, and give the result or the error to all that wait."""
        try:
            try:
                if running is not None:
                    wait([running])
            except BaseException:
                future.cancel()
                raise
            with self._lock:
                self._next, self._running = None, future
            return settle(future, action)
        finally:
            with self._lock:
                if self._next is future:
                    self._next = None
                if self._running is future:
                    self._running = None
            del future, running  # they hold errors, whose tracebacks hold this frame
