"""A proxy before a server: each answer comes later, as from far away, and is passed on at the same rate.

It runs as a process of its own. What it passes on it does not read, so it takes little of the processors.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit


class _Answers(asyncio.Protocol):
    """The connection to the server: what comes is passed to the client after a while.

    :param client: the connection to the client
    :param latency: seconds
    """

    def __init__(self, client: asyncio.Transport, latency: float) -> None:
        self._client = client
        self._latency = latency
        self._loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        self._loop.call_later(self._latency, self._client.write, data)

    def connection_lost(self, error: Exception | None) -> None:
        self._loop.call_later(self._latency, self._client.close)


class _Requests(asyncio.Protocol):
    """The connection to a client: what comes is passed to the server at once."""

    def __init__(self, host: str, port: int, latency: float) -> None:
        self._address = host, port
        self._latency = latency
        self._server: asyncio.Transport | None = None
        self._early: list[bytes] = []
        """What came before there was a connection to the server."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # of TCP
        self._client = transport
        self._connecting = asyncio.ensure_future(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            server, _ = await loop.create_connection(lambda: _Answers(self._client, self._latency), *self._address)
        except OSError:
            self._client.abort()
            return
        server.write(b"".join(self._early))
        self._server = server
        if self._client.is_closing():
            server.close()

    def data_received(self, data: bytes) -> None:
        if self._server is None:
            self._early.append(data)
        else:
            self._server.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self._server is not None:
            self._server.close()


@contextmanager
def behind(endpoint: str, latency: float) -> Iterator[str]:
    """Run the proxy in a process; give its URL.

    :param endpoint: the URL of the server
    :param latency: seconds by which an answer is later
    """
    command = [sys.executable, __file__, endpoint, str(latency)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None  # noqa: S101  # it is a pipe
        assert process.stdout is not None  # noqa: S101  # it is a pipe, too
        url = process.stdout.readline().strip()
        if not url.startswith("http://"):
            raise RuntimeError(f"expected the URL of the proxy, found {url!r}")
        yield url
        process.stdin.close()


async def _serve(endpoint: str, latency: float) -> None:
    parts = urlsplit(endpoint)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: _Requests(str(parts.hostname), parts.port or 80, latency), "127.0.0.1", 0, backlog=1024
    )
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # until the parent has closed it


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], float(sys.argv[2])))
