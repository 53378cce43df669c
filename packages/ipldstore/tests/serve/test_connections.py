"""Visitors who send nothing, or read nothing: they keep no others out for long."""

from __future__ import annotations

import random
import select
import socket
import sys
import threading
import time
from hashlib import sha256
from urllib.parse import urlsplit

import pytest
import requests
from ipld_car import cids, unixfs
from ipld_castore import MappingCAStore
from ipldstore._serve.limits import Limits
from ipldstore._serve.sources import Source
from multiformats import CID

from ..support.serving import Served, serving


def source_of(castore: MappingCAStore, size: int) -> tuple[Source, str]:
    def put(cid: bytes, data: bytes) -> None:
        castore.put_block(cids.from_bytes(cid), data)

    root = unixfs.build(random.Random(1).randbytes(size), put)
    return Source("memory", castore, (root,), castore.close), cids.to_text(root)


def connected(server: Served) -> socket.socket:
    parts = urlsplit(server.url)
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # what is not read is not sent
    found.connect((parts.hostname, parts.port))
    return found


def wait_until_broken_off(sockets: list[socket.socket]) -> None:
    """Wait until the server has closed each connection, and read nothing."""
    for each in sockets:
        poll = select.poll()
        poll.register(each, select.POLLHUP | select.POLLERR | select.POLLRDHUP)
        assert poll.poll(30_000)
        each.close()


def wait_until_answered(server: Served) -> None:
    """Ask again as long as the server has not yet counted that a request has ended: it is told after the visitor is."""
    for _ in range(3000):
        status = server.get("/").status_code
        if status != 503:
            break
        time.sleep(0.01)
    assert status == 200


@pytest.mark.skipif(sys.platform != "linux", reason="poll() tells there that the other end has closed")
def test_who_does_not_read_is_broken_off() -> None:
    source, root = source_of(MappingCAStore(), 32 << 20)
    with serving([source], limits=Limits(requests=2, seconds=0.3)) as server:
        stalled = [connected(server) for _ in range(2)]
        for each, form in zip(stalled, ("?format=car", ""), strict=True):
            each.sendall(f"GET /ipfs/{root}{form} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        wait_until_broken_off(stalled)
        wait_until_answered(server)


@pytest.mark.skipif(sys.platform != "linux", reason="poll() tells there that the other end has closed")
def test_who_sends_nothing_is_broken_off() -> None:
    """No connection without a whole request is a request; as many as are kept are closed after a while."""
    source, _ = source_of(MappingCAStore(), 1)
    with serving([source], limits=Limits(requests=3), head_seconds=0.3) as server:
        stalled = [connected(server) for _ in range(5)]
        for each in stalled[2:]:
            each.sendall(b"GET / HT")
        assert server.get("/").status_code == 200
        wait_until_broken_off(stalled)
        assert requests.get(server.url, timeout=30).status_code == 200


def test_who_reads_slowly_gets_the_rest_of_an_answer() -> None:
    """What was answered and not sent yet has the seconds of an answer, not those of a visitor who asks for nothing."""
    castore, data = MappingCAStore(), random.Random(1).randbytes(7 << 20)
    binary = bytes((1, cids.RAW, 0x12, 32)) + sha256(data).digest()
    root = cids.from_bytes(binary)
    castore.put_block(root, data)
    source = Source("memory", castore, (binary,), castore.close)
    with serving([source], head_seconds=0.1) as server, connected(server) as slow:
        slow.sendall(f"GET /ipfs/{root}?format=raw HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        found = slow.recv(1 << 10)
        time.sleep(0.5)  # a line that stalls for longer than a visitor may be idle
        slow.settimeout(30)
        while len(found.partition(b"\r\n\r\n")[2]) < len(data):
            piece = slow.recv(1 << 20)
            assert piece
            found += piece
    assert found.endswith(data)


def test_more_connections_than_are_kept_are_closed_at_once() -> None:
    source, _ = source_of(MappingCAStore(), 1)
    with serving([source], limits=Limits(requests=1)) as server:
        kept = [connected(server) for _ in range(2)]
        with pytest.raises(requests.ConnectionError):
            server.get("/")
        kept.pop().close()
        kept.pop().close()


def test_more_requests_than_are_answered_are_told_to_come_again() -> None:
    asked, answer = threading.Event(), threading.Event()

    class Held(MappingCAStore):
        def get_block(self, cid: CID) -> bytes:
            asked.set()
            assert answer.wait(30)
            return super().get_block(cid)

    castore = Held()
    source, root = source_of(castore, 1)
    with serving([source], limits=Limits(requests=1)) as server:
        first = threading.Thread(target=lambda: requests.get(f"{server.url}/ipfs/{root}?format=raw", timeout=30))
        first.start()
        assert asked.wait(30)
        refused = server.get("/")
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        answer.set()
        first.join()
        wait_until_answered(server)
