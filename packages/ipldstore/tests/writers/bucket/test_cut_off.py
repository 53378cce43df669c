"""Coordinators that lose their bucket anywhere in the end of a session, as if killed: nothing noted is lost."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

import ipldstore
import pytest
from ipldstore import IPLDStore, IPLDStoreError

from ...support.store_samples import contents
from ..workers.buckets import copy_elsewhere

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
    """Its deletes are done beside the last exchange: either may fail."""
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
