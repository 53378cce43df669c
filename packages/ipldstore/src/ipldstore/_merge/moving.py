"""Nodes moved, grafted by CID, and named by CID, without rewriting a chunk."""

from __future__ import annotations

from ipld_car import cids
from ipld_car.messages import Message, Term

from ipldstore._dataset.dataset import Dataset
from ipldstore._format import keys
from ipldstore._format.nodes import MAX_NODE_BYTES, HistoryNodeError, decode_root
from ipldstore._format.validate import MAX_BELOW_ROOT
from ipldstore._revisions.roots import root_of
from ipldstore._tree import lookup
from ipldstore._tree.directory import Frozen
from ipldstore.errors import IPLDStoreError, store_errors

from .nodes.consolidate import consolidated_anew
from .rules.sides import document_reader, nodes_of


def path_parts(path: str) -> list[str]:
    """Return the parts of the path of a node; none for "" and "/", the root.

    :raises ValueError: if the format allows no keys below the path
    """
    stripped = path.strip("/")
    if not stripped:
        return []
    parts = keys.split_key(stripped)
    if parts[-1] in keys.DOCUMENTS or len(parts) > MAX_BELOW_ROOT:
        raise ValueError(f"expected the path of a node, with keys below it; found {path[:200]!r}")
    return parts


def subtree(data: Dataset, path: str) -> bytes:
    """Return the binary CID of a root that has the keys below a path as its keys. It puts the nodes that are new.

    :raises KeyError: if there are no keys below the path
    :raises ValueError: if the format allows none
    :raises IPLDStoreError: if nodes cannot be read or written
    """
    parts = path_parts(path)
    data.catch_up()
    with store_errors(f"naming {path!r}"):
        root = data.tree.subtree(parts)
        data.castore.flush()
    if root is None:
        raise KeyError(path)
    return root


def graft(data: Dataset, path: str, root: bytes, *, overwrite: bool) -> None:
    """Give a dataset all keys of a root, below a path. Only the block of the root is read.

    :param root: binary CID of the root, or of a commit or a state that stands for one
    :param overwrite: delete the keys that are there, instead of refusing
    :raises ValueError: if the format allows no keys below the path, or the directories of the root would be too deep
    :raises IPLDStoreError: if the root cannot be read, or there are keys below the path; then nothing has changed
    """
    parts = path_parts(path)
    data.check_home()
    data.catch_up()
    nodes = nodes_of(data.castore)
    try:
        node = nodes.load(root, decode_root)
    except HistoryNodeError as found:
        root = root_of(data.castore, found)
        node = nodes.load(root, decode_root)
    what = f"grafting {cids.to_text(root)} at {path!r}"
    if len(parts) + node.depth > MAX_BELOW_ROOT:
        raise ValueError(
            f"{what}: expected directories at most {MAX_BELOW_ROOT} parts deep, found one that would be deeper"
        )
    if parts and node.size > MAX_NODE_BYTES:
        raise IPLDStoreError(
            Message(
                f"{what}: expected a root of at most {MAX_NODE_BYTES} bytes, found {node.size}: ",
                Term("canonicalize()"),
                " makes one",
            )
        )
    if overwrite:
        data.delete_below("/".join(parts))
    if data.sharing is not None and data.sharing.notes_changes:
        done = not _has_keys(data, parts)
        if done:
            prefix = _prefix(parts)
            for key, target in lookup.items(Frozen(node.map), nodes.load):
                data.sharing.record(data, prefix + key, target)
    else:
        done = data.tree.graft(parts, node.map)
    _forget_reads(data, parts)
    if not done:
        raise IPLDStoreError(f"{what}: expected no keys there, found some: move them first, or pass overwrite=True")
    data.own_changes += 1


def move(data: Dataset, old: str, new: str) -> None:
    """Give all keys below a path names below another path, and make consolidated metadata of groups above anew.

    :raises KeyError: if there are no keys below the old path
    :raises ValueError: if a path is not that of a node, or one is at or below the other
    :raises IPLDStoreError: if there are keys below the new path, or nodes cannot be read; then nothing has changed
    """
    parts, new_parts = path_parts(old), path_parts(new)
    shared = min(len(parts), len(new_parts))
    if parts[:shared] == new_parts[:shared]:
        raise ValueError(f"moving {old!r}: expected a path that is not at, above or below it, found {new!r}")
    data.check_home()
    data.catch_up()
    if not _has_keys(data, parts):
        raise KeyError(old)
    if data.sharing is not None and data.sharing.notes_changes:
        done = not _has_keys(data, new_parts)
        prefix, new_prefix = _prefix(parts), _prefix(new_parts)
        for key in list(data.keys(prefix)) if done else []:
            data.sharing.record(data, new_prefix + key[len(prefix) :], data.content_of(key))
            data.sharing.record(data, key, None)
    else:
        done = data.tree.move(parts, new_parts)
    _forget_reads(data, parts, new_parts)
    if not done:
        raise IPLDStoreError(
            f"moving {old!r} to {new!r}: expected no keys there, found some: delete or move them first"
        )
    data.own_changes += 1
    reader = document_reader(data.castore, nodes_of(data.castore))
    for document, text in consolidated_anew(data.tree.snapshot(), reader, ["/".join(parts), "/".join(new_parts)]):
        data.write("/".join(document), text)


def _forget_reads(data: Dataset, *paths: list[str]) -> None:
    """Forget what keys below paths had: they have what was linked there, whatever it was."""
    if (sharing := data.sharing) is not None:
        for parts in paths:
            sharing.forget_reads(_prefix(parts))


def _has_keys(data: Dataset, parts: list[str]) -> bool:
    return next(data.keys(_prefix(parts)), None) is not None


def _prefix(parts: list[str]) -> str:
    return "".join(f"{part}/" for part in parts)
