"""The test server answers as gateways and nodes do, also to requests that our clients do not send."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import NamedTuple

import pytest
from ipld_car import cids
from ipld_castore import (
    BackendUnavailableError,
    BlockNotFoundError,
    IPFSStore,
    MappingCAStore,
    SupportsDelete,
    SupportsNames,
    SupportsPin,
    TieredCAStore,
)
from ipld_castore.testing import BlockServer

ABSENT = "bafkreihc4ibtvz7btvualgou5mfbgwncwshmlovmoudgyml7x6crlhcu54"


class Answer(NamedTuple):
    status: int
    body: bytes


def ask(server: BlockServer, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
    connection = HTTPConnection(server.url.removeprefix("http://"))
    try:
        connection.request(method, target, body, {name.replace("_", "-"): text for name, text in headers.items()})
        response = connection.getresponse()
        return Answer(response.status, response.read())
    finally:
        connection.close()


def test_the_gateway_side(server: BlockServer) -> None:
    """A CID that is none, a form that it does not serve, a block that is not cached, paths that lead nowhere."""
    leaf = server.blocks.put(b"leaf")
    root = server.blocks.put({"a": {"b": [leaf, 7]}})
    assert ask(server, "GET", f"/ipfs/{leaf}?format=raw") == (200, b"leaf")
    assert ask(server, "GET", f"/ipfs/{leaf}", Accept="application/vnd.ipld.raw") == (200, b"leaf")
    assert ask(server, "GET", "/ipfs/nonsense?format=raw").status == 400
    assert ask(server, "GET", f"/ipfs/{ABSENT}?format=raw").status == 404
    assert ask(server, "GET", f"/ipfs/{leaf}?format=tar").status == 406
    assert ask(server, "GET", f"/ipfs/{leaf}").status == 406
    assert ask(server, "GET", "/elsewhere").status == 404
    assert ask(server, "GET", f"/ipfs/{ABSENT}?format=raw", Cache_Control="only-if-cached").status == 412
    assert ask(server, "GET", f"/ipfs/{leaf}?format=raw", Cache_Control="only-if-cached").status == 200
    assert ask(server, "GET", f"/ipfs/{root}/a/b/0?format=raw") == (200, b"leaf")
    assert ask(server, "GET", f"/ipfs/{root}/a/b/1?format=raw").status == 200, "a value in the block"
    for path in ("a/x", "a/b/2", "a/b/1/x", "x"):
        assert ask(server, "GET", f"/ipfs/{root}/{path}?format=raw").status == 404, path


def test_the_rpc_side(server: BlockServer) -> None:
    """Methods and commands that it has not, arguments that are none, and what needs a file."""
    assert ask(server, "GET", "/api/v0/version").status == 405
    assert ask(server, "POST", "/api/v0/nonsense").status == 404
    assert json.loads(ask(server, "POST", "/api/v0/version").body)["Version"]
    assert json.loads(ask(server, "POST", "/api/v0/id").body)["ID"]
    assert ask(server, "POST", "/api/v0/block/get?arg=nonsense").status == 500
    assert ask(server, "POST", f"/api/v0/block/get?arg={ABSENT}").status == 500
    assert ask(server, "POST", "/api/v0/block/put").status == 400


def test_a_block_is_put_in_the_form_that_is_asked_for(server: BlockServer) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="data"\r\n\r\n\xa0\r\n--x--\r\n'
    answer = ask(
        server,
        "POST",
        "/api/v0/block/put?cid-codec=dag-cbor&mhtype=sha2-512&mhlen=20",
        body,
        Content_Type="multipart/form-data; boundary=x",
    )
    made = json.loads(answer.body)
    prefix = cids.prefix_of(cids.to_bytes(made["Key"]))
    assert (made["Size"], prefix.codec, prefix.hash_code) == (1, cids.DAG_CBOR, 0x13)


def test_pins_and_names_of_a_node_behind_another_store(server: BlockServer) -> None:
    """A TieredCAStore passes the pins and names of its far store on, with the refusals of the node."""
    with TieredCAStore(MappingCAStore(), IPFSStore(server.url)) as store:
        assert isinstance(store, SupportsPin)
        assert isinstance(store, SupportsNames)
        assert isinstance(store, SupportsDelete)
        leaf = store.put(b"leaf")
        first, second = store.put([leaf]), store.put([leaf, 2])
        store.flush()
        store.pin(first, "a name")
        assert dict(store.pins()) == {first: "a name"}
        with pytest.raises(BackendUnavailableError, match="pinned"):
            store.delete_block(leaf)
        store.pin(second, "a name", first)
        assert dict(store.pins()) == {second: "a name"}
        store.unpin(second)
        assert dict(store.pins()) == {}
        store.delete_block(leaf)
        with pytest.raises(BlockNotFoundError):
            store.get(leaf)
        with pytest.raises((BackendUnavailableError, BlockNotFoundError)):
            store.pin(second)
        name = store.publish("dataset", first)
        assert store.resolve(name) == first
        store.publish("dataset", second)
        assert store.resolve(name) == second
