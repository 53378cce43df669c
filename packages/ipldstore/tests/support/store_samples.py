"""Stores that count, fail or lose blocks, and small contents to write."""

from __future__ import annotations

import base64
import importlib
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ipld_castore import (
    BackendUnavailableError,
    ContentAddressableStore,
    FileSystemCAStore,
    MappingCAStore,
    SupportsList,
)
from ipldstore import IPLDStore
from multiformats import CID

zarr: Any = importlib.import_module("zarr")
"""zarr without its types, whose unions would ask for a cast at every use."""

DAMAGES = ("missing", "flipped", "emptied")
"""The damages that a test does to a block."""


SOME = {".zgroup": b'{"zarr_format":2}', "a/.zarray": b'{"shape":[2]}', "a/0": b"zero", "a/1": b"one", "a/b/c/0": b""}
"""A few keys of each kind."""


def block_file(castore: FileSystemCAStore, cid: CID) -> Path:
    """Return the file of a block, by the rule of flatfs."""
    key = base64.b32encode(bytes(cid)[2:]).decode().rstrip("=")
    return castore.path / key[-3:-1] / f"{key}.data"


def damage(castore: ContentAddressableStore, cid: CID, how: str) -> None:
    """Damage the stored bytes of a block without the verbs of the store."""
    data = castore.get_raw(cid)
    flipped = bytes([data[0] ^ 1]) + data[1:] if data else b"\0"
    changed = {"missing": None, "flipped": flipped, "emptied": b""}[how]
    assert changed != data
    if isinstance(castore, MappingCAStore):
        key = cid.encode("base32")
        if changed is None:
            del castore.mapping[key]
        else:
            castore.mapping[key] = changed
    else:
        assert isinstance(castore, FileSystemCAStore)
        file = block_file(castore, cid)
        assert file.is_file()
        if changed is None:
            file.unlink()
        else:
            file.write_bytes(changed)


def all_blocks(castore: ContentAddressableStore) -> list[CID]:
    """Return the CIDs of all blocks of a store that lists them."""
    assert isinstance(castore, SupportsList)
    return list(castore)


class ObservedCAStore(ContentAddressableStore):
    """A store that notes the calls to another store, and can become unavailable."""

    def __init__(self, inner: ContentAddressableStore) -> None:
        super().__init__()
        self.inner = inner
        self.blocking = inner.blocking
        self.got: list[CID] = []
        self.put_cids: list[CID] = []
        self.asked: list[CID] = []
        """CIDs whose presence or size was asked for."""
        self.flushed = 0
        self.down = False

    def forget(self) -> None:
        """Forget the calls so far."""
        self.got, self.put_cids, self.asked, self.flushed = [], [], [], 0

    def _check(self) -> None:
        if self.down:
            raise BackendUnavailableError("the disk is on fire")

    def get_block(self, cid: CID) -> bytes:
        self._check()
        self.got.append(cid)
        return self.inner.get_block(cid)

    def put_block(self, cid: CID, data: bytes) -> None:
        self._check()
        self.put_cids.append(cid)
        self.inner.put_block(cid, data)

    def has_block(self, cid: CID) -> bool:
        self._check()
        self.asked.append(cid)
        return self.inner.has_block(cid)

    def block_size(self, cid: CID) -> int:
        self._check()
        self.asked.append(cid)
        return self.inner.block_size(cid)

    def __iter__(self) -> Iterator[CID]:
        self._check()
        return iter(all_blocks(self.inner))

    def flush(self) -> None:
        self._check()
        self.flushed += 1
        self.inner.flush()


def contents(store: IPLDStore) -> dict[str, bytes]:
    """Return all keys of a store with their bytes."""
    return dict(store.mapping.items())


def written(contents: dict[str, bytes], castore: ContentAddressableStore | None = None) -> IPLDStore:
    """Return a new store to which these contents were written, and nothing else."""
    store = IPLDStore(castore)
    for key, data in contents.items():
        store[key] = data
    return store


def node_at(castore: ContentAddressableStore, root: CID, *path: str | int) -> Any:
    """Return the node at the end of a path through the blocks, as IPLD tools resolve it."""
    node: Any = root
    for step in path:
        if isinstance(node, CID):
            node = castore.get(node)
        node = node[step]
    return node


def link_at(castore: ContentAddressableStore, root: CID, *path: str | int) -> CID:
    """Return the link at the end of a path through the blocks."""
    node = node_at(castore, root, *path)
    assert isinstance(node, CID), f"no link at {path}"
    return node.set(base="base32")


def through_pickle(value: Any) -> Any:
    """Return a value pickled and unpickled in this process."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301  # made here
