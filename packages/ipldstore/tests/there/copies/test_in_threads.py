"""Threads that copy: each key once, few large ones at a time, and none after an error."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator

import pytest
from ipldstore._there.copies.budget import Budget
from ipldstore._there.copies.in_threads import Threads, copy_in_threads


class Keys:
    """A listing that tells how far it was read, and that it was closed."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.listed = 0
        self.is_closed = False

    async def each(self) -> AsyncGenerator[str, None]:
        try:
            for number in range(self._number):
                self.listed += 1
                yield str(number)
        finally:
            self.is_closed = True


@pytest.mark.parametrize("number", [0, 1, 1024, 3000])
def test_each_key_is_copied_once(number: int) -> None:
    keys = Keys(number)
    found: list[str] = []
    copy_in_threads(keys.each(), Budget({}), Threads(3, 64, 1 << 20), found.extend)
    assert sorted(map(int, found)) == list(range(number))
    assert keys.is_closed


def test_no_key_is_taken_after_an_error() -> None:
    keys = Keys(10_000)
    taken: list[str] = []

    def copy(batch: list[str]) -> None:
        taken.extend(batch)
        raise ConnectionError("stopped")

    with pytest.raises(ConnectionError, match="stopped"):
        copy_in_threads(keys.each(), Budget({}), Threads(3, 1, 1 << 20), copy)
    assert len(taken) <= 3
    assert keys.listed < 10_000
    assert keys.is_closed


def test_the_error_of_a_listing_is_raised() -> None:
    async def each() -> AsyncGenerator[str, None]:
        yield "a"
        raise ConnectionError("no further page")

    with pytest.raises(ConnectionError, match="no further page"):
        copy_in_threads(each(), Budget({}), Threads(3, 1, 1 << 20), lambda _: None)


def test_as_many_keys_at_a_time_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipldstore._there.copies.budget.BYTES", 20)
    lock = threading.Lock()
    both = threading.Barrier(2, timeout=60)
    now, most = 0, 0

    def copy(_: list[str]) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        both.wait()
        with lock:
            now -= 1

    copy_in_threads(Keys(8).each(), Budget({"": 10}), Threads(4, 1, 1 << 20), copy)
    assert most == 2
