"""Content-addressed stores: blocks by CID, from where they are.

:class:`ContentAddressableStore` is what a backend subclasses, with two verbs of its own; backends over a
mapping, a folder, a CAR file and an IPFS node are here. :mod:`ipld_castore.testing` has the tests that a backend
should pass. Every error is a :class:`CAStoreError`, but for archives that cannot be read and CIDs that are none, which
are :class:`ipld_car.CarError`, a ValueError.
"""

from __future__ import annotations

from ._base import AnyCID, ContentAddressableStore
from ._car import CarCAStore
from ._errors import (
    BackendUnavailableError,
    BlockCorruptError,
    BlockMalformedError,
    BlockNotFoundError,
    CAStoreError,
    HashRefusedError,
    UnsupportedVerbError,
)
from ._filesystem import FileSystemCAStore
from ._ipfs import IPFSStore
from ._mapping import MappingCAStore

__all__ = [
    "AnyCID",
    "BackendUnavailableError",
    "BlockCorruptError",
    "BlockMalformedError",
    "BlockNotFoundError",
    "CAStoreError",
    "CarCAStore",
    "ContentAddressableStore",
    "FileSystemCAStore",
    "HashRefusedError",
    "IPFSStore",
    "MappingCAStore",
    "UnsupportedVerbError",
]
