"""A server over a block store that answers as gateways and nodes do, and misbehaves on demand."""

from __future__ import annotations

import socket
import socketserver
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Protocol, Self
from urllib.parse import parse_qs, unquote, urlsplit

from ipld_car import CarError

from ipld_castore._backends.filesystem import FileSystemCAStore
from ipld_castore._backends.mapping import MappingCAStore
from ipld_castore.errors import CAStoreError

from .gateway_side import AnyRequest, GatewaySide
from .node_blocks import NodeBlocks
from .replies import Reply, text_reply
from .rpc_side import RPCSide

_MAX_BODY_BYTES: Final = 256 << 20


@dataclass
class Request:
    """A request that the server received, and what became of it."""

    method: str
    path: str
    """Without the query, percent signs decoded."""
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    body: bytes = b""
    """The bytes of the body that were read."""
    arrived: float = 0.0
    """When the request arrived, by ``time.monotonic()``."""
    answered: float | None = None
    """When the response was sent, by ``time.monotonic()``; None before."""
    version: str = "HTTP/1.1"
    """The version of HTTP in the request."""
    connection: int = 0
    """The number of the connection; one connection carries many requests."""
    status: int | None = None
    """The status of the response; None if there was no response."""

    def option(self, name: str, default: str = "") -> str:
        """Return the last value of a name in the query, or a default."""
        return self.query.get(name, [default])[-1]

    def __str__(self) -> str:
        query = "&".join(f"{name}={value}" for name, values in self.query.items() for value in values)
        return f"{self.method} {self.path}{'?' if query else ''}{query}"


class Exchange:
    """A request while it is answered. A :class:`Fault` gets it, and answers in its own way."""

    def __init__(self, server: BlockServer, handler: BaseHTTPRequestHandler, request: Request) -> None:
        self.server = server
        self.request = request
        self._handler = handler

    @property
    def connection(self) -> socket.socket:
        """The server's end of the connection."""
        connection: socket.socket = self._handler.connection
        return connection

    def reply(self) -> Reply:
        """Read the whole request, and return the right response."""
        self.read_body()
        return self.server.reply_to(self.request)

    def read_body(self, limit: int = _MAX_BODY_BYTES) -> bytes:
        """Return the body of the request, or its first ``limit`` bytes. A second call returns the same bytes."""
        if not self.request.body:
            self.request.body = _read_body(self._handler, limit)
        return self.request.body

    def send(self, reply: Reply) -> None:
        """Send a response. A body without ``Content-Length`` is sent in chunks; an error in it ends it in the middle.

        A client of HTTP/1.0 knows no chunks, and gets the body until the connection is closed.
        """
        handler = self._handler
        self.request.status = reply.status
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        chunked = "Content-Length" not in reply.headers and self.request.version != "HTTP/1.0"
        if chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        if self.request.method == "HEAD":
            return
        for piece in reply.body:
            if piece:
                handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                if not reply.buffered:
                    handler.wfile.flush()
        if chunked:
            handler.wfile.write(b"0\r\n\r\n")

    def hang_up(self) -> None:
        """Close the connection after the bytes that were sent."""
        self._handler.close_connection = True

    def reset(self) -> None:
        """Reset the connection (TCP RST), as a machine does that does not know it."""
        connection = self.connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.hang_up()
        socket.close(connection.detach())  # the streams over this object would keep it open

    def wait(self, seconds: float) -> bool:
        """Wait, but not longer than the server runs; return whether it still runs."""
        return not self.server.stopping.wait(seconds)


@dataclass(frozen=True)
class Fault:
    """A way in which a server fails to answer a request. :mod:`ipld_castore.testing.faults` has many.

    >>> from ipld_castore.testing import BlockServer, Fault
    >>> hang_up = Fault("hang up", lambda exchange: exchange.hang_up())
    >>> with BlockServer() as server:
    ...     server.inject(hang_up, times=3, where="format=raw")
    """

    name: str
    act: Callable[[Exchange], None]
    """Answers the request, or does not."""
    before_body: bool = False
    """Whether the fault begins before the body of the request has been read."""

    def __str__(self) -> str:
        return self.name


class Side(Protocol):
    """A kind of requests that a server answers."""

    def reply_to(self, request: AnyRequest) -> Reply | None:
        """Return the response; None for requests of another kind."""


@dataclass
class _Injected:
    fault: Fault
    where: Callable[[Request], bool]
    left: int | None


class BlockServer:
    """A trustless gateway and the RPC of an IPFS node over a block store, on a free port of this machine.

    The server counts requests, adds latency, and fails when a fault of :mod:`~ipld_castore.testing.faults` is
    injected. It serves bytes as the store has them, unverified, so a damaged block comes out damaged. Of the RPC it
    knows the commands that block stores need: ``block/*``, ``dag/import``, ``dag/export``, ``refs/local``, ``pin/*``,
    ``key/*``, ``name/*``, ``id``, ``version``. Pins and names are kept in memory. Threads may share a server.

    :param blocks: the store, by default an empty one in memory
    :param latency: the seconds by which every response is late

    >>> from ipld_castore import GatewayCAStore
    >>> with BlockServer() as server:
    ...     cid = server.blocks.put(b"hello")
    ...     GatewayCAStore(server.url).get(cid), len(server.requests)
    (b'hello', 1)
    """

    def __init__(self, blocks: MappingCAStore | FileSystemCAStore | None = None, *, latency: float = 0.0) -> None:
        self.blocks: MappingCAStore | FileSystemCAStore = MappingCAStore() if blocks is None else blocks
        self.latency = latency
        self.requests: list[Request] = []
        """The requests since the last :meth:`forget`, in the order in which they arrived."""
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._faults: list[_Injected] = []
        node_blocks = NodeBlocks(self.blocks)
        self._sides: tuple[Side, ...] = (RPCSide(node_blocks), GatewaySide(node_blocks))
        self._connections: set[socket.socket] = set()
        self._count = 0
        self._port = 0
        self._http: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The URL of the gateway, and the address of the node's RPC."""
        return f"http://127.0.0.1:{self._port}"

    # -- start and stop --

    def start(self) -> None:
        """Listen on a free port, or on the port of the last time."""
        self.stopping = threading.Event()
        self._http = _Server(("127.0.0.1", self._port), self)
        self._port = self._http.server_port
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, and break all connections, even in the middle of responses."""
        self.stopping.set()
        if self._http is not None and self._thread is not None:
            self._http.shutdown()
            self._thread.join()
            self._http.server_close()
            with self._lock:
                left = list(self._connections)
            for connection in left:
                _shut(connection)
            self._http = self._thread = None

    def restart(self) -> None:
        """Stop, and start again on the same port. Blocks and pins are still there."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- for tests --

    def inject(self, fault: Fault, *, times: int | None = 1, where: str | Callable[[Request], bool] = "") -> None:
        """Answer requests by a fault from now on. Of several faults that fit a request the oldest is taken.

        :param times: the number of requests; None for all
        :param where: which requests: a part of the request line, as ``"block/put"`` or ``"format=car"``, or a function
        """
        chosen = (lambda request: where in str(request)) if isinstance(where, str) else where
        with self._lock:
            self._faults.append(_Injected(fault, chosen, times))

    def heal(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def forget(self) -> None:
        """Empty :attr:`requests`."""
        with self._lock:
            self.requests = []

    @property
    def rounds(self) -> int:
        """The length of the longest sequence of requests in which each arrived after the one before was answered.

        A client has waited for so many round trips. Requests that were in flight together count once.
        """
        spans = sorted((request.answered, request.arrived) for request in self.requests if request.answered is not None)
        count, end = 0, 0.0
        for answered, arrived in spans:
            if arrived >= end:
                count, end = count + 1, answered
        return count

    @property
    def most_in_flight(self) -> int:
        """The most requests that were in flight at one time."""
        events = [(request.arrived, 1) for request in self.requests]
        events += [(request.answered, -1) for request in self.requests if request.answered is not None]
        count = most = 0
        for _, change in sorted(events):
            count += change
            most = max(most, count)
        return most

    # -- for the handlers --

    def reply_to(self, request: Request) -> Reply:
        """Return the right response to a request."""
        for side in self._sides:
            reply = side.reply_to(request)
            if reply is not None:
                return reply
        return text_reply(404, "404 page not found")

    def _answer(self, exchange: Exchange) -> None:
        request = exchange.request
        with self._lock:
            self.requests.append(request)
            chosen = next((each for each in self._faults if each.where(request)), None)
            if chosen is not None and chosen.left is not None:
                chosen.left -= 1
                if not chosen.left:
                    self._faults.remove(chosen)
        if chosen is None or not chosen.fault.before_body:
            exchange.read_body()
        if self.latency:
            self.stopping.wait(self.latency)
        try:
            if chosen is None:
                exchange.send(exchange.reply())
            else:
                chosen.fault.act(exchange)
        finally:
            request.answered = time.monotonic()

    def _opened(self, connection: socket.socket) -> int:
        with self._lock:
            self._connections.add(connection)
            self._count += 1
            return self._count

    def _closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.discard(connection)


class _Server(ThreadingHTTPServer):
    """The HTTP server, with a thread for each connection."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], owner: BlockServer) -> None:
        self.owner = owner
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print errors, but not those of connections that break."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    server: socketserver.BaseServer

    def setup(self) -> None:
        super().setup()
        assert isinstance(self.server, _Server)  # noqa: S101  # no other makes it
        self.owner = self.server.owner
        self.number = self.owner._opened(self.connection)  # noqa: SLF001  # parts of one server

    def finish(self) -> None:
        self.owner._closed(self.connection)  # noqa: SLF001  # as above
        super().finish()

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        request = Request(
            method=self.command,
            path=unquote(parts.path),
            query=parse_qs(parts.query, keep_blank_values=True),
            headers={name.lower(): value for name, value in self.headers.items()},
            arrived=time.monotonic(),
            version=self.request_version,
            connection=self.number,
        )
        try:
            self.owner._answer(Exchange(self.owner, self, request))  # noqa: SLF001  # as above
        except (CAStoreError, CarError):  # the response has begun, and can only be broken off
            self.close_connection = True
        self.wfile.flush()

    do_GET = do_HEAD = do_POST = do_DELETE = _handle  # noqa: N815  # names of http.server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # name of http.server
        pass


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):  # the client was first
        connection.shutdown(socket.SHUT_RDWR)


def _read_body(handler: BaseHTTPRequestHandler, limit: int) -> bytes:
    """Return the body of a request, with a length or in chunks, up to ``limit`` bytes."""
    if handler.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return handler.rfile.read(min(int(handler.headers.get("Content-Length", 0)), limit))
    return b"".join(_chunks(handler, limit))


def _chunks(handler: BaseHTTPRequestHandler, limit: int) -> Iterable[bytes]:
    while limit > 0:
        size = int(handler.rfile.readline(1024).partition(b";")[0], 16)
        yield handler.rfile.read(min(size, limit))
        limit -= size
        handler.rfile.readline(1024)
        if not size:
            return
