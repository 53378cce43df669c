"""A repository as :func:`ipldstore.open` opens it: a store of one version, which commits when it is closed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ipld_castore import ContentAddressableStore, FileSystemCAStore

from ipldstore._address.castores import PlaceOptions
from ipldstore._address.references import with_references
from ipldstore._dataset.lifecycle import Opened, end_session, finish_session
from ipldstore._exchange.exchange import Exchange
from ipldstore._exchange.head import FixedHead, head_of, leave_head
from ipldstore._format.nodes import HistoryNodeError
from ipldstore._revisions.history import History
from ipldstore._revisions.version import Version, refuse_version
from ipldstore._store.ipld_store import IPLDStore

if TYPE_CHECKING:
    from .session import RepositorySession

CLOSE_MESSAGE = "close"
"""The message of the commit that closing a store makes, where the caller gives none."""


class OpenedSession(Opened):
    """A session that was opened as a store. Closing it commits, and releases the block store.

    :param session: the session
    :param message: of the commit that closing makes, if anything has changed
    :param release: called at the end; may be called more than once
    """

    _kept = "committed"

    def __init__(self, session: RepositorySession, message: str, release: Callable[[], None]) -> None:
        data = session.store._data  # noqa: SLF001  # the store's own floor below
        super().__init__(data, writable=not session.read_only, release=release)
        self.session = session
        self._message = message

    def _keep(self) -> None:
        """Commit what has changed.

        :raises ConflictError: if the branch has moved; the store then stays open, with its changes
        """
        had_copies = end_session(self._data)
        if self.session.has_changes:
            self.session.commit(self._message)
        if had_copies:
            finish_session(self._data)

    @property
    def _has_unkept(self) -> bool:
        tree = self._data.tree  # a commit that failed has written a root that no commit has
        return tree.changed or tree.frozen_root != self.session.base_root


def found_history(store: IPLDStore) -> HistoryNodeError | None:
    """Return the commit or the state that was read where the root of a store was expected; None for a root."""
    return store._history_node  # noqa: SLF001  # the store's own floor below


def require_repository(found: HistoryNodeError | None, version: Version) -> bytes:
    """Return the binary CID of the state in which a version is looked up.

    :raises ValueError: if what was found is a root or a commit, which has no versions
    """
    if found is None or not found.is_state:
        refuse_version(version)
        raise ValueError("expected a repository, found one commit of one, which can only be read")
    return found.cid


def open_version(
    castore: ContentAddressableStore,
    found: HistoryNodeError,
    version: Version,
    *,
    read_only: bool,
    message: str | None = None,
    release: Callable[[], None] | None = None,
) -> IPLDStore:
    """Open one version of a repository as a store.

    A branch is opened as a session, whose changes become a commit when the store is closed. A tag, a commit or a time
    is opened to read.

    :param found: the state, as it was read
    :param read_only: look the version up in that state, and refuse all changes
    :param message: of the commit that closing makes; by default "close"
    :param release: see :class:`OpenedSession`; None if closing the store leaves the block store open
    :raises RefNotFoundError: if there is no such version
    """
    from .selection import select
    from .session import RepositorySession  # what has no history needs no merges

    history = History(castore)
    head = FixedHead(castore, require_repository(found, version)) if read_only else head_of(castore)
    history.decode_state(found.cid, found.block)  # which keeps it, so that it is not read again
    exchange = Exchange(history, head)
    branch, commit = select(history, exchange.current().state, version)
    session = RepositorySession(exchange, None if read_only else branch, commit)
    if release is not None:
        leave_head(castore)
        text = CLOSE_MESSAGE if message is None else message
        session.store._opened = OpenedSession(session, text, release)  # noqa: SLF001  # as open() does
    return session.store


def has_repository(castore: ContentAddressableStore) -> bool:
    """Return whether the head of a block store names a repository."""
    head = head_of(castore).read()
    return head is not None and History(castore).is_state(head)


def open_repository_folder(place: object, options: PlaceOptions) -> ContentAddressableStore | None:
    """Return the block store of a folder that has a repository; None if there is none.

    A folder without history has one writer, whose lock is not for the many writers of a repository.

    :param place: what an address names
    """
    if not isinstance(place, Path) or not (place / "SHARDING").exists():
        return None
    castore = FileSystemCAStore(place, fsync=options.fsync)
    if not has_repository(castore):
        return None
    return with_references(castore, place, options.allow, options.storage_options, options.moved)
