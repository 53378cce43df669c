"""The root that a commit or a state stands for, where a dataset is opened by its CID (history.md, section 4)."""

from __future__ import annotations

from ipld_castore import ContentAddressableStore

from ipldstore._format.nodes import HistoryNodeError

from .history import History


def root_of(castore: ContentAddressableStore, found: HistoryNodeError) -> bytes:
    """Return the binary CID of the root that a commit or a state stands for.

    A commit stands for its ``data``, and a state for the ``data`` of the commit of its default branch.

    :param found: what reading the block as a root has raised
    :raises IPLDStoreError: if a block on the way cannot be read
    """
    history = History(castore)
    if not found.is_state:
        return history.decode(found.cid, found.block).data
    state = history.decode_state(found.cid, found.block)
    return history.load(state.branches[state.default]).data
