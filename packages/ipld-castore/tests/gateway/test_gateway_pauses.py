"""When a gateway is asked again: after the pause that it asks for, and not before, by no thread."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from ipld_castore import BackendUnavailableError, GatewayCAStore
from ipld_castore._gateway import retry
from ipld_castore.testing import BlockServer, faults

from ..support.gateway_reads import DATA, TIMEOUT

pytestmark = pytest.mark.usefixtures("short_pauses")


@pytest.fixture
def store(server: BlockServer) -> Iterator[GatewayCAStore]:
    with GatewayCAStore(server.url, timeout=TIMEOUT) as store:
        yield store


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited, without waiting: the clock is moved on instead."""
    waited: list[float] = []
    monotonic = time.monotonic

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return monotonic() + sum(waited)

    monkeypatch.setattr(retry, "time", Clock)
    monkeypatch.setattr(retry, "sleep", waited.append)
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
