"""Answers over HTTP in chunks of any size, and such as never come to an end, down to their headers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPResponse, IncompleteRead
from io import BufferedReader, BytesIO

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st
from ipld_castore._http import wire as _wire
from urllib3.exceptions import HTTPError, ProtocolError

heads = st.sampled_from([b"%x\r\n", b"%X\r\n", b"000%x\r\n", b"%x;name=value\r\n", b"%x \r\n", b"%x\n"])
alike = st.tuples(st.binary(min_size=1, max_size=300), heads, st.integers(1, 5)).map(
    lambda drawn: [(bytes([at]) + drawn[0], drawn[1]) for at in range(drawn[2])]
)
chunked = st.lists(alike, max_size=6).map(lambda runs: [chunk for run in runs for chunk in run])
trailers = st.sampled_from([b"\r\n", b"\n", b"X-Sum: 1\r\nX-More: 2\r\n\r\n"])


def wire_of(chunks: list[tuple[bytes, bytes]], trailer: bytes = b"\r\n") -> bytes:
    return b"".join(head % len(data) + data + b"\r\n" for data, head in chunks) + b"0\r\n" + trailer


class Dripping(BytesIO):
    """Gives a few bytes for each read."""

    def __init__(self, data: bytes, step: int) -> None:
        super().__init__(data)
        self._step = step

    def readinto(self, buffer: object) -> int:
        return super().readinto(memoryview(buffer)[: self._step])  # type: ignore[arg-type]  # typeshed's name for it is private

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(min(size, self._step) if size is not None and size >= 0 else self._step)


def body_of(wire: bytes, step: int = 1 << 20) -> bytes:
    return BufferedReader(_wire._Chunks(BufferedReader(Dripping(wire, step)), bytearray(_wire._BUFFER_BYTES))).read()


@given(chunked, trailers, st.integers(1, 700))
def test_chunks_are_put_together(chunks: list[tuple[bytes, bytes]], trailer: bytes, step: int) -> None:
    """However they are cut, and however the bytes come in."""
    assert body_of(wire_of(chunks, trailer), step) == b"".join(data for data, _ in chunks)


@given(chunked, st.data())
def test_a_body_that_is_broken_off(chunks: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    """It is never taken for a shorter one."""
    wire = wire_of(chunks)
    with pytest.raises(IncompleteRead):
        body_of(wire[: data.draw(st.integers(0, len(wire) - 1))])


@pytest.mark.parametrize(
    "wire",
    [
        b"-1\r\nx\r\n0\r\n\r\n",
        b"0x1\r\nx\r\n0\r\n\r\n",
        b"1_0\r\n" + bytes(16) + b"\r\n0\r\n\r\n",
        b"\r\nx\r\n0\r\n\r\n",
        b"1\r\nxy\r\n0\r\n\r\n",
        b"1" * 16 + b"\r\nx\r\n0\r\n\r\n",
        b"1;" + b"x" * 5000 + b"\r\nx\r\n0\r\n\r\n",
        b"1" + b" " * 5000,
        b"0\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"0\r\n" + b"x" * 400_000 + b"\r\n\r\n",
    ],
    ids=range(10),
)
def test_what_are_no_chunks(wire: bytes) -> None:
    with pytest.raises(IncompleteRead):
        body_of(wire)


def test_what_came_is_given_before_more_is_waited_for() -> None:
    """An answer in lines would come late otherwise."""
    ours, theirs = socket.socketpair()
    with ours, theirs, theirs.makefile("rb") as stream:
        reader = BufferedReader(_wire._Chunks(stream, bytearray(_wire._BUFFER_BYTES)))
        for part in (b"4\r\none\n\r", b"\n3\r\ntwo\r\n4", b"\r\nfour", b"\r\n0\r\n\r\n"):
            ours.sendall(part)
            if part != b"\r\n0\r\n\r\n":
                assert reader.read1(100) in (b"one\n", b"two", b"four")
        assert reader.read1(100) == b""


class Kept:
    """A connection that gives what stands here, a few bytes for each read."""

    buffer = head = watch = None

    def __init__(self, wire: bytes, step: int) -> None:
        self._stream = Dripping(wire, step)

    def makefile(self, _: str) -> BufferedReader:
        return BufferedReader(self._stream)

    def gettimeout(self) -> None:
        return None


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """One that ends by itself, with few possible heads, so that some are alike."""
    line = draw(st.sampled_from([b"\r\n", b"\n"]))
    body = draw(st.sampled_from([b"", b"one", b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]))
    begins = [b"", b"HTTP/1.1 100 Continue" + line * 2]
    first = draw(st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.1 404 Not Found", b"HTTP/1.0 200 OK", b"HTTP/1.1 500 "]))
    more = draw(st.sampled_from([b"", b"A: b" + line, b"A: b" + line + b" c" + line, b"Connection: close" + line]))
    if draw(st.booleans()):
        rest = b"Transfer-Encoding: chunked" + line * 2 + wire_of([(body, b"%x\r\n")] if body else [])
    else:
        rest = b"Content-Length: %d" % len(body) + line * 2 + body
    return draw(st.sampled_from(begins)) + first + line + more + rest


@given(st.lists(answers(), min_size=1, max_size=4), st.data(), st.integers(1, 300))
def test_heads_that_are_the_same(choice: list[bytes], data: st.DataObject, step: int) -> None:
    """What is remembered of the last one is what http.client makes of each."""
    order = data.draw(st.lists(st.sampled_from(choice), min_size=1, max_size=8))
    connection = Kept(b"", step)
    for wire in order:
        method = data.draw(st.sampled_from(["GET", "HEAD"]))
        expected = HTTPResponse(Kept(wire, step), method=method)  # type: ignore[arg-type]  # it does as a socket
        connection._stream = Dripping(wire, step)
        found = _wire._Response(connection, connection, method=method)
        expected.begin()
        found.begin()
        for name in ("status", "reason", "version", "length", "will_close"):
            assert getattr(found, name) == getattr(expected, name)
        assert found.getheaders() == expected.getheaders()
        assert found.read() == expected.read()


def test_a_head_is_parsed_once() -> None:
    """As long as it stays the same."""
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none"
    connection = Kept(wire, 1 << 20)
    responses = []
    for text in (wire, wire, wire.replace(b"OK", b"So"), wire):
        connection._stream = Dripping(text, 1 << 20)
        responses.append(_wire._Response(connection, connection, method="GET"))
        responses[-1].begin()
        assert responses[-1].read() == b"one"
    first, second, third, fourth = (response.headers for response in responses)
    assert first is second
    assert second is not third is not fourth is not second


@contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[urllib3.HTTPConnectionPool]:
    """A pool that is watched, for a server that answers each request so, on one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            try:
                peer, _ = listening.accept()
                with peer:
                    while peer.recv(1 << 16):
                        answer(peer)
            except OSError:
                return  # the client has seen enough

        thread = threading.Thread(target=serve)
        thread.start()
        with urllib3.HTTPConnectionPool("127.0.0.1", listening.getsockname()[1], timeout=0.3, retries=False) as pool:
            _wire.watch_all(pool)
            yield pool
        thread.join()


def test_a_connection_is_used_again_after_chunks() -> None:
    block = bytes(range(256)) * 1000

    def answer(peer: socket.socket) -> None:
        pieces = [(block[at : at + 2731], b"%x\r\n") for at in range(0, len(block), 2731)]
        peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + wire_of(pieces))

    with serving(answer) as pool:
        for expected in (10, len(block), 10**6):
            response = pool.urlopen("GET", "/", preload_content=False)
            assert _wire.read_within(response, len(block), expected) == block
        assert pool.num_connections == 1
        response = pool.urlopen("GET", "/", preload_content=False)
        assert _wire.read_within(response, len(block) - 1) is None
        response.close()


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"])
def test_whoever_drips_is_silent(start: bytes) -> None:
    """Each byte comes in time, and all of them never would: in the status, the headers and the body."""

    def answer(peer: socket.socket) -> None:
        peer.sendall(start)
        while True:
            peer.sendall(b"a")
            time.sleep(0.02)

    begin = time.monotonic()
    with serving(answer) as pool, pytest.raises((_wire.TooSlowError, ProtocolError), match="it sent only"):
        _wire.read_within(pool.urlopen("GET", "/", preload_content=False), 1 << 20)
    assert time.monotonic() - begin < 5


def test_a_truncated_body_of_known_length() -> None:
    def answer(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort")
        peer.shutdown(socket.SHUT_RDWR)

    with serving(answer) as pool, pytest.raises(HTTPError):
        _wire.read_within(pool.urlopen("GET", "/", preload_content=False), 100)
