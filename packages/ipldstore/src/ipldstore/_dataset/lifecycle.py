"""Closing a store: changes are frozen, and files and locks are released."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Protocol

from ipld_castore import CarCAStore

from ipldstore._writers.coordinating import CoordinatorSharing
from ipldstore.errors import ConflictError, store_errors

from .dataset import Dataset


def close(data: Dataset) -> None:
    """Close a dataset over a block store that stays open: freeze what has changed, and take no more changes.

    :raises IPLDStoreError: if blocks cannot be written; the dataset then stays open, with its changes
    """
    if data.closed or not data.is_home:
        return
    if end_session(data) or data.has_changes:
        data.freeze()
        finish_session(data)
    data.closed = True


def end_session(data: Dataset) -> bool:
    """Refuse further writes of copies; return whether there are copies. Their earlier writes can still be taken in.

    :raises ConflictError: if another process has taken the session over; the dataset keeps its changes without it
    """
    return _of_session(data, lambda sharing: sharing.end(data))


def finish_session(data: Dataset) -> None:
    """Leave the session that has ended, after the last freeze.

    :raises ConflictError: see :func:`end_session`
    """
    _of_session(data, CoordinatorSharing.finish)
    data.sharing = None


def _of_session(data: Dataset, action: Callable[[CoordinatorSharing], None]) -> bool:
    if not isinstance(data.sharing, CoordinatorSharing):
        return False
    try:
        action(data.sharing)
    except ConflictError:
        data.sharing = None
        raise
    return True


def abandon(data: Dataset, release: Callable[[], None]) -> None:
    """Close the block store of a dataset, and lose changes that are not frozen. A file that was new is removed.

    :param release: called at the end
    :raises IPLDStoreError: if the block store cannot be closed
    """
    if data.closed:
        return
    if not data.is_home:
        release()
        return
    data.closed = True
    close_castore = data.castore.abandon if isinstance(data.castore, CarCAStore) else data.castore.close
    try:
        with store_errors("closing"):
            close_castore()
    finally:
        release()


class Closer(Protocol):
    """Closes a store that was opened at an address."""

    def close(self) -> None:
        """Persist the changes, and release the files and locks of the store.

        :raises IPLDStoreError: if blocks cannot be written; the store then stays open, with its changes
        """

    def abandon(self) -> None:
        """Release the files and locks of the store, and lose changes that are not frozen.

        :raises IPLDStoreError: if what the store has open cannot be closed
        """


class Opened:
    """A dataset that :func:`ipldstore.open` has opened, and the file or folder that closing it releases.

    A store that is dropped with changes that are not frozen warns of that, by a ``RuntimeWarning``: Python hides a
    ``ResourceWarning``, as a file that is dropped has lost nothing. A copy in another process neither warns nor closes
    anything.

    :param data: the contents
    :param writable: whether to freeze them
    :param release: called at the end, also in a forked process; may be called more than once
    """

    _kept = "frozen"
    """The word for changes that are persisted, for the warning."""

    def __init__(self, data: Dataset, *, writable: bool, release: Callable[[], None]) -> None:
        self._data = data
        self._writable = writable
        self._release = release

    def close(self) -> None:
        """Freeze what has changed, flush and close the block store.

        :raises IPLDStoreError: if blocks cannot be written; the store then stays open, with its changes
        """
        data = self._data
        if data.closed:
            return
        if not data.is_home:
            self._release()
            return
        if self._writable:
            self._keep()
        data.closed = True
        try:
            with store_errors("closing"):
                data.castore.close()
        finally:
            self._release()

    def _keep(self) -> None:
        """Persist the changes, and end the session of copies in other processes."""
        data = self._data
        if end_session(data) or data.needs_persist or data.frozen_root is None:  # what is written has a root
            data.freeze()
            finish_session(data)

    @property
    def _has_unkept(self) -> bool:
        """Whether dropping the store would lose changes."""
        return self._data.needs_persist

    def abandon(self) -> None:
        """Close the block store, and lose what is not persisted. A file that was new is removed."""
        abandon(self._data, self._release)

    def __del__(self) -> None:
        data = self._data
        if data.closed:
            return
        try:
            if self._writable and data.is_home and self._has_unkept:
                message = f"a store over {data.castore!r} was dropped with changes that are not {self._kept}: close it"
                warnings.warn(message, RuntimeWarning, stacklevel=2, source=self)
        finally:
            self._release()
