"""Bounds for all that comes from a server: its status, its headers and its body.

The timeout of a socket holds for each read. A server that sends one byte now and then never exceeds it, and never
comes to an end. Here the bytes are counted: a server that sends less than :data:`MIN_BYTES` within the timeout is too
slow. A server can also send without end what http.client skips, such as trailers, informational responses and chunk
extensions; so each read of a body has a budget of bytes.
"""

from __future__ import annotations

import time
from http.client import HTTPResponse
from io import BufferedReader, RawIOBase
from typing import TYPE_CHECKING, Any, Final

from urllib3 import BaseHTTPResponse, HTTPConnectionPool

from .errors import TooMuchOverheadError, TooSlowError

if TYPE_CHECKING:
    from typing_extensions import Buffer  # comes with the type checker; in collections.abc from Python 3.12 on

MIN_BYTES: Final = 16 << 10
"""The bytes that must come within a timeout."""

_BUFFER_BYTES: Final = 64 << 10

_HEAD_BYTES: Final = 1 << 20
"""The most bytes before a body, and the most overhead of one read beside that of its chunks."""

_OVERHEAD: Final = 8
"""The most bytes on the wire for each byte of a body: six where each is a chunk of its own."""


class Watch(RawIOBase):
    """A stream that raises when too few bytes come through it.

    :param raw: the stream to read
    :param timeout: the seconds of waiting in which :data:`MIN_BYTES` must come; None waits for ever
    """

    def __init__(self, raw: RawIOBase, timeout: float | None) -> None:
        self._raw = raw
        self._timeout = timeout
        self._waited = 0.0
        self._received = 0
        self._budget = _HEAD_BYTES

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Buffer, /) -> int | None:
        """Read into a buffer and return the number of bytes, 0 at the end.

        :raises TooSlowError: if fewer than :data:`MIN_BYTES` came within the timeout
        :raises TooMuchOverheadError: if more came than the last :meth:`allow` explains
        """
        start = time.monotonic()
        count: int | None = self._raw.readinto(buffer)
        self._waited += time.monotonic() - start
        self._received += count or 0
        self._budget -= count or 0
        if self._budget < 0:
            raise TooMuchOverheadError
        if self._timeout is not None and self._waited > self._timeout:
            if count and self._received < MIN_BYTES:
                raise TooSlowError(self._received, self._waited)
            self.restart()
        return count

    def allow(self, size: int) -> None:
        """Allow as many bytes as a read of ``size`` bytes of the body can need."""
        self._budget = size * _OVERHEAD + _HEAD_BYTES

    def restart(self) -> None:
        """Restart the timeout."""
        self._waited, self._received = 0.0, 0

    def close(self) -> None:
        """Close the stream and the one below."""
        super().close()
        self._raw.close()


class _WatchedResponse(HTTPResponse):
    """A response of http.client that is read through a :class:`Watch`."""

    def __init__(self, connection: Any, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        watch = connection.watch = Watch(self.fp.detach(), sock.gettimeout())
        self.fp: BufferedReader = BufferedReader(watch, _BUFFER_BYTES)


def _respond(connection: Any, *args: Any, **kwargs: Any) -> _WatchedResponse:
    """Make the response of a connection. A function, which becomes a method of the connection's class."""
    return _WatchedResponse(connection, *args, **kwargs)


def watch_pool(pool: HTTPConnectionPool, *, until_close: bool = False) -> None:
    """Watch all responses on the connections of a pool; the timeout is that of their reads.

    :param until_close: whether to speak HTTP/1.0, in which a body of unknown length has no chunks and ends with the
        connection: https://www.rfc-editor.org/rfc/rfc9112#section-6.3
    """
    kind = pool.ConnectionCls
    if not hasattr(kind, "watch"):
        more: dict[str, Any] = {"response_class": _respond, "watch": None}
        if until_close:
            more |= {"_http_vsn": 10, "_http_vsn_str": "HTTP/1.0"}
        pool.ConnectionCls = type(kind.__name__, (kind,), more)


def watch_of(response: BaseHTTPResponse) -> Watch | None:
    """Return the watch over a response that is still to be read; None if all of it is here."""
    watch: Watch | None = getattr(response.connection, "watch", None)
    return watch
