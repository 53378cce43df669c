"""The changes of a fork: a small value that a task returns, and that the dataset it was forked from takes in."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ipld_car import cids
from multiformats import CID

from .notes import Content, Note

_ID_BYTES = 8


class Change(NamedTuple):
    """What a fork did to a key; links are binary CIDs."""

    before: Content
    after: Content
    was_read: bool


class Changes:
    """What a fork has changed: keys and their CIDs, and the root that the fork began with.

    Small, picklable and never changed; the blocks are in the block store already.

    :param root: binary CID of the root that the fork began with
    :param changes: by key
    """

    __slots__ = ("_changes", "_root", "_writer")

    def __init__(self, root: bytes, changes: dict[str, Change]) -> None:
        self._root = root
        self._changes = changes
        self._writer = secrets.token_hex(_ID_BYTES)

    @property
    def writer(self) -> str:
        """The name of the fork, drawn at random."""
        return self._writer

    @property
    def base_root(self) -> CID:
        """The root that the fork began with."""
        return cids.from_validated(self._root)

    @property
    def keys(self) -> dict[str, CID | None]:
        """By key the CID of its block; None where it was deleted, or is a document that stands in its directory."""
        return {
            key: cids.from_validated(change.after) if isinstance(change.after, bytes) else None
            for key, change in self._changes.items()
        }

    def __len__(self) -> int:
        return len(self._changes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Changes):
            return NotImplemented
        return (self._root, self._changes) == (other._root, other._changes)

    __hash__ = None  # type: ignore[assignment]  # documents have none

    def __getstate__(self) -> tuple[bytes, dict[str, Change], str]:
        return self._root, self._changes, self._writer

    def __setstate__(self, state: tuple[bytes, dict[str, Change], str]) -> None:
        self._root, self._changes, self._writer = state

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self._changes)} keys since {self.base_root}>"

    def notes(self) -> Iterator[tuple[str, Note]]:
        """Yield the changes as notes of a writer of their own."""
        for number, (key, change) in enumerate(self._changes.items(), 1):
            yield self._writer, Note(number, key, change.before, change.after, change.was_read, number)


def notes_of(changes: Iterable[Changes]) -> Iterator[tuple[str, Note]]:
    """Yield the notes of several forks; of changes that are given twice, once."""
    distinct = {each.writer: each for each in changes}
    for each in distinct.values():
        yield from each.notes()
