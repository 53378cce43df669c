"""Content-addressed stores: blocks by CID, in memory, folders, CAR files, buckets, IPFS nodes, gateways, other files.

:class:`ContentAddressableStore` is what callers use, and what a backend subclasses with two verbs of its own. What only
some stores can do is a protocol each (:class:`SupportsList` and others): ``isinstance`` tells.
:mod:`ipld_castore.testing` has the tests that a backend should pass, and a server that misbehaves on demand.
Every error is a :class:`CAStoreError`, but for damaged archives and texts that are no CID: these are
:class:`ipld_car.CarError`, a ValueError.
"""

from __future__ import annotations

from ._backends.car import CarCAStore
from ._backends.filesystem import FileSystemCAStore
from ._backends.folder_lock import FolderLock
from ._backends.mapping import MappingCAStore
from ._backends.tiered import TieredCAStore
from ._core.any_store import AnyCAStore, castore_of
from ._core.backend import AnyCID
from ._core.capabilities import (
    BlockStatus,
    SupportsAge,
    SupportsDelete,
    SupportsHead,
    SupportsList,
    SupportsNames,
    SupportsPin,
)
from ._core.journal import Entry, Journal, SupportsJournal
from ._core.path import PathStep
from ._core.store import ContentAddressableStore
from ._core.transfer import Transferred, transfer
from ._gateway.store import GatewayCAStore
from ._kubo.store import IPFSStore
from ._network.find import DEFAULT_GATEWAYS, find_ipfs
from ._network.ipns_record import IPNSRecord, parse_record
from ._network.resolve import ResolvedName, resolve_at, resolve_name
from ._object.store import ObjectCAStore
from ._pinning.errors import PinFailedError, PinNotFoundError, PinRefusedError, PinTimeoutError
from ._pinning.pin_status import PinStatus
from ._pinning.service import PinningService
from ._reference.beside import ReferencingCAStore
from ._reference.blocks import get_index, put_index
from ._reference.hasher import RangeHasher
from ._reference.index import ReferenceIndex
from ._reference.index_writer import ReferenceIndexWriter
from ._reference.store import ReferenceCAStore
from ._reference.verify import ChangedFile
from ._remote.car_store import RemoteCarCAStore
from .errors import (
    BackendUnavailableError,
    BlockCorruptError,
    BlockMalformedError,
    BlockNotFoundError,
    CAStoreError,
    FileRefusedError,
    HashRefusedError,
    HeadMovedError,
    HeadRefusedError,
    NameRefusedError,
    ReadOnlyStoreError,
    StoreReplacedError,
)

__all__ = [
    "DEFAULT_GATEWAYS",
    "AnyCAStore",
    "AnyCID",
    "BackendUnavailableError",
    "BlockCorruptError",
    "BlockMalformedError",
    "BlockNotFoundError",
    "BlockStatus",
    "CAStoreError",
    "CarCAStore",
    "ChangedFile",
    "ContentAddressableStore",
    "Entry",
    "FileRefusedError",
    "FileSystemCAStore",
    "FolderLock",
    "GatewayCAStore",
    "HashRefusedError",
    "HeadMovedError",
    "HeadRefusedError",
    "IPFSStore",
    "IPNSRecord",
    "Journal",
    "MappingCAStore",
    "NameRefusedError",
    "ObjectCAStore",
    "PathStep",
    "PinFailedError",
    "PinNotFoundError",
    "PinRefusedError",
    "PinStatus",
    "PinTimeoutError",
    "PinningService",
    "RangeHasher",
    "ReadOnlyStoreError",
    "ReferenceCAStore",
    "ReferenceIndex",
    "ReferenceIndexWriter",
    "ReferencingCAStore",
    "RemoteCarCAStore",
    "ResolvedName",
    "StoreReplacedError",
    "SupportsAge",
    "SupportsDelete",
    "SupportsHead",
    "SupportsJournal",
    "SupportsList",
    "SupportsNames",
    "SupportsPin",
    "TieredCAStore",
    "Transferred",
    "castore_of",
    "find_ipfs",
    "get_index",
    "parse_record",
    "put_index",
    "resolve_at",
    "resolve_name",
    "transfer",
]

# Tracebacks, representations and pickles name a class or function where users import it from.
for _name in __all__:
    _exported = globals()[_name]
    if callable(_exported) and _exported.__module__.startswith(f"{__name__}."):
        _exported.__module__ = __name__
