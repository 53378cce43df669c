"""A store that was closed takes no more changes, and loses none."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from ipld_castore import BackendUnavailableError, ContentAddressableStore, MappingCAStore
from ipldstore import IPLDStore, IPLDStoreError, StoreUnavailableError
from multiformats import CID
from zarr.core.buffer.cpu import Buffer

from ..support.store_samples import SOME, ObservedCAStore, contents, written, zarr

NEW = Buffer.from_bytes(b"new")

CHANGES: dict[str, Callable[[IPLDStore], Any]] = {
    "[]": lambda store: store.__setitem__("b", b"new"),
    "del": lambda store: store.__delitem__("a/0"),
    "mapping": lambda store: store.mapping.update({"b": b"new"}),
    "mapping.clear": lambda store: store.mapping.clear(),
    "set": lambda store: asyncio.run(store.set("b", NEW)),
    "set_if_not_exists": lambda store: asyncio.run(store.set_if_not_exists("b", NEW)),
    "delete": lambda store: asyncio.run(store.delete("a/0")),
    "delete_dir": lambda store: asyncio.run(store.delete_dir("a")),
    "clear": lambda store: asyncio.run(store.clear()),
    "set_sync": lambda store: store.set_sync("b", NEW),
    "delete_sync": lambda store: store.delete_sync("a/0"),
    "import_car": lambda store: store.import_car(written({"b": b"new"}).to_car()),
    "canonicalize": lambda store: store.canonicalize(),
    "set_root": lambda store: store.set_root(IPLDStore(store.castore).freeze()),
    "merge": lambda store: store.merge(store.fork()),
    "zarr": lambda store: zarr.create_array(store, name="c", shape=(1,), dtype="i4"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_no_change_after_closing(change: str, castore: ContentAddressableStore) -> None:
    """Closing works in memory and in a folder, also for a store that ``open`` did not open."""
    store = written(SOME, castore)
    mapping = store.mapping
    store.close()
    store.close()
    with pytest.raises(IPLDStoreError, match=r"closed.*open it again"):
        CHANGES[change](store)
    with pytest.raises(IPLDStoreError, match="closed"):
        mapping["b"] = b"new"
    assert store.root_cid == store.freeze() == written(SOME).freeze()
    assert contents(store) == contents(IPLDStore(castore, root=store.root_cid)) == SOME


def test_leaving_a_block_closes_and_freezes() -> None:
    castore = MappingCAStore()
    with IPLDStore(castore) as store:
        store.mapping.update(SOME)
    assert contents(IPLDStore(castore, root=store.root_cid)) == SOME


def test_closing_without_changes_writes_nothing() -> None:
    castore = ObservedCAStore(MappingCAStore())
    root = written(SOME, castore).freeze()
    castore.forget()
    IPLDStore(castore, root=root).close()
    IPLDStore(castore).close()
    assert (castore.put_cids, castore.flushed) == ([], 0)


def test_closing_that_fails_keeps_the_changes() -> None:
    castore = ObservedCAStore(MappingCAStore())
    store = written(SOME, castore)
    castore.down = True
    with pytest.raises(IPLDStoreError, match="on fire"):
        store.close()
    castore.down = False
    assert store.has_changes
    store["b"] = b"new"
    store.close()
    assert contents(IPLDStore(castore, root=store.root_cid)) == SOME | {"b": b"new"}


class PersistingCAStore(MappingCAStore):
    """Remembers the roots that it was told of, as an IPFS node pins them; cannot be told while it is down."""

    def __init__(self) -> None:
        super().__init__()
        self.persisted: list[CID] = []
        self.down = False

    def persist(self, root: CID, previous: CID | None = None) -> None:
        if self.down:
            raise BackendUnavailableError("cannot pin")
        super().persist(root, previous)
        self.persisted.append(root)


def test_a_freeze_that_fails_at_its_end_is_made_up_for() -> None:
    """The root is written, but the block store was not told of it: a second close() passed without telling it."""
    castore = PersistingCAStore()
    store = written(SOME, castore)
    castore.down = True
    for verb in (store.freeze, store.close, store.close):
        with pytest.raises(StoreUnavailableError, match="cannot pin"):
            verb()
        assert store.has_changes
    castore.down = False
    store.close()
    assert not store.has_changes
    assert castore.persisted == [store.root_cid]


def test_a_pickle_does_not_freeze() -> None:
    """A pickle writes a root for copies; close() took that root for frozen, and pinned nothing."""
    castore = PersistingCAStore()
    store = written(SOME, castore)
    pickle.dumps(store)
    assert store.has_changes
    assert castore.persisted == []
    store.close()
    assert castore.persisted == [store.root_cid]


@pytest.mark.parametrize("when", ["failed", "pickled"])
def test_verbs_that_change_the_root_refuse_what_was_never_frozen(when: str) -> None:
    castore = PersistingCAStore()
    store = written(SOME, castore)
    castore.down = when == "failed"
    if castore.down:
        with pytest.raises(StoreUnavailableError):
            store.freeze()
    else:
        pickle.dumps(store)
    other = written({"b": b"new"})
    with pytest.raises(IPLDStoreError, match="discard_changes=True"):
        store.set_root(other.freeze())
    with pytest.raises(IPLDStoreError, match="discard_changes=True"):
        store.import_car(other.to_car())
    assert contents(store) == SOME
    store.import_car(other.to_car(), discard_changes=True)
    assert not store.has_changes
    assert contents(store) == {"b": b"new"}


def test_closing_a_view_or_a_copy_closes_that_alone() -> None:
    store = written(SOME)
    copies = [store.with_read_only(False), pickle.loads(pickle.dumps(store))]  # noqa: S301  # made here
    for number, copy in enumerate(copies):
        copy.close()
        with pytest.raises(IPLDStoreError, match="closed"):
            copy["b"] = b"new"
        store[f"b/{number}"] = b"new"
        assert copy[f"b/{number}"] == b"new"
    view = store.with_read_only(False)
    store.close()
    with pytest.raises(IPLDStoreError, match="closed"):
        view["b"] = b"new"
