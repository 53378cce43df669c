"""Writing one dataset from several processes: forks and their merging, and conflicts."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

from zarr.abc.store import Store

from ipldstore._dataset import forking
from ipldstore._dataset.dataset import Dataset
from ipldstore._writers.changes import Changes
from ipldstore._writers.coordinating import CoordinatorSharing
from ipldstore._writers.take_in import OnConflict
from ipldstore.errors import IPLDStoreError

if TYPE_CHECKING:
    from typing import Self


class WriterVerbs(Store):
    """The verbs of a store for changes that other processes make."""

    _data: Dataset

    def fork(self) -> Self:
        """Return a store with the same contents, whose changes :meth:`merge` takes in.

        A fork can be pickled, and written wherever its ``castore`` is reachable. It sees no changes of other forks, nor
        of this store. Changes of this store that are not frozen are written, as the fork begins with them. A pickle of
        a fork is another fork, with the changes that were made until then.

        :raises IPLDStoreError: if blocks cannot be written

        >>> from ipldstore import IPLDStore
        >>> store = IPLDStore()
        >>> left, right = store.fork(), store.fork()
        >>> left["a/0"], right["a/1"] = b"zero", b"one"
        >>> store.merge(left, right.changes())
        >>> sorted(store)
        ['a/0', 'a/1']
        """
        forked = copy(self)
        forked._become_fork(forking.fork(self._data))  # noqa: SLF001  # its own class
        return forked

    def _become_fork(self, data: Dataset) -> None:
        """Become the store over a fork, writable; closing it does not close the store that was forked."""
        raise NotImplementedError

    def changes(self) -> Changes:
        """Return what this fork has changed, as a small value that a task can return.

        :raises IPLDStoreError: if this is no fork, or blocks cannot be written
        """
        return forking.changes_of(self._data)

    def merge(self, *changes: Changes | WriterVerbs, on_conflict: OnConflict = "raise") -> None:
        """Take in what forks have changed, in any order; what was taken in already changes nothing.

        The changes of a key must follow each other, from what this store has to one content: each began with what
        another one, or this store, ended with. Else they conflict. Where ``castore`` is on this machine, it is checked
        that the blocks are there.

        :param changes: forks, or what their :meth:`changes` returned
        :param on_conflict: where changes conflict, "raise" raises an error, "first" takes what the fork that was given
            first has, and a callable gets a :class:`~ipldstore.Conflict` and returns one of its contents
        :raises ConflictError: if changes conflict; it names keys, CIDs and writers, and nothing has changed
        :raises IPLDStoreError: if a block is missing; nothing has changed then
        :raises ValueError: if the store is read-only

        >>> from ipldstore import ConflictError, IPLDStore
        >>> store = IPLDStore()
        >>> left, right = store.fork(), store.fork()
        >>> left["a/0"], right["a/0"] = b"left", b"right"
        >>> try:
        ...     store.merge(left, right)
        ... except ConflictError:
        ...     store.merge(left, right, on_conflict="first")
        >>> store["a/0"]
        b'left'
        """
        self._check_writable()
        given = [each if isinstance(each, Changes) else each.changes() for each in changes]
        forking.merge(self._data, given, on_conflict)

    def resolve_conflict(self, key: str, writer: str) -> None:
        """Decide a conflict between writers in other processes: what one of them wrote last counts.

        It is applied when the changes are taken in the next time, as by :meth:`freeze`.

        :param key: the key that a :class:`~ipldstore.ConflictError` names
        :param writer: the name of the writer, as the error gives it
        :raises IPLDStoreError: if no copies of this store write in other processes
        """
        self._check_writable()
        sharing = self._data.sharing
        if not isinstance(sharing, CoordinatorSharing):
            raise IPLDStoreError(
                f"resolving {key!r}: expected a store whose copies write in other processes, found none: "
                f"merge(..., on_conflict=...) decides between forks"
            )
        sharing.coordinator.choose(key, writer)
