"""What a session had written whose coordinator was killed, as a commit on a branch of its own."""

from __future__ import annotations

from typing import Final

from ipld_castore import ContentAddressableStore

from ipldstore._history.state import StateNode
from ipldstore._revisions.history import History
from ipldstore.errors import BlockMissingError

from .committing import put_commit, sign
from .exchange import Exchange
from .head import head_of

_SHOWN: Final = 8
"""Digits of the name of a session that the branch has."""


def keep_recovered(
    castore: ContentAddressableStore, session: str, base: bytes, root: bytes, head_name: str | None
) -> None:
    """Commit a root over the commit that a session went on from; nothing is done if it has the same contents.

    :param session: the name of the session
    :param base: binary CID of the commit
    :param root: binary CID of the root
    :param head_name: the name of the key on an IPFS node whose IPNS name is the head; None for another head
    :raises IPLDStoreError: if the commit cannot be written
    """
    history, head = History(castore), head_of(castore, head_name)
    state = head.read()
    try:
        if state is None or not history.is_state(state) or history.load(base).data == root:
            return
    except BlockMissingError:  # the commit was forgotten: the caller has the root
        return
    branch, by = f"recovered-{session[:_SHOWN]}", sign(None, None)
    commit = put_commit(history, root, [base], f"recovered from the session {session}", None, by)

    def change(names: StateNode) -> StateNode:
        return names._replace(branches=names.branches | {branch: commit})

    Exchange(history, head).update(f"recover {branch}", change, by)
