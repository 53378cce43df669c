"""ObjectCAStore and what goes wrong between it and the bucket: nothing is lost, and no wrong byte is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ipld_castore import (
    BackendUnavailableError,
    BlockCorruptError,
    ObjectCAStore,
    SupportsJournal,
)

from ..support.fault_proxy import FaultProxy
from ..support.proxy_faults import (
    changed_upload,
    lost_answer,
    lost_request,
    reset_body,
    slow_down,
    stall,
    status,
    truncated,
    wrong_bytes,
)
from ..support.s3_server import S3Server
from .test_store import is_data, some_blocks

obstore = pytest.importorskip("obstore", reason="the extra object is not installed")

DATA = bytes(range(256)) * 40


@pytest.fixture
def store(s3: S3Server, s3_proxy: FaultProxy, bucket: str) -> ObjectCAStore:
    return ObjectCAStore.from_url(f"s3://{bucket}/x", **s3.options(s3_proxy.url))


@pytest.fixture
def hasty(s3: S3Server, s3_proxy: FaultProxy, bucket: str) -> ObjectCAStore:
    """A store that gives a silent request up soon, and repeats it."""
    return ObjectCAStore.from_url(f"s3://{bucket}/x", **s3.options(s3_proxy.url), timeout="400ms")


@pytest.mark.parametrize("fault", [stall(), stall(100)], ids=["stall", "stall in the body"])
def test_reading_goes_on_after_silence(hasty: ObjectCAStore, s3_proxy: FaultProxy, fault: Callable[..., Any]) -> None:
    cid = hasty.put(DATA)
    hasty.flush()
    s3_proxy.inject(fault, when=is_data)
    assert hasty.get(cid) == DATA
    assert s3_proxy.pending == 0


def test_writing_goes_on_after_silence(hasty: ObjectCAStore, s3_proxy: FaultProxy) -> None:
    s3_proxy.inject(stall(), 3, when=is_data)
    pairs = list(some_blocks(20))
    hasty.put_blocks(pairs)
    hasty.flush()
    assert sorted(hasty, key=bytes) == sorted((cid for cid, _ in pairs), key=bytes)


@pytest.mark.parametrize(
    "fault",
    [slow_down, reset_body(100), truncated(100), lost_request, lost_answer],
    ids=["503", "reset", "truncated", "lost request", "lost answer"],
)
def test_reading_goes_on_after_a_fault(store: ObjectCAStore, s3_proxy: FaultProxy, fault: Callable[..., Any]) -> None:
    cid = store.put(DATA)
    store.flush()
    s3_proxy.inject(fault, when=is_data)
    assert store.get(cid) == DATA
    assert s3_proxy.pending == 0


@pytest.mark.parametrize(
    "fault",
    [slow_down, lost_request, lost_answer, reset_body(0), truncated(0)],
    ids=["503", "lost request", "lost answer", "reset", "truncated"],
)
def test_writing_goes_on_after_a_fault(store: ObjectCAStore, s3_proxy: FaultProxy, fault: Callable[..., Any]) -> None:
    """To put a block again does no harm."""
    s3_proxy.inject(fault, 3, when=is_data)
    pairs = list(some_blocks(20))
    store.put_blocks(pairs)
    store.flush()
    assert sorted(store, key=bytes) == sorted((cid for cid, _ in pairs), key=bytes)


def test_wrong_bytes_are_an_error(store: ObjectCAStore, s3_proxy: FaultProxy) -> None:
    cid = store.put(DATA)
    store.flush()
    s3_proxy.inject(wrong_bytes, 2, when=is_data)
    with pytest.raises(BlockCorruptError, match=str(cid)):
        store.get(cid)
    assert list(store.get_many_raw([cid])) == [(cid, DATA)]  # the second wrong one is asked for once more
    assert store.get(cid) == DATA


def test_bytes_that_change_on_the_way_to_the_bucket(
    store: ObjectCAStore, s3: S3Server, bucket: str, s3_proxy: FaultProxy
) -> None:
    """The store is told by the server, or the reader is: nobody gets them for the block."""
    s3_proxy.inject(changed_upload, when=is_data)
    cid = store.put(DATA)
    try:
        store.flush()
    except BackendUnavailableError:  # the server has hashed what came
        store.flush()
        assert store.get(cid) == DATA
    else:
        with pytest.raises(BlockCorruptError, match=str(cid)):
            ObjectCAStore.from_url(f"s3://{bucket}/x", **s3.options()).get(cid)


def test_a_bucket_that_is_down_loses_nothing(s3: S3Server, s3_proxy: FaultProxy, bucket: str) -> None:
    """The error names block and bucket; the blocks are kept, and sent when it is back."""
    options = s3.options(s3_proxy.url)
    store = ObjectCAStore.from_url(f"s3://{bucket}/x", **options, retry_config={"max_retries": 0}, in_flight=4)
    s3_proxy.inject_always(slow_down)
    pairs = list(some_blocks(100))
    store.put_block(*pairs[0])
    with pytest.raises(BackendUnavailableError, match=f"(?s)s3://{bucket}/x at .*SlowDown"):
        store.flush()
    assert store.get(pairs[0][0]) == pairs[0][1]
    s3_proxy.clear()
    store.put_blocks(pairs)
    store.flush()
    assert len(list(store)) == 100


def test_no_permission_is_no_absence(s3_proxy: FaultProxy, store: ObjectCAStore) -> None:
    """A block that may be there is not reported as absent."""
    cid = store.put(DATA)
    store.flush()
    s3_proxy.inject(status(403, "Forbidden", "<Error><Code>AccessDenied</Code><Message>No.</Message></Error>"), 2)
    for verb in (store.get, store.has_block):
        with pytest.raises(BackendUnavailableError, match=f"block {cid} .*403 Forbidden"):
            verb(cid)


def test_a_bucket_that_is_not_there(s3: S3Server) -> None:
    """Each verb that needs it says so; nothing is taken for an empty bucket."""
    store = ObjectCAStore.from_url("s3://nowhere/x", **s3.options())
    assert isinstance(store, SupportsJournal)
    cid = store.put(DATA)
    verbs: list[Callable[[], Any]] = [
        store.flush,
        lambda: list(ObjectCAStore.from_url("s3://nowhere/x", **s3.options())),
        lambda: list(store.sessions()),
        lambda: store.journal("5e55").exchange(None, b""),
        lambda: store.journal("5e55").append("aa", 1, [b""]),
        store.now,
        lambda: store.head,
        lambda: ObjectCAStore.from_url("s3://nowhere/x", **s3.options()).get_raw(cid),
    ]
    for verb in verbs:
        with pytest.raises(BackendUnavailableError, match=r"s3://nowhere/x at .*no such bucket"):
            verb()


def test_an_object_too_large_for_a_block_is_not_read(s3: S3Server, bucket: str) -> None:
    """Its size is looked at before a byte of it is."""
    store = ObjectCAStore.from_url(f"s3://{bucket}/x", **s3.options())
    cid = store.put(DATA)
    store.flush()
    (name,) = (meta["path"] for page in store.store.list() for meta in page if meta["path"].endswith(".data"))
    store.store.put(name, bytes((64 << 20) + 1), use_multipart=False)
    with pytest.raises(BackendUnavailableError, match=f"block {cid}.*expected at most 67108864 bytes, found 67108865"):
        store.get(cid)
