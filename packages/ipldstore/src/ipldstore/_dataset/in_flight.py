"""Operations of this process, and the collections of garbage that run beside them.

An operation puts blocks, and links them later from a root, a head or a session: until then nothing else shows that they
are needed. So a collection takes for young what was put since the oldest operation began (:func:`longest`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from weakref import WeakValueDictionary

from ipld_castore import ContentAddressableStore
from ipld_castore.concurrency import ForkLocal

_operations: Final[ForkLocal[dict[object, tuple[ContentAddressableStore, float]]]] = ForkLocal(dict)
"""The block store of each operation, and since when it runs, by the monotonic clock."""


def begin(castore: ContentAddressableStore) -> object:
    """Begin to put blocks into a store that are linked later; return what :func:`end` takes when they are."""
    operation = object()
    _operations.value[operation] = castore, time.monotonic()
    return operation


def end(operation: object) -> None:
    """End an operation: its blocks are linked by now, or were given up."""
    _operations.value.pop(operation, None)  # a child that was forked meanwhile has begun none


@contextmanager
def putting(castore: ContentAddressableStore) -> Iterator[None]:
    """Put blocks into a store in this context, and link them at its end. Collections do not wait."""
    operation = begin(castore)
    try:
        yield
    finally:
        end(operation)


def longest(castore: ContentAddressableStore) -> float | None:
    """Return for how many seconds the longest operation on a store has run; None without any."""
    running = [since for other, since in list(_operations.value.values()) if other.address == castore.address]
    return time.monotonic() - min(running) if running else None


class _Lock:
    def __init__(self) -> None:
        self.lock = threading.RLock()


_locks: Final[ForkLocal[WeakValueDictionary[str, _Lock]]] = ForkLocal(WeakValueDictionary)
"""What collections of a store hold, by its address."""
_guard: Final = ForkLocal(threading.Lock)
"""Held while a lock is looked up."""


@contextmanager
def collecting(castore: ContentAddressableStore) -> Iterator[None]:
    """Hold off operations of this process that link blocks which are there already, and other collections."""
    with _guard.value:
        found = _locks.value.setdefault(castore.address, _Lock())
    with found.lock:
        yield


@contextmanager
def linking(castore: ContentAddressableStore) -> Iterator[None]:
    """Hold off collections while something is linked that may be garbage, without being put again."""
    with collecting(castore), putting(castore):
        yield
