"""Stores of the tests that are reached over HTTP."""

from __future__ import annotations

from ipld_car import cids
from ipld_castore import ContentAddressableStore, GatewayCAStore, MappingCAStore
from ipld_castore.testing import BlockServer
from multiformats import CID

ABSENT = "bafkreihc4ibtvz7btvualgou5mfbgwncwshmlovmoudgyml7x6crlhcu54"
"""The CID of a block that no store of the tests has."""


class ServedCAStore(GatewayCAStore):
    """A gateway that is read as a store, with a back door to write by."""

    def __init__(self, server: BlockServer) -> None:
        super().__init__(server.url)
        self.server = server

    @property
    def writable(self) -> bool:
        return True

    def put_block(self, cid: CID, data: bytes) -> None:
        self.server.blocks.put_block(cid, data)


def tree(store: ContentAddressableStore, width: int = 3, depth: int = 3, label: str = "") -> CID:
    """A graph of maps, some of whose nodes are met twice; returns its root."""
    if not depth:
        return store.put(f"leaf {label}".encode())
    below = [tree(store, width, depth - 1, f"{label}{number}") for number in range(width)]
    return store.put({"list": below, "again": below[0], "label": label})


def damage(blocks: ContentAddressableStore, cid: CID, data: bytes | None) -> None:
    """Change or remove a block of a mapping, behind its back."""
    assert isinstance(blocks, MappingCAStore)
    key = cids.to_text(bytes(cid))
    if data is None:
        del blocks.mapping[key]
    else:
        blocks.mapping[key] = data
