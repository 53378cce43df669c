"""A zarr store whose contents are an IPLD graph with one root CID.

:class:`IPLDStore` is the store; the block stores it can be over are re-exported from :mod:`ipld_castore`. Data
that is lost, wrong or out of reach is an :class:`IPLDStoreError`, through zarr and xarray too.
"""

from __future__ import annotations

from ipld_castore import ContentAddressableStore, FileSystemCAStore, IPFSStore, MappingCAStore

from ._errors import IPLDStoreError, NodeError
from ._ipfs import get_ipfs_mapper
from ._mapping import StoreMapping
from ._stats import Stats
from ._store import IPLDStore
from ._sync import pull, push

__all__ = [
    "ContentAddressableStore",
    "FileSystemCAStore",
    "IPFSStore",
    "IPLDStore",
    "IPLDStoreError",
    "MappingCAStore",
    "NodeError",
    "Stats",
    "StoreMapping",
    "get_ipfs_mapper",
    "pull",
    "push",
]
