"""Block stores as a dataset uses them."""

from __future__ import annotations

from ipld_castore import AnyCAStore, ContentAddressableStore, SupportsHead, SupportsNames, castore_of
from multiformats import CID

from ipldstore.errors import IPLDStoreError, store_errors

__all__ = ["AnyCAStore", "OverlayCAStore", "castore_of", "moving_head", "require_names"]


def moving_head(castore: ContentAddressableStore) -> CID | None:
    """Return the head that persisting a root moves; None if there is none.

    :raises IPLDStoreError: if it cannot be read
    """
    if not castore.persist_moves_head or not isinstance(castore, SupportsHead):
        return None
    with store_errors("reading the head"):
        return castore.head


def require_names(castore: ContentAddressableStore, what: str) -> SupportsNames:
    """Return a block store, which must have names.

    :param what: what is being done, for errors
    :raises IPLDStoreError: if it has none
    """
    if not isinstance(castore, SupportsNames):
        raise IPLDStoreError(
            f"{what}: expected a block store with names (ipld_castore.SupportsNames), such as an IPFSStore; "
            f"found {castore!r}"
        )
    return castore


class OverlayCAStore(ContentAddressableStore):
    """Blocks in memory over those of another store, to which nothing is written.

    :param below: the other store
    """

    def __init__(self, below: ContentAddressableStore) -> None:
        super().__init__()
        self._below = below
        self.local, self.blocking = below.local, below.blocking
        self._blocks: dict[bytes, bytes] = {}

    def written(self, cid: bytes) -> bytes | None:
        """Return a block that was put here, by its binary CID; None if there is none."""
        return self._blocks.get(cid)

    def get_block(self, cid: CID) -> bytes:
        """See :meth:`ipld_castore.ContentAddressableStore.get_block`."""
        data = self._blocks.get(bytes(cid))
        return self._below.get_block(cid) if data is None else data

    def put_block(self, cid: CID, data: bytes) -> None:
        """See :meth:`ipld_castore.ContentAddressableStore.put_block`."""
        self._blocks[bytes(cid)] = data

    def has_block(self, cid: CID) -> bool:
        """See :meth:`ipld_castore.ContentAddressableStore.has_block`."""
        return bytes(cid) in self._blocks or self._below.has_block(cid)

    def block_size(self, cid: CID) -> int:
        """See :meth:`ipld_castore.ContentAddressableStore.block_size`."""
        data = self._blocks.get(bytes(cid))
        return self._below.block_size(cid) if data is None else len(data)
