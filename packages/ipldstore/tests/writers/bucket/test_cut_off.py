"""Sessions whose end is cut off anywhere, as if its process was killed, or meets a note anywhere: nothing is lost."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any

import ipldstore
import pytest
from ipldstore import IPLDStore, IPLDStoreError

from ...support.store_samples import contents
from ..workers.buckets import copy_elsewhere, is_note

pytest.importorskip("obstore", reason="the extra object is not installed")

VALUES = {"zarr.json": b"{}", "a/c/0": b"0", "a/c/1": b"1"}


class CutOff:
    """Answer some requests, and let no other one reach the server; the first of these may still do so.

    :param requests: how many are answered
    :param arrives: whether the next one reaches the server, though its answer is lost
    """

    def __init__(self, requests: int, *, arrives: bool) -> None:
        self._left = requests
        self._arrives = arrives

    async def __call__(self, exchange: Any) -> None:
        self._left -= 1
        if self._left >= 0 or (self._left == -1 and self._arrives):
            answer = await exchange.forward()
            if self._left >= 0:
                await exchange.send(answer.head + answer.body)
                return
        await exchange.reset()


def session(url: str, options: dict[str, Any]) -> Any:
    """Return a store whose worker has noted two keys."""
    store = ipldstore.open(url, "x", storage_options=options)
    store["zarr.json"] = b"{}"
    copy = copy_elsewhere(store)
    for key in ("a/c/0", "a/c/1"):
        copy[key] = VALUES[key]
    return store


@pytest.mark.slow
@pytest.mark.parametrize("arrives", [False, True], ids=["request", "answer"])
def test_a_session_is_recovered_wherever_its_end_was_cut_off(
    atomic_s3: Any, bucket: str, s3_proxy: Any, arrives: bool
) -> None:
    """Or was complete: the head has all that was noted, once, and what is left is found and freed."""
    plain, proxied = atomic_s3.options(), atomic_s3.options(s3_proxy.url) | {"retry_config": {"max_retries": 0}}
    whole = IPLDStore()
    whole.mapping.update(VALUES)
    root = whole.freeze()
    for requests in range(100):
        url = f"s3://{bucket}/{requests}"
        store = session(url, proxied)
        s3_proxy.inject_always(CutOff(requests, arrives=arrives))
        with suppress(IPLDStoreError):
            store.close()
        s3_proxy.clear()
        is_closed, store._data.closed = store._data.closed, True  # its process is dead
        left = [each.name for each in ipldstore.sessions(url, storage_options=plain) if not each.ended]
        for name in left:
            assert ipldstore.recover(url, name, storage_options=plain) == root
        assert not (left and is_closed)
        for older_than in (timedelta(hours=1), timedelta(hours=-1)):
            ipldstore.compact(url, older_than, storage_options=plain)
            with ipldstore.open(url, storage_options=plain) as found:
                assert (found.root_cid, contents(found)) == (root, VALUES)
        assert ipldstore.sessions(url, storage_options=plain) == []
        if is_closed:
            break
    assert 10 < requests < 30


def test_a_close_that_failed_is_repeated(atomic_s3: Any, bucket: str, s3_proxy: Any) -> None:
    """Its deletes are done beside the last exchanges: any of them may fail."""
    url, options = f"s3://{bucket}/air", atomic_s3.options(s3_proxy.url) | {"retry_config": {"max_retries": 0}}
    store = session(url, options)

    async def refuse(exchange: Any) -> None:
        await exchange.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    s3_proxy.inject(refuse, when=lambda request: request.method == "POST")
    with pytest.raises(IPLDStoreError, match="deleting notes"):
        store.close()
    assert not store._data.closed
    store.close()
    assert [each.ended for each in ipldstore.sessions(url, storage_options=options)] == [True]
    names = [meta["path"] for page in store.castore.store.list(".sessions") for meta in page if meta["size"]]
    assert [name.rpartition("/")[2] for name in names] == ["state"]
    with ipldstore.open(url, storage_options=options) as found:
        assert contents(found) == VALUES


class NoteBetween:
    """Let a note arrive when the server has done some of a coordinator's requests, before that gets the last answer."""

    def __init__(self, requests: int) -> None:
        self._left = requests
        self.held, self.release, self._arrived = threading.Event(), threading.Event(), threading.Event()

    async def __call__(self, exchange: Any) -> None:
        request = exchange.request
        is_late = is_note(request) and b"a/c/late" in request.body
        if is_late:
            self.held.set()
            assert await asyncio.to_thread(self.release.wait, 60)
        answer = await exchange.forward()
        if is_late:
            self._arrived.set()
        elif self._is_of_coordinator(request):
            self._left -= 1
            if self._left == 0:
                self.release.set()
                assert await asyncio.to_thread(self._arrived.wait, 60)
        await exchange.send(answer.head + answer.body)

    def _is_of_coordinator(self, request: Any) -> bool:
        is_of_copy = request.body == b"late" or (request.method == "GET" and request.path.endswith("/state"))
        return self.held.is_set() and not is_of_copy


@pytest.mark.slow
@pytest.mark.parametrize("is_known", [False, True], ids=["new", "known"])
def test_a_note_that_arrives_anywhere_in_the_end_of_its_session(
    atomic_s3: Any, bucket: str, s3_proxy: Any, is_known: bool
) -> None:
    """Its set has returned, and it is in the last root; or its set raises. A new writer has noted nothing before."""
    options, results = atomic_s3.options(s3_proxy.url), []
    for requests in range(1, 100):
        store = session(f"s3://{bucket}/{requests}", options)
        copy: Any = copy_elsewhere(store)
        if not is_known:
            copy._data.sharing.writer.renew()
        between = NoteBetween(requests)
        with ThreadPoolExecutor(1) as pool:
            s3_proxy.inject_always(between)
            late = pool.submit(copy.__setitem__, "a/c/late", b"late")
            assert between.held.wait(60)
            store.close()
            is_over = not between.release.is_set()
            between.release.set()
            error = late.exception(60)
        s3_proxy.clear()
        assert error is None or isinstance(error, IPLDStoreError)
        found = contents(IPLDStore(store.castore, root=store.root_cid))
        assert found.items() >= VALUES.items()
        assert error is not None or found["a/c/late"] == b"late"
        results.append(error is None)
        if is_over:
            break
    assert False in results
    assert True in results or not is_known, "a new one looks at the session after its first note"
    assert len(results) > 8
