"""Stores against a dict: after any sequence of verbs both give the same answers."""

from __future__ import annotations

import base64
import pickle
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from ipld_car import cids, read_car
from ipld_castore import (
    BlockCorruptError,
    BlockNotFoundError,
    ContentAddressableStore,
    FileSystemCAStore,
    MappingCAStore,
    SupportsDelete,
    SupportsList,
)
from multiformats import CID

BYTES = st.one_of(st.binary(max_size=64), st.integers(0, 5).map(lambda number: bytes([number]) * 5000))
CODECS = st.sampled_from(["raw", "dag-jose", "json"])  # any bytes are blocks of these


class AgainstADict(RuleBasedStateMachine):
    """A dict of blocks by multihash beside a store; ``damaged`` are those that a rule damaged."""

    by_codec = False
    """Whether the store takes each codec of the same bytes for a block of its own."""

    store: ContentAddressableStore
    blocks = Bundle("blocks")

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[bytes, bytes] = {}
        self.damaged: set[bytes] = set()
        self.links: dict[bytes, set[bytes]] = {}

    def key(self, cid: CID) -> bytes:
        return bytes(cid) if self.by_codec else cids.multihash_of(bytes(cid))

    def kept(self, cid: CID, data: bytes) -> CID:
        self.model[self.key(cid)] = data
        self.damaged.discard(self.key(cid))
        return cid

    def whole(self, cid: CID) -> bool:
        """Return whether every block below a CID is there and good."""
        key = self.key(cid)
        below = self.links.get(bytes(cid), set())
        return (
            key in self.model and key not in self.damaged and all(self.whole(cids.from_bytes(link)) for link in below)
        )

    @rule(target=blocks, data=BYTES, codec=CODECS)
    def put_raw(self, data: bytes, codec: str) -> CID:
        return self.kept(self.store.put_raw(data, codec), data)

    @rule(target=blocks, links=st.lists(blocks, max_size=4), number=st.integers(0, 3))
    def put_node(self, links: list[CID], number: int) -> CID:
        cid = self.store.put({"number": number, "links": links})
        self.links[bytes(cid)] = {bytes(link) for link in links}
        return self.kept(cid, self.store.get_raw(cid))

    @rule(cid=blocks)
    def get(self, cid: CID) -> None:
        if self.key(cid) not in self.model:
            with pytest.raises(BlockNotFoundError):
                self.store.get_raw(cid)
        elif self.key(cid) in self.damaged:
            with pytest.raises(BlockCorruptError):
                self.store.get_raw(cid)
        else:
            assert self.store.get_raw(cid) == self.model[self.key(cid)]
            assert self.store.block_size(cid) == len(self.model[self.key(cid)])
        assert (cid in self.store) == (self.key(cid) in self.model)

    @rule(cid=blocks)
    def delete(self, cid: CID) -> None:
        assert isinstance(self.store, SupportsDelete)
        self.store.delete_block(cid)
        self.model.pop(self.key(cid), None)
        self.damaged.discard(self.key(cid))

    @rule(cid=blocks, data=BYTES)
    def damage(self, cid: CID, data: bytes) -> None:
        if self.key(cid) in self.model and data != self.model[self.key(cid)]:
            self.spoil(cid, data)
            self.damaged.add(self.key(cid))

    @rule(cid=blocks)
    def export(self, cid: CID) -> None:
        """A whole graph always gives the same archive. Any other graph gives an error."""
        if self.whole(cid):
            archive = self.store.to_car(cid)
            assert archive == self.store.to_car(cid)
            assert {self.key(found) for found, _, _ in read_car(archive)[1]} <= set(self.model)
        else:
            with pytest.raises((BlockNotFoundError, BlockCorruptError)):
                self.store.to_car(cid)

    @rule(target=blocks, data=BYTES, number=st.integers(0, 3))
    def import_archive(self, data: bytes, number: int) -> object:
        other = MappingCAStore()
        leaf = other.put(data)
        root = other.put({"number": number, "links": [leaf]})
        self.links[bytes(root)] = {bytes(leaf)}
        assert self.store.import_car(other.to_car(root)) == [root]
        return multiple(self.kept(leaf, data), self.kept(root, other.get_raw(root)))

    @rule(cid=consumes(blocks))
    def forget(self, cid: CID) -> None:
        """Forget a CID, so that hypothesis tries others."""

    @rule()
    def pickle(self) -> None:
        self.store.flush()
        copy = pickle.loads(pickle.dumps(self.store))  # noqa: S301  # our own
        assert copy == self.store
        self.store = copy

    @invariant()
    def lists_what_is_there(self) -> None:
        assert isinstance(self.store, SupportsList)
        listed = list(self.store)
        assert len(listed) == len(self.model)
        assert {self.key(cid) for cid in listed} == set(self.model)

    def spoil(self, cid: CID, data: bytes) -> None:
        raise NotImplementedError


class MappingMachine(AgainstADict):
    by_codec = True

    @initialize()
    def start(self) -> None:
        self.store = MappingCAStore()

    def spoil(self, cid: CID, data: bytes) -> None:
        assert isinstance(self.store, MappingCAStore)
        self.store.mapping[str(cid)] = data


class FolderMachine(AgainstADict):
    fsync = False

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.store = FileSystemCAStore(self.folder, fsync=self.fsync)

    @rule()
    def reopen(self) -> None:
        self.fsync = not self.fsync
        self.store = FileSystemCAStore(self.folder, fsync=self.fsync)

    def spoil(self, cid: CID, data: bytes) -> None:
        key = base64.b32encode(cids.multihash_of(bytes(cid))).decode().rstrip("=")
        (file,) = self.folder.rglob(f"{key}.data")
        file.write_bytes(data)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)


TestMapping = MappingMachine.TestCase
TestMapping.settings = settings(max_examples=50, stateful_step_count=30)
TestFolder = FolderMachine.TestCase
TestFolder.settings = settings(max_examples=25, stateful_step_count=30)  # as it waits for the disk
