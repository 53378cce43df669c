"""Answers of a gateway that are too large, too slow, compressed, or no HTTP at all."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import pytest
from ipld_castore import BackendUnavailableError, GatewayCAStore
from ipld_castore.testing import BlockServer, Fault, Reply

from ..support.gateway_reads import DATA, READS, TIMEOUT
from ..support.remote import tree

pytestmark = pytest.mark.usefixtures("short_pauses", "expiring")


@pytest.fixture
def store(server: BlockServer) -> Iterator[GatewayCAStore]:
    with GatewayCAStore(server.url, timeout=TIMEOUT) as store:
        yield store


def test_a_block_of_the_largest_size(server: BlockServer, store: GatewayCAStore) -> None:
    """2 MiB pass, one byte more does not, and is not read to its end."""
    largest = bytes(2 << 20)
    assert store.get(server.blocks.put_raw(largest)) == largest
    with pytest.raises(BackendUnavailableError, match="at most 2097152 bytes"):
        store.get_raw(server.blocks.put_raw(largest + b"\0"))
    root = server.blocks.put([server.blocks.put_raw(largest + b"\0")])
    with pytest.raises(BackendUnavailableError, match="at most 2097152 bytes"):
        list(store.get_dag(root))


def test_a_server_that_restarts(server: BlockServer, store: GatewayCAStore) -> None:
    """Connections that were kept are dead; that is no error."""
    root = tree(server.blocks)
    for read in READS:
        assert read(store, root) == read(server.blocks, root)
        server.restart()
    server.stop()
    with pytest.raises(BackendUnavailableError, match="no server accepts connections there"):
        store.get_raw(root)
    server.start()
    assert store.get_raw(root) == server.blocks.get_raw(root)


def test_what_is_no_http(store: GatewayCAStore, server: BlockServer) -> None:
    """A server of another kind."""
    cid = server.blocks.put(DATA)

    def nonsense(exchange: Any) -> None:
        exchange._handler.wfile.write(b"SSH-2.0-OpenSSH_9.7\r\n" * 10)
        exchange.hang_up()

    server.inject(Fault("no HTTP", nonsense), times=None)
    with pytest.raises(BackendUnavailableError, match=server.url):
        store.get(cid)


def test_compressed_answers_are_refused(store: GatewayCAStore, server: BlockServer) -> None:
    """The request does not ask for them, and a few bytes of them can be gigabytes."""

    def compressed(exchange: Any) -> None:
        right = exchange.reply()
        data = gzip.compress(right.data())
        headers = right.headers | {"Content-Encoding": "gzip", "Content-Length": str(len(data))}
        exchange.send(Reply(200, headers, [data]))

    server.inject(Fault("gzip", compressed), times=None)
    with pytest.raises(BackendUnavailableError, match="found it encoded as 'gzip'"):
        store.get(server.blocks.put(DATA))
