"""The one family of errors that leaves this package when data are lost, wrong or out of reach."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Final

from ipld_car import CarError, HashMismatchError
from ipld_castore import (
    BackendUnavailableError,
    BlockMalformedError,
    BlockNotFoundError,
    CAStoreError,
    HeadMovedError,
    ReadOnlyStoreError,
    StoreReplacedError,
)
from ipld_castore import BlockCorruptError as _BlockCorruptError

__all__ = [
    "LOWER_ERRORS",
    "BlockCorruptError",
    "BlockMissingError",
    "ConflictError",
    "IPLDStoreError",
    "MergeConflictError",
    "NoChangesError",
    "NodeError",
    "RefExistsError",
    "RefNotFoundError",
    "RepositoryExistsError",
    "RepositoryNotFoundError",
    "StoreUnavailableError",
    "store_errors",
    "translated",
]


class IPLDStoreError(RuntimeError):
    """A dataset cannot be read or written as its root says.

    This error and its children are neither KeyError nor OSError nor ValueError. zarr and xarray take those for "not
    there" and "not consolidated", and a lost block would become missing data without a word.
    """


class NodeError(IPLDStoreError):
    """A block has the bytes that its CID names, and they are not what the format allows; no other copy helps."""


class BlockMissingError(IPLDStoreError):
    """A link leads to a block that the block store does not have."""


class BlockCorruptError(IPLDStoreError):
    """The block store gave other bytes than the CID names; a good copy of the block, put there again, helps."""


class StoreUnavailableError(IPLDStoreError):
    """The block store did not answer, or could not do what it was asked; trying again helps once it can."""


class ConflictError(IPLDStoreError):
    """Somebody else has changed what this store was about to change; nothing was published."""


class MergeConflictError(ConflictError):
    """Two sides have changed the same part of the contents, each in its own way; nothing was changed.

    :param conflicts: the parts that conflict, by path
    """

    def __init__(self, message: str, conflicts: Sequence[object] = ()) -> None:
        super().__init__(message, conflicts)
        self.conflicts = tuple(conflicts)
        """The parts that conflict, each a :class:`ipldstore.MergeConflict`."""

    def __str__(self) -> str:
        return str(self.args[0])


class RepositoryNotFoundError(IPLDStoreError):
    """There is no repository where one was to be opened."""


class RepositoryExistsError(IPLDStoreError):
    """There is a repository, or a dataset without history, where a new repository was to be made."""


class RefNotFoundError(IPLDStoreError):
    """A repository has no branch, tag or commit of that name."""


class RefExistsError(IPLDStoreError):
    """A branch or tag of that name exists already."""


class NoChangesError(IPLDStoreError):
    """There is nothing to commit: the contents are those of the commit before."""


LOWER_ERRORS: Final = (CAStoreError, CarError, KeyError, OSError, ValueError)
"""What the layers below raise when data are lost, wrong or out of reach.

A third party's backend may raise the builtins. A TypeError is none of them: it is a bug, and passes as it is.
"""

_KINDS: Final[tuple[tuple[type[Exception], type[IPLDStoreError]], ...]] = (
    (HeadMovedError, ConflictError),
    (StoreReplacedError, ConflictError),
    (ReadOnlyStoreError, IPLDStoreError),  # a PermissionError too, and trying again does not help
    (BlockNotFoundError, BlockMissingError),
    (_BlockCorruptError, BlockCorruptError),
    (BlockMalformedError, NodeError),
    (BackendUnavailableError, StoreUnavailableError),
    (CAStoreError, IPLDStoreError),
    (HashMismatchError, BlockCorruptError),
    (CarError, IPLDStoreError),
    (KeyError, BlockMissingError),
    (OSError, StoreUnavailableError),
)
"""What each error of the layers below becomes; the first class that fits holds."""


def translated(what: str, error: Exception) -> IPLDStoreError:
    """Return the error to raise for one of :data:`LOWER_ERRORS`.

    :param what: what was being done, for example "reading 'air/c/0/0'"
    """
    kind = next((kind for lower, kind in _KINDS if isinstance(error, lower)), IPLDStoreError)
    return kind(f"{what}: {error}")


class store_errors:  # noqa: N801  # a context manager, used as a function
    """Turn :data:`LOWER_ERRORS` that the block raises into :class:`IPLDStoreError`.

    A class, as the errors of a ``contextlib.contextmanager`` are in a cycle with their frames: files, locks and the
    caller's arrays would stay until the garbage collector runs.

    :param what: what is being done, for example "reading 'air/c/0/0'"
    :param passing: errors that are the caller's own, and pass as they are
    """

    __slots__ = ("_passing", "_what")

    def __init__(self, what: str, passing: tuple[type[Exception], ...] = ()) -> None:
        self._what = what
        self._passing = passing

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, LOWER_ERRORS) and not isinstance(error, self._passing):
            raise translated(self._what, error) from error
