"""The head of a repository, which moves by compare-and-exchange."""

from __future__ import annotations

import threading
from typing import Final, Protocol

from ipld_car import cids
from ipld_castore import (
    BlockNotFoundError,
    ContentAddressableStore,
    HeadMovedError,
    ReadOnlyStoreError,
    SupportsHead,
    SupportsNames,
)
from ipld_castore.concurrency import ForkLocal

from ipldstore._tree.tree import EMPTY_ROOT
from ipldstore.errors import IPLDStoreError, store_errors

_naming: Final = ForkLocal(threading.Lock)
"""Held while a name of an IPFS node is compared and moved."""


class Head(Protocol):
    """Where the CID of the state of a repository is kept."""

    is_atomic: bool
    """Whether exactly one of several processes that expect the same head moves it."""

    def read(self) -> bytes | None:
        """Return the binary CID of the head; None if there is none.

        :raises IPLDStoreError: if it cannot be read
        """

    def swap(self, expected: bytes | None, new: bytes) -> None:
        """Replace the head, or change nothing. All blocks that were put before stay.

        :raises HeadMovedError: if the head is another than ``expected``
        :raises IPLDStoreError: if the head cannot be replaced
        """


class CAStoreHead:
    """The head of a block store that has one: a CAR file, a folder, a bucket, a mapping.

    :param castore: the block store
    """

    is_atomic = True

    def __init__(self, castore: SupportsHead) -> None:
        self._castore = castore

    def read(self) -> bytes | None:
        """See :meth:`Head.read`."""
        with store_errors("reading the head"):
            head = self._castore.head
        return None if head is None else cids.to_bytes(head)

    def swap(self, expected: bytes | None, new: bytes) -> None:
        """See :meth:`Head.swap`."""
        before = None if expected is None else cids.from_validated(expected)
        with store_errors("moving the head", passing=(HeadMovedError,)):
            try:
                self._castore.swap_head(before, cids.from_validated(new))
            except HeadMovedError as error:
                # A new CAR file names the empty dataset, and that counts as a head once a block of it was put.
                if before is not None or error.found is None or bytes(error.found) != EMPTY_ROOT:
                    raise
                self._castore.swap_head(error.found, cids.from_validated(new))


class NamedHead:
    """A name that an IPFS node publishes (IPNS) as the head.

    IPNS has no compare-and-exchange, so of two processes that move the name at the same time one can lose a commit.

    :param castore: the block store of the node
    :param name: the name of a key on the node; it is made if there is none
    """

    is_atomic = False

    def __init__(self, castore: ContentAddressableStore, name: str) -> None:
        if not isinstance(castore, SupportsNames):
            raise IPLDStoreError(f"expected a block store with names for the head {name!r}, found {castore!r}")
        self._castore = castore
        self._names: SupportsNames = castore
        self.name = name

    def read(self) -> bytes | None:
        """See :meth:`Head.read`."""
        try:
            with store_errors(f"resolving {self.name!r}", passing=(BlockNotFoundError,)):
                return cids.to_bytes(self._names.resolve(self.name))
        except BlockNotFoundError:
            return None

    def swap(self, expected: bytes | None, new: bytes) -> None:
        """See :meth:`Head.swap`. The node pins the new state before the name moves, and all that it reaches."""
        before = None if expected is None else cids.from_validated(expected)
        with _naming.value:
            found = self.read()
            if found != expected:
                raise HeadMovedError(self._castore, before, None if found is None else cids.from_validated(found))
            with store_errors(f"publishing {self.name!r}"):
                self._castore.persist(cids.from_validated(new), before)
                self._names.publish(self.name, cids.from_validated(new))


class FixedHead:
    """A state that is read by its CID, such as one behind a gateway. It does not move.

    :param castore: the block store, for messages
    :param state: binary CID of the state
    """

    is_atomic = True

    def __init__(self, castore: ContentAddressableStore, state: bytes) -> None:
        self._castore = castore
        self._state = state

    def read(self) -> bytes | None:
        """See :meth:`Head.read`."""
        return self._state

    def swap(self, expected: bytes | None, new: bytes) -> None:
        """Refuse to move.

        :raises IPLDStoreError: always
        """
        with store_errors("moving the head"):
            raise ReadOnlyStoreError(
                f"expected a repository that can be written, found one that was opened by the CID of its state, or to "
                f"read, over {self._castore!r}"
            )


def head_of(castore: ContentAddressableStore, name: str | None = None) -> Head:
    """Return the head of a block store.

    :param name: the name of a key on an IPFS node, which has no other head
    :raises IPLDStoreError: if the block store has no head
    """
    if name is not None:
        return NamedHead(castore, name)
    if isinstance(castore, SupportsHead):
        return CAStoreHead(castore)
    advice = ': name="..." names the key on the node whose IPNS name is the head' if _has_names(castore) else ""
    raise IPLDStoreError(f"expected a block store with a head (ipld_castore.SupportsHead), found {castore!r}{advice}")


def _has_names(castore: ContentAddressableStore) -> bool:
    return isinstance(castore, SupportsNames)


def leave_head(castore: ContentAddressableStore) -> None:
    """Set a block store so that a freeze leaves its head as it is: commits move the head."""
    castore.persist_moves_head = False
