"""Forks of a dataset, and merging their changes."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext

from ipld_car import cids

from ipldstore._format.nodes import NodeStore
from ipldstore._read.reader import reader_of
from ipldstore._tree.difference import key_changes
from ipldstore._tree.directory import Frozen
from ipldstore._tree.tree import EMPTY_ROOT, Tree
from ipldstore._writers.changes import Changes, changes_between, notes_of
from ipldstore._writers.coordinating import CoordinatorSharing
from ipldstore._writers.forks import ForkSharing
from ipldstore._writers.notes import Content
from ipldstore._writers.take_in import OnConflict, TakenIn, check_on_conflict, resolve_notes
from ipldstore.errors import BlockMissingError, IPLDStoreError, store_errors

from .dataset import Dataset, make_dataset


def fork(data: Dataset) -> Dataset:
    """Return a dataset with the same contents, which records its changes; see :class:`ForkSharing`."""
    data.tree.require_own_format()
    root = data.write_for_copies()
    forked = make_dataset(data.castore, root, data.limits)
    forked.sharing = ForkSharing(root)
    return forked


def changes_of_fork(data: Dataset) -> Changes:
    """Return the changes of a fork; all its blocks are stored.

    :raises IPLDStoreError: if the dataset is no fork, or blocks cannot be written
    """
    if not isinstance(data.sharing, ForkSharing):
        raise IPLDStoreError(
            "expected a fork, which keeps what it changes, found another store: store.fork() makes one, and changes() "
            "returns what another store has changed"
        )
    changes = data.sharing.changes()
    with store_errors("flushing the blocks"):
        data.castore.flush()
    return changes


def changes_of(data: Dataset) -> Changes:
    """Return the changes of a fork, or of a dataset since it was opened, frozen or set to a root.

    The blocks are in the store when it returns.

    :raises ConflictError: if changes of writers in other processes do not follow each other
    :raises IPLDStoreError: if blocks cannot be read or written, or this is a copy of the dataset of another process
    """
    if isinstance(data.sharing, ForkSharing):
        return changes_of_fork(data)
    data.check_home()
    if data.sharing is not None and data.sharing.notes_changes:
        raise IPLDStoreError(
            "expected a fork, or the dataset itself, found a copy in another process: the process that has the dataset "
            "takes its changes in"
        )
    with data.persistence.lock:
        root = data.write_for_copies()
        base = EMPTY_ROOT if data.persistence.base is None else data.persistence.base
    nodes = NodeStore(data.castore, reader_of(data.castore))
    before, after = (Tree(nodes, None if each == EMPTY_ROOT else each).top for each in (base, root))
    assert isinstance(before, Frozen) and isinstance(after, Frozen)  # noqa: S101, PT018  # nothing has changed them
    return changes_between(base, key_changes(before, after, nodes.load))


def merge(data: Dataset, changes: Iterable[Changes | Dataset], on_conflict: OnConflict) -> None:
    """Make changes, or those of forks, in a dataset.

    :raises ValueError: if ``on_conflict`` is none
    :raises ConflictError: if they do not follow each other, and nothing says what to do; then nothing has changed
    :raises BlockMissingError: if the block of a key is not there; then nothing has changed
    """
    check_on_conflict(on_conflict)
    data.check_home()
    given = [each if isinstance(each, Changes) else changes_of_fork(each) for each in changes]
    data.catch_up()

    def resolve() -> TakenIn:
        taken = resolve_notes(list(notes_of(given, data.merged)), data.content_of, on_conflict)
        _require_blocks(data, taken.changes)
        if taken.changes:
            data.own_changes += 1
        return taken

    sharing = data.sharing
    if isinstance(sharing, CoordinatorSharing):
        taken = sharing.merge(data, resolve)
    elif sharing is None:
        with data.lock:
            taken = resolve()
            data.apply(taken.changes)
    else:
        with data.lock:
            taken = resolve()
        # What a fork had before counts for itself, as the forks that are merged may have begun with it; so does what it
        # has then, as it may change that again.
        with sharing.kept_apart() if isinstance(sharing, ForkSharing) else nullcontext():
            for key, content in taken.changes.items():
                sharing.record(data, key, content)
    data.merged |= taken.positions


def resolve_conflict(data: Dataset, key: str, writer: str) -> None:
    """Decide conflicts of writers in other processes: what one of them wrote last counts.

    :raises IPLDStoreError: if no copies of the dataset write in other processes
    """
    sharing = data.sharing
    if not isinstance(sharing, CoordinatorSharing):
        raise IPLDStoreError(
            f"resolving {key!r}: expected a store whose copies write in other processes, found none: "
            f"merge(..., on_conflict=...) decides between forks"
        )
    sharing.coordinator.choose(key, writer)


def _require_blocks(data: Dataset, changes: dict[str, Content]) -> None:
    """Refuse links to blocks that are not there, where asking costs no request."""
    if not data.castore.local:
        return
    links = [(key, content) for key, content in changes.items() if isinstance(content, bytes)]
    with store_errors("looking for the blocks of a fork"):
        there = list(data.castore.has_blocks(cids.from_validated(link) for _, link in links))
    for (key, link), found in zip(links, there, strict=True):
        if not found:
            raise BlockMissingError(
                f"merging {key!r}: expected its block {cids.to_text(link)} in {data.castore!r}, found none. The fork "
                f"wrote into memory, or a folder, that this process does not share: fork a store over a "
                f"FileSystemCAStore, an ObjectCAStore or an IPFSStore"
            )
