"""The server of the tests itself: what is shown with it is worth no more than it is."""

from __future__ import annotations

import pytest

from ..support.fault_proxy import FaultProxy, Request
from ..support.proxy_faults import answered_503, lost_answer, reset_body, slow_down, status, truncated, wrong_bytes
from ..support.s3_server import WRITERS, S3Server, check_one_winner, race

obstore = pytest.importorskip("obstore", reason="the extra object is not installed")


def test_of_conditional_puts_at_once_one_wins(atomic_s3: S3Server, bucket: str) -> None:
    """Those that make an object, and those that replace one by its ETag."""
    for attempt in range(5):
        check_one_winner(atomic_s3, bucket, f"probe-{attempt}")


def test_what_was_read_is_what_its_etag_replaces(atomic_s3: S3Server, bucket: str) -> None:
    """Counting up by reading and replacing, from many threads at once, loses nothing."""
    stores = [atomic_s3.client(bucket) for _ in range(WRITERS)]
    obstore.put(stores[0], "count", b"0")

    def count_up(number: int) -> None:
        found = obstore.get(stores[number], "count")
        etag = found.meta["e_tag"]
        obstore.put(stores[number], "count", b"%d" % (int(bytes(found.bytes())) + 1), mode={"e_tag": etag})

    won = sum(len(race(count_up)) for _ in range(10))
    assert bytes(obstore.get(stores[0], "count").bytes()) == b"%d" % won


# -- the proxy --


def test_the_proxy_passes_everything_on(s3: S3Server, s3_proxy: FaultProxy, bucket: str) -> None:
    store = s3.client(bucket, s3_proxy.url)
    data = bytes(range(256)) * 1000
    obstore.put(store, "a/b", data)
    obstore.put(store, "empty", b"")
    assert bytes(obstore.get(store, "a/b").bytes()) == data
    assert obstore.head(store, "a/b")["size"] == len(data)
    assert sorted(meta["path"] for page in obstore.list(store) for meta in page) == ["a/b", "empty"]
    obstore.delete(store, ["a/b", "empty"])
    with pytest.raises(FileNotFoundError):
        obstore.get(store, "a/b")
    assert [request.method for request in s3_proxy.requests] == ["PUT", "PUT", "GET", "HEAD", "GET", "POST", "GET"]


def is_get(request: Request) -> bool:
    return request.method == "GET"


def test_the_proxy_does_what_it_is_told(s3: S3Server, s3_proxy: FaultProxy, bucket: str) -> None:
    store = s3.client(bucket, s3_proxy.url, retries=0)
    s3_proxy.inject(lost_answer)
    with pytest.raises(obstore.exceptions.GenericError):
        obstore.put(store, "x", b"first", mode="create")
    assert bytes(obstore.get(store, "x").bytes()) == b"first"
    s3_proxy.inject(answered_503)
    with pytest.raises(obstore.exceptions.GenericError):
        obstore.put(store, "x", b"second")
    s3_proxy.inject(slow_down)
    with pytest.raises(obstore.exceptions.GenericError, match="SlowDown"):
        obstore.put(store, "x", b"third")
    s3_proxy.inject(wrong_bytes, when=is_get)
    assert bytes(obstore.get(store, "x").bytes()) == bytes(byte ^ 0xFF for byte in b"second")
    for fault in (reset_body(3), truncated(3)):
        s3_proxy.inject(fault, when=is_get)
        with pytest.raises(obstore.exceptions.BaseError):
            obstore.get(store, "x").bytes()
    s3_proxy.inject(status(403, "Forbidden", "<Error><Code>AccessDenied</Code></Error>"))
    with pytest.raises(obstore.exceptions.PermissionDeniedError):
        obstore.get(store, "x")
    assert s3_proxy.pending == 0
