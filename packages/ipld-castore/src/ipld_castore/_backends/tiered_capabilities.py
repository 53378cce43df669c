"""The capabilities of a tiered store, which are those of its parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from multiformats import CID

from ipld_castore._core.backend import AnyCID
from ipld_castore._core.capabilities import (
    BlockStatus,
    SupportsAge,
    SupportsDelete,
    SupportsHead,
    SupportsLeftovers,
    SupportsList,
    SupportsNames,
    SupportsPin,
)
from ipld_castore._core.composed import composed
from ipld_castore._core.journal import Journal, SupportsJournal
from ipld_castore._core.store import ContentAddressableStore

C = TypeVar("C", bound=type)


class _ListsFar:
    far: SupportsList

    def __iter__(self) -> Iterator[CID]:
        """Return the CIDs of the blocks that the far store has."""
        return iter(self.far)


class _DeletesBoth:
    near: SupportsDelete
    far: SupportsDelete

    def _forget(self, cid: CID) -> None:
        """Note that a block was deleted from the near store."""
        raise NotImplementedError

    def delete_block(self, cid: CID) -> None:
        """See :meth:`SupportsDelete.delete_block`; the block is deleted in both stores."""
        self.far.delete_block(cid)
        self.near.delete_block(cid)
        self._forget(cid)


class _HeadOfFar:
    far: SupportsHead

    @property
    def head(self) -> CID | None:
        """The head of the far store."""
        return self.far.head

    def swap_head(self, expected: CID | None, new: CID) -> None:
        """See :meth:`SupportsHead.swap_head`; it is the head of the far store."""
        self.far.swap_head(expected, new)


class _PinsFar:
    far: SupportsPin

    def pin(self, root: AnyCID, name: str = "", previous: AnyCID | None = None) -> None:
        """See :meth:`SupportsPin.pin`; the far store pins."""
        self.far.pin(root, name, previous)

    def unpin(self, root: AnyCID) -> None:
        """See :meth:`SupportsPin.unpin`; the far store unpins."""
        self.far.unpin(root)

    def pins(self) -> Iterator[tuple[CID, str]]:
        """Return the pinned roots of the far store and the names of their pins."""
        return self.far.pins()


class _NamesOfFar:
    far: SupportsNames

    def publish(self, name: str, root: AnyCID) -> str:
        """See :meth:`SupportsNames.publish`; the far store publishes."""
        return self.far.publish(name, root)

    def resolve(self, name: str) -> CID:
        """See :meth:`SupportsNames.resolve`; the far store resolves."""
        return self.far.resolve(name)


class _JournalsOfFar:
    far: SupportsJournal

    def journal(self, session: str) -> Journal:
        """See :meth:`SupportsJournal.journal`; the far store has it, as it has all blocks."""
        return self.far.journal(session)

    def sessions(self) -> Iterator[str]:
        """See :meth:`SupportsJournal.sessions`; those of the far store."""
        return self.far.sessions()


class _LeftoversOfFar:
    far: SupportsLeftovers

    def now(self) -> float:
        """See :meth:`SupportsLeftovers.now`; the clock is that of the far store."""
        return self.far.now()

    def delete_leftovers(self, before: float) -> int:
        """See :meth:`SupportsLeftovers.delete_leftovers`; those in the far store."""
        return self.far.delete_leftovers(before)


class _AgesOfFar:
    near: SupportsDelete
    far: SupportsAge

    def _forget(self, cid: CID) -> None:
        """Note that a block was deleted from the near store."""
        raise NotImplementedError

    def block_statuses(self) -> Iterator[BlockStatus]:
        """See :meth:`SupportsAge.block_statuses`; those of the far store."""
        return self.far.block_statuses()

    def delete_old(self, cids: Iterable[CID], before: float) -> Iterator[CID]:
        """See :meth:`SupportsAge.delete_old`; the far store decides, and blocks are deleted in both stores."""
        for cid in self.far.delete_old(cids, before):
            self.near.delete_block(cid)
            self._forget(cid)
            yield cid


def class_for(base: C, near: ContentAddressableStore, far: ContentAddressableStore) -> C:
    """Return the subclass of a tiered store that has the capabilities of these two stores, and no other."""
    parts: list[type] = []
    if isinstance(far, SupportsList):
        parts.append(_ListsFar)
    if isinstance(far, SupportsDelete) and isinstance(near, SupportsDelete):
        parts.append(_DeletesBoth)
    if isinstance(far, SupportsLeftovers):
        parts.append(_LeftoversOfFar)
    if isinstance(far, SupportsAge) and isinstance(near, SupportsDelete):
        parts.append(_AgesOfFar)
    if isinstance(far, SupportsHead):
        parts.append(_HeadOfFar)
    if isinstance(far, SupportsPin):
        parts.append(_PinsFar)
    if isinstance(far, SupportsNames):
        parts.append(_NamesOfFar)
    if isinstance(far, SupportsJournal):
        parts.append(_JournalsOfFar)
    return composed(base, tuple(parts))
