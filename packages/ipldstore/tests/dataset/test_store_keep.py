"""Which roots a block store is told to keep, and when."""

from __future__ import annotations

import pickle

import pytest
from ipld_castore import BackendUnavailableError, MappingCAStore
from ipldstore import IPLDStore, IPLDStoreError
from multiformats import CID

from ..support.store_samples import ObservedCAStore


class KeepingCAStore(ObservedCAStore):
    """Writes down the roots it is to keep, and which root came before each."""

    def __init__(self) -> None:
        super().__init__(MappingCAStore())
        self.kept: list[tuple[CID, CID | None]] = []

    def persist(self, root: CID, previous: CID | None = None) -> None:
        super().persist(root, previous)
        self.kept.append((root, previous))


def test_freezing_tells_the_root_and_the_one_before() -> None:
    castore = KeepingCAStore()
    store = IPLDStore(castore)
    store["a"] = b"1"
    first = store.freeze()
    store["a"] = b"2"
    second = store.freeze()
    again = IPLDStore(castore, root=first)
    again["a"] = b"3"
    third = again.freeze()
    assert castore.kept == [(first, None), (second, first), (third, first)]
    assert castore.flushed == 3


def test_a_root_that_was_not_kept_is_not_the_one_before() -> None:
    """The second freeze does what the first could not, from the same root on."""
    castore = KeepingCAStore()
    store = IPLDStore(castore)
    store["a"] = b"1"
    first = store.freeze()
    store["a"] = b"2"
    lost = store._data._write_tree()
    castore.down = True
    with pytest.raises(IPLDStoreError, match="keeping the blocks: the disk is on fire") as caught:
        store.freeze()
    assert isinstance(caught.value.__cause__, BackendUnavailableError)
    castore.down = False
    second = store.freeze()
    assert bytes(second) == lost
    assert castore.kept[1:] == [(second, first)]


def test_who_only_reads_keeps_nothing() -> None:
    """Counting, archives, pickles and read-only stores persist no root."""
    castore = KeepingCAStore()
    store = IPLDStore(castore)
    store["a"] = b"1"
    root = store.freeze()
    reader = IPLDStore(castore, root=root, read_only=True)
    castore.kept.clear()
    for each in (store, reader):
        each.stats()
        each.to_car()
        pickle.dumps(each)
    assert reader.freeze() == root
    assert castore.kept == []
    store["a"] = b"2"
    pickle.dumps(store)  # the copies need the blocks, and no more
    assert castore.flushed == 2
    assert castore.kept == []
