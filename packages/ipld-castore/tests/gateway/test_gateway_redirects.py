"""Gateways that redirect, Kubo on localhost among them, and bodies whose hash is right whatever the headers say."""

from __future__ import annotations

from typing import Any

import pytest
from ipld_castore import BackendUnavailableError, BlockCorruptError, GatewayCAStore, IPFSStore
from ipld_castore.testing import BlockServer, Exchange, Fault, Reply, faults

from ..support.gateway_reads import DATA, READS
from ..support.remote import ABSENT, tree


def by_subdomain(exchange: Exchange) -> None:
    """Answer as Kubo does: for the name localhost a redirect to a subdomain, with the body all the same."""
    right = exchange.reply()
    host = exchange.request.headers["host"]
    if right.status == 200 and host.startswith("localhost"):
        cid = exchange.request.path.split("/")[2]
        right = Reply(301, right.headers | {"Location": f"http://{cid}.ipfs.{host}/?format=raw"}, right.body)
    exchange.send(right)


def on_localhost(url: str) -> str:
    return url.replace("127.0.0.1", "localhost")


def test_localhost_is_asked_for_its_ip_address(server: BlockServer) -> None:
    """Every way to read; after the first redirect no request is sent twice, and the URL stays as it was given."""
    root = tree(server.blocks)
    server.inject(Fault("subdomains", by_subdomain), times=None)
    for read in READS:
        server.forget()
        with GatewayCAStore(on_localhost(server.url)) as store:
            assert read(store, root) == read(server.blocks, root)
            assert read(store, root) == read(server.blocks, root)
            assert root in store
            assert ABSENT not in store
            assert store.urls == [on_localhost(server.url)]
        assert sum(request.status == 301 for request in server.requests) == 1
        assert {request.headers["host"] for request in server.requests if request.status == 200} == {
            server.url.removeprefix("http://")
        }


@pytest.mark.kubo
def test_a_real_kubo_on_localhost(kubo: Any) -> None:
    """Kubo answers 301 on localhost, as a user found."""
    with IPFSStore(kubo.url, offline=True) as node:
        leaves = [node.put(b"%d" % number * 1000) for number in range(3)]
        root = node.put({"list": [node.put({"list": leaves})] * 2})
        node.flush()
    url = (kubo.repo / "gateway").read_text().strip()
    with GatewayCAStore(url) as plain, GatewayCAStore(on_localhost(url)) as store:
        assert root in store
        for read in READS:
            assert read(store, root) == read(plain, root)
    kubo.empty()


def test_a_block_in_the_body_of_a_redirect(server: BlockServer) -> None:
    """A block with the right hash is taken from the body of a redirect; other bytes are still a redirect."""
    cid = server.blocks.put(DATA)

    def with_body(exchange: Exchange) -> None:
        right = exchange.reply()
        exchange.send(Reply(302, right.headers | {"Location": "http://other.example/ipfs/x"}, right.body))

    server.inject(Fault("redirect with body", with_body), times=None)
    with GatewayCAStore(server.url) as store:
        assert store.get(cid) == DATA
        assert cid in store
    assert {request.headers["host"] for request in server.requests} == {server.url.removeprefix("http://")}


@pytest.mark.parametrize(
    ("location", "advice"),
    [
        ("https://other.example/base/ipfs/bafy?format=raw", "use its URL, 'https://other.example/base'"),
        ("http://bafy.ipfs.gateway.example/", "a gateway that answers by path"),
        ("http://me:secret@other.example/ipfs/bafy", "use its URL, 'http://other.example'"),
        ("/elsewhere", "(to '/elsewhere')"),
        ("http://[nonsense", "(to 'http://[nonsense')"),
    ],
)
def test_the_error_says_which_url_to_use(server: BlockServer, location: str, advice: str) -> None:
    cid = server.blocks.put(DATA)
    server.inject(faults.redirect(location), times=None)
    with GatewayCAStore(server.url) as store, pytest.raises(BackendUnavailableError) as caught:
        store.get(cid)
    assert "a redirect, which is not followed" in str(caught.value)
    assert advice in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("media_type", ["application/octet-stream", "text/html; charset=utf-8", ""])
def test_any_media_type_if_the_hash_is_right(server: BlockServer, media_type: str) -> None:
    """A page that is no block is an error page; a block of the right type with wrong bytes is a corrupt one."""
    cid = server.blocks.put(DATA)

    def typed(exchange: Exchange) -> None:
        right = exchange.reply()
        exchange.send(Reply(200, right.headers | {"Content-Type": media_type}, right.body))

    server.inject(Fault("media type", typed), times=None)
    with GatewayCAStore(server.url) as store:
        assert store.get(cid) == DATA
        assert cid in store
        server.heal()
        server.inject(faults.error_page())
        with pytest.raises(BackendUnavailableError, match="found 'text/html'"):
            store.get(cid)
        server.inject(faults.wrong_bytes)
        with pytest.raises(BlockCorruptError):
            store.get(cid)
