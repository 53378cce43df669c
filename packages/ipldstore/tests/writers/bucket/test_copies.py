"""What copies over a bucket read of their own process, beside notes of others that come late, and of each other."""

from __future__ import annotations

import pickle
from typing import Any
from unittest.mock import patch

import pytest
from ipldstore import IPLDStore, IPLDStoreError, ObjectCAStore
from ipldstore._writers import copies

from ...support.store_samples import written
from ..workers.buckets import BASE, right
from ..workers.copies import Process

pytest.importorskip("obstore", reason="the extra object is not installed")


@pytest.fixture
def castore(atomic_s3: Any, bucket: str, s3_proxy: Any) -> ObjectCAStore:
    """An empty bucket behind the proxy."""
    return ObjectCAStore.from_url(f"s3://{bucket}/air", **atomic_s3.options(s3_proxy.url))


def note_without_block(copy: IPLDStore, key: str, value: bytes, proxy: Any) -> None:
    """Set a key as a worker does that is killed when its note is there, and its block is not."""

    async def refuse(exchange: Any) -> None:
        if exchange.request.method == "PUT" and exchange.request.body == value:
            await exchange.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        else:
            await right(exchange)

    proxy.inject_always(refuse)
    with pytest.raises(IPLDStoreError):
        copy[key] = value
    proxy.clear()


@pytest.mark.parametrize("is_in_pickle", [False, True], ids=["look", "pickle"])
def test_a_task_of_a_killed_worker_that_is_tried_again_elsewhere(
    castore: ObjectCAStore, s3_proxy: Any, is_in_pickle: bool
) -> None:
    """Its block comes with that of the other worker. What that worker has written since is newer than its note."""
    store = written(BASE, castore)
    note_without_block(Process("killed").open(pickle.dumps(store)), "a/c/0", b"task", s3_proxy)
    if is_in_pickle:
        store["a/c/1"] = b"1"
    pickled = pickle.dumps(store)
    process = Process("worker")
    copy = process.open(pickled)
    assert "a/c/0" not in copy
    copy["a/c/0"] = b"task"
    copy["a/c/0"] = b"next"
    again = process.open(pickled)
    assert again["a/c/0"] == b"next"
    again["a/c/0"] = b"last"
    assert store["a/c/0"] == process.open(pickled)["a/c/0"] == b"last"


def test_a_copy_sets_a_key_that_another_one_sets_after_its_look(castore: ObjectCAStore) -> None:
    """It wrote over what it had not seen, which conflicted with what the other copy had noted."""
    store = written(BASE, castore)
    process = Process("worker")
    copy = process.open(pickle.dumps(store))
    store["a/c/1"] = b"1"
    other = process.open(pickle.dumps(store))
    assert other._data is not copy._data
    values = [b"other"]
    take_over = copies.CopySharing._take_over_read

    def set_between(sharing: copies.CopySharing, *arguments: Any) -> None:
        take_over(sharing, *arguments)
        if values:
            other["a/c/0"] = values.pop()

    with patch.object(copies.CopySharing, "_take_over_read", set_between):
        copy["a/c/0"] = b"own"
    assert store["a/c/0"] == copy["a/c/0"] == other["a/c/0"] == b"own"
