"""Blocks that lie in other files: their index keeps them, and they are neither copied nor freed."""

from __future__ import annotations

from ipld_car import cids
from ipld_castore import BlockNotFoundError, ContentAddressableStore, ReferenceCAStore, ReferencingCAStore

from ipldstore._read.reach import is_node


def own_part(castore: ContentAddressableStore) -> ContentAddressableStore:
    """Return the store whose blocks can be freed: the store itself, or the one beside blocks in other files."""
    return castore.far if isinstance(castore, ReferencingCAStore) else castore


def references_part(castore: ContentAddressableStore) -> ReferenceCAStore | None:
    """Return the blocks in other files; None for a store that has all of its blocks."""
    return castore.references if isinstance(castore, ReferencingCAStore) else None


def require_in_file(cid: bytes, references: ReferenceCAStore | None, where: object) -> None:
    """Require that the index of other files has a block, and that the block links no others. No file is opened.

    :param references: the blocks in other files; None for none
    :param where: the block store without the block, for the error
    :raises BlockNotFoundError: if the index lacks the block, or the block is a node, which a walk has to read
    """
    if is_node(cid) or references is None or not references.has_block(cids.from_validated(cid)):
        raise BlockNotFoundError(f"no block {cids.to_text(cid)} in {where}")
