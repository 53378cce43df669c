"""ObjectCAStore over Google Cloud Storage, which puts under the condition of a generation, and not of an ETag.

The server is fake-gcs-server behind a translator; see ``support/gcs_server``.
"""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from ipld_castore import BlockNotFoundError, ContentAddressableStore, HeadMovedError, ObjectCAStore, SupportsJournal
from ipld_castore.testing import JournalTests

from ..support.fault_proxy import FaultProxy, Request
from ..support.gcs_server import TOKEN, GCSServer
from ..support.proxy_faults import lost_answer
from ..support.s3_server import WRITERS, race
from .suite import ObjectTests, race_for_head

obstore = pytest.importorskip("obstore", reason="the extra object is not installed")


def is_put_of_head(request: Request) -> bool:
    return request.method == "PUT" and request.path.endswith("/HEAD")


@pytest.fixture
def url(gcs: GCSServer) -> str:
    return gcs.new_bucket()


@pytest.fixture
def store(gcs: GCSServer, url: str) -> ObjectCAStore:
    return ObjectCAStore.from_url(f"{url}/some/where", **gcs.options())


@pytest.mark.slow
class TestBlocks(ObjectTests):
    depth = width = 60

    @pytest.fixture
    def castore(self, store: ObjectCAStore) -> ContentAddressableStore:
        return store


@pytest.mark.slow
class TestJournals(JournalTests):
    processes, exchanges, appends = 2, 5, 20

    @pytest.fixture
    def castore(self, store: ObjectCAStore) -> SupportsJournal:
        assert isinstance(store, SupportsJournal)
        return store


def test_of_conditional_puts_at_once_one_wins(gcs: GCSServer, url: str) -> None:
    """A probe of the server: of those that make an object, and of those that replace a generation."""
    from obstore.store import GCSStore

    options = gcs.options() | {"client_options": {"allow_http": gcs.options()["allow_http"]}}
    del options["allow_http"]
    stores: list[Any] = [GCSStore(url.removeprefix("gs://"), **options) for _ in range(WRITERS)]
    (winner,) = race(lambda number: stores[number].put("path", b"%d" % number, mode="create"))
    found = stores[0].get("path")
    assert bytes(found.bytes()) == b"%d" % winner
    version = {"version": found.meta["version"]}
    (winner,) = race(lambda number: stores[number].put("path", b"second %d" % number, mode=version))
    assert bytes(stores[0].get("path").bytes()) == b"second %d" % winner


def test_of_heads_at_once_one_wins(gcs: GCSServer, url: str) -> None:
    """By the generation that was read, and by the one that a put returned."""
    stores = [ObjectCAStore.from_url(url, **gcs.options()) for _ in range(8)]
    expected = None
    for turn in range(3):
        heads = [store.put({"writer": number, "turn": turn}) for number, store in enumerate(stores)]
        (winner,) = race_for_head(stores, expected, heads)
        expected = heads[winner]
        assert stores[0].head == stores[-1].head == expected


@pytest.mark.parametrize("is_first", [True, False], ids=["first head", "later head"])
def test_a_put_whose_answer_was_lost_has_succeeded(gcs: GCSServer, url: str, *, is_first: bool) -> None:
    with FaultProxy(gcs.proxy.url) as faults:
        options = gcs.options() | {"base_url": faults.url, "retry_config": {"max_retries": 0}}
        store = ObjectCAStore.from_url(url, **options)
        one, two = store.put("one"), store.put("two")
        if not is_first:
            store.swap_head(None, one)
        faults.inject(lost_answer, when=is_put_of_head)
        store.swap_head(None if is_first else one, two)
        assert faults.pending == 0
        assert store.head == two
        with pytest.raises(HeadMovedError):
            store.swap_head(None if is_first else one, one)


def test_a_generation_that_this_process_has_not_seen(store: ObjectCAStore) -> None:
    """The head is what is expected, and its generation is not the one that was read: that is no conflict."""
    one, two = store.put("one"), store.put("two")
    store.swap_head(None, one)
    other = pickle.loads(pickle.dumps(store))  # noqa: S301  # our own pickle
    other.swap_head(one, two)
    other.swap_head(two, one)
    store.swap_head(one, two)
    assert other.head == two
    with pytest.raises(HeadMovedError):
        other.swap_head(one, two)


def test_reading_deleting_and_listing(gcs: GCSServer, store: ObjectCAStore) -> None:
    cids = [store.put_raw(b"%d" % number) for number in range(30)]
    store.flush()
    assert set(store) == set(cids)
    assert [data for _, data in store.get_many_raw(cids)] == [b"%d" % number for number in range(30)]
    store.delete_blocks([cids[0], store.put_raw(b"never put"), cids[1]])
    assert set(store) == {*cids[2:]}
    with pytest.raises(BlockNotFoundError, match="gs://"):
        store.get_raw(cids[0])
    (status,) = [each for each in store.block_statuses() if each.cid == cids[2]]
    assert abs(status.time - store.now()) < 60
    nowhere = ObjectCAStore.from_url("gs://no-such-bucket", **gcs.options())
    nowhere.put(b"nowhere")
    with pytest.raises(OSError, match=r"gs://no-such-bucket.*no such bucket"):
        nowhere.flush()


def test_stores_at_two_endpoints_are_two(gcs: GCSServer, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here = ObjectCAStore.from_url(url, **gcs.options())
    assert gcs.proxy.url in here.address
    assert TOKEN not in repr(here) + here.address
    elsewhere = ObjectCAStore.from_url(url, **gcs.options() | {"base_url": "http://127.0.0.1:9"})
    assert here != elsewhere
    monkeypatch.setenv("GOOGLE_BASE_URL", gcs.proxy.url)
    assert ObjectCAStore.from_url(url, bearer_token=TOKEN, allow_http=True) == here
