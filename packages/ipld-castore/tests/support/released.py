"""What shows that after an error nothing depends on the garbage collector: no cycles, open sockets or kept blocks."""

from __future__ import annotations

import gc
import socket
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import pytest
from ipld_castore import CAStoreError
from urllib3.util import connection

Sockets = list[weakref.ref[socket.socket]]

_others: set[threading.Thread] = set()
"""Threads that were there before the test: other tests of this process leave pools of zarr and dask behind."""


@contextmanager
def no_cycles() -> Iterator[None]:
    """Fail if the body leaves an error, a frame or a traceback to the garbage collector."""
    _others.clear()
    _others.update(threading.enumerate())
    # What the body makes is the youngest generation: to look at all that is older would take most of the time.
    gc.disable()
    gc.collect(0)
    try:
        yield
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect(0)
        left = [each for each in gc.garbage if isinstance(each, (BaseException, types.FrameType, types.TracebackType))]
        shown = [repr(each)[:300] for each in left]
        del left
        assert not shown
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def fails(action: Callable[[], object]) -> bool:
    """Return whether it raised an error of the stores."""
    try:
        action()
    except CAStoreError:
        return True
    return False


def watch_sockets(monkeypatch: pytest.MonkeyPatch) -> Sockets:
    """Return a list that will have all sockets that the HTTP client opens."""
    opened: Sockets = []
    connect = connection.create_connection

    def remember(*args: Any, **kwargs: Any) -> socket.socket:
        made = connect(*args, **kwargs)
        opened.append(weakref.ref(made))
        return made

    monkeypatch.setattr(connection, "create_connection", remember)
    return opened


def join_threads() -> None:
    """Check that all threads end that the stores have started since :func:`no_cycles` began."""
    for thread in {*threading.enumerate()} - _others:
        if thread.name.startswith(("ipld-castore", "ThreadPoolExecutor")):
            thread.join(60)
            assert not thread.is_alive()


def let_go(sockets: Sockets) -> None:
    """Check that all sockets are closed and all threads of the store end, with the garbage collector off."""
    join_threads()
    assert sockets
    assert [each for each in map(_living, sockets) if each] == []


def _living(reference: weakref.ref[socket.socket]) -> str | None:
    found = reference()
    return None if found is None or found.fileno() < 0 else repr(found)


class Block(bytes):
    """A block of which can be told whether it is still in memory."""

    alive = 0

    def __new__(cls, data: bytes) -> Self:
        cls.alive += 1
        return super().__new__(cls, data)

    def __del__(self) -> None:
        type(self).alive -= 1
