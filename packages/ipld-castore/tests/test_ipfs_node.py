"""IPFSStore against a real Kubo node."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from ipld_castore import ContentAddressableStore, IPFSStore
from ipld_castore.testing import CAStoreTests
from multiformats import CID

pytestmark = pytest.mark.kubo


@pytest.fixture
def store(kubo: Any) -> Iterator[IPFSStore]:
    """A store over the node, offline as the node is; afterwards the node has no block again."""
    with IPFSStore(kubo.url, offline=True) as store:
        yield store
        for cid in store:
            store.delete_block(cid)


class TestIPFSStore(CAStoreTests):
    keeps_codecs = False
    depth = width = 200  # as each block is a call

    @pytest.fixture
    def castore(self, store: IPFSStore, kubo: Any) -> ContentAddressableStore:
        self.blocks = kubo.repo / "blocks"
        return store

    def corrupt(self, castore: ContentAddressableStore, cid: CID, data: bytes | None) -> None:
        assert bytes(cid)[:2] == b"\x01\x55"
        key = base64.b32encode(bytes(cid)[2:]).decode().rstrip("=")
        file = self.blocks / key[-3:-1] / f"{key}.data"
        assert file.exists()
        if data is None:
            file.unlink()
        else:
            file.write_bytes(data)
