"""GatewayCAStore over a gateway that does what it should, several of them, and the places where one is found."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from ipld_car import cids, hashes
from ipld_castore import (
    BackendUnavailableError,
    BlockMalformedError,
    BlockNotFoundError,
    ContentAddressableStore,
    GatewayCAStore,
    HashRefusedError,
    MappingCAStore,
    ReadOnlyStoreError,
    SupportsDelete,
    SupportsHead,
    SupportsList,
)
from ipld_castore.testing import BlockServer, CAStoreTests, faults
from multiformats import CID

from ..support.remote import ABSENT, ServedCAStore, damage, tree


@pytest.fixture
def store(server: BlockServer) -> Iterator[GatewayCAStore]:
    with GatewayCAStore(server.url, timeout=60) as store:
        yield store


class TestGatewayCAStore(CAStoreTests):
    """Reading passes the suite; what it writes goes in by the back door."""

    can_list = can_delete = can_pickle = False
    shows_damage = False  # what a gateway sends is never let through
    depth = width = 100

    @pytest.fixture
    def castore(self, server: BlockServer) -> Iterator[ContentAddressableStore]:
        with ServedCAStore(server) as store:
            yield store

    def corrupt(self, castore: ContentAddressableStore, cid: CID, data: bytes | None) -> None:
        assert isinstance(castore, ServedCAStore)
        damage(castore.server.blocks, cid, data)


def test_what_a_request_says(server: BlockServer, store: GatewayCAStore) -> None:
    """Both ways to name the format; nothing about who asks."""
    cid = server.blocks.put(b"block")
    root = server.blocks.put([cid])
    store.get(cid)
    list(store.get_dag(root))
    list(store.get_path(root, ["0"]))
    block, dag, way = server.requests
    assert str(block) == f"GET /ipfs/{cid}?format=raw"
    assert block.headers["accept"] == "application/vnd.ipld.raw"
    assert str(dag) == f"GET /ipfs/{root}?format=car&dag-scope=all"
    assert dag.headers["accept"] == "application/vnd.ipld.car;version=1;order=dfs;dups=n"
    assert str(way) == f"GET /ipfs/{root}/0?format=car&dag-scope=block"
    for request in server.requests:
        assert request.headers["user-agent"].startswith("ipld-castore/")
        assert request.headers["accept-encoding"] == "identity"
        assert not {"origin", "referer", "cookie", "authorization"} & set(request.headers)


def test_urls_are_made_of_parsed_cids(server: BlockServer, store: GatewayCAStore) -> None:
    """Whatever base a CID is given in; and nothing else gets into a URL."""
    cid = server.blocks.put(b"block")
    assert store.get(cid.encode("base58btc")) == b"block"
    assert server.requests[0].path == f"/ipfs/{cid}"
    for nonsense in ("../../api/v0/id", f"{cid}/../x", "bafkqaaa?x=y", ""):
        with pytest.raises(ValueError, match="expected"):
            store.get(nonsense)
    assert len(server.requests) == 1


def test_connections_are_kept(server: BlockServer, store: GatewayCAStore) -> None:
    """One serves all requests that come one after another, whatever they are and whatever comes of them."""
    root = tree(server.blocks)
    for _ in range(3):
        list(store.get_dag(root))
        list(store.get_path(root, ["list", "0", "list", "1"]))
        store.get(root)
        assert root in store
        assert ABSENT not in store
        with pytest.raises(BlockNotFoundError):
            store.get(ABSENT)
    assert {request.connection for request in server.requests} == {1}


def test_a_graph_is_one_request(server: BlockServer, store: GatewayCAStore) -> None:
    """One request gives the same bytes as any other store."""
    root = tree(server.blocks)
    assert store.to_car(root) == server.blocks.to_car(root)
    assert len(server.requests) == 1


def test_a_graph_that_is_not_read_to_its_end(server: BlockServer, store: GatewayCAStore) -> None:
    """A caller may stop reading a graph; the store works on."""
    root = tree(server.blocks, width=10)
    dag = store.get_dag(root)
    assert next(dag)[0] == root
    dag.close()  # type: ignore[attr-defined]  # it is a generator
    assert store.get_raw(root) == server.blocks.get_raw(root)


def test_a_way_is_one_request(server: BlockServer, store: GatewayCAStore) -> None:
    """From the root to a chunk, through maps, lists and links, as an index has them."""
    blocks = server.blocks
    chunk = blocks.put(b"chunk")
    leaf = blocks.put({"c": {"0": {"1 %/ü".replace("/", ""): chunk}}})
    parts = blocks.put([["first", leaf, 1]])
    root = blocks.put({"a": {"index": parts}})
    names = ["a", "index", "0", "1", "c", "0", "1 %ü"]
    assert list(store.get_path(root, names)) == list(blocks.get_path(root, names))
    assert [cid for cid, _ in store.get_path(root, names)] == [root, parts, leaf, chunk]
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("names", "blocks"),
    [(["x"], 1), (["a", "9"], 1), (["a", "0", "x", "y"], 2), (["a", "01"], 1), ([], 1), (["a", "-1"], 1)],
)
def test_a_way_that_leads_nowhere(server: BlockServer, store: GatewayCAStore, names: list[str], blocks: int) -> None:
    """It ends where it does, here and in every store; as it can from a gateway, in one request."""
    root = server.blocks.put({"a": [server.blocks.put({"deep": 1})]})
    expected = list(server.blocks.get_path(root, names))
    if names == ["a", "01"]:
        blocks = len(expected)
    assert len(expected) == blocks
    assert list(store.get_path(root, names)) == expected


def test_names_that_are_no_path(server: BlockServer, store: GatewayCAStore) -> None:
    """What a server would make something else of does not get into a URL."""
    root = server.blocks.put({"..": server.blocks.put(b"up"), "": server.blocks.put(b"empty"), "a/b": 1})
    for name, data in (("..", b"up"), ("", b"empty")):
        assert [data for _, data in store.get_path(root, [name])][1:] == [data]
    assert [cid for cid, _ in store.get_path(root, ["a/b"])] == [root]
    assert {request.path for request in server.requests} == {
        f"/ipfs/{cid}" for cid in (root, *(cid for cid in server.blocks if cids.codec_of(bytes(cid)) == cids.RAW))
    }


def test_a_way_that_the_gateway_does_not_know(server: BlockServer, store: GatewayCAStore) -> None:
    """Some answer 404 to a path that leads nowhere: the blocks are there all the same."""
    root = server.blocks.put({"a": [server.blocks.put({"deep": 1})]})
    server.inject(faults.status(404), times=1, where="format=car")
    assert len(list(store.get_path(root, ["a", "0", "x"]))) == 2
    assert len(server.requests) == 3


@pytest.mark.parametrize("code", [400, 406, 501])
def test_a_gateway_that_only_sends_blocks(server: BlockServer, store: GatewayCAStore, code: int) -> None:
    """The store asks once for a CAR, and for blocks from then on."""
    root = tree(server.blocks)
    server.inject(faults.status(code), times=None, where="format=car")
    assert store.to_car(root) == server.blocks.to_car(root)
    list(store.get_path(root, ["again"]))
    assert sum("format=car" in str(request) for request in server.requests) == 1


def test_identity_and_weak_cids_are_never_asked_for(server: BlockServer, store: GatewayCAStore) -> None:
    """No request names such a CID: alone, in a graph or in a path."""
    inline = cids.from_bytes(cids.make(cids.RAW, b"inline", cids.IDENTITY))
    weak = cids.from_bytes(cids.make(cids.RAW, hashes.digest_of(hashes.MD5, b""), hashes.MD5))
    root = server.blocks.put({"a": inline, "b": weak})
    assert store.get_block(inline) == b"inline"
    assert inline in store
    assert weak not in store
    for verb in (store.get_block, store.block_size):
        with pytest.raises(HashRefusedError):
            verb(weak)
    assert not server.requests
    assert [data for _, data in store.get_path(root, ["a"])][1:] == [b"inline"]
    with pytest.raises(HashRefusedError):
        list(store.get_path(root, ["b"]))
    with pytest.raises(HashRefusedError):
        list(store.get_dag(root))
    assert all(str(root) in str(request) for request in server.requests)


def test_it_only_reads(server: BlockServer, store: GatewayCAStore) -> None:
    assert not store.writable
    for capability in (SupportsList, SupportsDelete, SupportsHead):
        assert not isinstance(store, capability)
    for verb in (lambda: store.put(b"x"), lambda: store.put_block(CID.decode(ABSENT), b"x")):
        with pytest.raises(ReadOnlyStoreError):
            verb()
    assert not server.requests


def test_what_is_no_node(server: BlockServer, store: GatewayCAStore) -> None:
    """Bytes that are those of the CID, and not what its codec says: the same error as of every store."""
    root = server.blocks.put_raw(b"\xff\xff", "dag-cbor")
    with pytest.raises(BlockMalformedError, match=str(root)):
        list(store.get_dag(root))
    with pytest.raises(BlockMalformedError, match=str(root)):
        list(store.get_path(root, ["a"]))


# -- many at once --


def test_many_are_in_flight(server: BlockServer) -> None:
    """At least 32, from get_blocks and from threads of the caller."""
    store = GatewayCAStore(server.url, timeout=60)
    blocks = [server.blocks.put(b"%d" % number) for number in range(128)]
    server.inject(faults.held(32), times=128)
    assert sorted(data for _, data in store.get_blocks(blocks)) == sorted(b"%d" % number for number in range(128))
    assert server.most_in_flight >= 32
    server.forget()
    server.inject(faults.held(32), times=32)
    with ThreadPoolExecutor(64) as pool:
        assert list(pool.map(store.get, blocks)) == [b"%d" % number for number in range(128)]
    assert server.most_in_flight >= 32
    store.close()


def test_one_at_a_time_is_not_many(server: BlockServer, store: GatewayCAStore) -> None:
    """A client that asks one after another is answered late, and the test above would notice it."""
    blocks = [server.blocks.put(b"%d" % number) for number in range(4)]
    server.inject(faults.held(2, seconds=0.1), times=2)
    assert [store.get(block) for block in blocks] == [b"%d" % number for number in range(4)]
    assert server.most_in_flight == 1


def test_get_blocks_stops_when_its_reader_does(server: BlockServer, store: GatewayCAStore) -> None:
    """Few blocks of a long list are requested when the caller stops, and errors come through."""
    blocks = [server.blocks.put(b"%d" % number) for number in range(1000)]
    found = store.get_blocks(iter(blocks))
    next(found)
    found.close()  # type: ignore[attr-defined]  # it is a generator
    assert len(server.requests) < 200
    with pytest.raises(BlockNotFoundError, match=ABSENT):
        list(store.get_blocks([cids.from_bytes(cids.to_bytes(ABSENT)), *blocks[:3]]))


# -- several gateways --


@pytest.fixture
def other(server: BlockServer) -> Iterator[BlockServer]:
    """A second gateway, over the same blocks."""
    with BlockServer(server.blocks) as other:
        yield other


def test_the_first_is_asked_first(server: BlockServer, other: BlockServer) -> None:
    cid = server.blocks.put(b"block")
    with GatewayCAStore([server.url, other.url]) as store:
        for _ in range(5):
            store.get(cid)
    assert len(server.requests) == 5
    assert not other.requests


def test_one_that_has_failed_is_asked_later(server: BlockServer, other: BlockServer) -> None:
    """Until that is forgotten, the other one is asked."""
    cid = server.blocks.put(b"block")
    server.inject(faults.status(500))
    with GatewayCAStore([server.url, other.url]) as store:
        for _ in range(5):
            assert store.get(cid) == b"block"
    assert (len(server.requests), len(other.requests)) == (1, 5)


def test_one_that_is_busy_is_left_alone(server: BlockServer, other: BlockServer) -> None:
    """The other one is asked at once, as long as the pause lasts."""
    blocks = [server.blocks.put(b"%d" % number) for number in range(20)]
    server.inject(faults.too_many_requests(30), times=None)
    with GatewayCAStore([server.url, other.url]) as store:
        for cid in blocks:
            store.get(cid)
    assert (len(server.requests), len(other.requests)) == (1, 20)


def test_absent_is_what_no_gateway_has(server: BlockServer) -> None:
    """One that cannot be asked may have it."""
    with BlockServer() as empty:
        cid = server.blocks.put(b"block")
        with GatewayCAStore([empty.url, server.url]) as store:
            assert store.get(cid) == b"block"
            assert cid in store
            with pytest.raises(BlockNotFoundError, match=f"{empty.url}.*{server.url}"):
                store.get(ABSENT)
            server.inject(faults.status(500), times=None)
            with pytest.raises(BackendUnavailableError, match="HTTP 500"):
                store.get(ABSENT)
            with pytest.raises(BackendUnavailableError, match="HTTP 500"):
                _ = ABSENT in store


def test_a_graph_from_two_gateways(server: BlockServer) -> None:
    """Each of two gateways lacks blocks that the other has."""
    whole = MappingCAStore()
    root = tree(whole, width=3, depth=3)
    with BlockServer() as other:
        for number, (cid, data) in enumerate(whole.get_dag(root)):
            (server if number % 3 else other).blocks.put_block(cid, data)
        with GatewayCAStore([server.url, other.url], timeout=60) as store:
            assert store.to_car(root) == whole.to_car(root)


# -- processes --


def test_another_process_reads_through_a_pickle(server: BlockServer) -> None:
    cid = server.blocks.put(b"for the other")
    code = "import pickle, sys; store, cid = pickle.load(sys.stdin.buffer); sys.stdout.buffer.write(store.get(cid))"
    with GatewayCAStore(server.url) as store:
        store.get(cid)
        done = subprocess.run(
            [sys.executable, "-c", code], input=pickle.dumps((store, cid)), capture_output=True, check=True
        )
    assert done.stdout == b"for the other"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_has_connections_of_its_own(server: BlockServer) -> None:
    """Parent and child on one connection would read each other's answers."""
    blocks = [str(server.blocks.put(b"%d" % number)) for number in range(20)]
    code = """
        import os, sys
        from ipld_castore import GatewayCAStore
        with GatewayCAStore(sys.argv[1]) as store:
            store.get(sys.argv[2])
            child = os.fork()
            for _ in range(5):
                for number, cid in enumerate(sys.argv[2:]):
                    assert store.get(cid) == b"%d" % number
        if child:
            assert os.waitpid(child, 0)[1] == 0
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), server.url, *blocks], check=True, timeout=60)


def test_a_closed_store_can_be_used_again(server: BlockServer, store: GatewayCAStore) -> None:
    cid = server.blocks.put(bytes(100_000))

    def read(number: int) -> bytes:
        if number % 10 == 0:
            store.close()
        return store.get_raw(cid)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(read, range(100))) == {bytes(100_000)}
