"""Event loops that end, stop or wait while sets are under way: nobody else waits for what they have begun."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from ipldstore import IPLDStore, IPLDStoreError, ObjectCAStore
from ipldstore._store.executor import THREADS
from ipldstore._writers import copies, looking
from ipldstore._writers.noting import loops, sequence
from zarr.core.buffer import default_buffer_prototype

from ...support.store_samples import contents, written
from ..workers.buckets import BASE, KEYS, copy_elsewhere, is_note, right, values_of
from ..workers.copies import Process

pytest.importorskip("obstore", reason="the extra object is not installed")

FIRST = {"a/c/first": b"first"}


@pytest.fixture
def castore(atomic_s3: Any, bucket: str, s3_proxy: Any, monkeypatch: pytest.MonkeyPatch) -> ObjectCAStore:
    """An empty bucket behind the proxy; who waits looks often."""
    monkeypatch.setattr(loops, "LOOK_SECONDS", 0.02)
    return ObjectCAStore.from_url(f"s3://{bucket}/air", **atomic_s3.options(s3_proxy.url))


def begin_all(copy: IPLDStore, values: dict[str, bytes]) -> list[asyncio.Task[None]]:
    make = default_buffer_prototype().buffer.from_bytes
    return [asyncio.ensure_future(copy.set(key, make(value))) for key, value in values.items()]


async def begin(copy: IPLDStore, values: dict[str, bytes], steps: int) -> list[asyncio.Task[None]]:
    """Begin to set values; return after a few steps of the loop."""
    tasks = begin_all(copy, values)
    for _ in range(steps):
        await asyncio.sleep(0)
    return tasks


def in_time(action: Callable[[], None]) -> None:
    """Run an action in a thread, so that a test ends where it does not."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001  # the test raises it
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "waits for ever"
    for error in errors:
        raise error


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("steps", [1, 3])
def test_a_loop_that_is_closed(castore: ObjectCAStore, steps: int) -> None:
    """What it has begun may be there or not. Neither other keys nor the same ones wait for it."""
    store = written(BASE, castore)
    pickled = pickle.dumps(store)
    process = Process("worker")
    copy = process.open(pickled)
    copy["a/c/first"] = b"first"
    loop = asyncio.new_event_loop()
    tasks = loop.run_until_complete(begin(copy, values_of(KEYS[:3], "1"), steps))
    loop.close()

    def write() -> None:
        copy["a/c/other"] = b"other"
        copy[KEYS[0]] = b"again"
        asyncio.run(set_async(copy, KEYS[1], b"again"))

    in_time(write)
    expected = BASE | FIRST | {"a/c/other": b"other", KEYS[0]: b"again", KEYS[1]: b"again"}
    found = contents(store)
    assert found.pop(KEYS[2], None) in (None, *values_of(KEYS[2:3], "1").values())
    assert found == expected
    copy[KEYS[2]] = b"at last"
    assert contents(process.open(pickled)) == expected | {KEYS[2]: b"at last"}
    assert store.freeze() == written(expected | {KEYS[2]: b"at last"}).freeze()
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio tells of it


async def set_async(copy: IPLDStore, key: str, value: bytes) -> None:
    await copy.set(key, default_buffer_prototype().buffer.from_bytes(value))


def test_a_call_in_the_loop_that_it_waits_for(castore: ObjectCAStore) -> None:
    """As in a notebook, whose cells run in its loop. What the loop has begun goes on after the call."""
    store = written(BASE, castore)
    copy = copy_elsewhere(store)
    copy["a/c/first"] = b"first"
    values = values_of(KEYS[:4], "1")

    async def run() -> None:
        tasks = await begin(copy, values, 2)
        copy["a/c/other"] = b"other"
        copy[KEYS[0]] = b"again"
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(found[0], IPLDStoreError)
        assert "written by another call" in str(found[0])
        assert found[1:] == [None] * 3

    in_time(lambda: asyncio.run(run()))
    expected = BASE | FIRST | values | {"a/c/other": b"other", KEYS[0]: b"again"}
    assert contents(copy) == contents(store) == expected
    assert store.freeze() == written(expected).freeze()


def test_a_loop_that_stops_for_a_while(castore: ObjectCAStore) -> None:
    store = written(BASE, castore)
    copy = copy_elsewhere(store)
    copy["a/c/first"] = b"first"
    values = values_of(KEYS[:4], "1")
    loop = asyncio.new_event_loop()
    tasks = loop.run_until_complete(begin(copy, values, 2))

    def write() -> None:
        copy["a/c/other"] = b"other"
        copy[KEYS[0]] = b"again"

    in_time(write)
    found = loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()
    assert isinstance(found[0], IPLDStoreError)
    assert found[1:] == [None] * 3
    expected = BASE | FIRST | values | {"a/c/other": b"other", KEYS[0]: b"again"}
    assert contents(copy) == contents(store) == expected


def test_a_set_that_is_cancelled_when_its_block_is_there(castore: ObjectCAStore, s3_proxy: Any) -> None:
    """The next set of its key voided the sets that had shared its note, and those after them: they were lost."""
    store = written(BASE, castore)
    copy = copy_elsewhere(store)
    copy["a/c/first"] = b"first"
    values = values_of(KEYS[:4], "1")

    async def run() -> None:
        loop = asyncio.get_running_loop()
        held, go_on = asyncio.Event(), asyncio.Event()

        async def hold(exchange: Any) -> None:
            answer = await exchange.forward()
            loop.call_soon_threadsafe(held.set)
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(go_on.wait(), loop))
            await exchange.send(answer.head + answer.body)

        s3_proxy.inject(hold, when=is_note)
        tasks = begin_all(copy, values)
        await held.wait()
        await asyncio.sleep(0.2)  # until the blocks are there
        tasks[0].cancel()
        await asyncio.sleep(0)
        go_on.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert found[1:] == [None] * 3
        await set_async(copy, "a/c/later", b"later")
        await set_async(copy, KEYS[0], b"again")

    in_time(lambda: asyncio.run(run()))
    expected = BASE | FIRST | values | {KEYS[0]: b"again", "a/c/later": b"later"}
    assert contents(copy) == contents(store) == expected
    assert store.freeze() == written(expected).freeze()


def test_more_sets_of_one_key_than_threads(castore: ObjectCAStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have all threads while the first one, which has none, has to look at the session in one."""
    store = written(BASE, castore)
    copy = copy_elsewhere(store)
    copy["a/c/first"] = b"first"
    monkeypatch.setattr(sequence, "_RECENT_SECONDS", 0)

    async def run() -> None:
        await asyncio.gather(*(set_async(copy, KEYS[0], b"%d" % number) for number in range(THREADS + 2)))

    in_time(lambda: asyncio.run(run()))
    assert contents(store)[KEYS[0]] == contents(copy)[KEYS[0]]


@pytest.mark.parametrize("fails", ["its own", "that of another"])
def test_a_note_that_more_threads_wait_for_than_there_are(castore: ObjectCAStore, s3_proxy: Any, fails: str) -> None:
    """What has no thread needs one when its request fails."""
    store = written(BASE, castore)
    copy = copy_elsewhere(store)
    copy["a/c/first"] = b"first"
    many = {f"a/c/{number}": bytes(300_000) for number in range(THREADS + 2)}  # large ones have threads

    async def run() -> None:
        loop = asyncio.get_running_loop()
        held, go_on = asyncio.Event(), asyncio.Event()

        async def hold(exchange: Any) -> None:
            loop.call_soon_threadsafe(held.set)
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(go_on.wait(), loop))
            await exchange.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        s3_proxy.inject(hold, when=is_note)
        one = asyncio.ensure_future(set_async(copy, "a/one", b"one"))
        await held.wait()
        if fails == "that of another":  # whose group is given up while the one is under way
            held.clear()
            s3_proxy.inject(hold, when=is_note)
            other = begin_all(copy, {"a/other": b"other"})[0]
            await held.wait()
            other.cancel()
        sets = begin_all(copy, many)
        await asyncio.sleep(0.3)  # until they have the threads
        go_on.set()
        await asyncio.gather(one, *sets)

    in_time(lambda: asyncio.run(run()))
    found = contents(store)
    assert found.pop("a/other", b"other") == b"other"
    assert found == BASE | FIRST | many | {"a/one": b"one"}


@pytest.mark.parametrize("by_other_copy", [False, True])
def test_a_set_that_is_cancelled_while_its_note_is_put_again(
    castore: ObjectCAStore, s3_proxy: Any, by_other_copy: bool
) -> None:
    """The thread that puts it goes on, and the next set of the key waits: the writer conflicted with itself."""
    store = written(BASE, castore)
    pickled = pickle.dumps(store)
    store["a/c/since"] = b"since"
    pickled_later = pickle.dumps(store)
    process = Process("worker")
    copy = process.open(pickled)
    other_copy = process.open(pickled_later) if by_other_copy else copy
    copy["a/c/first"] = b"first"

    def has_number(number: int) -> Callable[[Any], bool]:
        return lambda request: is_note(request) and bool(request.path.endswith(f"{number:016d}.1"))

    async def run() -> None:
        loop = asyncio.get_running_loop()
        refused, put, held, go_on = (asyncio.Event() for _ in range(4))

        async def wait_for(event: asyncio.Event) -> None:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(event.wait(), loop))

        async def refuse(exchange: Any) -> None:
            await wait_for(refused)
            await exchange.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        async def forward(exchange: Any) -> None:
            await right(exchange)
            loop.call_soon_threadsafe(put.set)

        async def hold(exchange: Any) -> None:
            loop.call_soon_threadsafe(held.set)
            await wait_for(go_on)
            await forward(exchange)

        s3_proxy.inject(refuse, 2, when=has_number(2))
        s3_proxy.inject(forward, when=has_number(3))
        s3_proxy.inject(hold, when=has_number(1))  # under another name
        other = begin_all(copy, {KEYS[1]: b"refused"})[0]
        await asyncio.sleep(0.1)
        task = begin_all(copy, {KEYS[0]: b"1"})[0]
        await asyncio.wait_for(put.wait(), 60)
        refused.set()
        await asyncio.wait_for(held.wait(), 60)  # the note is put again, as the record before it has failed
        task.cancel()
        await asyncio.sleep(0)
        again = asyncio.ensure_future(set_async(other_copy, KEYS[0], b"again"))
        await asyncio.sleep(0.1)
        go_on.set()
        await again
        with suppress(IPLDStoreError):
            await other

    in_time(lambda: asyncio.run(run()))
    assert contents(other_copy)[KEYS[0]] == b"again"
    assert contents(store)[KEYS[0]] == contents(process.open(pickled))[KEYS[0]] == b"again"
    store.freeze()


def test_a_set_that_is_cancelled_when_its_note_is_there(castore: ObjectCAStore) -> None:
    """What the next set of its key has written was overwritten in the copy when the note was read."""
    store = written(BASE, castore)
    pickled = pickle.dumps(store)
    process = Process("worker")
    copy = process.open(pickled)
    copy["a/c/first"] = b"first"
    values = values_of(KEYS[:2], "1")

    async def run() -> int:
        async def cancel_other(number: int) -> None:
            await set_async(copy, KEYS[number], values[KEYS[number]])
            tasks[1 - number].cancel()

        tasks = [asyncio.ensure_future(cancel_other(number)) for number in range(2)]
        found = await asyncio.gather(*tasks, return_exceptions=True)
        (cancelled,) = (n for n, each in enumerate(found) if isinstance(each, asyncio.CancelledError))
        await set_async(copy, KEYS[cancelled], b"again")
        return cancelled

    expected = BASE | FIRST | values | {KEYS[asyncio.run(run())]: b"again"}
    assert contents(copy) == contents(store) == expected
    process.open(pickled)  # what was written before is looked for
    assert contents(copy) == expected
    assert store.freeze() == written(expected).freeze()


def test_sets_that_end_while_notes_are_read(
    castore: ObjectCAStore, s3_proxy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look has seen one of them only. The next look took the other for new, and undid what had followed it."""
    store = written(BASE, castore)
    pickled = pickle.dumps(store)
    process = Process("worker")
    copy = process.open(pickled)
    copy["a/c/first"] = b"first"
    monkeypatch.setattr(sequence, "_RECENT_SECONDS", 0)
    held, go_on = threading.Semaphore(0), threading.Event()
    sets: list[Future[None]] = []
    look = looking.look_with_repeated

    async def hold(exchange: Any) -> None:
        held.release()
        await asyncio.to_thread(go_on.wait, 60)
        await right(exchange)

    def looks_at_state(request: Any) -> bool:
        return bool(request.method == "GET" and request.path.endswith("/state"))

    def end_sets(*arguments: Any) -> Any:
        notes = look(*arguments)
        go_on.set()
        for each in sets:
            each.result(60)
        return notes

    with ThreadPoolExecutor(2) as pool, monkeypatch.context() as patched:
        for key, is_held in ((KEYS[0], looks_at_state), (KEYS[1], is_note)):
            s3_proxy.inject(hold, when=is_held)
            sets.append(pool.submit(copy.__setitem__, key, b"first"))  # a block that is there
            assert held.acquire(timeout=60)
        patched.setattr(copies, "look_with_repeated", end_sets)
        process.open(pickled)  # what was written before is looked for
        assert copy[KEYS[0]] == b"first"
    copy[KEYS[1]] = b"again"
    process.open(pickled)
    assert copy[KEYS[1]] == b"again"
    assert contents(store) == contents(copy) == BASE | FIRST | {KEYS[0]: b"first", KEYS[1]: b"again"}


def test_a_task_that_is_to_put_a_note_is_cancelled_before_it_begins(castore: ObjectCAStore) -> None:
    """As all tasks of a loop that ends are. The sets that wait for it, or join it, put their notes themselves."""
    store = written(BASE, castore)
    copy = copy_elsewhere(store)
    copy["a/c/first"] = b"first"
    values = values_of(KEYS[:2], "1")

    async def run() -> None:
        tasks = begin_all(copy, dict([*values.items()][:1]))
        writer = copy._data.sharing.writer  # type: ignore[union-attr]  # that of a copy
        for _ in range(20):
            if writer._open_group is None:
                await asyncio.sleep(0)
        writer._open_group.leader.cancel()
        await asyncio.gather(*tasks, *begin_all(copy, dict([*values.items()][1:])))

    in_time(lambda: asyncio.run(run()))
    assert contents(store) == BASE | FIRST | values
