"""What differs between two roots: nodes, metadata, attributes, shapes, ranges of chunks, other keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from ipld_car import cids
from ipld_castore import ContentAddressableStore
from multiformats import CID

from ipldstore._display.clip import clip
from ipldstore._display.page import page, section, table
from ipldstore._format import index_tree, keys
from ipldstore._tree import lookup
from ipldstore._tree.difference import Change, DirectoryChange, ValueChange, changes, cid_of
from ipldstore._tree.directory import Frozen
from ipldstore.errors import IPLDStoreError

from .merge import root_of
from .node_diff import Changed, ChunkDiff, ChunkRange, NodeDiff, chunk_diff, node_diff
from .nodes.documents import NO_DOCUMENTS, DocumentReader, NodeDocuments
from .nodes.grid import Coordinates, coordinates_of
from .rules.side_changes import NOTHING, LinkChange, SideChanges
from .rules.sides import document_reader, nodes_of

__all__ = ["ChunkDiff", "ChunkRange", "Diff", "KeyDiff", "NodeDiff", "diff"]

_MAX_DIRECTORIES: Final = 1_000_000
"""Directories below one that only one root has; a root of a few blocks can name far more than it has."""
_MOST_LINES: Final = 50
"""Nodes, and other keys, that are shown in words."""


@dataclass(frozen=True, slots=True)
class KeyDiff:
    """A key that differs, if the key belongs to no node."""

    key: str
    change: Changed

    def __str__(self) -> str:
        return f"{ {'added': '+', 'deleted': '-', 'changed': '~'}[self.change] } key {self.key}"


@dataclass(frozen=True, repr=False)
class Diff:
    """The difference of two roots. It is false where there is none; ``str`` says it in words, a line for each node."""

    old: CID
    new: CID
    nodes: tuple[NodeDiff, ...]
    """Arrays and groups that differ, by path."""
    keys: tuple[KeyDiff, ...]
    """Keys of no node that differ, sorted."""
    castore: ContentAddressableStore = field(compare=False)
    """The block store that has the nodes of both roots."""

    def __bool__(self) -> bool:
        return self.old != self.new

    def __repr__(self) -> str:
        counts = f"{len(self.nodes):,} arrays and groups, {len(self.keys):,} other keys"
        return f"<Diff {self.old} to {self.new}: {counts}>"

    def __str__(self) -> str:
        lines = []
        for items in (self.nodes, self.keys):
            lines += [str(item) for item in items[:_MOST_LINES]]
            if len(items) > _MOST_LINES:
                lines.append(f"and {len(items) - _MOST_LINES} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = [
            section(title, table([clip(str(item), 500)] for item in items[:_MOST_LINES]), count=len(items))
            for title, items in (("Arrays and groups", self.nodes), ("Other keys", self.keys))
            if items
        ]
        return page("Diff", {"old": str(self.old), "new": str(self.new)}, parts)

    def chunk_keys(self, path: str | None = None) -> Iterator[str]:
        """Yield the keys of all chunks that differ, from the root. It reads the nodes again, and streams.

        :param path: the path of an array; by default those of all arrays, also of added and deleted ones
        :raises IPLDStoreError: if a node is missing or damaged
        """
        nodes = nodes_of(self.castore)
        old, new = (root_of(nodes, cids.to_bytes(root)) for root in (self.old, self.new))
        stack: list[Iterator[Change]] = [changes(old, new, nodes.load)]
        while stack:
            for change in stack[-1]:
                if isinstance(change, ValueChange):
                    if change.array is not None and path in (None, change.array):
                        yield change.key
                elif isinstance(change, DirectoryChange) and _leads_to(change.path, path):
                    below = change.before or NOTHING, change.after or NOTHING
                    stack.append(changes(*below, nodes.load, change.path))
                    break
            else:
                stack.pop()


def _leads_to(directory: str, path: str | None) -> bool:
    return path is None or path == directory or path.startswith(f"{directory}/") or directory.startswith(f"{path}/")


def diff(castore: ContentAddressableStore, a: bytes, b: bytes) -> Diff:
    """Return what differs between two roots. Its cost is that of the difference: no chunk is read.

    Of arrays and groups that only one root has, the directories are read, and not the leaves of their indexes.

    :param castore: the block store that has the nodes of both roots
    :param a: binary CID of the old root
    :param b: binary CID of the new root
    :raises IPLDStoreError: if a node is missing, damaged or breaks a bound of the format
    """
    nodes = nodes_of(castore)
    reader = document_reader(castore, nodes)
    tops = root_of(nodes, a), root_of(nodes, b)
    changed = SideChanges(reader)
    changed.add(changes(*tops, nodes.load))
    found: list[NodeDiff] = []
    other_keys = [KeyDiff(key, _change_of(change)) for key, change in changed.keys.items()]
    is_implied = bool(changed.documents or changed.directories)
    """Whether consolidated metadata differ as what they say of other nodes does."""
    for path in changed.documents | changed.consolidated | changed.chunks.keys():
        before, after = (reader.at(top, path) for top in tops)
        node = node_diff(
            path,
            before,
            after,
            consolidated_differ=path in changed.consolidated
            and (not is_implied or before.consolidated != after.consolidated),
            chunks=_chunks(path, changed.chunks.get(path, {})),
        )
        if node is not None:
            found += [node] if node else []
            continue
        for name in {*before.contents, *after.contents, *before.consolidated, *after.consolidated}:
            key = f"{path}/{name}" if path else name
            targets = [_document(top, key, reader) for top in tops]
            if targets[0] != targets[1]:
                other_keys.append(KeyDiff(key, _change_of(LinkChange(*targets))))
    for change in changed.directories.values():
        _add_whole(change, reader, found, other_keys)
    return Diff(
        cids.from_validated(a),
        cids.from_validated(b),
        tuple(sorted(found, key=lambda node: node.path)),
        tuple(sorted(other_keys, key=lambda each: each.key)),
        castore,
    )


def _change_of(change: LinkChange) -> Changed:
    if change.before is None:
        return "added"
    return "deleted" if change.after is None else "changed"


def _document(top: Frozen, key: str, reader: DocumentReader) -> bytes | None:
    """Return something that is equal for equal documents; None where there is none."""
    target = lookup.find(top, key.split("/"), reader.load)
    return None if target is None else cid_of(target)


def _chunks(path: str, own: Mapping[str, LinkChange]) -> ChunkDiff:
    points: dict[Changed, list[Coordinates]] = {"added": [], "deleted": [], "changed": []}
    start = len(path) + 1 if path else 0
    for key, change in own.items():
        at = coordinates_of(key[start:])
        if at is not None:
            points[_change_of(change)].append(at)
    return chunk_diff(points["added"], points["deleted"], points["changed"])


def _add_whole(
    change: DirectoryChange, reader: DocumentReader, found: list[NodeDiff], other_keys: list[KeyDiff]
) -> None:
    """Add the nodes and keys of a directory that only one root has."""
    what: Changed = "added" if change.before is None else "deleted"
    counts: dict[str, int] = {}
    nodes: dict[str, NodeDocuments] = {}
    for path, directory, array in _directories(change, reader):
        documents = nodes[path] = reader.of(directory)
        if documents.kind is None:
            other_keys += [KeyDiff(f"{path}/{name}", what) for name, _ in lookup.documents_of(directory)]
        if array is not None:
            indexed = directory.map.get(keys.CHUNKS)
            counts[array] = counts.get(array, 0) + index_tree.total(index_tree.CHUNKS, indexed, reader.load)
        for name, entry in lookup.entries_of(directory, reader.load):
            key = f"{path}/{name}"
            if lookup.value_of(entry, key.count("/") + 1, reader.load) is None:
                continue
            if array is not None and coordinates_of(key[len(array) + 1 :]) is not None:
                counts[array] = counts.get(array, 0) + 1
            else:
                other_keys.append(KeyDiff(key, what))
    for path, documents in nodes.items():
        sides = (NO_DOCUMENTS, documents) if what == "added" else (documents, NO_DOCUMENTS)
        chunks = ChunkDiff(count=counts.get(path, 0))
        node = node_diff(path, *sides, consolidated_differ=False, chunks=chunks)
        if node is not None:
            found.append(node)


def _directories(change: DirectoryChange, reader: DocumentReader) -> Iterator[tuple[str, Frozen, str | None]]:
    """Yield a directory and all below it, each with its path and that of the nearest array at or above it.

    :raises IPLDStoreError: if there are more than :data:`_MAX_DIRECTORIES`
    """
    stack: list[tuple[str, Frozen, str | None]] = [(change.path, change.before or change.after or NOTHING, None)]
    count = 0
    while stack:
        path, directory, array = stack.pop()
        count += 1
        if count > _MAX_DIRECTORIES:
            raise IPLDStoreError(
                f"expected at most {_MAX_DIRECTORIES} directories below {change.path!r}, which only one root has; "
                f"found more"
            )
        if reader.of(directory).kind == "array":
            array = path
        yield path, directory, array
        for name, entry in lookup.entries_of(directory, reader.load):
            below = lookup.enter(entry, path.count("/") + 2, reader.load)
            if isinstance(below, Frozen):
                stack.append((f"{path}/{name}", below, array))
