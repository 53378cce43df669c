"""The capabilities that only some backends have, one protocol for each.

``isinstance(store, SupportsList)`` is True if and only if the verbs of the protocol work. A backend that lacks a
capability lacks its methods, so a caller asks for the protocol that it needs, and a type checker knows the verbs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ipld_car import cids
from multiformats import CID

from .backend import AnyCID

if sys.version_info >= (3, 12):
    from typing import Protocol, runtime_checkable
else:  # before, isinstance() read the properties of a protocol, which may be a file or a request
    from typing_extensions import Protocol, runtime_checkable

__all__ = [
    "BlockStatus",
    "SupportsAge",
    "SupportsDelete",
    "SupportsDeleteOld",
    "SupportsHead",
    "SupportsLeftovers",
    "SupportsList",
    "SupportsNames",
    "SupportsPin",
    "SupportsRecent",
]


@runtime_checkable
class SupportsList(Protocol):
    """A store that lists its blocks."""

    def __iter__(self) -> Iterator[CID]:
        """Return the CIDs of all blocks, with the codec where the backend keeps it, else raw.

        :raises BackendUnavailableError: if the backend cannot be asked
        """
        ...


class BlockStatus(NamedTuple):
    """What a listing says of a block."""

    cid: CID
    """The CID with the codec where the backend keeps it, else raw."""
    size: int
    """Size in bytes."""
    time: float
    """When the block was put last, in seconds by the clock of the store."""

    def __repr__(self) -> str:
        return cids.record_repr(self)


@runtime_checkable
class SupportsLeftovers(Protocol):
    """A store with a clock, which deletes what killed writers have left."""

    def now(self) -> float:
        """Return the time by the clock of the store, that of an object just written, in seconds since the epoch.

        :raises BackendUnavailableError: if the backend cannot be asked
        """
        ...

    def delete_leftovers(self, before: float) -> int:
        """Delete what writers that were killed before a time have left unfinished; return its size in bytes.

        :param before: the time, in seconds by the clock of the store
        :raises BackendUnavailableError: if something cannot be deleted
        """
        ...


@runtime_checkable
class SupportsDeleteOld(Protocol):
    """A store that deletes blocks, except those that were put meanwhile."""

    def delete_old(self, cids: Iterable[CID], before: float) -> Iterator[CID]:
        """Delete blocks that were put last before a time, and yield those that were deleted; put ones stay.

        :param before: the time, in seconds by the clock of the store
        :raises BackendUnavailableError: if a block cannot be deleted
        """
        ...


@runtime_checkable
class SupportsAge(SupportsLeftovers, SupportsDeleteOld, Protocol):
    """A store that knows when each block was put last, so that garbage is collected beside running writers.

    Putting a block that is there already counts.
    """

    def block_statuses(self) -> Iterator[BlockStatus]:
        """Return size and time of each block, in no particular order.

        :raises BackendUnavailableError: if the backend cannot be asked
        """
        ...


@runtime_checkable
class SupportsRecent(Protocol):
    """A store that one process writes, and that knows which blocks the process has put lately.

    So garbage is collected beside threads that write. Putting a block that is there already counts. Blocks that were
    there when the process opened the store are not recent.
    """

    def now(self) -> float:
        """Return the time, in seconds since the epoch, so that what is put from now on is recent since then."""
        ...

    def recent(self, since: float) -> Iterator[CID]:
        """Return the CIDs of the blocks that were put at a time or later, in no particular order; perhaps more."""
        ...


@runtime_checkable
class SupportsDelete(Protocol):
    """A store that deletes blocks."""

    def delete_block(self, cid: CID) -> None:
        """Delete the block of ``cid``; deleting an absent block changes nothing.

        :raises BackendUnavailableError: if the block cannot be deleted
        """
        ...


@runtime_checkable
class SupportsHead(Protocol):
    """A store with a head: one mutable CID beside its blocks, such as the root of its dataset.

    >>> from ipld_castore import FileSystemCAStore, HeadMovedError, SupportsHead
    >>> import tempfile
    >>> store = FileSystemCAStore(tempfile.mkdtemp())
    >>> isinstance(store, SupportsHead), store.head
    (True, None)
    >>> one, two = store.put(1), store.put(2)
    >>> store.swap_head(None, one)
    >>> try:
    ...     store.swap_head(None, two)
    ... except HeadMovedError as error:
    ...     print(error.found == one)
    True
    """

    @property
    def head(self) -> CID | None:
        """The head; None if the store has none yet.

        :raises BackendUnavailableError: if the backend cannot be asked
        """
        ...

    def swap_head(self, expected: CID | None, new: CID) -> None:
        """Replace the head ``expected`` by ``new``, or change nothing.

        All blocks that were put before are where they stay when the head moves, and the head is as durable as they are
        when the verb returns. Of several callers that expect the same head, one succeeds.

        :param expected: the head as the caller knows it; None for no head
        :param new: the head to be; its block should have been put
        :raises HeadMovedError: if the head is another than ``expected``
        :raises HeadRefusedError: if the backend has no room for ``new``
        :raises ReadOnlyStoreError: if the store is read-only
        :raises BackendUnavailableError: if the head cannot be read or written
        """
        ...


@runtime_checkable
class SupportsPin(Protocol):
    """A store that deletes blocks of its own accord, unless a pin reaches them."""

    def pin(self, root: AnyCID, name: str = "", previous: AnyCID | None = None) -> None:
        """Protect ``root`` and all that it reaches; return when all of it is there.

        :param name: the name of the pin
        :param previous: a pinned root that has much in common with ``root``; a pin with a name moves on from it
        :raises BackendUnavailableError: if not all of it can be had
        """
        ...

    def unpin(self, root: AnyCID) -> None:
        """Protect ``root`` no longer; a root that is not pinned is left as it is."""
        ...

    def pins(self) -> Iterator[tuple[CID, str]]:
        """Return the pinned roots and the names of their pins."""
        ...


@runtime_checkable
class SupportsNames(Protocol):
    """A store with mutable names that others can resolve too, such as IPNS names."""

    def publish(self, name: str, root: AnyCID) -> str:
        """Point ``name`` to ``root``; return the name as others know it.

        :raises BackendUnavailableError: if the name cannot be published
        """
        ...

    def resolve(self, name: str) -> CID:
        """Return the CID that ``name`` points to.

        :raises BlockNotFoundError: if it points to nothing, as far as can be found out
        """
        ...
