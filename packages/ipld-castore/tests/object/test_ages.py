"""Ages of blocks in a bucket, by the clock of the store: what collecting garbage beside writers needs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from ipld_castore import ObjectCAStore, SupportsAge, SupportsJournal

from ..support.fault_proxy import FaultProxy
from ..support.s3_server import S3Server

pytest.importorskip("obstore", reason="the extra object is not installed")


@pytest.fixture
def castore(atomic_s3: S3Server, bucket: str, s3_proxy: FaultProxy) -> Iterator[ObjectCAStore]:
    with ObjectCAStore.from_url(f"s3://{bucket}/air", **atomic_s3.options(s3_proxy.url)) as store:
        yield store


def test_blocks_tell_size_and_time(castore: ObjectCAStore) -> None:
    assert isinstance(castore, SupportsAge)
    before = castore.now()
    cids = [castore.put(bytes([number]) * (number + 1)) for number in range(3)]
    castore.flush()
    after = castore.now()
    found = {each.cid: each for each in castore.block_statuses()}
    assert {cid: each.size for cid, each in found.items()} == {cid: number + 1 for number, cid in enumerate(cids)}
    assert all(int(before) <= each.time <= after + 1 for each in found.values()), "S3 tells whole seconds"
    assert not [meta for page in castore.store.list() for meta in page if "clock" in meta["path"]]


def test_old_blocks_are_deleted_and_young_ones_stay(castore: ObjectCAStore, s3_proxy: FaultProxy) -> None:
    cids = [castore.put(bytes([number])) for number in range(5)]
    castore.flush()
    times = {each.cid: each.time for each in castore.block_statuses()}
    assert list(castore.delete_old(cids, min(times.values()))) == []
    assert set(castore) == set(cids)
    absent, limit = cids[0], max(times.values()) + 1
    castore.delete_block(absent)
    s3_proxy.requests.clear()
    assert list(castore.delete_old(cids, limit)) == cids[1:]
    assert s3_proxy.count("POST") == 1, "many by one request"
    assert list(castore) == []


def test_notes_without_a_session_are_leftovers(castore: ObjectCAStore) -> None:
    """A writer that had not seen that its session was deleted has put them."""
    assert isinstance(castore, SupportsJournal)
    live, deleted = castore.journal("11"), castore.journal("de")
    assert live.exchange(None, b"state")
    live.append("aa", 1, [b"kept"])
    deleted.append("bb", 1, [b"left"])
    young: Any = castore.now() - timedelta(hours=1).total_seconds()
    assert castore.delete_leftovers(young) == 0
    assert castore.delete_leftovers(castore.now() + 2) > 0
    assert list(deleted.entries({})) == []
    assert [entry.record for entry in live.entries({})] == [b"kept"]
    assert live.state == b"state"
