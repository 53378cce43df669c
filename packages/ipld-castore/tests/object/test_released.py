"""Errors of a bucket keep no block and no frame alive, with the garbage collector off.

Sockets are those of obstore, which closes them when its store is freed: no Python object may hold that.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial

import pytest
from ipld_car import cids, hashes
from ipld_castore import ObjectCAStore, SupportsHead, SupportsJournal, SupportsList
from multiformats import CID

from ..support.fault_proxy import Fault, FaultProxy
from ..support.proxy_faults import status, truncated, wrong_bytes
from ..support.released import Block, fails, join_threads, no_cycles
from ..support.s3_server import S3Server

pytest.importorskip("obstore", reason="the extra object is not installed")


def journal_of(store: ObjectCAStore) -> None:
    assert isinstance(store, SupportsJournal)
    assert store.journal("5e55").exchange(None, b"begun") is not None


def head_of(store: ObjectCAStore, cid: CID) -> None:
    assert isinstance(store, SupportsHead)
    store.swap_head(None, cid)


def listing_of(store: ObjectCAStore) -> None:
    assert isinstance(store, SupportsList)
    list(store)


VERBS: dict[str, Callable[[ObjectCAStore, CID], object]] = {
    "get": lambda store, cid: store.get_raw(cid),
    "blocks": lambda store, cid: list(store.get_many_raw([cid] * 3)),
    "graph": lambda store, cid: list(store.get_dag(cid)),
    "size": lambda store, cid: store.block_size(cid),
    "has": lambda store, cid: store.has_block(cid),
    "put": lambda store, _: store.persist(store.put(b"new" * 1000)),
    "head": head_of,
    "list": lambda store, _: listing_of(store),
    "journal": lambda store, _: journal_of(store),
}


CASES = [pytest.param(verb, status(403, "Forbidden"), id=f"{verb} is forbidden") for verb in VERBS]
CASES += [pytest.param("get", truncated(), id="get is cut off"), pytest.param("blocks", wrong_bytes, id="wrong blocks")]


@pytest.mark.parametrize(("verb", "fault"), CASES)
def test_a_verb_that_fails(s3: S3Server, s3_proxy: FaultProxy, bucket: str, verb: str, fault: Fault) -> None:
    """The store and what the caller had are free at once."""
    cid = ObjectCAStore.from_url(f"s3://{bucket}", **s3.options()).put(b"block" * 1000)

    def use() -> list[weakref.ref[object]]:
        store = ObjectCAStore.from_url(f"s3://{bucket}", **s3.options(s3_proxy.url), timeout="1s")
        s3_proxy.inject_always(fault)
        fails(lambda: VERBS[verb](store, cid))
        s3_proxy.clear()
        fails(store.close)
        return [weakref.ref(store)]

    with no_cycles():
        used = use()
        join_threads()
        assert [each() for each in used] == [None]


def test_blocks_that_cannot_be_sent(s3: S3Server, s3_proxy: FaultProxy, bucket: str) -> None:
    """The store holds them for another try; with the store they are gone, and the error holds none of them."""
    s3_proxy.inject_always(status(403, "Forbidden"))
    with no_cycles():
        store = ObjectCAStore.from_url(f"s3://{bucket}", **s3.options(s3_proxy.url))
        for number in range(3):
            data = Block(b"%d" % number * 1000)
            put = partial(store.put_block, cids.from_bytes(cids.make(cids.RAW, hashes.sha2_256(data))), data)
            while fails(put):  # an error of the blocks before, which is raised once
                pass
            del data, put
        assert fails(store.flush)
        assert Block.alive == 3
        assert fails(store.close)
        del store
        join_threads()  # the one that sent last holds the queue until it ends
        assert Block.alive == 0
