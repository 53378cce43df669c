"""Sessions of several writers that a dead coordinator has left: listing them, and taking their changes in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple

from ipld_car import cids
from ipld_car.messages import Message, Term
from ipld_castore import ContentAddressableStore, FileSystemCAStore, SupportsHead, SupportsJournal
from multiformats import CID

from ipldstore._address.shared import AnyShared, opened_shared
from ipldstore._dataset.dataset import Dataset
from ipldstore._dataset.lifecycle import end_session, finish_session
from ipldstore._exchange.recovered import keep_recovered
from ipldstore._writers.coordinating import CoordinatorSharing
from ipldstore._writers.coordinator import Coordinator
from ipldstore._writers.session_state import SessionState, decode_state, notes_behind
from ipldstore._writers.take_in import OnConflict, check_on_conflict
from ipldstore.errors import ConflictError, IPLDStoreError, store_errors


class Session(NamedTuple):
    """One dataset that several processes write, or wrote."""

    name: str
    age: timedelta
    """How long nothing has happened in it, by the clock of the store."""
    keys: tuple[str, ...]
    """Keys that writers have changed, and that the root lacks."""
    writers: tuple[str, ...]
    """Names of those writers."""
    root: CID
    """What the coordinator has frozen, or given to its copies."""
    ended: bool
    """Whether nothing is left to take in: the coordinator has closed its store, or the session was recovered."""

    def __repr__(self) -> str:
        return cids.record_repr(self)


@contextmanager
def _journaled(
    what: AnyShared, storage_options: Mapping[str, Any] | None
) -> Iterator[tuple[ContentAddressableStore, SupportsJournal]]:
    """Yield the block store of an address, twice: as a block store, and as one that has journals.

    :raises IPLDStoreError: if the block store has no journal
    """
    with opened_shared(what, storage_options) as castore:
        if not isinstance(castore, SupportsJournal):
            raise IPLDStoreError(
                f"expected a block store with a journal, such as a folder, a bucket or an IPFS node, found "
                f"{castore!r}: no other process writes to it"
            )
        yield castore, castore


def sessions(what: AnyShared, *, storage_options: Mapping[str, Any] | None = None) -> list[Session]:
    """Return the sessions of a folder, bucket, IPFS node or block store, live ones and those that were left behind.

    A session begins when a store is pickled for other processes to write, and ends when that store is closed.

    :param what: the path of a folder, also as a ``file:`` URL; the URL of a bucket, such as ``s3://bucket/prefix``;
        the address of a node's RPC API, such as ``http://127.0.0.1:5001``, or ``ipfs://CID`` for the node of this
        machine; or a block store, or a store over one
    :param storage_options: of a bucket: the options of :meth:`ipld_castore.ObjectCAStore.from_url`; of a node: those
        of :class:`ipld_castore.IPFSStore`; of ``ipfs:`` and ``ipns:``: those of :func:`ipldstore.open`
    :raises ValueError: if there is no folder of blocks, or the address is that of a place which no other process
        writes, or of a part of one
    :raises IPLDStoreError: if the block store has no journal, or it cannot be read

    >>> import pickle, tempfile, ipldstore
    >>> folder = tempfile.mkdtemp()
    >>> store = ipldstore.open(folder, "a")
    >>> pickled = pickle.dumps(store)  # as dask does
    >>> [session.ended for session in sessions(folder)]
    [False]
    >>> store.close()
    >>> [session.ended for session in sessions(folder)]
    [True]
    """
    with _journaled(what, storage_options) as (_, castore):
        return _sessions_of(castore)


def _sessions_of(castore: SupportsJournal) -> list[Session]:
    found = []
    with store_errors("looking at sessions"):
        for name in castore.sessions():
            journal = castore.journal(name)
            data = journal.state
            if data is None:  # removed since it was listed
                continue
            state = decode_state(data)
            notes = notes_behind(state, journal)
            age = timedelta(seconds=journal.age())
            keys, writers = {note.key for _, note in notes}, {writer for writer, _ in notes}
            root = cids.from_validated(state.root)
            found.append(Session(name, age, tuple(sorted(keys)), tuple(sorted(writers)), root, state.done))
    return found


def recover(
    what: AnyShared,
    name: str | None = None,
    *,
    on_conflict: OnConflict = "raise",
    storage_options: Mapping[str, Any] | None = None,
) -> CID:
    """Take in what writers of a session have written, freeze it, and end the session; return the CID of the root.

    For a session whose coordinator was killed. If the coordinator lives, its next freeze raises a
    :class:`~ipldstore.ConflictError`. The head of the folder or bucket moves to the root if the coordinator had
    :func:`opened <ipldstore.open>` it. An IPFS node pins the root, unless its store was made with ``pin=False``.

    In a repository, also one on an IPFS node, the root becomes a commit over the one that the session went on from, on
    a branch of its own, ``recovered-`` and the first 8 digits of the session's name: :meth:`Repository.merge` brings it
    to the others.

    :param what: see :func:`sessions`
    :param name: the name of the session; by default the one that has not ended
    :param on_conflict: what to do where changes conflict; see :meth:`ipldstore.IPLDStore.merge`
    :param storage_options: see :func:`sessions`
    :raises ValueError: if there is no such session, or not one alone; or ``on_conflict`` is none
    :raises ConflictError: if changes conflict, or the head is another than the coordinator knew; what was recovered has
        a root then too, which the error names, and the session can be recovered again
    :raises IPLDStoreError: if blocks are missing or cannot be written
    :raises BackendUnavailableError: if the coordinator lives and has the folder open for writing
    """
    check_on_conflict(on_conflict)
    with _journaled(what, storage_options) as (castore, journals):
        return _recover(castore, journals, name or _only_session(journals), on_conflict)


def _recover(castore: ContentAddressableStore, journals: SupportsJournal, name: str, on_conflict: OnConflict) -> CID:
    state = _state(journals, name)
    lock = castore.lock() if state.moves_head and isinstance(castore, FileSystemCAStore) else None
    try:
        coordinator = Coordinator.recover(journals, name)
        if coordinator is None:
            raise ValueError(f"expected the session {name}, found that it was deleted")
        data = Dataset(castore, coordinator.state.root)
        data.sharing = CoordinatorSharing(coordinator)
        end_session(data)
        root = cids.from_validated(data.write_for_copies(on_conflict))
        if state.moves_head and isinstance(castore, SupportsHead):
            _move_head(castore, state, root)
        elif state.head is not None and (state.head_name is not None or isinstance(castore, SupportsHead)):
            keep_recovered(castore, name, state.head, cids.to_bytes(root), state.head_name)
        finish_session(data)
        return root
    finally:
        if lock is not None:
            lock.release()


def _only_session(castore: SupportsJournal) -> str:
    names = [session.name for session in _sessions_of(castore) if not session.ended]
    if len(names) != 1:
        raise ValueError(f"expected one session to recover, found {len(names)}: {', '.join(names) or 'none'}")
    return names[0]


def _state(castore: SupportsJournal, name: str) -> SessionState:
    with store_errors(f"recovering the session {name}"):
        data = castore.journal(name).state if name in set(castore.sessions()) else None
    if data is None:
        raise ValueError(f"expected a session to recover, found none of the name {name!r}")
    return decode_state(data)


def _move_head(castore: SupportsHead, state: SessionState, root: CID) -> None:
    """Move the head on, if it is what the coordinator knew, or has frozen since."""
    with store_errors("moving the head"):
        head = castore.head
        known = {state.head, state.root, cids.to_bytes(root)}
        if (None if head is None else cids.to_bytes(head)) not in known:
            raise ConflictError(
                Message(
                    f"expected the head that the coordinator of the session had, found {head}: another process has "
                    f"moved it. What was recovered has the root {root}",
                    Term(
                        "IPLDStore(castore, root=...)",
                        ": IPLDStore(castore, root=...) reads it. castore.swap_head(castore.head, root) puts it in the "
                        "place of the other; recovering again then ends the session",
                    ),
                )
            )
        castore.swap_head(head, root)
