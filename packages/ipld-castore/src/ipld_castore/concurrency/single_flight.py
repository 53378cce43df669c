"""One call for many threads that want the same at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Generic, TypeVar

from .fork import ForkLocal

T = TypeVar("T")


class InFlight(Generic[T]):
    """The calls that are running, by key: of the threads that want a key one calls, the others wait for its result.

    Safe with threads. A forked child has no running calls, as their threads are not in it; neither has a pickle.

    >>> InFlight().fetch(b"key", lambda: "result")
    'result'
    """

    def __init__(self) -> None:
        self._state: ForkLocal[_Running[T]] = ForkLocal(_Running)

    def fetch(self, key: bytes, action: Callable[[], T]) -> T:
        """Return the result of ``action``, or raise its error; another thread may run it for this key.

        A thread that is interrupted (:class:`KeyboardInterrupt`) does not interrupt those that wait for it: one of them
        calls ``action`` again.
        """
        running = self._state.value
        while True:
            future, is_own = running.register(key)
            try:
                return running.finish(key, future, action) if is_own else future.result()
            except CancelledError:
                if is_own:
                    raise
            finally:
                del future  # it holds the error, whose traceback holds this frame

    def __reduce__(self) -> tuple[type[InFlight[T]], tuple[()]]:
        return InFlight, ()


class _Running(Generic[T]):
    """The running calls of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._futures: dict[bytes, Future[T]] = {}

    def register(self, key: bytes) -> tuple[Future[T], bool]:
        """Return the future of a key, and whether the caller is the one that must finish it."""
        with self._lock:
            future = self._futures.get(key)
            if future is not None:
                return future, False
            future = self._futures[key] = Future()
            return future, True

    def finish(self, key: bytes, future: Future[T], action: Callable[[], T]) -> T:
        """Call, and give the result or the error to all that wait."""
        try:
            return settle(future, action)
        finally:
            with self._lock:
                del self._futures[key]
            del future  # it holds the error, whose traceback holds this frame


def settle(future: Future[T], action: Callable[[], T]) -> T:
    """Call, give the result or the error to a future, and return or raise it; an interrupt cancels the future."""
    try:
        result = action()
    except Exception as error:
        future.set_exception(error)
        raise
    except BaseException:
        future.cancel()
        raise
    else:
        future.set_result(result)
        return result
    finally:
        del future  # it holds the error, whose traceback holds this frame
