"""A server on this machine that is far away: it counts requests, and each answer comes 50 ms late."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, TypeVar

import urllib3

_PIECE = 1 << 16
_OF_A_CONNECTION = {"transfer-encoding", "connection", "content-length"}

LATENCY = 0.05
"""Seconds by which an answer is late."""


class Request(NamedTuple):
    """When a request came and its answer began, by ``time.monotonic()``, and the bytes of the answer if they count."""

    arrived: float
    answered: float
    size: int = 0


class FarServer(ThreadingHTTPServer):
    """A server whose handler appends to :attr:`requests`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.requests: list[Request] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def rounds(self) -> int:
        """Return the length of the longest chain of requests, each of which came after the answer to the one before."""
        count, end = 0, 0.0
        for request in sorted(self.requests, key=lambda each: each.answered):
            if request.arrived >= end:
                count, end = count + 1, request.answered
        return count


class Handler(BaseHTTPRequestHandler):
    """What the handlers share."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass  # a benchmark prints its table


class Proxy(FarServer):
    """A proxy that forwards requests to a gateway, with all headers, and delays the answers.

    :param gateway: the URL of the gateway
    """

    def __init__(self, gateway: str) -> None:
        super().__init__(_Forward)
        self.gateway = urllib3.connection_from_url(gateway, maxsize=64)


class _Forward(Handler):
    server: Proxy

    def do_GET(self) -> None:  # http.server looks for it by this name
        arrived = time.monotonic()
        headers = {name: value for name, value in self.headers.items() if name.lower() not in {"host", "connection"}}
        answer = self.server.gateway.urlopen(
            self.command, self.path, headers=headers, redirect=False, preload_content=False
        )
        time.sleep(LATENCY)
        self.server.requests.append(Request(arrived, time.monotonic()))
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in _OF_A_CONNECTION:
                self.send_header(name, value)
        if self.command == "HEAD":
            self.send_header("Content-Length", answer.headers.get("Content-Length", "0"))
            self.end_headers()
        else:
            self._send_chunks(answer.stream(_PIECE, decode_content=False))
        answer.release_conn()

    do_HEAD = do_GET  # noqa: N815  # http.server looks for it by this name

    def _send_chunks(self, pieces: Iterator[bytes]) -> None:
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")


S = TypeVar("S", bound=FarServer)


@contextmanager
def running(server: S) -> Iterator[S]:
    """Run a server in a thread."""
    with server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
