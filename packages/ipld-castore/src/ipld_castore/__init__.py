"""Content-addressed stores: blocks by CID, in memory, folders, CAR files, buckets, IPFS nodes, gateways, other files.

:class:`ContentAddressableStore` is what callers use, and what a backend subclasses with two verbs of its own. What only
some stores can do is a protocol each (:class:`SupportsList` and others): ``isinstance`` tells.
:mod:`ipld_castore.testing` has the tests that a backend should pass, and a server that misbehaves on demand.
Every error is a :class:`CAStoreError`, but for damaged archives and texts that are no CID: these are
:class:`ipld_car.CarError`, a ValueError.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
    SupportsDeleteOld,
    SupportsHead,
    SupportsLeftovers,
    SupportsList,
    SupportsNames,
    SupportsPin,
    SupportsRecent,
)
from ._core.journal import Entry, Journal, SupportsJournal
from ._core.path import PathStep
from ._core.store import ContentAddressableStore
from ._core.transfer import Transferred, transfer
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

if TYPE_CHECKING:
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
    "SupportsDeleteOld",
    "SupportsHead",
    "SupportsJournal",
    "SupportsLeftovers",
    "SupportsList",
    "SupportsNames",
    "SupportsPin",
    "SupportsRecent",
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

# What reads over a network, or by references, is imported when it is asked for: opening a file needs no HTTP.
_LATER = {
    "ChangedFile": "._reference.verify",
    "DEFAULT_GATEWAYS": "._network.find",
    "GatewayCAStore": "._gateway.store",
    "IPFSStore": "._kubo.store",
    "IPNSRecord": "._network.ipns_record",
    "ObjectCAStore": "._object.store",
    "PinFailedError": "._pinning.errors",
    "PinNotFoundError": "._pinning.errors",
    "PinRefusedError": "._pinning.errors",
    "PinStatus": "._pinning.pin_status",
    "PinTimeoutError": "._pinning.errors",
    "PinningService": "._pinning.service",
    "RangeHasher": "._reference.hasher",
    "ReferenceCAStore": "._reference.store",
    "ReferenceIndex": "._reference.index",
    "ReferenceIndexWriter": "._reference.index_writer",
    "ReferencingCAStore": "._reference.beside",
    "RemoteCarCAStore": "._remote.car_store",
    "ResolvedName": "._network.resolve",
    "find_ipfs": "._network.find",
    "get_index": "._reference.blocks",
    "parse_record": "._network.ipns_record",
    "put_index": "._reference.blocks",
    "resolve_at": "._network.resolve",
    "resolve_name": "._network.resolve",
}


if not TYPE_CHECKING:  # or else type checkers would take any name for one of these

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_LATER[name], __name__), name)
        _name_as_public(found)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _name_as_public(exported: Any) -> None:
    """Name a class or function where users import it from: in tracebacks, representations and pickles."""
    if callable(exported) and exported.__module__.startswith(f"{__name__}."):
        exported.__module__ = __name__


for _name in __all__:
    if _name not in _LATER:
        _name_as_public(globals()[_name])
