"""InFlight: one call for all that want a key at the same time, and what becomes of errors."""

from __future__ import annotations

import gc
import pickle
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from ipld_castore.concurrency import InFlight, in_order


def test_waiting_threads_share_one_call() -> None:
    """The call is held until all others wait for it; a key that is wanted later is called for again."""
    calls: InFlight[int] = InFlight()
    begun, release = threading.Event(), threading.Event()
    count = 0

    def action() -> int:
        nonlocal count
        count += 1
        begun.set()
        release.wait(60)
        return count

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(calls.fetch, b"key", action)
        assert begun.wait(60)
        others = [pool.submit(calls.fetch, b"key", action) for _ in range(5)]
        assert calls.fetch(b"other", lambda: 7) == 7  # other keys are not held up
        while not all(each.running() for each in others):
            pass
        release.set()
        results = [each.result(60) for each in (first, *others)]
    assert results[0] == 1
    assert max(results) == count  # a thread that came late made a call of its own
    assert calls.fetch(b"key", action) == count


def test_errors_reach_all_and_an_interrupt_only_its_thread() -> None:
    calls: InFlight[int] = InFlight()
    begun, release = threading.Event(), threading.Event()

    def interrupted() -> int:
        begun.set()
        release.wait(60)
        raise KeyboardInterrupt

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(calls.fetch, b"key", interrupted)
        assert begun.wait(60)
        other = pool.submit(calls.fetch, b"key", lambda: 5)
        release.set()
        with pytest.raises(KeyboardInterrupt):
            first.result(60)
        assert other.result(60) == 5
    with pytest.raises(ZeroDivisionError):
        calls.fetch(b"key", lambda: 1 // 0)
    assert calls.fetch(b"key", lambda: 5) == 5
    assert pickle.loads(pickle.dumps(calls)).fetch(b"key", lambda: 6) == 6  # noqa: S301  # our own


class Data:
    """Something that a user has in a local variable."""


@pytest.fixture
def no_gc() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_gc")
@pytest.mark.parametrize("how", ["single flight", "in order"])
def test_errors_are_in_no_cycle(how: str) -> None:
    """What the frames of an error hold is free when the error is, without the garbage collector."""

    def fail() -> weakref.ref[Data]:
        data = Data()
        seen = weakref.ref(data)

        def action(divisor: int = 0) -> int:
            assert data is not None
            return 1 // divisor

        with pytest.raises(ZeroDivisionError) as caught:
            InFlight[int]().fetch(b"key", action) if how == "single flight" else list(in_order(action, [0] * 9))
        del caught
        return seen

    before = set(threading.enumerate())
    seen = fail()
    for thread in set(threading.enumerate()) - before:  # calls that were begun hold the action until they end
        thread.join(60)
    assert seen() is None
