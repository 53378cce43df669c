"""What users import: the names of the package, which its ``__init__`` loads when the first of them is asked for.

It imports the rooms below. ``__init__`` and the rooms above it may import it.
"""

from __future__ import annotations

from ipld_castore import (
    CarCAStore,
    ContentAddressableStore,
    FileSystemCAStore,
    GatewayCAStore,
    IPFSStore,
    MappingCAStore,
    ObjectCAStore,
    PinningService,
    PinStatus,
    ReferenceCAStore,
    ReferencingCAStore,
    RemoteCarCAStore,
    TieredCAStore,
)

from ._canonical.canonicalize import Canonicalized
from ._exchange.operations import Names, Operation
from ._garbage.collect import Compacted
from ._io.compact import compact
from ._io.diff import diff
from ._io.file_references import file_references
from ._io.ipfs import get_ipfs_mapper
from ._io.kerchunk import car_references, gateway_references
from ._io.open import open  # noqa: A004  # as tarfile, gzip and many others have it
from ._io.pinning import pin
from ._io.repair import repair
from ._io.sessions import Session, recover, sessions
from ._io.sync import pull, push
from ._links.arrays import Links
from ._merge.conflicts import MergeConflict
from ._merge.diff import ChunkDiff, ChunkRange, Diff, KeyDiff, NodeDiff
from ._repository.repository import Repository
from ._repository.session import RepositorySession
from ._repository.sync import Synced
from ._revisions.record import Commit
from ._store.ipld_store import IPLDStore
from ._store.mapping import StoreMapping
from ._there.bundle import Bundle, publish_bundle
from ._there.copies.copy import copy
from ._there.reference import reference
from ._tree.stats import Stats
from ._verify.repair import Repaired
from ._verify.report import ArrayDamage, Failure, Region, VerifyReport
from ._writers.chain import Conflict
from ._writers.changes import Changes
from .errors import (
    BlockCorruptError,
    BlockMissingError,
    ConflictError,
    IPLDStoreError,
    MergeConflictError,
    NoChangesError,
    NodeError,
    RefExistsError,
    RefNotFoundError,
    RepositoryExistsError,
    RepositoryNotFoundError,
    StoreUnavailableError,
)

__all__ = [
    "ArrayDamage",
    "BlockCorruptError",
    "BlockMissingError",
    "Bundle",
    "Canonicalized",
    "CarCAStore",
    "Changes",
    "ChunkDiff",
    "ChunkRange",
    "Commit",
    "Compacted",
    "Conflict",
    "ConflictError",
    "ContentAddressableStore",
    "Diff",
    "Failure",
    "FileSystemCAStore",
    "GatewayCAStore",
    "IPFSStore",
    "IPLDStore",
    "IPLDStoreError",
    "KeyDiff",
    "Links",
    "MappingCAStore",
    "MergeConflict",
    "MergeConflictError",
    "Names",
    "NoChangesError",
    "NodeDiff",
    "NodeError",
    "ObjectCAStore",
    "Operation",
    "PinStatus",
    "PinningService",
    "RefExistsError",
    "RefNotFoundError",
    "ReferenceCAStore",
    "ReferencingCAStore",
    "Region",
    "RemoteCarCAStore",
    "Repaired",
    "Repository",
    "RepositoryExistsError",
    "RepositoryNotFoundError",
    "RepositorySession",
    "Session",
    "Stats",
    "StoreMapping",
    "StoreUnavailableError",
    "Synced",
    "TieredCAStore",
    "VerifyReport",
    "car_references",
    "compact",
    "copy",
    "diff",
    "file_references",
    "gateway_references",
    "get_ipfs_mapper",
    "open",
    "pin",
    "publish_bundle",
    "pull",
    "push",
    "recover",
    "reference",
    "repair",
    "sessions",
]

# Tracebacks, representations and pickles name a class or function where users import it from.
_PACKAGE = __name__.partition(".")[0]
for _name in __all__:
    _exported = globals()[_name]
    if callable(_exported) and _exported.__module__.startswith(f"{_PACKAGE}."):
        _exported.__module__ = _PACKAGE
