"""The changes of a fork or of a dataset: a small value that a task returns, and that another dataset takes in."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from ipld_car import cids
from multiformats import CID

from .notes import Content, Note

ID_BYTES: Final = 8
"""Random bytes in the name of a writer of changes."""

_Notes = dict[str, tuple[Note, ...]]
"""By writer, its notes in order, numbered from 1 on."""


class Changes:
    """The changes of a fork or a store: keys and their contents, and the root that it began with.

    A small value that is picklable and never changed; the blocks are in the block store already. See
    :meth:`ipldstore.IPLDStore.changes`.

    >>> import ipldstore
    >>> store = ipldstore.IPLDStore()
    >>> fork = store.fork()
    >>> fork["a/0"] = b"zero"
    >>> changes = fork.changes()
    >>> len(changes), [str(cid) for cid in changes.keys.values()]
    (1, ['bafkreihzdfhhh6pjiwpdiuhkccqxttpxpkx2nfn65tj3sncktdircyrcim'])
    >>> changes.base_root == fork.base_root
    True
    """

    __slots__ = ("_notes", "_root")

    def __init__(self, root: bytes, notes: Mapping[str, Sequence[Note]]) -> None:
        self._root = root
        self._notes: _Notes = {writer: tuple(own) for writer, own in notes.items()}

    @property
    def base_root(self) -> CID:
        """The root that the changes began with."""
        return cids.from_validated(self._root)

    @property
    def writers(self) -> tuple[str, ...]:
        """The names under which the changes were made, drawn at random; conflicts name them."""
        return tuple(self._notes)

    @property
    def keys(self) -> dict[str, CID | None]:
        """By key the CID of its block; None where it was deleted, or is a document that stands in its directory."""
        return {
            note.key: cids.from_validated(note.after) if isinstance(note.after, bytes) else None
            for own in self._notes.values()
            for note in own
        }

    @property
    def notes(self) -> Mapping[str, tuple[Note, ...]]:
        """By writer the single changes, in order."""
        return self._notes

    def __len__(self) -> int:
        return len({note.key for own in self._notes.values() for note in own})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Changes):
            return NotImplemented
        return (self._root, self._notes) == (other._root, other._notes)

    __hash__ = None  # type: ignore[assignment]  # documents have none

    def __reduce__(self) -> tuple[object, ...]:
        return Changes, (self._root, self._notes)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self)} keys since {self.base_root}>"


def changes_between(root: bytes, changed: Iterable[tuple[str, Content, Content]]) -> Changes:
    """Return the changes of a dataset that kept no notes, under a name of their own.

    :param root: binary CID of the root that they began with
    :param changed: each key that has changed, what it had and what it has
    """
    notes = [
        Note(number, key, before, after, was_read=False, confirmed=number)
        for number, (key, before, after) in enumerate(changed, 1)
    ]
    return Changes(root, {secrets.token_hex(ID_BYTES): notes} if notes else {})


def notes_of(changes: Iterable[Changes], after: Mapping[str, int]) -> Iterator[tuple[str, Note]]:
    """Yield writer and note of each change, once; changes of one fork may have been given out several times.

    :param after: by writer, the number of its last change that is known
    """
    longest: _Notes = {}
    for each in changes:
        for writer, own in each.notes.items():
            if len(own) > len(longest.get(writer, ())):
                longest[writer] = own
    for writer, own in longest.items():
        yield from ((writer, note) for note in own[after.get(writer, 0) :])
