"""An HTTP proxy before a real server: it adds latency and faults, and keeps a record of what was asked.

The proxy runs in a thread. What it can do to a request is in :mod:`.proxy_faults`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlsplit

_HEAD_BYTES = 64 << 10


class Request(NamedTuple):
    """A request, as the client sent it."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    """By their names in lower case."""
    body: bytes
    raw_head: bytes

    def __str__(self) -> str:
        return f"{self.method} {self.path}{'?' if self.query else ''}{self.query}"


class Answer(NamedTuple):
    """An answer of the server; its body is whole."""

    head: bytes
    """The status line and the headers, with the empty line."""
    body: bytes

    @property
    def status(self) -> int:
        """The status code."""
        return int(self.head[9:12])


class Exchange:
    """One request, as a fault sees it."""

    def __init__(self, proxy: FaultProxy, request: Request, client: asyncio.StreamWriter, upstream: _Upstream) -> None:
        self.proxy = proxy
        self.request = request
        self._client = client
        self._upstream = upstream

    async def forward(self, request: Request | None = None) -> Answer:
        """Pass the request on, or another in its place; return the server's answer."""
        return await self._upstream.ask(request or self.request)

    async def send(self, data: bytes) -> None:
        """Send bytes to the client."""
        self._client.write(data)
        await self._client.drain()

    async def reset(self) -> None:
        """Break the connection to the client by RST."""
        sock = self._client.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._client.transport.abort()

    async def hang_up(self) -> None:
        """Close the connection to the client after what was sent."""
        self._client.close()


Fault = Callable[[Exchange], Awaitable[None]]
"""What happens to one request instead of the right answer."""


async def right(exchange: Exchange) -> None:
    """Answer as the server does."""
    answer = await exchange.forward()
    await exchange.send(answer.head + answer.body)


class _Upstream:
    """A connection to the server, made when it is needed."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: Request) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address, limit=_HEAD_BYTES)
        reader, writer = self._streams
        writer.write(request.raw_head + request.body)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        headers = _headers(head)
        code = int(head[9:12])
        if request.method == "HEAD" or code in (204, 304) or code < 200:
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            head, body = await _unchunk(reader, head)
        elif "content-length" in headers:
            body = await reader.readexactly(int(headers["content-length"]))
        else:
            body = await reader.read()
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(head, body)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}


async def _unchunk(reader: asyncio.StreamReader, head: bytes) -> tuple[bytes, bytes]:
    """Return the answer with a length in place of chunks."""
    parts = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readline()
    while (await reader.readline()).strip():
        pass
    body = b"".join(parts)
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"transfer-encoding:")]
    lines.insert(1, b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines), body


class FaultProxy:
    """A proxy on loopback, in a thread of its own.

    :param upstream: the URL of the server
    :param latency: seconds that each request takes longer
    """

    def __init__(self, upstream: str, *, latency: float = 0.0) -> None:
        parts = urlsplit(upstream)
        assert parts.hostname is not None
        self._upstream = parts.hostname, parts.port or 80
        self.latency = latency
        self.requests: list[Request] = []
        """All requests since the last :meth:`clear`, in the order in which they came."""
        self.most_in_flight = 0
        """The most requests that waited for their answers at a time."""
        self._in_flight = 0
        self._faults: list[tuple[Fault, Callable[[Request], bool] | None]] = []
        self._every: Fault = right
        self._loop = asyncio.new_event_loop()
        self.closing = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._main(),), daemon=True)

    # -- for tests --

    def inject(self, fault: Fault, count: int = 1, when: Callable[[Request], bool] | None = None) -> None:
        """Let the next requests that ``when`` is true of meet a fault; without ``when`` the very next ones."""
        self._faults.extend([(fault, when)] * count)

    def inject_always(self, fault: Fault) -> None:
        """Let every request that meets no other fault meet this one."""
        self._every = fault

    def clear(self) -> None:
        """Forget the requests and the faults."""
        self._faults.clear()
        self._every = right
        self.requests.clear()
        self.most_in_flight = 0

    def count(self, method: str, ending: str = "") -> int:
        """Return how many requests had a method and a path with this end."""
        return sum(request.method == method and request.path.endswith(ending) for request in self.requests)

    @property
    def pending(self) -> int:
        """How many faults nothing has met yet."""
        return len(self._faults)

    # -- the server --

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(60):
            raise RuntimeError("the proxy did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self.closing.set)
        self._thread.join(10)
        self._loop.close()

    async def _main(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_HEAD_BYTES)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self.closing.wait()
        server.close()
        await asyncio.sleep(0)  # those that wait for the end, to reset their connections
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        upstream = _Upstream(*self._upstream)
        try:
            while (request := await _read_request(reader)) is not None:
                await self._serve(Exchange(self, request, writer, upstream))
                if writer.is_closing():
                    break
        except (OSError, EOFError, asyncio.CancelledError):
            writer.transport.abort()  # one of the two has gone
        finally:
            self._tasks.discard(task)
            upstream.close()
            writer.close()

    async def _serve(self, exchange: Exchange) -> None:
        self.requests.append(exchange.request)
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            if self.latency:
                await asyncio.sleep(self.latency)
            for index, (fault, when) in enumerate(self._faults):
                if when is None or when(exchange.request):
                    del self._faults[index]
                    await fault(exchange)
                    return
            await self._every(exchange)
        finally:
            self._in_flight -= 1


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    """Return the next request; None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    headers = _headers(head)
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    path, _, query = target.partition("?")
    return Request(method, path, query, headers, body, head)
