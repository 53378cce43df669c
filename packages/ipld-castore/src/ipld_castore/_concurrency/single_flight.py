"""One call for many threads that want the same at the same time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Flights(Generic[T]):
    """Calls under way, by key. Safe with threads; a fork begins with none, as their threads are not in it."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._running: dict[bytes, Future[T]] = {}

    def once(self, key: bytes, action: Callable[[], T]) -> T:
        """What ``action`` returns, or raises: here, or in the thread that has already begun it for this key."""
        if self._process != os.getpid():
            self._process, self._lock, self._running = os.getpid(), threading.Lock(), {}
        while True:
            with self._lock:
                flight = self._running.get(key)
                mine = flight is None
                if flight is None:
                    flight = self._running[key] = Future()
            if mine:
                return self._fly(key, flight, action)
            try:
                return flight.result()
            except CancelledError:
                continue  # its thread was interrupted, which is nothing to this one

    def _fly(self, key: bytes, flight: Future[T], action: Callable[[], T]) -> T:
        try:
            result = action()
        except Exception as error:
            flight.set_exception(error)
            raise
        except BaseException:
            flight.cancel()
            raise
        else:
            flight.set_result(result)
            return result
        finally:
            with self._lock:
                del self._running[key]

    def __reduce__(self) -> tuple[type[Flights[T]], tuple[()]]:
        return Flights, ()
