"""The one family of errors that leaves this package, and what else people catch them as."""

from __future__ import annotations


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


class UnsupportedVerbError(CAStoreError, NotImplementedError):
    """This backend cannot do that: it is read-only, or cannot list or delete its blocks."""
