"""When a gateway is asked again: after the pause that it asks for, and not before, by no thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from ipld_castore import BackendUnavailableError, GatewayCAStore
from ipld_castore._gateway import retry
from ipld_castore.testing import BlockServer, faults

from ..support.gateway_reads import DATA, TIMEOUT

pytestmark = pytest.mark.usefixtures("short_pauses", "expiring")


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
    """A busy gateway is asked as often as the caller said; then the store raises an error."""
    cid = server.blocks.put(DATA)
    server.inject(faults.too_many_requests(5), times=None)
    with pytest.raises(BackendUnavailableError, match="429"):
        store.get(cid)
    assert len(server.requests) == 4
    server.forget()
    with GatewayCAStore(server.url, retries=0) as impatient, pytest.raises(BackendUnavailableError, match="429"):
        impatient.get(cid)
    assert len(server.requests) == 1


class StoppedClock:
    """A clock that stands until :meth:`advance`, and counts those who sleep by it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asleep = threading.Semaphore(0)
        self._moved = threading.Condition()

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self._moved:
            until = self.now + seconds
            self.asleep.release()
            assert self._moved.wait_for(lambda: self.now >= until, 60)

    def advance(self, seconds: float) -> None:
        with self._moved:
            self.now += seconds
            self._moved.notify_all()


def test_a_pause_is_for_all_threads(
    server: BlockServer, store: GatewayCAStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a gateway asked one thread to wait, no thread asks it before the pause is over."""
    clock = StoppedClock()
    monkeypatch.setattr(retry, "time", clock)
    monkeypatch.setattr(retry, "sleep", clock.sleep)
    blocks = [server.blocks.put(b"%d" % number) for number in range(8)]
    server.inject(faults.too_many_requests(7))
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(store.get, blocks[0])
        assert clock.asleep.acquire(timeout=60)
        others = [pool.submit(store.get, cid) for cid in blocks[1:]]
        assert all(clock.asleep.acquire(timeout=60) for _ in others)
        assert len(server.requests) == 1
        clock.advance(7)
        assert [each.result(60) for each in (first, *others)] == [b"%d" % number for number in range(8)]
    assert len(server.requests) == 9
