"""Pickles of datasets: their contents, and the dataset that each process makes of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol, TypeVar, cast

from ipld_castore import ContentAddressableStore, SupportsJournal
from ipld_castore.concurrency import process_id
from multiformats import CID

from ipldstore._format.limits import Limits
from ipldstore._writers.coordinating import CoordinatorSharing
from ipldstore._writers.coordinator import Coordinator
from ipldstore._writers.copies import CopySharing, writer_of
from ipldstore._writers.forks import ForkSharing
from ipldstore._writers.looking import LateNotes
from ipldstore._writers.notes import Content, Note
from ipldstore._writers.shared import Sharing

from . import processes


class Pickled(NamedTuple):
    """A dataset on its way to another process."""

    token: str
    home: str
    """The process that has the dataset itself."""
    castore: ContentAddressableStore
    root: bytes | None
    limits: Limits
    session: str | None = None
    """The session through which copies write; None where they cannot."""
    positions: dict[str, int] | None = None
    """By writer, the number of its last record that was taken in."""
    fork: Mapping[str, tuple[Note, ...]] | None = None
    """By writer the changes of a fork; None for a dataset that is no fork."""
    late: LateNotes = ()
    """Writers and their notes up to ``positions`` that are not in the root, as their blocks were not there."""


class PickledDataset(Protocol):
    """A dataset as pickling uses it."""

    castore: ContentAddressableStore
    token: str
    closed: bool
    sharing: Sharing | None
    origin: Pickled | None

    @property
    def home(self) -> str: ...
    @property
    def is_home(self) -> bool: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def changed(self) -> bool: ...
    @property
    def known_root(self) -> bytes | None: ...
    def write_for_copies(self, *, for_writers: bool = ...) -> bytes: ...
    def become_copy(self, token: str, home: str) -> None: ...
    @property
    def head(self) -> bytes | None: ...
    @property
    def moves_head(self) -> bool: ...
    @property
    def head_name(self) -> str | None: ...
    @property
    def lock(self) -> AbstractContextManager[object]: ...
    def flush(self, wanted: Collection[CID] | None = None) -> None: ...
    def has_blocks(self, wanted: Iterable[CID]) -> Iterator[bool]: ...
    def content_of(self, key: str, root: bytes | None = None) -> Content: ...
    def rebase(self, root: bytes) -> None: ...
    def apply(self, changes: Mapping[str, Content]) -> None: ...


D = TypeVar("D", bound=PickledDataset)

Make = Callable[[ContentAddressableStore, bytes | None, Limits, bool], D]
"""Makes a dataset of this process. The last argument tells whether this process may persist it."""


def pickled(data: PickledDataset, *, shared: bool) -> Pickled:
    """Return the contents of a pickle; freezes the dataset, as copies read it from the block store.

    :param shared: whether copies in other processes are to write
    """
    sharing = data.sharing
    if isinstance(sharing, CopySharing):
        assert data.origin is not None  # noqa: S101  # a copy has one
        return data.origin
    if isinstance(sharing, ForkSharing):
        data.castore.flush()
        return Pickled(data.token, "", data.castore, sharing.root, data.limits, fork=sharing.changes().notes)
    if not data.is_home:
        return Pickled(data.token, data.home, data.castore, data.known_root, data.limits)
    if not shared or data.closed or not isinstance(data.castore, SupportsJournal):
        root = data.write_for_copies() if data.changed else data.known_root
        return Pickled(data.token, data.home, data.castore, root, data.limits)
    root = data.write_for_copies(for_writers=True)
    if not isinstance(sharing, CoordinatorSharing):
        sharing = data.sharing = CoordinatorSharing(
            Coordinator.begin(data.castore, root, data.head, moves_head=data.moves_head, head_name=data.head_name)
        )
    sharing.watch(True)
    name, state = sharing.coordinator.name, sharing.coordinator.state
    return Pickled(data.token, data.home, data.castore, state.root, data.limits, name, state.positions, late=state.late)


def restore(make: Make[D], state: Pickled) -> D:
    """Return the dataset of a pickle.

    In the process that has the dataset this is the dataset itself. In another one it is a copy, which writes through
    the journal of the session if there is one, and else only reads. A fork is a fork anywhere.
    """
    if state.fork is not None:
        assert state.root is not None  # noqa: S101  # a fork begins with a root
        dataset = make(state.castore, state.root, state.limits, True)
        dataset.sharing = ForkSharing(state.root, state.fork)
        dataset.apply({note.key: note.after for own in state.fork.values() for note in own})
        return dataset
    live: D | None = processes.REGISTRY.get(state.token)  # type: ignore[assignment]  # made by the same ``make``
    if live is not None and state.home == process_id():
        return live
    if state.session is not None and state.home == process_id() and isinstance(state.castore, SupportsJournal):
        # The dataset itself has been dropped: this one goes on in its place.
        coordinator = Coordinator.recover(state.castore, state.session)
        root = state.root if coordinator is None else coordinator.state.root
        dataset = make(state.castore, root, state.limits, True)
        if coordinator is not None and not coordinator.state.ended:
            dataset.sharing = CoordinatorSharing(coordinator)
        dataset.become_copy(state.token, state.home)
        return dataset
    if state.session is not None and state.root is not None:
        # Each task comes here, and to ask ``isinstance`` of a protocol takes longer than all the rest.
        return _copy(make, state, cast("SupportsJournal", state.castore), state.session, state.root)
    # A copy in another process may be of an earlier pickle, or of a fork, and has not seen what came since.
    if live is not None and live.known_root == state.root:
        return live
    dataset = make(state.castore, state.root, state.limits, True)
    dataset.become_copy(state.token, state.home)
    return dataset


def _copy(make: Make[D], state: Pickled, castore: SupportsJournal, session: str, root: bytes) -> D:
    """Return the copy of this process that began with a root."""
    writer = writer_of(state.castore.address, session, lambda: castore.journal(session))

    def make_copy() -> D:
        dataset = make(state.castore, root, state.limits, False)
        dataset.sharing = CopySharing(writer, root, state.positions or {}, state.late)
        dataset.origin = state
        return dataset

    copy = writer.copy_of(root, make_copy)
    if isinstance(copy.sharing, CopySharing):
        copy.sharing.note_pickle()
    return copy
