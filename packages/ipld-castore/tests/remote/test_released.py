"""Errors of an archive on a server leave no socket open and keep nothing alive, with the garbage collector off."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from ipld_car import cids
from ipld_castore import CarCAStore
from ipld_castore._remote import http_source

from ..support.range_server import File, Handler, RangeServer, archive, raw_blocks
from ..support.released import Sockets, fails, let_go, no_cycles, watch_sockets

BLOCKS = raw_blocks(500, 300)
NAMES = [cids.from_bytes(cid) for cid, _ in BLOCKS]


@pytest.fixture
def server() -> Iterator[RangeServer]:
    with RangeServer() as running:
        running.files["/x.car"] = File(archive(BLOCKS, BLOCKS[0][0]))
        yield running


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_source, "sleep", lambda _: None)


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> Sockets:
    return watch_sockets(monkeypatch)


def refuse(handler: Handler) -> bool:
    handler.answer(403, b"no", {})
    return True


def busy(handler: Handler) -> bool:
    handler.answer(503, b"later", {})
    return True


def cut(handler: Handler) -> bool:
    handler.answer(206, b"short", {"Content-Length": "5000", "Content-Range": "bytes 0-4999/5000"})
    handler.close_connection = True
    return True


def whole(handler: Handler) -> bool:
    """Ignore the range."""
    handler.answer(200, b"x" * 100_000, {})
    return True


def hang_up(handler: Handler) -> bool:
    handler.close_connection = True
    return True


FAULTS = [refuse, busy, cut, whole, hang_up]


@pytest.mark.parametrize("fault", FAULTS)
def test_an_archive_that_cannot_be_opened(
    server: RangeServer, sockets: Sockets, fault: Callable[[Handler], bool]
) -> None:
    server.misbehaviour = fault
    with no_cycles():
        assert fails(lambda: CarCAStore(f"{server.url}/x.car"))
        let_go(sockets)


VERBS: dict[str, Callable[[CarCAStore], object]] = {
    "get": lambda store: store.get_raw(NAMES[400]),
    "blocks": lambda store: list(store.get_many_raw(NAMES[300:400])),
    "graph": lambda store: list(store.get_dag(NAMES[450])),
    "size": lambda store: store.block_size(NAMES[420]),
    "has": lambda store: store.has_block(NAMES[430]),
    "list": list,
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_that_fails(server: RangeServer, sockets: Sockets, verb: str, fault: Callable[[Handler], bool]) -> None:
    """Each verb fails, or is answered from what was read before."""
    with no_cycles():

        def use() -> None:
            server.misbehaviour = None
            with CarCAStore(f"{server.url}/x.car") as store:
                server.misbehaviour = fault
                fails(lambda: VERBS[verb](store))

        use()
        let_go(sockets)
