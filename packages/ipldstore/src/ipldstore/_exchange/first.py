"""The first commit and the first state, which are the same in every repository (history.md, sections 1 and 3)."""

from __future__ import annotations

from typing import Final

from ipld_car import cids, hashes
from ipld_castore import ContentAddressableStore

from ipldstore._history.commit import CommitNode, encode_commit
from ipldstore._history.state import StateNode
from ipldstore._tree.tree import EMPTY_MAP, EMPTY_ROOT

from .committing import put_node

_NODE: Final = CommitNode(EMPTY_ROOT, (), 0, None, 0, "", "", {})
_BLOCK: Final = encode_commit(_NODE)
FIRST: Final = cids.make(cids.DAG_CBOR, hashes.sha2_256(_BLOCK))
"""Binary CID of the first commit."""

MAIN: Final = "main"
"""The branch of a new repository."""

FIRST_STATE: Final = StateNode({MAIN: FIRST}, {}, MAIN, None, "", 0, "")


def put_first(castore: ContentAddressableStore) -> None:
    """Put the first commit, and the root of the empty dataset."""
    put_node(castore, EMPTY_MAP)
    put_node(castore, _BLOCK)
