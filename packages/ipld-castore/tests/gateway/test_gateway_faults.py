"""What gateways and nodes do that they should not: the right error or a retry, never wrong data, and no hang.

Each fault is injected once, where a retry may help, and for ever, where it must be an error in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pytest
from ipld_car import CarReader, CarWriter
from ipld_castore import (
    BackendUnavailableError,
    BlockCorruptError,
    BlockNotFoundError,
    CAStoreError,
    ContentAddressableStore,
    GatewayCAStore,
    MappingCAStore,
)
from ipld_castore._gateway import car_download
from ipld_castore.testing import BlockServer, Fault, Reply, faults
from multiformats import CID

from ..support.gateway_reads import DATA, READS, TIMEOUT, graph, way
from ..support.remote import tree

pytestmark = pytest.mark.usefixtures("short_pauses", "expiring")


@pytest.fixture
def store(server: BlockServer) -> Iterator[GatewayCAStore]:
    with GatewayCAStore(server.url, timeout=TIMEOUT) as store:
        yield store


ALWAYS: list[tuple[Fault, type[CAStoreError], str]] = [
    (faults.wrong_bytes, BlockCorruptError, "corrupt block"),
    (faults.wrong_length(-1), CAStoreError, "block|archive"),
    (faults.wrong_length(10), BackendUnavailableError, "connection broke"),
    (faults.error_page(), BackendUnavailableError, "'text/html'"),
    (faults.error_page(None), CAStoreError, "corrupt block|archive"),
    (faults.endless_body, BackendUnavailableError, "at most 2097152 bytes"),
    (faults.slow_drip(0.02), BackendUnavailableError, r"sent only \d+ bytes in [0-9.]+ s"),
    (faults.stall(), BackendUnavailableError, "silent for 60 s"),
    (faults.stall(after=0), BackendUnavailableError, "silent for 60 s"),
    (faults.stall(after=70), BackendUnavailableError, "silent for 60 s"),
    (faults.redirect("http://127.0.0.1:9/"), BackendUnavailableError, "a redirect, which is not followed"),
    (faults.redirect("/ipfs/bafkqaaa", 301), BackendUnavailableError, "a redirect, which is not followed"),
    (faults.error_with_message("context deadline exceeded"), BackendUnavailableError, "context deadline exceeded"),
    (faults.error_with_message("ipld: could not find bafy"), BlockNotFoundError, "HTTP 500"),
    (faults.error_with_message("blockstore: block not found"), BlockNotFoundError, "HTTP 500"),
    (faults.reset(), BackendUnavailableError, "connection broke"),
    (faults.reset(after=5), BackendUnavailableError, "connection broke"),
    (faults.close_at_once, BackendUnavailableError, "connection broke"),
    (faults.status(404), BlockNotFoundError, "HTTP 404"),
    (faults.status(410), BlockNotFoundError, "HTTP 410"),
    (faults.status(451), BlockNotFoundError, "HTTP 451"),
    (faults.status(204), BackendUnavailableError, "HTTP 204"),
    (faults.status(206), BackendUnavailableError, "HTTP 206"),
    (faults.status(304), BackendUnavailableError, "redirect"),
    (faults.status(403, "no"), BackendUnavailableError, "credentials"),
    (faults.status(504), BackendUnavailableError, "in vain"),
]
NAMES = [str(fault) for fault, _, _ in ALWAYS]


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(("fault", "error"), [each[:2] for each in ALWAYS], ids=NAMES)
def test_a_gateway_that_always_fails(
    server: BlockServer,
    store: GatewayCAStore,
    read: Callable[[ContentAddressableStore, CID], Any],
    fault: Fault,
    error: type[CAStoreError],
) -> None:
    """The error says what is wrong and where, though some faults last until the server stops."""
    root = tree(server.blocks)
    server.inject(fault, times=None)
    try:
        found = read(store, root)
    except error as caught:
        assert server.url in str(caught)  # noqa: PT017  # a CAR may bring all that is wanted before the fault
    else:
        assert read in (graph, way)
        assert found == read(server.blocks, root)
    server.heal()
    with GatewayCAStore(server.url, timeout=30) as other:
        assert read(other, root) == read(server.blocks, root)


@pytest.mark.parametrize(("fault", "error", "message"), ALWAYS, ids=NAMES)
def test_a_block_that_always_fails(
    server: BlockServer, store: GatewayCAStore, fault: Fault, error: type[CAStoreError], message: str
) -> None:
    """The right error, with its reason and the gateway."""
    cid = server.blocks.put(DATA)
    server.inject(fault, times=None)
    with pytest.raises(error, match=message) as caught:
        store.get(cid)
    assert str(cid) in str(caught.value)
    assert server.url in str(caught.value)


PASSING = [
    faults.reset(),
    faults.reset(after=5),
    faults.close_at_once,
    faults.wrong_length(10),
    faults.too_many_requests(0),
    faults.too_many_requests(-60, as_date=True),
    faults.status(502),
    faults.status(503, "soon"),
    faults.too_many_requests(0, code=504),
    faults.status(429, Retry_After="nonsense"),
]


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("fault", PASSING, ids=str)
def test_what_passes_is_tried_again(
    server: BlockServer, store: GatewayCAStore, read: Callable[[ContentAddressableStore, CID], Any], fault: Fault
) -> None:
    """Broken connections, and gateways that are busy; twice in a row."""
    root = tree(server.blocks)
    server.inject(fault, times=2)
    assert read(store, root) == read(server.blocks, root)


CARS = [
    faults.wrong_bytes,
    faults.truncated_car,
    faults.missing_child,
    faults.unknown_block(),
    faults.endless_body,
    faults.reset(after=400),
    faults.stall(after=400),
    faults.wrong_length(-200),
    faults.wrong_length(200),
]


@pytest.mark.parametrize("read", [graph, way])
@pytest.mark.parametrize("fault", CARS, ids=str)
def test_a_car_that_fails_in_the_middle(
    server: BlockServer, store: GatewayCAStore, read: Callable[[ContentAddressableStore, CID], Any], fault: Fault
) -> None:
    """The missing blocks are requested in another way; wrong bytes are an error."""
    root = tree(server.blocks)
    server.inject(fault, where="format=car")
    if fault is faults.wrong_bytes:
        with pytest.raises(BlockCorruptError, match=server.url):
            read(store, root)
    else:
        assert read(store, root) == read(server.blocks, root)
        assert len(server.requests) <= 3 or fault is not faults.missing_child


def test_a_child_that_nobody_has(server: BlockServer, store: GatewayCAStore) -> None:
    """A clean 200 without it does not pass for the graph."""
    root = tree(server.blocks)
    *_, (last, _) = server.blocks.get_dag(root)
    assert isinstance(server.blocks, MappingCAStore)
    removed = server.blocks.mapping.pop(str(last))
    with pytest.raises(BlockNotFoundError, match=str(last)):
        store.to_car(root)
    server.blocks.put_raw(removed)
    server.inject(faults.missing_child, times=None, where="format=car")
    server.inject(faults.status(404), times=None, where=str(last))
    with pytest.raises(BlockNotFoundError, match=str(last)):
        store.to_car(root)


def test_a_car_with_duplicates(server: BlockServer, store: GatewayCAStore) -> None:
    """Duplicates are passed over: some gateways do not know dups=n."""
    root = tree(server.blocks)

    def repeat(exchange: Any) -> None:
        right = exchange.reply()
        blocks = list(CarReader(right.data()))
        stream = BytesIO()
        with CarWriter(stream, []) as writer:
            for each in blocks:
                writer.write(each.cid_bytes, each.data)
                writer.write(blocks[0].cid_bytes, blocks[0].data)
                writer.write(each.cid_bytes, each.data)
        exchange.send(Reply(200, right.headers, [stream.getvalue()]))

    server.inject(Fault("repeats", repeat), where="format=car")
    assert graph(store, root) == graph(server.blocks, root)
    assert len(server.requests) == 1


def test_a_car_with_duplicates_without_end(
    server: BlockServer, store: GatewayCAStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only so many bytes of them, and what is left is asked for in another way."""
    monkeypatch.setattr(car_download, "_MAX_REPEATED_BYTES", 100_000)
    root = server.blocks.put([server.blocks.put(b"child")])
    sent: list[int] = []

    def repeat(exchange: Any) -> None:
        right = exchange.reply()
        first = next(iter(CarReader(right.data())))

        def sections() -> Iterator[bytes]:
            stream = BytesIO()
            with CarWriter(stream, []) as writer:
                for sent_before in range(10_000):
                    writer.write(first.cid_bytes, first.data)
                    sent.append(sent_before)
                    yield stream.getvalue()
                    stream.seek(0)
                    stream.truncate()

        exchange.send(Reply(200, right.headers, sections(), buffered=False))

    server.inject(Fault("repeats", repeat), where="format=car")
    assert graph(store, root) == graph(server.blocks, root)
    assert len(sent) < 10_000


def test_wrong_bytes_are_not_asked_for_again(server: BlockServer, store: GatewayCAStore) -> None:
    """Not that block from that gateway; others it may still give."""
    cid, good = server.blocks.put(DATA), server.blocks.put(b"good")
    server.inject(faults.wrong_bytes)
    for _ in range(3):
        with pytest.raises(BlockCorruptError, match=str(cid)):
            store.get(cid)
    assert len(server.requests) == 1
    assert store.get(good) == b"good"
    with BlockServer(server.blocks) as other, GatewayCAStore([server.url, other.url]) as both:
        server.inject(faults.wrong_bytes)
        for _ in range(3):
            assert both.get(cid) == DATA
        assert len(server.requests) == 3
        assert len(other.requests) == 3


@pytest.mark.parametrize("fault", [each[0] for each in ALWAYS], ids=str)
def test_another_gateway_has_it(server: BlockServer, fault: Fault) -> None:
    """Whatever the first one does."""
    root = tree(server.blocks)
    server.inject(fault, times=None)
    with BlockServer(server.blocks) as other, GatewayCAStore([server.url, other.url], timeout=TIMEOUT) as store:
        for read in READS:
            assert read(store, root) == read(server.blocks, root)
