"""Going on from another root, without losing changes."""

from __future__ import annotations

from ipld_castore import ContentAddressableStore

from ipldstore._format.nodes import HistoryNodeError
from ipldstore._read.reach import is_taken_as_whole
from ipldstore._revisions.roots import root_of
from ipldstore._writers.coordinating import CoordinatorSharing
from ipldstore.errors import IPLDStoreError

from . import processes
from .dataset import Dataset


def open_dataset(castore: ContentAddressableStore, root: bytes | None) -> tuple[Dataset, HistoryNodeError | None]:
    """Return the dataset of a root, or of the root that a commit or a state stands for, and that commit or state.

    :param root: binary CID; None for an empty dataset
    :raises IPLDStoreError: if it cannot be read
    """
    try:
        return Dataset(castore, root), None
    except HistoryNodeError as error:
        found = HistoryNodeError(error.cid, error.block, is_state=error.is_state)  # without the frames of the first
    return Dataset(castore, root_of(castore, found)), found


def require_no_changes(data: Dataset, what: str) -> None:
    """Require that no changes would be lost.

    :param what: what would lose them
    :raises IPLDStoreError: if there are changes that are not frozen, or a root that was not persisted
    """
    if data.has_changes:
        raise _changes_would_be_lost(what)


def _changes_would_be_lost(what: str) -> IPLDStoreError:
    return IPLDStoreError(
        f"{what}: expected a store without changes that are not frozen, found some, which would be lost: freeze() "
        f"first, or pass discard_changes=True"
    )


def set_root(
    data: Dataset, root: bytes, what: str, *, discard_changes: bool = False, is_complete: bool | None = None
) -> None:
    """Go on from a root, or from the root that a commit or a state stands for.

    :param what: what is being done, for errors
    :param discard_changes: whether changes that are not frozen may be lost
    :param is_complete: whether all that the root reaches is known to be there; None if that is not known
    :raises IPLDStoreError: if the root cannot be read, or changes would be lost, or the dataset is closed; then nothing
        changes
    """
    _require_own(data)
    if not discard_changes:
        require_no_changes(data, what)
    head = data.persistence.head()  # first, as it may fail
    try:
        is_there = data.tree.go_to(root, discard_changes=discard_changes)
    except HistoryNodeError as found:
        root = root_of(data.castore, found)
        is_there = data.tree.go_to(root, discard_changes=discard_changes)
    if not is_there:
        raise _changes_would_be_lost(what)  # another thread has made them since
    data.persistence.base = root
    if isinstance(data.sharing, CoordinatorSharing):
        data.sharing.forget_reads()
    _went_to(data, root, head, is_complete)


def replace_root(data: Dataset, old: bytes, new: bytes) -> bool:
    """Go on from a root that has been made of another; return False where the contents have changed since.

    :param old: binary CID of the root that :meth:`Dataset.write_root` returned
    :param new: binary CID of the root to go on from
    :raises IPLDStoreError: if the root cannot be read, or the dataset is closed; then nothing changes
    """
    _require_own(data)
    head = data.persistence.head()
    if not data.tree.go_to(new, discard_changes=False, instead_of=old):
        return False
    _went_to(data, new, head, None)
    return True


def _require_own(data: Dataset) -> None:
    if data.closed:
        raise IPLDStoreError(processes.CLOSED)
    if data.sharing is not None and data.sharing.notes_changes:
        raise IPLDStoreError(
            "expected a store of this process to take another root: this is a copy or a fork, which changes keys"
        )


def _went_to(data: Dataset, root: bytes, head: bytes | None, is_complete: bool | None) -> None:
    """Record that a dataset goes on from a root."""
    data.persistence.go_to(root, head)
    data.whole = is_taken_as_whole(data.castore, root) if is_complete is None else is_complete
    data.merged = {}
    data.own_changes += 1


def note_kept(data: Dataset, root: bytes) -> None:
    """Record that a root that :meth:`Dataset.write_root` returned was persisted by the caller."""
    data.persistence.go_to(root, root)
    if isinstance(data.sharing, CoordinatorSharing):
        data.sharing.watch(False)
