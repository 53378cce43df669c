"""The least speed of a server, by a clock that the test moves: how much must come within a timeout of waiting."""

from __future__ import annotations

from collections.abc import Iterable
from io import RawIOBase
from typing import TYPE_CHECKING

import pytest
from ipld_castore._http import deadline
from ipld_castore._http.deadline import MIN_BYTES, Watch
from ipld_castore._http.errors import TooMuchOverheadError, TooSlowError

if TYPE_CHECKING:
    from typing_extensions import Buffer

TIMEOUT = 10.0


class Server(RawIOBase):
    """A stream and the clock: each read takes some seconds, and brings some bytes."""

    def __init__(self, reads: Iterable[tuple[float, int]]) -> None:
        self.now = 0.0
        self._reads = iter(reads)

    def monotonic(self) -> float:
        return self.now

    def readinto(self, buffer: Buffer, /) -> int:
        seconds, size = next(self._reads, (0.0, 0))
        self.now += seconds
        return size


def read_all(monkeypatch: pytest.MonkeyPatch, reads: Iterable[tuple[float, int]], timeout: float | None) -> int:
    server = Server(reads)
    monkeypatch.setattr(deadline, "time", server)
    watch = Watch(server, timeout)
    total = 0
    while size := watch.readinto(bytearray(1 << 20)):
        total += size
    return total


def test_a_steady_slow_answer_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes many times the timeout, and in each of them enough comes."""
    reads = [(0.9 * TIMEOUT, MIN_BYTES)] * 30
    assert read_all(monkeypatch, reads, TIMEOUT) == 30 * MIN_BYTES


def test_a_drip_ends_after_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seconds of all reads count together, and the error says what came in them."""
    with pytest.raises(TooSlowError, match=r"only 101 bytes in 10\.1"):
        read_all(monkeypatch, [(0.1, 1)] * 1000, TIMEOUT)


def test_each_timeout_is_measured_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came fast before does not excuse a drip."""
    with pytest.raises(TooSlowError):
        read_all(monkeypatch, [(TIMEOUT + 1, 10 * MIN_BYTES), *[(0.1, 1)] * 1000], TIMEOUT)


def test_the_end_of_a_small_body_may_come_late(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_all(monkeypatch, [(1, 5), (2 * TIMEOUT, 0)], TIMEOUT) == 5


def test_without_a_timeout_a_drip_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_all(monkeypatch, [(1000.0, 1)] * 50, None) == 50


def test_more_than_a_read_explains(monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast it comes."""
    with pytest.raises(TooMuchOverheadError):
        read_all(monkeypatch, [(0.0, 1 << 20)] * 3, TIMEOUT)
