"""Roots by names that stay while the data change."""

from __future__ import annotations

from ipld_car import cids
from ipld_castore import SupportsNames
from multiformats import CID
from zarr.abc.store import Store

from ipldstore._dataset.dataset import Dataset
from ipldstore.errors import IPLDStoreError, store_errors


class NameVerbs(Store):
    """The verbs of a store for names, where its blocks are on an IPFS node: https://docs.ipfs.tech/concepts/ipns/."""

    _data: Dataset

    def publish(self, name: str) -> str:
        """Freeze, and point an IPNS name to the root; returns the name as others know it (``k51...``).

        :param name: of a key on the node; it is made if there is none. Only who has the key can move the name.
        :raises IPLDStoreError: if freezing or publishing fails, or the blocks are not on an IPFS node
        """
        castore = self._names(f"publishing {name!r}")
        root = self._data.frozen() if self.read_only else self._data.freeze()
        with store_errors(f"publishing {name!r}"):
            return castore.publish(name, cids.from_validated(root))

    def resolve(self, name: str) -> CID:
        """Return the root that a name points to, for :meth:`set_root` or a store of its own.

        :param name: of a key on the node, or an IPNS name (``k51...``), or a domain name with a DNSLink
        :raises IPLDStoreError: if it points to none, as far as can be found out, or the blocks are not on an IPFS node
        """
        castore = self._names(f"resolving {name!r}")
        with store_errors(f"resolving {name!r}"):
            return castore.resolve(name)

    def _names(self, what: str) -> SupportsNames:
        """Return the block store, which must have names.

        :raises IPLDStoreError: if it has none
        """
        castore = self._data.castore
        if not isinstance(castore, SupportsNames):
            raise IPLDStoreError(
                f"{what}: expected a block store with names (ipld_castore.SupportsNames), such as an IPFSStore; "
                f"found {castore!r}"
            )
        return castore
