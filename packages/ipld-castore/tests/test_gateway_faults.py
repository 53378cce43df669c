"""What gateways and nodes do that they should not: the right error or a retry, never wrong data, and no hang.

Each fault is injected once, where a retry may help, and for ever, where it must be an error in the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
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
    _attempts,
    _car_stream,
    _fetch,
)
from ipld_castore.testing import BlockServer, Fault, Reply, faults
from multiformats import CID
from remote import tree

TIMEOUT = 0.25
"""Seconds; short, so that silence is found out soon."""

DATA = bytes(range(256)) * 100


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that no gateway asks for."""
    monkeypatch.setattr(_attempts, "_FIRST_PAUSE", 0.01)


@pytest.fixture
def server() -> Iterator[BlockServer]:
    with BlockServer() as server:
        yield server


@pytest.fixture
def store(server: BlockServer) -> Iterator[GatewayCAStore]:
    with GatewayCAStore(server.url, timeout=TIMEOUT) as store:
        yield store


def block(store: ContentAddressableStore, cid: CID) -> bytes:
    return store.get_raw(cid)


def graph(store: ContentAddressableStore, root: CID) -> dict[str, bytes]:
    return {str(cid): data for cid, data in store.get_dag(root)}


def way(store: ContentAddressableStore, root: CID) -> dict[str, bytes]:
    return {str(cid): data for cid, data in store.get_way(root, ["list", "1", "list", "0"])}


def blocks(store: ContentAddressableStore, root: CID) -> dict[str, bytes]:
    return {str(cid): data for cid, data in store.get_blocks([root])}


READS: list[Callable[[ContentAddressableStore, CID], Any]] = [block, graph, way, blocks]

ALWAYS: list[tuple[Fault, type[CAStoreError], str]] = [
    (faults.wrong_bytes, BlockCorruptError, "corrupt block"),
    (faults.wrong_length(-1), CAStoreError, "block|archive"),
    (faults.wrong_length(10), BackendUnavailableError, "connection broke"),
    (faults.error_page(), BackendUnavailableError, "'text/html'"),
    (faults.error_page(None), CAStoreError, "corrupt block|archive"),
    (faults.endless_body, BackendUnavailableError, "at most 2097152 bytes"),
    (faults.slow_drip(0.02), BackendUnavailableError, r"sent \d+ bytes in 0.25 s"),
    (faults.stall(), BackendUnavailableError, "silent for 0.25 s"),
    (faults.stall(after=0), BackendUnavailableError, "silent for 0.25 s"),
    (faults.stall(after=70), BackendUnavailableError, "silent for 0.25 s"),
    (faults.redirect("http://127.0.0.1:9/"), BackendUnavailableError, "redirect, which is not followed"),
    (faults.redirect("/ipfs/bafkqaaa", 301), BackendUnavailableError, "redirect, which is not followed"),
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
    """The error says what is wrong and where, in time."""
    root = tree(server.blocks)
    server.inject(fault, times=None)
    start = time.monotonic()
    try:
        found = read(store, root)
    except error as caught:
        assert server.url in str(caught)  # noqa: PT017  # a CAR may bring all that is wanted before the fault
    else:
        assert read in (graph, way)
        assert found == read(server.blocks, root)
    assert time.monotonic() - start < 8 * TIMEOUT
    server.heal()
    with GatewayCAStore(server.url, timeout=TIMEOUT) as other:
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
    """What it did not bring is asked for in another way, and is all there; or, after wrong bytes, it is an error."""
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
    """They are passed over: some gateways do not know dups=n."""
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
    monkeypatch.setattr(_car_stream, "_MAX_REPEATED_BYTES", 100_000)
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


# -- pauses --


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited, without waiting: the clock is moved on instead."""
    waited: list[float] = []
    monotonic = time.monotonic

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return monotonic() + sum(waited)

    monkeypatch.setattr(_attempts, "time", Clock)
    monkeypatch.setattr(_attempts, "sleep", waited.append)
    return waited


@pytest.mark.parametrize("as_date", [False, True])
@pytest.mark.parametrize("code", [429, 502, 503, 504])
@pytest.mark.parametrize(("asked", "least", "most"), [(7, 5, 7.1), (3600, 59, 60.1), (10**20, 59, 60.1)])
def test_retry_after(
    server: BlockServer,
    store: GatewayCAStore,
    pauses: list[float],
    as_date: bool,
    code: int,
    asked: int,
    least: float,
    most: float,
) -> None:
    """In seconds and as a date, at most 60 seconds; a date has whole seconds, so it may come out one shorter."""
    if as_date:
        asked = min(asked, 10**9)
    cid = server.blocks.put(DATA)
    server.inject(faults.too_many_requests(asked, as_date=as_date, code=code), times=2)
    assert store.get(cid) == DATA
    assert len(pauses) == 2
    assert all(least <= pause <= most for pause in pauses)


def test_dates_of_other_forms(server: BlockServer, store: GatewayCAStore, pauses: list[float]) -> None:
    """The old forms of RFC 9110, one without a zone, and what is no date."""
    cid = server.blocks.put(DATA)
    now = datetime.now(UTC)
    for text in (
        f"{now:%A, %d-%b-%y %H:%M:%S} GMT",
        f"{now:%a %b %d %H:%M:%S %Y}",
        f"{now:%a, %d %b %Y %H:%M:%S} -0000",
        "Thu, 99 Foo 2099 99:99:99 GMT",
        "-5",
        "",
    ):
        server.inject(faults.status(429, Retry_After=text))
        assert store.get(cid) == DATA
    assert all(pause < 1 for pause in pauses)


@pytest.mark.usefixtures("pauses")
def test_a_gateway_that_stays_busy(server: BlockServer, store: GatewayCAStore) -> None:
    """It is asked as often as the caller said, and then it is an error."""
    cid = server.blocks.put(DATA)
    server.inject(faults.too_many_requests(5), times=None)
    with pytest.raises(BackendUnavailableError, match="429"):
        store.get(cid)
    assert len(server.requests) == 4
    server.forget()
    with GatewayCAStore(server.url, retries=0) as impatient, pytest.raises(BackendUnavailableError, match="429"):
        impatient.get(cid)
    assert len(server.requests) == 1


def test_a_pause_is_for_all_threads(server: BlockServer, store: GatewayCAStore) -> None:
    """While one was asked to wait, the others do not ask."""
    blocks = [server.blocks.put(b"%d" % number) for number in range(8)]
    server.inject(faults.too_many_requests(1))
    with pytest.raises(BackendUnavailableError), GatewayCAStore(server.url, retries=0) as other:
        other.get(blocks[0])
    server.inject(faults.too_many_requests(1))
    first = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        head = pool.submit(store.get, blocks[0])
        time.sleep(0.3)
        list(pool.map(store.get, blocks[1:]))
        head.result()
    assert all(request.arrived - first > 0.9 for request in server.requests[2:])


# -- the rest of the wire --


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
    with pytest.raises(BackendUnavailableError, match="nobody answers there"):
        store.get_raw(root)
    server.start()
    assert store.get_raw(root) == server.blocks.get_raw(root)


def test_a_steady_slow_answer_is_no_silence(
    server: BlockServer, store: GatewayCAStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slower than the timeout in all, but never below the least speed."""
    monkeypatch.setattr(_fetch, "SLOWEST", 5)
    cid = server.blocks.put(DATA[:40])
    server.inject(faults.slow_drip(0.03), times=None)
    start = time.monotonic()
    assert store.get(cid) == DATA[:40]
    assert time.monotonic() - start > 2 * TIMEOUT


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
    """Nobody asked for them, and a few bytes of them can be gigabytes."""

    def compressed(exchange: Any) -> None:
        right = exchange.reply()
        right.headers["Content-Encoding"] = "gzip"
        exchange.send(right)

    server.inject(Fault("gzip", compressed), times=None)
    with pytest.raises(BackendUnavailableError, match="encoded"):
        store.get(server.blocks.put(DATA))
