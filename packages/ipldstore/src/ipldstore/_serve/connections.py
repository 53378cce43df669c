"""Connections that visitors hold open: how long each may take to send a request, and to take its answer."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from typing import Any, Final, cast

from .limits import Limits

HEAD_SECONDS: Final = 30.0
"""How long a connection may be open without a request on it."""
_EACH: Final = 2
"""Connections for each request that is answered at a time; further ones are closed at once."""

_NO_LINGERING: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)

Address = tuple[str, int]


class Connections:
    """The open connections by the addresses of their visitors.

    A visitor that sends nothing, or reads nothing, keeps a connection for a bounded time, and no place among the
    requests that are answered.

    :param head_seconds: see :data:`HEAD_SECONDS`
    """

    def __init__(self, limits: Limits, head_seconds: float = HEAD_SECONDS) -> None:
        self._limits = limits
        self._head_seconds = head_seconds
        self._open: dict[Address, _Deadline] = {}

    def begin(self, visitor: Address | None) -> None:
        """Note that a request has come: its answer has the seconds of the limits."""
        deadline = self._of(visitor)
        if deadline is not None:
            deadline.begin_answer(self._limits.seconds)

    def end(self, visitor: Address | None) -> None:
        """Note that a request was answered: the next one has the seconds for a head."""
        deadline = self._of(visitor)
        if deadline is not None:
            deadline.set(self._head_seconds)

    def _of(self, visitor: Address | None) -> _Deadline | None:
        return None if visitor is None else self._open.get((visitor[0], visitor[1]))

    def opened(self, transport: asyncio.Transport) -> None:
        """Note a new connection."""
        if len(self._open) >= _EACH * self._limits.requests:
            transport.abort()
            return
        deadline = self._open[_address_of(transport)] = _Deadline(transport)
        deadline.set(self._head_seconds)

    def closed(self, transport: asyncio.Transport) -> None:
        """Forget a connection."""
        address = _address_of(transport)
        deadline = self._open.get(address)
        if deadline is not None and deadline.transport is transport:
            deadline.cancel()
            del self._open[address]

    def protocol(self) -> type[asyncio.Protocol]:
        """Return uvicorn's protocol of HTTP, which tells of its connections here."""
        from uvicorn.protocols.http.auto import AutoHTTPProtocol

        connections = self
        # Which of the two that uvicorn has depends on what is installed.
        base = cast(Any, AutoHTTPProtocol)

        class Protocol(base):  # type: ignore[misc, valid-type]  # likewise
            def connection_made(self, transport: asyncio.Transport) -> None:
                super().connection_made(transport)
                self._connection = transport
                connections.opened(transport)

            def connection_lost(self, error: Exception | None) -> None:
                connections.closed(self._connection)
                super().connection_lost(error)

        return Protocol


class _Deadline:
    """When a connection is broken off. To move it later, as each request does, sets no timer."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self._loop = asyncio.get_running_loop()
        self._at = 0.0
        self._answer_at = 0.0
        """Until when the latest answer may be on its way."""
        self._timer: asyncio.TimerHandle | None = None

    def begin_answer(self, seconds: float) -> None:
        self._answer_at = self._loop.time() + seconds
        self.set(seconds)

    def set(self, seconds: float) -> None:
        self._at = self._loop.time() + seconds
        if self._timer is None or self._timer.when() > self._at:
            self.cancel()
            self._timer = self._loop.call_at(self._at, self._look)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Break the connection off if it is time.

        An answer is done before the visitor has all of it: on a slow line the last megabytes wait here to be sent, and
        may do so until the time of the answer is over. Then they are dropped, as the visitor may never read them.
        """
        now = self._loop.time()
        is_sending = self.transport.get_write_buffer_size() > 0
        if now >= self._at and is_sending:
            self._at = min(self._answer_at, now + HEAD_SECONDS)
        if now < self._at:
            self._timer = self._loop.call_at(self._at, self._look)
            return
        found = self.transport.get_extra_info("socket")
        if is_sending and found is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
        self.transport.abort()


def _address_of(transport: asyncio.Transport) -> Address:
    found = transport.get_extra_info("peername") or ("", id(transport))
    return str(found[0]), int(found[1])
