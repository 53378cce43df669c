"""The blocks of the test server as a node keeps them: by multihash, whatever the codec of the CID."""

from __future__ import annotations

from collections.abc import Iterator

from ipld_car import cids
from multiformats import CID

from ipld_castore._backends.filesystem import FileSystemCAStore
from ipld_castore._backends.mapping import MappingCAStore
from ipld_castore._core.store import ContentAddressableStore
from ipld_castore.errors import BlockNotFoundError

_CODECS = (cids.RAW, cids.DAG_CBOR, cids.DAG_PB)


def _names(cid: CID) -> list[CID]:
    """Return the CID itself, and the CIDs of other codecs with its multihash."""
    binary = cids.to_bytes(cid)
    multihash = cids.multihash_of(binary)
    return [cid, *(cids.from_bytes(bytes((1, codec)) + multihash) for codec in _CODECS)]


class NodeBlocks(ContentAddressableStore):
    """A view of a store in which a block that is there under one codec is there under all."""

    def __init__(self, blocks: MappingCAStore | FileSystemCAStore) -> None:
        super().__init__()
        self._blocks = blocks

    def get_block(self, cid: CID) -> bytes:
        """Return the bytes of a block, unverified."""
        for name in _names(cid):
            if self._blocks.has_block(name):
                return self._blocks.get_raw(name, verify=False)
        raise BlockNotFoundError(str(cid))

    def put_block(self, cid: CID, data: bytes) -> None:
        """Put a block."""
        self._blocks.put_block(cid, data)

    def has_block(self, cid: CID) -> bool:
        """Return whether there is such a block."""
        return any(map(self._blocks.has_block, _names(cid)))

    def delete_block(self, cid: CID) -> None:
        """Delete a block."""
        for name in _names(cid):
            self._blocks.delete_block(name)

    def __iter__(self) -> Iterator[CID]:
        """Return an iterator over the CIDs of all blocks."""
        return iter(self._blocks)
