"""IPFSStore on a node that does what it should not, and over the test server's RPC when it does what it should."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from ipld_car import cids
from ipld_castore import (
    BackendUnavailableError,
    BlockCorruptError,
    BlockNotFoundError,
    CAStoreError,
    ContentAddressableStore,
    IPFSStore,
    MappingCAStore,
)
from ipld_castore._core import pauses
from ipld_castore._http.address import Address
from ipld_castore.testing import BlockServer, CAStoreTests, Exchange, Fault, Reply, faults
from multiformats import CID

from ..support.remote import damage, tree

Read = Callable[[ContentAddressableStore, CID], object]

pytestmark = pytest.mark.usefixtures("expiring")


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.0)


@pytest.fixture
def server() -> Iterator[BlockServer]:
    with BlockServer() as server:
        yield server


@pytest.fixture
def store(server: BlockServer) -> Iterator[IPFSStore]:
    store = IPFSStore(server.url, timeout=60)
    yield store
    server.heal()
    store.close()


class TestOverTheTestServer(CAStoreTests):
    """The server's RPC is enough of a node for the whole suite."""

    keeps_codecs = False
    depth = width = 100

    @pytest.fixture
    def castore(self, server: BlockServer) -> Iterator[ContentAddressableStore]:
        self.server = server
        with IPFSStore(server.url, timeout=60) as store:
            yield store

    def corrupt(self, castore: ContentAddressableStore, cid: CID, data: bytes | None) -> None:
        castore.flush()
        blocks = self.server.blocks
        assert isinstance(blocks, MappingCAStore)
        for key in list(blocks.mapping):  # the codec is not what a node keeps them by
            if cids.multihash_of(cids.to_bytes(key)) == cids.multihash_of(bytes(cid)):
                damage(blocks, cids.from_bytes(cids.to_bytes(key)), data)


def block(store: ContentAddressableStore, cid: CID) -> object:
    return store.get_raw(cid)


def graph(store: ContentAddressableStore, root: CID) -> object:
    return {str(cid): data for cid, data in store.get_dag(root)}


READS: list[Read] = [block, graph]

ALWAYS: list[tuple[Fault, type[CAStoreError]]] = [
    (faults.wrong_bytes, BlockCorruptError),
    (faults.wrong_length(-1), CAStoreError),
    (faults.wrong_length(10), BackendUnavailableError),
    (faults.truncated_car, CAStoreError),
    (faults.error_page(), BlockCorruptError),
    (faults.endless_body, BackendUnavailableError),
    (faults.stall(), BackendUnavailableError),
    (faults.stall(after=0), BackendUnavailableError),
    (faults.stall(after=70), BackendUnavailableError),
    (faults.redirect("http://127.0.0.1:9/"), BackendUnavailableError),
    (faults.error_with_message("context deadline exceeded"), BlockNotFoundError),
    (faults.error_with_message("ipld: could not find bafy"), BlockNotFoundError),
    (faults.error_with_message("disk full"), BackendUnavailableError),
    (faults.reset(), BackendUnavailableError),
    (faults.reset(after=5), BackendUnavailableError),
    (faults.close_at_once, BackendUnavailableError),
    (faults.too_many_requests(0), BackendUnavailableError),
    (faults.status(403), BackendUnavailableError),
    (faults.status(404), BackendUnavailableError),
]


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(("fault", "error"), ALWAYS, ids=[str(fault) for fault, _ in ALWAYS])
def test_a_node_that_always_fails(
    server: BlockServer, store: IPFSStore, read: Read, fault: Fault, error: type[CAStoreError]
) -> None:
    """The right error, or, where an answer brought all before the fault, the right data."""
    root = tree(server.blocks)
    server.inject(fault, times=None)
    try:
        found = read(store, root)
    except error:
        pass  # that is what it should be
    else:
        assert read is graph
        assert found == read(server.blocks, root)
    server.heal()
    assert read(store, root) == read(server.blocks, root)


PASSING = [
    faults.reset(),
    faults.close_at_once,
    faults.too_many_requests(0),
    faults.status(502),
    faults.status(503),
    faults.too_many_requests(0, code=504),
]


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("fault", PASSING, ids=str)
def test_what_passes_is_tried_again(server: BlockServer, store: IPFSStore, read: Read, fault: Fault) -> None:
    root = tree(server.blocks)
    server.inject(fault, times=2)
    assert read(store, root) == read(server.blocks, root)


UPLOADS = [
    faults.reset_upload(0),
    faults.reset_upload(1000),
    faults.reset_upload(1 << 20),
    faults.reset(),
    faults.close_at_once,
    faults.status(503),
]


@pytest.mark.parametrize("fault", UPLOADS, ids=str)
def test_an_upload_that_breaks_is_sent_again(server: BlockServer, store: IPFSStore, fault: Fault) -> None:
    """The node has every block afterwards, and they are the right ones."""
    data = [os.urandom(300_000) for _ in range(8)]
    server.inject(fault, where="dag/import")
    links = [store.put(each) for each in data]
    root = store.put(links)
    store.persist(root)
    assert [server.blocks.get(cid) for cid in links] == data
    assert sum("dag/import" in str(request) for request in server.requests) >= 2


@pytest.mark.parametrize("fault", [*UPLOADS, faults.stall(), faults.error_with_message("disk full")], ids=str)
def test_an_upload_that_always_breaks(server: BlockServer, store: IPFSStore, fault: Fault) -> None:
    """The error comes, no block is lost, and the next flush sends them once the node works again."""
    data = [os.urandom(100_000) for _ in range(8)]
    server.inject(fault, times=None, where="dag/import")
    links = [store.put(each) for each in data]
    with pytest.raises(BackendUnavailableError):
        store.flush()
    assert [store.get(cid) for cid in links] == data
    server.heal()
    store.flush()
    assert [server.blocks.get(cid) for cid in links] == data


def test_a_node_that_restarts(server: BlockServer, store: IPFSStore) -> None:
    """Between two requests, and while something is put."""
    root = tree(server.blocks)
    for read in READS:
        assert read(store, root) == read(server.blocks, root)
        server.restart()
    cid = store.put(b"block")
    server.restart()
    store.persist(cid)
    assert server.blocks.get(cid) == b"block"


def test_a_graph_with_another_hash_function_comes_in_one_response(server: BlockServer, store: IPFSStore) -> None:
    """As py-hamt writes them; a block of it that is wrong is got by itself, and that error names it."""
    pytest.importorskip("blake3", reason="an extra of ipld-car: pip install 'ipld-car[blake3]'")
    blake3 = MappingCAStore(hash="blake3")
    root = tree(blake3)
    for cid, data in blake3.get_dag(root):
        server.blocks.put_block(cid, data)
    assert list(store.get_dag(root)) == list(blake3.get_dag(root))
    assert [request.path for request in server.requests] == ["/api/v0/dag/export"]
    *_, (last, _) = blake3.get_dag(root)
    damage(server.blocks, last, b"wrong")
    with pytest.raises(BlockCorruptError, match=str(last)):
        list(store.get_dag(root))


def test_a_graph_that_lacks_a_block(server: BlockServer, store: IPFSStore) -> None:
    """A clean 200 without it does not pass for the graph, and a root without it is not kept."""
    root = tree(server.blocks)
    *_, (last, _) = server.blocks.get_dag(root)
    server.inject(faults.missing_child, where="dag/export")
    assert graph(store, root) == graph(server.blocks, root)
    damage(server.blocks, last, None)
    with pytest.raises(BlockNotFoundError, match=cids.to_text(bytes(last))):
        graph(store, root)
    with pytest.raises(CAStoreError):
        store.persist(root)


# -- large blocks --


def versions(server: BlockServer) -> list[str]:
    return [request.version for request in server.requests]


def test_large_blocks_have_connections_of_their_own(server: BlockServer, store: IPFSStore) -> None:
    """While the block before was large. Kubo sends a body in chunks of 4 KiB otherwise."""
    sizes = [1 << 20, 1 << 20, 600_000, 1 << 20, 10, 10]
    blocks = [server.blocks.put(os.urandom(size)) for size in sizes]
    assert [store.get_raw(cid) for cid in blocks] == [server.blocks.get_raw(cid) for cid in blocks]
    assert versions(server) == ["HTTP/1.1"] + ["HTTP/1.0"] * 4 + ["HTTP/1.1"]
    assert len({request.connection for request in server.requests}) == 5  # the first one stays open
    assert {request.headers["host"] for request in server.requests} == {server.url.removeprefix("http://")}


def test_large_blocks_of_a_node_far_away_share_a_connection(
    server: BlockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new connection takes a round trip, or several."""
    monkeypatch.setattr(Address, "is_loopback", False)
    with IPFSStore(server.url) as far:
        for _ in range(3):
            far.get_raw(server.blocks.put(os.urandom(1 << 20)))
    assert versions(server) == ["HTTP/1.1"] * 3
    assert len({request.connection for request in server.requests}) == 1


@pytest.mark.parametrize("size", [0, 600_000, (1 << 20) - 1])
def test_a_large_block_that_is_broken_off(server: BlockServer, store: IPFSStore, size: int) -> None:
    """The end of the connection does not tell that: the block is requested again in chunks, which do."""

    def act(exchange: Exchange) -> None:
        exchange.send(Reply(200, {"Content-Type": "text/plain"}, [exchange.reply().data()[:size]]))
        exchange.hang_up()

    first, second = (server.blocks.put(os.urandom(1 << 20)) for _ in range(2))
    store.get_raw(first)
    server.inject(Fault("broken off", act), where="block/get")
    assert store.get_raw(second) == server.blocks.get_raw(second)
    assert versions(server) == ["HTTP/1.1", "HTTP/1.0", "HTTP/1.1"]
