"""The one family of errors that leaves this package, and what else people catch them as."""

from __future__ import annotations

from multiformats import CID

__all__ = [
    "BackendUnavailableError",
    "BlockCorruptError",
    "BlockMalformedError",
    "BlockNotFoundError",
    "CAStoreError",
    "HashRefusedError",
    "HeadMovedError",
    "HeadRefusedError",
    "ReadOnlyStoreError",
    "StoreReplacedError",
]


class CAStoreError(Exception):
    """Something went wrong with a store or a block of it."""


class BlockNotFoundError(CAStoreError, KeyError):
    """The store has no block of this CID."""

    def __str__(self) -> str:  # KeyError would quote the message
        return Exception.__str__(self)


class BlockCorruptError(CAStoreError, ValueError):
    """The bytes that the backend gave for a CID are not the ones it names."""


class BlockMalformedError(CAStoreError, ValueError):
    """The bytes are the ones that the CID names, but not what its codec, or the caller, expects."""


class HashRefusedError(CAStoreError, ValueError):
    """A CID names a hash function, or so short a digest, that it proves nothing about the bytes."""


class BackendUnavailableError(CAStoreError, OSError):
    """The backend did not answer, or answered that it cannot."""


class ReadOnlyStoreError(CAStoreError, PermissionError):
    """The store takes no blocks: it is a gateway, an archive that is open for reading, or a copy of a store.

    :attr:`ipld_castore.ContentAddressableStore.writable` tells beforehand.
    """


class FileRefusedError(CAStoreError, PermissionError):
    """An index of references names a file that it may not open: see ``allow`` of :class:`ReferenceCAStore`."""


class NameRefusedError(CAStoreError, ValueError):
    """What a mutable name is said to point to is not proven, or is nothing that can be read."""


class StoreReplacedError(CAStoreError, OSError):
    """The folder or file of a store was removed or replaced since it was opened; nothing was published.

    What was put since may be gone with it. Changes that are held in memory can be written to another place.
    """


class HeadRefusedError(CAStoreError, ValueError):
    """The backend has a head, and cannot have this CID as its head: the header of an archive has no room for it."""


class HeadMovedError(CAStoreError):
    """The head of a store is another than the caller expected; nothing was changed.

    :param store: what the head belongs to, for the message
    :param expected: the head that the caller expected, None for no head
    :param found: the head that the store has
    """

    def __init__(self, store: object, expected: CID | None, found: CID | None) -> None:
        super().__init__(store, expected, found)
        self.store = str(store)
        """What the head belongs to."""
        self.expected = expected
        """The head that the caller expected; None for no head."""
        self.found = found
        """The head that the store has; None for no head."""

    def __str__(self) -> str:
        return (
            f"expected the head {self.expected} in {self.store}, found {self.found}: another writer has moved it; "
            f"look at what it names, and go on from there"
        )

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.store, self.expected, self.found)
