"""Ranges of files pass the suite of backends, with a back door to write by; also below a near store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ipld_car import cids, hashes
from ipld_castore import ContentAddressableStore, MappingCAStore, ReferenceCAStore, ReferenceIndexWriter, TieredCAStore
from ipld_castore.testing import CAStoreTests
from multiformats import CID


class WritableReferences(ReferenceCAStore):
    """What is put is appended to a file, and the index is written anew before the next read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.changes = threading.RLock()
        self.blocks: dict[bytes, tuple[bytes, int, int]] = {}
        """By multihash: CID, offset, length."""
        self.is_stale = True
        (folder / "data").touch()
        self.renew()

    def renew(self) -> None:
        with self.changes:
            if self.is_stale:
                with ReferenceIndexWriter(self.folder / "x.index", fsync=False) as writer:
                    file = writer.file("data")
                    for cid, offset, length in self.blocks.values():
                        writer.add(cid, file, offset, length)
                ReferenceCAStore.__init__(self, self.folder / "x.index")
                self.is_stale = False

    def _places(self, cid: CID) -> Any:
        self.renew()
        return super()._places(cid)

    def __iter__(self) -> Iterator[CID]:
        self.renew()
        return super().__iter__()

    @property
    def writable(self) -> bool:
        return True

    def put_block(self, cid: CID, data: bytes) -> None:
        binary = cids.to_bytes(cid)
        with self.changes:
            found = self.blocks.get(cids.multihash_of(binary))
            if found is not None and self.bytes_at(found[1], found[2]) == data:
                return
            self.write(binary, data)

    def bytes_at(self, offset: int, length: int) -> bytes:
        with (self.folder / "data").open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def write(self, binary: bytes, data: bytes) -> None:
        with (self.folder / "data").open("ab") as file:
            self.blocks[cids.multihash_of(binary)] = binary, file.tell(), len(data)
            file.write(data)
        self.is_stale = True


class TestReferences(CAStoreTests):
    keeps_codecs = can_delete = can_pickle = False  # a copy only reads: test_store has it
    depth = width = 100

    @pytest.fixture
    def castore(self, tmp_path: Path) -> Iterator[ContentAddressableStore]:
        with WritableReferences(tmp_path) as store:
            yield store

    @pytest.mark.parametrize("code", [cids.SHA2_256, hashes.SHA2_512])
    def test_blocks_of_other_hash_functions(self, castore: ContentAddressableStore, code: int) -> None:
        """An index has whole sha2-256 digests only; other blocks are absent, and cannot be added."""
        cid = cids.from_bytes(cids.make(cids.RAW, hashes.digest_of(code, b"x")[:20], code))
        assert cid not in castore
        with pytest.raises(ValueError, match="sha2-256 of 32 bytes"):
            ReferenceIndexWriter("x.index").add(cid, 0, 0, 1)

    def corrupt(self, castore: ContentAddressableStore, cid: CID, data: bytes | None) -> None:
        assert isinstance(castore, WritableReferences)
        key = cids.multihash_of(cids.to_bytes(cid))
        if data is None:
            del castore.blocks[key]
            castore.is_stale = True
        else:
            castore.write(cids.to_bytes(cid), data)


class TestBelowNearStore(TestReferences):
    shows_damage = False  # nothing leaves it that was not verified

    @pytest.fixture
    def castore(self, tmp_path: Path) -> Iterator[ContentAddressableStore]:
        with TieredCAStore(MappingCAStore(), WritableReferences(tmp_path)) as store:
            yield store

    def corrupt(self, castore: ContentAddressableStore, cid: CID, data: bytes | None) -> None:
        assert isinstance(castore, TieredCAStore)
        assert isinstance(castore.near, MappingCAStore)
        castore.near.mapping.pop(str(cid), None)
        super().corrupt(castore.far, cid, data)
