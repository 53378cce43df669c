"""Sets of one event loop over a bucket, as zarr makes them: they share notes, and what fails takes nothing with it."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from ipldstore import IPLDStore, IPLDStoreError, ObjectCAStore
from zarr.core.buffer import default_buffer_prototype

from ...support.store_samples import contents, written
from ..workers.buckets import BASE, KEYS, copy_elsewhere, is_note, right, values_of
from ..workers.copies import Process

pytest.importorskip("obstore", reason="the extra object is not installed")


@pytest.fixture
def castore(atomic_s3: Any, bucket: str, s3_proxy: Any) -> ObjectCAStore:
    """An empty bucket behind the proxy that keeps a record; nothing is tried again by obstore."""
    return ObjectCAStore.from_url(
        f"s3://{bucket}/air", **atomic_s3.options(s3_proxy.url), retry_config={"max_retries": 0}
    )


def set_all(copy: IPLDStore, values: dict[str, bytes]) -> dict[str, BaseException | None]:
    """Set values at once, in one event loop; return the errors."""
    make = default_buffer_prototype().buffer.from_bytes

    async def run() -> list[BaseException | None]:
        sets = (copy.set(key, make(value)) for key, value in values.items())
        return await asyncio.gather(*sets, return_exceptions=True)

    return dict(zip(values, asyncio.run(run()), strict=True))


def test_sets_that_come_together_share_a_note(castore: ObjectCAStore, s3_proxy: Any) -> None:
    """None of them has a thread; each is there when it has returned, and its writer need not read it again."""
    store = written(BASE, castore)
    copy = copy_elsewhere(store)
    copy["a/c/first"] = b"first"
    for run in range(3):
        s3_proxy.requests.clear()
        assert set(set_all(copy, values_of(KEYS, str(run))).values()) == {None}
        assert sum(map(is_note, s3_proxy.requests)) <= 3, "one, but for what had to wait"
        assert s3_proxy.count("PUT", ".data") == len(KEYS)
        s3_proxy.requests.clear()
        assert contents(copy) == BASE | {"a/c/first": b"first"} | values_of(KEYS, str(run))
        assert sum(map(is_note, s3_proxy.requests)) == 0
    expected = BASE | {"a/c/first": b"first"} | values_of(KEYS, "2")
    assert contents(store) == expected
    assert store.freeze() == written(expected).freeze()


def test_a_set_by_zarr_over_chunks_that_are_there(castore: ObjectCAStore) -> None:
    """The leaf of the index is read once, in a thread."""
    values = BASE | {f"a/c/{number}": b"same" for number in range(1000)}
    link = bytes(castore.put_raw(b"same"))
    store = written(BASE, castore)
    store._data.apply(dict.fromkeys(values.keys() - BASE, link))  # without putting the block for each
    store.freeze()
    copy = copy_elsewhere(store)
    assert set(set_all(copy, values_of(KEYS, "again")).values()) == {None}
    assert store.freeze() == written(values | values_of(KEYS, "again")).freeze()


async def lost_answer(exchange: Any) -> None:
    await exchange.forward()
    await exchange.reset()


async def lost_request(exchange: Any) -> None:
    await exchange.reset()


async def refused(exchange: Any) -> None:
    await exchange.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.covering
@pytest.mark.parametrize("fault", [lost_answer, lost_request, refused])
@pytest.mark.parametrize("what", ["note", "block"])
@pytest.mark.parametrize("faults", [1, 50])
def test_what_fails_is_told_and_can_be_set_again(
    castore: ObjectCAStore, s3_proxy: Any, fault: Callable[..., Coroutine[Any, Any, None]], what: str, faults: int
) -> None:
    """A request that has failed is made once more. If that fails too, the set raises; of a block, that set alone."""
    store = written(BASE, castore)
    pickled = pickle.dumps(store)
    process = Process("worker")
    copy = process.open(pickled)
    copy["a/c/first"] = b"first"
    values = values_of(KEYS, "1")
    s3_proxy.inject(fault, faults, when=lambda r: is_note(r) if what == "note" else r.body == values[KEYS[3]])
    errors = set_all(copy, values)
    s3_proxy.clear()
    failed = [key for key, error in errors.items() if error is not None]
    assert all(isinstance(errors[key], IPLDStoreError) for key in failed)
    assert all(key in str(errors[key]) for key in failed)
    assert failed == ([] if faults == 1 else [KEYS[3]] if what == "block" else KEYS)
    told = {key: value for key, value in values.items() if key not in failed}
    assert {**BASE, "a/c/first": b"first", **told}.items() <= contents(store).items()
    assert set(set_all(copy, values_of(KEYS, "2")).values()) == {None}
    expected = {**BASE, "a/c/first": b"first", **values_of(KEYS, "2")}
    assert contents(process.open(pickled)) == expected
    assert contents(store) == expected
    assert store.freeze() == written(expected).freeze()


def test_sets_of_a_session_that_has_ended(castore: ObjectCAStore) -> None:
    store = written(BASE, castore)
    copy = copy_elsewhere(store)
    assert set(set_all(copy, values_of(KEYS)).values()) == {None}
    store.close()
    errors = set_all(copy, values_of(KEYS, "late"))
    assert all(isinstance(error, IPLDStoreError) and "closed" in str(error) for error in errors.values())
    assert contents(IPLDStore(castore, root=store.root_cid)) == BASE | values_of(KEYS)


@pytest.mark.parametrize("what", ["note", "block"])
def test_a_set_that_is_cancelled_takes_none_with_it(castore: ObjectCAStore, s3_proxy: Any, what: str) -> None:
    """Not even the one that had begun the note. Its key can be set again."""
    store = written(BASE, castore)
    pickled = pickle.dumps(store)
    process = Process("worker")
    copy = process.open(pickled)
    copy["a/c/first"] = b"first"
    make = default_buffer_prototype().buffer.from_bytes
    values = values_of(KEYS, "1")

    async def run() -> None:
        held, go_on = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        async def hold(exchange: Any) -> None:
            loop.call_soon_threadsafe(held.set)
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(go_on.wait(), loop))
            await right(exchange)

        s3_proxy.inject(hold, when=lambda r: is_note(r) if what == "note" else r.body == values[KEYS[0]])
        sets = [asyncio.ensure_future(copy.set(key, make(value))) for key, value in values.items()]
        await held.wait()
        sets[0].cancel()
        await asyncio.sleep(0)
        go_on.set()
        found = await asyncio.gather(*sets, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert set(found[1:]) == {None}

    asyncio.run(run())
    assert (values_of(KEYS[1:], "1").items()) <= contents(store).items()
    assert set(set_all(copy, values_of(KEYS[:2], "2")).values()) == {None}
    expected = {**BASE, "a/c/first": b"first", **values_of(KEYS[:2], "2"), **values_of(KEYS[2:], "1")}
    assert contents(process.open(pickled)) == expected
    assert store.freeze() == written(expected).freeze()


def test_one_key_in_one_loop_and_in_threads(castore: ObjectCAStore) -> None:
    """Those of one key follow each other, whoever makes them."""
    store = written(BASE, castore)
    copy = copy_elsewhere(store)
    make = default_buffer_prototype().buffer.from_bytes

    async def run() -> None:
        await asyncio.gather(*(copy.set(KEYS[number % 3], make(b"loop %d" % number)) for number in range(24)))

    with ThreadPoolExecutor(4) as pool:
        threads = [pool.submit(copy.__setitem__, KEYS[number % 5], b"thread %d" % number) for number in range(20)]
        asyncio.run(run())
        for thread in threads:
            thread.result(60)
    assert contents(store) == contents(copy)
    assert set(store) == {*BASE, *KEYS[:5]}
