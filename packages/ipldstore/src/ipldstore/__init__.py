"""A zarr store whose contents are an IPLD graph with one root CID.

:class:`IPLDStore` is the store, and :func:`open` opens one in a file or folder; the block stores it can be over are
re-exported from :mod:`ipld_castore`. Data that is lost, wrong or out of reach is an :class:`IPLDStoreError`, through
zarr and xarray too.
"""

from __future__ import annotations

from ipld_castore import CarCAStore, ContentAddressableStore, FileSystemCAStore, IPFSStore, MappingCAStore

from ._compact import Compacted, compact
from ._errors import IPLDStoreError, NodeError
from ._ipfs import get_ipfs_mapper
from ._mapping import StoreMapping
from ._open import open  # noqa: A004  # as tarfile, gzip and many others have it
from ._references import car_references
from ._stats import Stats
from ._store import IPLDStore
from ._sync import pull, push

__all__ = [
    "CarCAStore",
    "Compacted",
    "ContentAddressableStore",
    "FileSystemCAStore",
    "IPFSStore",
    "IPLDStore",
    "IPLDStoreError",
    "MappingCAStore",
    "NodeError",
    "Stats",
    "StoreMapping",
    "car_references",
    "compact",
    "get_ipfs_mapper",
    "open",
    "pull",
    "push",
]
