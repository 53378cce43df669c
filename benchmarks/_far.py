"""A server on this machine that is far away: it counts requests, and each answer comes 50 ms late."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, TypeVar

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
