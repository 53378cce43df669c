"""The interfaces between this room and a dataset."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from multiformats import CID

from .notes import Content


class AsyncWork(NamedTuple):
    """What is needed to note a change in an event loop."""

    put_block: Callable[[], Awaitable[None]]
    """Puts the block, and returns when the block is in the store."""
    in_thread: Callable[[Callable[[], Any]], Awaitable[Any]]
    """Runs an action that may wait for other changes, in a thread in which no change waits to begin."""
    request: Callable[[Callable[[], Any]], Awaitable[Any]]
    """Runs an action that waits for the network alone, in a thread in which no action waits for other changes."""


class SharedDataset(Protocol):
    """A dataset that others write too."""

    @property
    def lock(self) -> AbstractContextManager[object]:
        """The reentrant lock of changes of the dataset; taken after the lock of the sharing."""

    @property
    def head(self) -> bytes | None:
        """Binary CID of the head that freezing moves on; None without one."""

    @property
    def moves_head(self) -> bool:
        """Whether freezing moves a head."""

    def flush(self, wanted: Collection[CID] | None = None) -> None:
        """Wait until all blocks that were put before are in the store.

        :param wanted: the blocks to wait for; None is all
        :raises CAStoreError: if they cannot be written
        """

    def has_blocks(self, wanted: Iterable[CID]) -> Iterator[bool]:
        """Yield for each block whether the store has it; as ``ContentAddressableStore.has_blocks`` does."""

    def content_of(self, key: str, root: bytes | None = None) -> Content:
        """Return what a key has, without a look at the journal; or what it has below a root, given by binary CID."""

    def rebase(self, root: bytes) -> None:
        """Go on from a root that has all of the present one, and more.

        :param root: binary CID
        :raises IPLDStoreError: if it cannot be read; then nothing has changed
        """

    def apply(self, changes: Mapping[str, Content]) -> None:
        """Give keys their contents, without notes.

        :raises IPLDStoreError: if a node cannot be read; some keys may then have their contents, and applying all again
            goes on
        """


class Sharing(Protocol):
    """How a dataset is shared with others that write it."""

    notes_changes: bool
    """Whether another process takes the changes in, which this one therefore neither freezes nor drops."""

    @property
    def looks_beside_reads(self) -> bool:
        """Whether each read looks for changes by a request, which may run beside that for the bytes."""

    def catch_up(self, dataset: SharedDataset, *, reading: bool) -> None:
        """Bring the dataset to what others have written, before it answers.

        :param reading: whether a key is about to be read, and nothing else
        :raises IPLDStoreError: if that cannot be found out, or changes conflict
        """

    def remember_read(self, key: str, content: Content) -> None:
        """Keep what a key had when it was read: a write that follows may depend on it."""

    def forget_reads(self, prefix: str) -> None:
        """Forget what keys had that begin with a prefix: all of them were replaced, whatever they had."""

    def renew_locks(self) -> None:
        """Replace locks in the child of a fork, where a thread of the parent may hold them."""

    def record(self, dataset: SharedDataset, key: str, content: Content) -> None:
        """Make a change, and note it where another process takes it in.

        :raises IPLDStoreError: if it cannot be noted; it is then not made
        :raises ConflictError: if this process has read the key, and another one has changed it since
        """
