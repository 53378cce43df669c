"""What other processes do with copies of a store, in a module that spawned processes can import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ipldstore import IPLDStore, IPLDStoreError
from zarr.core.buffer import cpu
from zarr.core.sync import sync

from ..store_samples import contents, through_pickle, written, zarr


def read(store: IPLDStore) -> dict[str, bytes]:
    return contents(store)


def read_an_array(store: IPLDStore) -> Any:
    return zarr.open_array(store, path="a", mode="r")[...]


HELD: list[IPLDStore] = []


def hold_and_read(store: IPLDStore) -> dict[str, bytes]:
    """Read a store and keep it, as a worker keeps the stores of its tasks."""
    HELD.append(store)
    return contents(store)


def describe(store: IPLDStore) -> tuple[str, bool, int, str]:
    return str(store.root_cid), store.read_only, len(store.to_car()), str(store.freeze())


def refusals(store: IPLDStore) -> list[str]:
    """Return the error of each way to change the store; empty where it succeeds."""
    buffer = cpu.Buffer.from_bytes(b"lost")
    archive = written({"b": b"b"}).to_car()
    changes: list[Callable[[], Any]] = [
        lambda: store.__setitem__("a/c/9", b"lost"),
        lambda: store.__delitem__("a/c/0"),
        lambda: store.mapping.update({"a/c/9": b"lost"}),
        store.mapping.clear,
        lambda: store.set_sync("a/c/9", buffer),
        lambda: store.delete_sync("a/c/0"),
        lambda: sync(store.set("a/c/9", buffer)),
        lambda: sync(store.set_if_not_exists("a/c/9", buffer)),
        lambda: sync(store.delete("a/c/0")),
        lambda: sync(store.delete_dir("a")),
        lambda: sync(store.clear()),
        lambda: store.with_read_only(False).__setitem__("a/c/9", b"lost"),
        lambda: zarr.create_group(store, path="lost"),
        lambda: store.import_car(archive),
        store.canonicalize,
    ]
    said = []
    for change in changes:
        try:
            change()
        except IPLDStoreError as error:
            said.append(str(error))
        else:
            said.append("")
    return said


def write_one_of_its_own(store: IPLDStore) -> tuple[bytes, str]:
    """Write to a store that this process has made."""
    own = IPLDStore(store.castore, root=store.root_cid)
    own["a/c/9"] = b"mine"
    return own["a/c/9"], str(own.freeze())


def pickle_on(store: IPLDStore) -> tuple[list[str], str]:
    """Return the errors of a copy of a copy, and its root."""
    again = through_pickle(store)
    assert again == store
    return refusals(again), str(again.root_cid)


def give_back(store: IPLDStore) -> IPLDStore:
    return store
