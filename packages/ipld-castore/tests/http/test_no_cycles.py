"""After an error nothing depends on the garbage collector: connections, threads and the user's data are let go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from ipld_car import cids, hashes
from ipld_castore import GatewayCAStore, IPFSStore
from ipld_castore._core import pauses
from ipld_castore.testing import BlockServer, Fault, faults
from multiformats import CID

from ..support.released import Block, Sockets, fails, join_threads, let_go, no_cycles, watch_sockets
from ..support.remote import tree

Store = TypeVar("Store", GatewayCAStore, IPFSStore)

pytestmark = pytest.mark.usefixtures("short_pauses", "expiring")


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "FIRST_PAUSE", 0.0)


def use(store: Store, verb: Callable[[Store, CID], object], root: CID) -> None:
    with store:
        fails(lambda: verb(store, root))


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> Sockets:
    return watch_sockets(monkeypatch)


FAULTS = [
    faults.wrong_bytes,
    faults.wrong_length(10),
    faults.endless_body,
    faults.stall(),
    faults.stall(after=20),
    faults.slow_drip(0.02),
    faults.redirect("http://127.0.0.1:9/"),
    faults.reset(),
    faults.reset(after=5),
    faults.close_at_once,
    faults.status(403),
    faults.status(404),
    faults.too_many_requests(0),
    faults.error_with_message("disk full"),
    faults.error_with_message("ipld: could not find bafy"),
]

READS: dict[str, Callable[[Any, Any], object]] = {
    "get": lambda store, root: store.get_raw(root),
    "has": lambda store, root: root in store,
    "blocks": lambda store, root: list(store.get_blocks([root, root, root])),
    "graph": lambda store, root: list(store.get_dag(root)),
    "path": lambda store, root: list(store.get_path(root, ["list", "1", "list", "0"])),
    "size": lambda store, root: store.block_size(root),
    "check": lambda store, root: store.check_dag(root),
}

NODE: dict[str, Callable[[IPFSStore, Any], object]] = {
    **READS,
    "list": lambda store, _: list(store),
    "delete": lambda store, root: store.delete_block(root),
    "pin": lambda store, root: store.pin(root, "name"),
    "unpin": lambda store, root: store.unpin(root),
    "pins": lambda store, _: list(store.pins()),
    "publish": lambda store, root: store.publish("name", root),
    "resolve": lambda store, _: store.resolve("self"),
    "persist": lambda store, root: store.persist(root),
}


@pytest.mark.parametrize("fault", FAULTS, ids=str)
@pytest.mark.parametrize("verb", ["get", "graph"])
def test_a_gateway(server: BlockServer, sockets: Sockets, verb: str, fault: Fault) -> None:
    root = tree(server.blocks, width=2, depth=2)
    server.inject(fault, times=None)
    with no_cycles():
        use(GatewayCAStore(server.url, timeout=60, retries=1), READS[verb], root)
        let_go(sockets)


@pytest.mark.parametrize(
    "fault", [faults.wrong_bytes, faults.reset(after=5), faults.status(403), faults.status(500)], ids=str
)
@pytest.mark.parametrize("verb", NODE)
def test_a_node(server: BlockServer, sockets: Sockets, verb: str, fault: Fault) -> None:
    root = tree(server.blocks, width=2, depth=2)
    server.inject(fault, times=None)
    with no_cycles():
        use(IPFSStore(server.url, timeout=60), NODE[verb], root)
        let_go(sockets)


@pytest.mark.parametrize(
    "fault", [faults.stall(), faults.reset(), faults.status(403), faults.reset_upload(1000)], ids=str
)
def test_blocks_that_cannot_be_sent(server: BlockServer, sockets: Sockets, fault: Fault) -> None:
    """The store holds them for another try; with the store they are gone, and the error holds none of them."""
    server.inject(fault, times=None, where="dag/import")
    with no_cycles():
        store = IPFSStore(server.url, timeout=60)
        for number in range(3):
            data = Block(b"%d" % number * 100_000)
            store.put_block(cids.from_bytes(cids.make(cids.RAW, hashes.sha2_256(data))), data)
            del data
        assert fails(store.flush)
        assert fails(store.flush)
        assert Block.alive == 3
        assert fails(store.close)
        del store
        join_threads()  # the one that sent last holds the queue until it ends
        assert Block.alive == 0
        let_go(sockets)
