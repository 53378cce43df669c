"""One call for all that asked before it began; none for those that asked after."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from ipld_castore.concurrency import SharedCall, shared_call


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Released each time when a thread has asked."""
    semaphore, join = threading.Semaphore(0), shared_call._Calls.join

    def counted(calls: shared_call._Calls[int]) -> object:
        joined = join(calls)
        semaphore.release()
        return joined

    monkeypatch.setattr(shared_call._Calls, "join", counted)
    return semaphore


def test_one_call_serves_all_that_asked_before_it_began(asked: threading.Semaphore) -> None:
    calls: list[int] = []
    begun, go_on = threading.Event(), threading.Event()
    shared: SharedCall[int] = SharedCall()

    def act() -> int:
        calls.append(len(calls))
        number = calls[-1]
        begun.set()
        assert go_on.wait(60)
        return number

    with ThreadPoolExecutor(21) as pool:
        first = pool.submit(shared.call, act)
        assert begun.wait(60)
        others = [pool.submit(shared.call, act) for _ in range(20)]
        for _ in range(21):
            assert asked.acquire(timeout=60)
        go_on.set()
        assert first.result() == 0
        assert {other.result() for other in others} == {1}
    assert calls == [0, 1]
    assert shared.call(act) == 2


def test_an_error_is_that_of_all_that_wait_and_of_nobody_else(asked: threading.Semaphore) -> None:
    begun, go_on = threading.Event(), threading.Event()
    shared: SharedCall[int] = SharedCall()

    def first() -> int:
        begun.set()
        assert go_on.wait(60)
        raise OSError("the first")

    def second() -> int:
        raise OSError("the second")

    with ThreadPoolExecutor(3) as pool:
        one = pool.submit(shared.call, first)
        assert begun.wait(60)
        others = [pool.submit(shared.call, second) for _ in range(2)]
        for _ in range(3):
            assert asked.acquire(timeout=60)
        go_on.set()
        with pytest.raises(OSError, match="the first"):
            one.result()
        for other in others:
            with pytest.raises(OSError, match="the second"):
                other.result()
    assert shared.call(lambda: 3) == 3


def test_a_thread_that_is_interrupted_interrupts_no_other(asked: threading.Semaphore) -> None:
    begun, go_on = threading.Event(), threading.Event()
    shared: SharedCall[int] = SharedCall()

    def held() -> int:
        begun.set()
        assert go_on.wait(60)
        return 0

    def interrupted() -> int:
        raise KeyboardInterrupt

    with ThreadPoolExecutor(3) as pool:
        pool.submit(shared.call, held)
        assert begun.wait(60)
        stopped = pool.submit(shared.call, interrupted)
        for _ in range(2):
            assert asked.acquire(timeout=60)
        other = pool.submit(shared.call, lambda: 7)
        assert asked.acquire(timeout=60)
        go_on.set()
        assert isinstance(stopped.exception(60), KeyboardInterrupt)
        assert other.result(60) == 7
