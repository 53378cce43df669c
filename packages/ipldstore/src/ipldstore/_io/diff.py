"""What differs between two datasets that are open, wherever their blocks are."""

from __future__ import annotations

from ipld_car import cids
from ipld_castore import BlockNotFoundError, ContentAddressableStore, ReadOnlyStoreError
from multiformats import CID

from ipldstore._merge.diff import Diff
from ipldstore._merge.diff import diff as diff_roots
from ipldstore._store.dataset_store import frozen_root
from ipldstore._store.ipld_store import IPLDStore


def diff(a: IPLDStore, b: IPLDStore) -> Diff:
    """Return what differs between two datasets: nodes, metadata, attributes, shapes, ranges of chunks, other keys.

    Its cost is that of the difference: nodes that differ are read, and no chunk. Changes that are not frozen are
    frozen first. Of a store of a group the whole dataset is compared.

    :param a: the older one
    :param b: the newer one
    :raises IPLDStoreError: if a node is missing or damaged

    >>> import ipldstore
    >>> old, new = ipldstore.IPLDStore(), ipldstore.IPLDStore()
    >>> new["notes"] = b"text"
    >>> print(ipldstore.diff(old, new))
    + key notes
    """
    roots = [cids.to_bytes(frozen_root(each)) for each in (a, b)]
    castore = a.castore if a.castore == b.castore else _Either(a.castore, b.castore)
    return diff_roots(castore, *roots)


class _Either(ContentAddressableStore):
    """The blocks of two block stores, to read."""

    def __init__(self, first: ContentAddressableStore, second: ContentAddressableStore) -> None:
        super().__init__()
        self._stores = first, second
        self.local = first.local and second.local

    def get_block(self, cid: CID) -> bytes:
        """See :meth:`ContentAddressableStore.get_block`."""
        try:
            return self._stores[0].get_raw(cid)
        except BlockNotFoundError:
            return self._stores[1].get_raw(cid)

    @property
    def writable(self) -> bool:
        """False: it is for reading."""
        return False

    def put_block(self, cid: CID, data: bytes) -> None:
        """Refuse to write.

        :raises ReadOnlyStoreError: always
        """
        raise ReadOnlyStoreError(f"two block stores are only read together; block {cid} is not put")
