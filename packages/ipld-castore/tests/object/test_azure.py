"""ObjectCAStore over Azure Blob Storage, whose ETags are others than those of S3: on a real server, Azurite."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from ipld_castore import ContentAddressableStore, ObjectCAStore, SupportsJournal
from ipld_castore.testing import JournalTests

from ..support.peer_binary import NoBinaryError
from .azurite import Azurite, install
from .suite import ObjectTests, race_for_head

pytest.importorskip("obstore", reason="the extra object is not installed")
pytestmark = pytest.mark.slow

WRITERS = 32


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    try:
        program = install()
    except NoBinaryError as error:
        pytest.skip(str(error))
    except RuntimeError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
    server = Azurite(program, tmp_path_factory.mktemp("azurite"))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def store(azure: Azurite) -> ObjectCAStore:
    return ObjectCAStore.from_url(azure.new_container(), **azure.options())


class TestBlocks(ObjectTests):
    depth = width = 60

    @pytest.fixture
    def castore(self, store: ObjectCAStore) -> ContentAddressableStore:
        return store


class TestJournals(JournalTests):
    processes, exchanges, appends = 2, 5, 20

    @pytest.fixture
    def castore(self, store: ObjectCAStore) -> SupportsJournal:
        assert isinstance(store, SupportsJournal)
        return store


def test_of_heads_at_once_one_wins(azure: Azurite) -> None:
    """That make the head, and that replace it by its ETag."""
    url = azure.new_container()
    stores = [ObjectCAStore.from_url(url, **azure.options()) for _ in range(WRITERS)]
    heads = [store.put({"writer": number}) for number, store in enumerate(stores)]
    expected = None
    for _ in range(4):
        (winner,) = race_for_head(stores, expected, heads)
        expected = heads[winner]
        assert stores[0].head == expected
        heads = [store.put({"writer": number, "after": expected}) for number, store in enumerate(stores)]


def test_no_secret_shows(azure: Azurite) -> None:
    store = ObjectCAStore.from_url(azure.new_container(), **azure.options())
    key = azure.options()["account_key"]
    assert key not in repr(store) + store.address
    wrong = ObjectCAStore.from_url("az://nowhere", **azure.options())
    wrong.put(b"nowhere")
    with pytest.raises(OSError, match=r"az://.*no such bucket or container") as caught:
        wrong.flush()
    assert key not in str(caught.value)
