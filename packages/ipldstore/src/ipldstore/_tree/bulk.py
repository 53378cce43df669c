"""Many links of one array at once: where the tree can take them as arrays, and how."""

from __future__ import annotations

from typing import Any

from ipldstore._format import keys
from ipldstore._format.bulk.index import LinkArrays, OtherFormError, add_links
from ipldstore._format.chunk_form import ChunkForm
from ipldstore._format.index_node import IndexNode
from ipldstore._format.index_tree import CHUNKS, Base, rebuild
from ipldstore._format.limits import Limits
from ipldstore._format.nodes import Load, NodeStore

from .directory import ChunkOwnership, Directory
from .freeze import absorb


def put_links(
    visited: list[Directory], form: ChunkForm, new: LinkArrays, nodes: NodeStore, limits: Limits, load: Load
) -> bool:
    """Set links of an array; return False, with nothing changed, where they have to be set one by one.

    The index is written with them; what a freeze would embed it embeds later. So memory is that of the arrays.

    :param visited: the directories from the root down to the array, opened to be changed
    :raises IPLDStoreError: if a node cannot be read or written; nothing has changed then
    """
    array = visited[-1]
    if not form.axes or not _owns_all(array, form, load) or any(above.has_chunks for above in visited[:-1]):
        return False
    absorb(array, load)
    if array.name_base is not None or any(keys.may_begin_chunk_key(name, first=True) for name in array.entries):
        return False  # an array in the array, or what is no chunk and named like one
    base = array.chunk_base
    if array.chunk_new or array.chunk_gone:
        base = _checked(rebuild(CHUNKS, base, {**dict.fromkeys(array.chunk_gone), **array.chunk_new}, nodes, limits))
    try:
        array.chunk_base = _checked(add_links(base, form, new, nodes, limits))
    except OtherFormError:
        return False
    array.chunk_new, array.chunk_gone, array.chunk_total = {}, set(), 0
    return True


def _checked(top: list[Any] | bytes | None) -> Base:
    """Return the top node of an index as a directory holds it."""
    return IndexNode(top, CHUNKS.code, CHUNKS.is_key) if isinstance(top, list) else top


def _owns_all(array: Directory, form: ChunkForm, load: Load) -> bool:
    ownership = array.ownership(load)
    return ownership is ChunkOwnership.ALL or (ownership is ChunkOwnership.ONLY_C and form.prefix.startswith("c"))
