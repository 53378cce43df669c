"""Writers over a bucket whose session ends, and whose notes fail: what a set has returned from is never lost."""

from __future__ import annotations

import asyncio
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import ipldstore
import pytest
from ipldstore import IPLDStore, IPLDStoreError, ObjectCAStore
from ipldstore._writers import coordinator
from ipldstore._writers.noting import sequence
from zarr.core.buffer import default_buffer_prototype

from ...support.store_samples import contents
from ..workers.buckets import copy_elsewhere, is_note, right
from ..workers.copies import Process

pytest.importorskip("obstore", reason="the extra object is not installed")


@pytest.fixture
def castore(atomic_s3: Any, bucket: str, s3_proxy: Any) -> ObjectCAStore:
    """An empty bucket behind the proxy that keeps a record."""
    return ObjectCAStore.from_url(f"s3://{bucket}/air", **atomic_s3.options(s3_proxy.url))


def looks(proxy: Any) -> int:
    """Return how often the state of a session was looked at since the last call."""
    found: int = proxy.count("GET", "/state")
    proxy.requests.clear()
    return found


def test_a_set_in_a_session_that_has_ended_raises(castore: ObjectCAStore, s3_proxy: Any) -> None:
    """Its number is taken: it need not look at the session to be told. Nor does any after it succeed."""
    store = IPLDStore(castore)
    copy = copy_elsewhere(store)
    copy["a/c/0"] = b"1"
    looks(s3_proxy)
    copy["a/c/1"] = b"1"
    assert looks(s3_proxy) == 0
    store.close()
    for number in range(2, 5):
        with pytest.raises(IPLDStoreError, match="closed"):
            copy[f"a/c/{number}"] = b"2"
    assert sorted(IPLDStore(castore, root=store.root_cid)) == ["a/c/0", "a/c/1"]


def test_a_set_in_a_session_that_was_deleted_raises(castore: ObjectCAStore) -> None:
    """As what stops its writer stays. Another look, a minute later, finds that the session is gone."""
    store = IPLDStore(castore)
    copies = [copy_elsewhere(store) for _ in range(2)]
    copies[0]["a/c/0"] = b"1"
    castore.swap_head(None, store.freeze())
    store._data.closed = True  # its process is dead
    later = datetime.fromtimestamp(castore.now() + 5, UTC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ObjectCAStore, "delete_leftovers", lambda *_: 0)
        ipldstore.compact(castore, later)
    assert ipldstore.sessions(castore) == []
    for copy in copies:
        with pytest.raises(IPLDStoreError, match="closed"):
            copy["a/c/1"] = b"2"
    ipldstore.compact(castore, later)
    assert [meta["path"] for page in castore.store.list("air/.sessions") for meta in page] == []


def test_now_and_then_a_set_looks_at_the_session(
    castore: ObjectCAStore, s3_proxy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = IPLDStore(castore)
    copy = copy_elsewhere(store)
    for number in range(4):
        copy[f"a/c/{number}"] = b"1"
    looks(s3_proxy)
    monkeypatch.setattr(sequence, "_RECENT_SECONDS", 0.0)
    for number in range(4):
        copy[f"a/c/{number}"] = b"2"
    assert looks(s3_proxy) == 4


def test_sets_beside_the_end_of_their_session(castore: ObjectCAStore) -> None:
    """Each has returned, and is in the last root; or it has raised."""
    store = IPLDStore(castore)
    copy = copy_elsewhere(store)
    written: list[str] = []
    ended = threading.Event()

    def write(thread: int) -> None:
        with suppress(IPLDStoreError):
            for number in range(1000):
                copy[f"a/c/{thread}/{number}"] = b"1"
                written.append(f"a/c/{thread}/{number}")
                if len(written) > 40:
                    ended.set()

    with ThreadPoolExecutor(8) as pool:
        threads = [pool.submit(write, thread) for thread in range(8)]
        assert ended.wait(60)
        store.close()
        for thread in threads:
            thread.result(60)
    assert len(written) < 8000
    root = store.root_cid
    assert root is not None
    assert set(IPLDStore(castore, root=root)) >= set(written)


@pytest.mark.parametrize("in_loop", [False, True], ids=["thread", "loop"])
@pytest.mark.parametrize("in_time", [False, True], ids=["late", "in-time"])
def test_a_block_that_comes_after_the_end_of_its_session(
    castore: ObjectCAStore, s3_proxy: Any, monkeypatch: pytest.MonkeyPatch, in_loop: bool, in_time: bool
) -> None:
    """Its note came before the end, so that the number of the note was free. Closing waits for a block that may come.

    The writer of a block that comes later looks at the session, and raises.
    """
    for module in (coordinator, sequence):
        monkeypatch.setattr(module, "WHOLE_SECONDS", 60.0 if in_time else 0.0)
    store = IPLDStore(castore)
    copy = copy_elsewhere(store)
    copy["a/c/0"] = b"0"  # which has looked at the session
    held, noted, stopped, release = (threading.Event() for _ in range(4))

    async def hold(exchange: Any) -> None:
        held.set()
        assert await asyncio.to_thread(release.wait, 60)
        await right(exchange)

    async def note(exchange: Any) -> None:
        await right(exchange)
        noted.set()

    async def stop(exchange: Any) -> None:
        await right(exchange)
        stopped.set()

    s3_proxy.inject(hold, when=lambda request: request.method == "PUT" and request.body == b"late")
    s3_proxy.inject(note, when=lambda request: is_note(request) and b"a/c/1" in request.body)
    s3_proxy.inject(stop, when=lambda request: is_note(request) and not request.body)

    def set_in_loop() -> None:
        asyncio.run(copy.set("a/c/1", default_buffer_prototype().buffer.from_bytes(b"late")))

    with ThreadPoolExecutor(2) as pool:
        late = pool.submit(set_in_loop if in_loop else lambda: copy.__setitem__("a/c/1", b"late"))
        assert held.wait(60)
        assert noted.wait(60)
        closing = pool.submit(store.close)
        assert stopped.wait(60)
        if not in_time:
            closing.result(60)
        release.set()
        error = late.exception(60)
        closing.result(60)
    assert store.root_cid is not None
    found = sorted(IPLDStore(castore, root=store.root_cid))
    if in_time:
        assert error is None
        assert found == ["a/c/0", "a/c/1"]
    else:
        assert isinstance(error, IPLDStoreError)
        assert found == ["a/c/0"]


def test_an_append_whose_answer_was_lost_is_one(castore: ObjectCAStore, s3_proxy: Any) -> None:
    """Its number is taken by itself."""
    store = IPLDStore(castore)
    copy = copy_elsewhere(store)

    async def lose_answer(exchange: Any) -> None:
        await exchange.forward()
        await exchange.reset()

    s3_proxy.inject(lose_answer, when=is_note)
    copy["a/c/0"] = b"1"
    copy["a/c/1"] = b"1"
    assert sorted(store) == ["a/c/0", "a/c/1"]


def test_a_note_on_its_way_is_not_given_up_with_a_later_one_that_failed(castore: ObjectCAStore, s3_proxy: Any) -> None:
    """Those behind the failed one are noted again under another id, after those before it have come."""
    store = IPLDStore(castore)
    copy = copy_elsewhere(store)
    copy["a/c/first"] = b"first"
    early_held, lost_held, lose, after_noted = (threading.Event() for _ in range(4))
    again = asyncio.Event()
    looked: list[set[str]] = []

    async def hold_early(exchange: Any) -> None:
        early_held.set()
        with suppress(TimeoutError):  # the other is not noted again before this; if it is, then it is seen alone
            await asyncio.wait_for(again.wait(), 1)
        looked.append(await asyncio.to_thread(set, store))
        await right(exchange)

    async def lose_note(exchange: Any) -> None:
        lost_held.set()
        assert await asyncio.to_thread(lose.wait, 60)
        await exchange.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    async def note_after(exchange: Any) -> None:
        await right(exchange)
        after_noted.set()

    async def note_again(exchange: Any) -> None:
        await right(exchange)
        again.set()

    for fault, key in ((hold_early, b"early"), (lose_note, b"lost"), (note_after, b"after"), (note_again, b"after")):
        s3_proxy.inject(fault, when=lambda request, key=key: is_note(request) and b"a/c/" + key in request.body)
    with ThreadPoolExecutor(3) as pool:
        early = pool.submit(copy.__setitem__, "a/c/early", b"early")
        assert early_held.wait(60)
        lost = pool.submit(copy.__setitem__, "a/c/lost", b"lost")
        assert lost_held.wait(60)
        after = pool.submit(copy.__setitem__, "a/c/after", b"after")
        assert after_noted.wait(60)
        lose.set()
        assert isinstance(lost.exception(60), IPLDStoreError)
        early.result(60)
        after.result(60)
    assert looked == [{"a/c/first"}]
    assert set(store) == {"a/c/first", "a/c/early", "a/c/after"}


def write_in_vain(copy: IPLDStore, value: bytes) -> None:
    with pytest.raises(IPLDStoreError, match="closed"):
        copy["a/c/1"] = value


def test_the_end_of_a_session_waits_for_no_writer_that_begins_after_it(castore: ObjectCAStore, s3_proxy: Any) -> None:
    """It looks at the session after its first note. As tasks that fail are tried again, more and more may begin."""
    store = IPLDStore(castore)
    pickled = pickle.dumps(store)
    first = Process("first").open(pickled)
    first["a/c/0"] = b"0"
    stopped: list[str] = []
    one_by_one = threading.Lock()

    def write(number: int) -> None:
        with one_by_one:
            first["a/c/0"] = b"%d" % number  # before it is stopped, so that it is looked for once more
            write_in_vain(Process(f"process {number}").open(pickled), b"%d" % number)

    async def write_before(exchange: Any) -> None:
        if is_note(exchange.request) and not exchange.request.body:
            stopped.append(exchange.request.path.split("/")[-2])
            if len(stopped) < 6:
                await asyncio.to_thread(write, len(stopped))
        await right(exchange)

    s3_proxy.inject_always(write_before)
    store.close()
    assert len(stopped) > 5
    assert len(set(stopped)) <= 2
    assert contents(IPLDStore(castore, root=store.root_cid))["a/c/0"] in (b"4", b"5")


def test_sets_that_fail_as_their_session_ends_do_not_conflict(castore: ObjectCAStore, s3_proxy: Any) -> None:
    """Their notes may be taken in: those before all writers were stopped."""
    store = IPLDStore(castore)
    copy = copy_elsewhere(store)

    async def write_at_end(exchange: Any) -> None:
        answer = await exchange.forward()
        for value in (b"1", b"2"):
            await asyncio.to_thread(write_in_vain, copy, value)
        await exchange.send(answer.head + answer.body)

    s3_proxy.inject(write_at_end, when=lambda request: request.method == "PUT" and request.path.endswith("/state"))
    store.close()
    assert contents(IPLDStore(castore, root=store.root_cid)) in ({}, {"a/c/1": b"1"})
