"""Responses over HTTP that come in chunks of any size, too slowly, or without end, down to their headers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from ipld_castore._http.address import Address
from ipld_castore._http.client import HTTPClient
from ipld_castore._http.errors import BodyTooLongError, ConnectionBrokenError, SilenceError, TransportError
from ipld_castore._http.response import Response
from ipld_castore.testing import expiring_timeouts

TIMEOUT = 60.0
"""Seconds. No test waits for them."""


class Serving:
    """A client and the address of a server."""

    def __init__(self, client: HTTPClient, address: Address) -> None:
        self.client = client
        self.address = address

    def get(self) -> Response:
        return self.client.request("GET", self.address, "/", {})

    @property
    def connections(self) -> int:
        return self.client._connections.value.routes[self.address.url, False].pool.num_connections


@contextmanager
def serving(answer: Callable[[socket.socket], None], timeout: float = TIMEOUT) -> Iterator[Serving]:
    """A server that answers each request so, on one connection."""
    peers: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            try:
                peer, _ = listening.accept()
                peers.append(peer)
                with peer:
                    while peer.recv(1 << 16):
                        answer(peer)
            except OSError:
                return  # the client has seen enough

        thread = threading.Thread(target=serve)
        thread.start()
        client = HTTPClient(timeout)
        try:
            yield Serving(client, Address(f"http://127.0.0.1:{listening.getsockname()[1]}"))
        finally:
            client.close()
            for peer in peers:  # a response that a test did not close holds its connection
                with suppress(OSError):
                    peer.shutdown(socket.SHUT_RDWR)
            thread.join()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunks(data: bytes, size: int) -> bytes:
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2731, 4096, 10**6])
def test_a_connection_is_used_again_after_chunks(size: int) -> None:
    """Of any size, and whatever length was expected."""
    block = bytes(range(256)) * 200
    with serving(lambda peer: peer.sendall(CHUNKED + chunks(block, size))) as server:
        for expected in (10, len(block), 10**6):
            assert server.get().read_all(len(block), expected) == block
        assert server.connections == 1
        response = server.get()
        with pytest.raises(BodyTooLongError, match=f"at most {len(block) - 1} bytes"):
            response.read_all(len(block) - 1)
        response.close()


def test_what_came_is_given_before_more_is_waited_for() -> None:
    """A response in lines would come late otherwise."""
    more = threading.Event()

    def answer(peer: socket.socket) -> None:
        peer.sendall(CHUNKED + b"4\r\none\n\r\n")
        more.wait(30)
        peer.sendall(b"4\r\ntwo\n\r\n0\r\n\r\n")

    with serving(answer) as server, server.get() as response:
        assert response.read() == b"one\n"
        more.set()
        assert response.read() == b"two\n"
        assert response.read() == b""


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"])
def test_a_server_that_drips_is_silent(start: bytes) -> None:
    """Each byte comes in time, and the end never would: in the status, the headers and the body."""
    with expiring_timeouts() as timeouts:

        def answer(peer: socket.socket) -> None:
            timeouts.drip(peer)
            peer.sendall(start)
            while True:
                peer.sendall(b"a")
                time.sleep(0.001)  # so that not all of them come in one read, however long this takes

        with serving(answer) as server, pytest.raises(SilenceError, match=r"it sent only \d+ bytes in 6\d"):
            server.get().read_all(1 << 20)


@pytest.mark.parametrize("pause", [0.01, 60.0], ids=["drips", "stops"])
def test_a_real_timeout_ends_a_body(pause: float) -> None:
    """By the clock of this machine: however slow it is, too little comes."""
    over = threading.Event()

    def answer(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
        while not over.wait(pause):
            peer.sendall(b"a")

    with serving(answer, timeout=0.2) as server:
        try:
            with pytest.raises(SilenceError):
                server.get().read_all(1 << 20)
        finally:
            over.set()


ENDLESS = {
    "informational responses": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "trailers": (CHUNKED + b"1\r\nx\r\n0\r\n", b"A: b\r\n" * 100),
    "chunk extensions": (CHUNKED, b"1;" + b"x" * 60_000 + b"\r\nx\r\n"),
    "a chunk of negative size": (CHUNKED + b"-1\r\n", bytes(10_000)),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_overhead_without_end(kind: str) -> None:
    """Fast, so that no deadline ends it, and never more than a bound of it is read."""
    start, again = ENDLESS[kind]
    sent = [0]

    def answer(peer: socket.socket) -> None:
        peer.sendall(start)
        while True:
            peer.sendall(again)
            sent[0] += len(again)

    with serving(answer) as server, pytest.raises(BodyTooLongError, match="without end"):
        server.get().read_all(100)
    assert sent[0] < 16 << 20  # what the sockets buffer counts too


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"4\r\nsho", b"4\r\nshort\r\n0\r\n\r\n", b"0x\r\n\r\n", b"4\r\nfour\r\n", b"1" * 70_000],
    ids=range(7),
)
def test_broken_chunks_are_no_shorter_body(body: bytes) -> None:
    def answer(peer: socket.socket) -> None:
        peer.sendall(CHUNKED + body)
        peer.shutdown(socket.SHUT_RDWR)

    with serving(answer) as server, pytest.raises(TransportError):
        server.get().read_all(1 << 20)


def test_a_truncated_body_of_known_length() -> None:
    def answer(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort")
        peer.shutdown(socket.SHUT_RDWR)

    with serving(answer) as server, pytest.raises(ConnectionBrokenError):
        server.get().read_all(100)
