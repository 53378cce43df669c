"""Timeouts of HTTP clients that a test server ends: tests of silence wait for nothing and depend on no clock."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

from ipld_castore._http import deadline

from . import block_server

if TYPE_CHECKING:
    from typing_extensions import Buffer  # comes with the type checker; in collections.abc from Python 3.12 on

_ENDLESS: Final = 3600.0
"""A server that waits for so many seconds will send nothing more."""
_DRIP_READS: Final = 10
"""How many reads of a connection that drips take as long as the timeout."""
_POLL_SECONDS: Final = 0.002

_Ends = tuple[object, object]
"""The addresses of a connection's client and server."""


class Timeouts:
    """What is known of the connections between test servers and clients while :func:`expiring_timeouts` is open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stalled: set[_Ends] = set()
        self._dripping: set[_Ends] = set()

    def expire(self, connection: socket.socket) -> None:
        """End the timeout of the client, as nothing more will come.

        :param connection: the server's end of the connection
        """
        with self._lock:
            self._stalled.add((connection.getpeername(), connection.getsockname()))

    def drip(self, connection: socket.socket) -> None:
        """Let each read of the client take a tenth of its timeout from now on.

        :param connection: the server's end of the connection
        """
        with self._lock:
            self._dripping.add((connection.getpeername(), connection.getsockname()))

    def wait(self, connection: socket.socket) -> bool:
        """Wait until there is something to read, and return whether the connection drips.

        :param connection: the client's end of the connection
        :raises TimeoutError: if the server has said that nothing will come
        """
        ends = connection.getsockname(), connection.getpeername()
        while not select.select([connection], [], [], _POLL_SECONDS)[0]:
            with self._lock:
                has_stalled = ends in self._stalled
            # What the server has sent before it said so may have come since the look above.
            if has_stalled and not select.select([connection], [], [], 0)[0]:
                raise TimeoutError("timed out")  # as a socket does, after its timeout
        with self._lock:
            return ends in self._dripping


@contextmanager
def expiring_timeouts() -> Iterator[Timeouts]:
    """Let the timeouts of this package's HTTP clients end when a :class:`BlockServer` stalls, at once and only then.

    Give the client a timeout that no load of the machine exceeds. A server that drips bytes is too slow after ten
    reads. The timeouts of connecting stay.

    >>> from ipld_castore import BackendUnavailableError, GatewayCAStore
    >>> from ipld_castore.testing import BlockServer, expiring_timeouts, faults
    >>> with BlockServer() as server, expiring_timeouts():
    ...     cid = server.blocks.put(b"hello")
    ...     server.inject(faults.stall(), times=None)
    ...     try:
    ...         GatewayCAStore(server.url, timeout=600, retries=0).get(cid)
    ...     except BackendUnavailableError as error:
    ...         print("silent for 600 s" in str(error))
    True
    """
    timeouts = Timeouts()
    exchange_wait = block_server.Exchange.wait

    class ExpiringWatch(deadline.Watch):
        def __init__(self, raw: Any, timeout: float | None) -> None:
            super().__init__(raw, timeout)
            self._connection: socket.socket = raw._sock  # noqa: SLF001  # the only way from a socket's stream to it

        def readinto(self, buffer: Buffer, /) -> int | None:
            if timeouts.wait(self._connection) and self._timeout is not None:
                self._waited += self._timeout / _DRIP_READS
            return super().readinto(buffer)

    def wait(exchange: block_server.Exchange, seconds: float) -> bool:
        if seconds >= _ENDLESS:
            timeouts.expire(exchange.connection)
        else:
            timeouts.drip(exchange.connection)
            seconds = min(seconds, _POLL_SECONDS)
        return exchange_wait(exchange, seconds)

    with mock.patch.object(deadline, "Watch", ExpiringWatch), mock.patch.object(block_server.Exchange, "wait", wait):
        yield timeouts
