"""An archive at a URL passes the suite of backends, with a back door to write by."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ipld_car import CarRangeReader, cids, dagcbor, hashes
from ipld_castore import BlockNotFoundError, CarCAStore, ContentAddressableStore
from ipld_castore._core.heads import check_head
from ipld_castore._remote.car_store import RemoteCarCAStore
from ipld_castore.testing import CAStoreTests
from multiformats import CID

from ..support.range_server import File, RangeServer, archive, raw_blocks

ABSENT = "bafkreihc4ibtvz7btvualgou5mfbgwncwshmlovmoudgyml7x6crlhcu54"
ROOT = cids.make(cids.DAG_CBOR, hashes.sha2_256(dagcbor.encode({})))


class ServedCarCAStore(RemoteCarCAStore):
    """What is put goes into an archive that is served anew before the next read."""

    def __init__(self, server: RangeServer) -> None:
        self.server = server
        self.blocks: dict[bytes, tuple[bytes, bytes]] = {}
        self.root = ROOT
        self.changes = threading.RLock()
        self.serve()
        super().__init__(f"{server.url}/x.car")

    def serve(self) -> None:
        self.server.files["/x.car"] = File(archive(self.blocks.values(), self.root))
        self.is_stale = False

    @property
    def writable(self) -> bool:
        return True

    def put_block(self, cid: CID, data: bytes) -> None:
        binary = cids.to_bytes(cid)
        key = cids.multihash_of(binary)
        with self.changes:
            old = self.blocks.get(key)
            if old is None or old[1] != data:
                self.blocks[key] = binary, data
                self.is_stale = True

    def swap_head(self, expected: CID | None, new: CID) -> None:
        with self.changes:
            check_head(self.address, expected, self.head)
            self.root, self.is_stale = bytes(new), True

    def _reader(self) -> CarRangeReader:
        with self.changes:
            if self.is_stale:
                self.serve()
                RemoteCarCAStore.__init__(self, self.address)
        return super()._reader()

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy reads what is served, and goes on with the same server."""
        self._reader()
        return RemoteCarCAStore, (self.address,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteCarCAStore) and self.address == other.address

    def __hash__(self) -> int:
        return hash(self.address)


class TestCarAtURL(CAStoreTests):
    can_delete = can_pickle = False  # a copy only reads: test_http has it
    depth = width = 100

    @pytest.fixture
    def castore(self) -> Iterator[ContentAddressableStore]:
        with RangeServer() as server, ServedCarCAStore(server) as store:
            yield store

    def corrupt(self, castore: ContentAddressableStore, cid: CID, data: bytes | None) -> None:
        assert isinstance(castore, ServedCarCAStore)
        key = cids.multihash_of(cids.to_bytes(cid))
        if data is None:
            del castore.blocks[key]
        else:
            castore.blocks[key] = castore.blocks[key][0], data
        castore.is_stale = True


def test_it_is_a_car_store() -> None:
    with RangeServer() as server:
        server.files["/x.car"] = File(archive([], ROOT))
        assert type(CarCAStore(f"{server.url}/x.car")) is RemoteCarCAStore


def test_a_block_is_located_here_and_there(tmp_path: Path) -> None:
    """So that others read it as a range of bytes of the file or of the URL."""
    blocks = raw_blocks(10, 300)
    served = archive(blocks, blocks[0][0])
    path = tmp_path / "x.car"
    path.write_bytes(served)
    cid, data = blocks[7]
    with RangeServer() as server:
        server.files["/some/x.car"] = File(served)
        for where in (str(path), f"{server.url}/some/x.car"):
            with CarCAStore(where, "r") as store:
                found = store.location(cid)
                assert served[found.payload_offset :][: found.payload_size] == data
                with pytest.raises(BlockNotFoundError, match=ABSENT):
                    store.location(ABSENT)


@pytest.mark.parametrize("options", [{"timeout": "5"}, {"timeout": 0}, {"retries": 1.5}, {"retries": -1}], ids=str)
def test_options_that_are_no_numbers(options: dict[str, Any]) -> None:
    """They came from a configuration file, say: the errors were those of comparing them."""
    with pytest.raises(ValueError, match=r"expected a .*, found"):
        CarCAStore("http://127.0.0.1:1/x.car", storage_options=options)
