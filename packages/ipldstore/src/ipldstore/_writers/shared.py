"""What this room needs of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from .notes import Content


class SharedDataset(Protocol):
    """A dataset that others write too."""

    def content_of(self, key: str) -> Content:
        """Return what a key has here, without looking for notes."""

    def rebase(self, root: bytes) -> None:
        """Go on from a root that has all of the present one, and more.

        :param root: binary CID
        :raises IPLDStoreError: if it cannot be read; then nothing has changed
        """

    def apply(self, changes: Mapping[str, Content]) -> None:
        """Give keys their contents, without a note of it.

        :raises IPLDStoreError: if a node cannot be read; some keys may then have their contents, and applying all again
            goes on
        """


class Sharing(Protocol):
    """How a dataset is shared with others that write it."""

    notes_changes: bool
    """Whether :meth:`record` makes changes, and not the caller."""

    def catch_up(self, dataset: SharedDataset, *, reading: bool) -> None:
        """Bring the dataset to what others have written, before it answers.

        :param reading: whether a key is about to be read, and nothing else
        :raises IPLDStoreError: if that cannot be found out, or changes conflict
        """

    def remember_read(self, key: str, content: Content) -> None:
        """Keep what a key had when it was read: a write that follows may depend on it."""

    def renew_locks(self) -> None:
        """Replace locks in the child of a fork, where a thread of the parent may hold them."""

    def record(self, dataset: SharedDataset, key: str, content: Content) -> None:
        """Note a change, and make it. For those that note changes.

        :raises IPLDStoreError: if it cannot be noted; it is then not made
        """
