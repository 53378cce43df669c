"""A zarr store whose contents are an IPLD graph with one root CID.

:class:`IPLDStore` is the store, and :func:`open` opens one in a file or folder; the block stores it can be over are
re-exported from :mod:`ipld_castore`. Data that is lost, wrong or out of reach is an :class:`IPLDStoreError`, through
zarr and xarray too.
"""

from __future__ import annotations

from ipld_castore import CarCAStore, ContentAddressableStore, FileSystemCAStore, IPFSStore, MappingCAStore

from ._io.compact import Compacted, compact
from ._io.ipfs import get_ipfs_mapper
from ._io.kerchunk import car_references
from ._io.open import open  # noqa: A004  # as tarfile, gzip and many others have it
from ._io.sync import pull, push
from ._store.mapping import StoreMapping
from ._store.zarr_store import IPLDStore
from ._tree.stats import Stats
from .errors import IPLDStoreError, NodeError

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
