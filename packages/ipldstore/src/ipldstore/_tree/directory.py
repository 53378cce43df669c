"""Directories: as they are in a node, and with changes over their node (format, section 3).

:class:`Frozen` and :class:`Directory` have the same methods to look things up. A :class:`Directory` exists only along
changed paths; everything else stays in its node. ``load`` is a :class:`~ipldstore._format.nodes.Load`.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from enum import Enum
from typing import Any

from ipldstore._format import documents, index_tree, keys
from ipldstore._format.links import is_directory_link
from ipldstore._format.nodes import DirectoryNode, Load, decode_directory
from ipldstore.errors import NodeError

Map = dict[str, Any]


class ChunkOwnership(Enum):
    """The chunk keys below a directory that it owns (format, section 3)."""

    NONE = "none"
    ALL = "all"
    ONLY_C = "those that begin with c"
    """Its ``zarr.json`` is kept as exact bytes, which may be those of an array."""


def is_name(name: str) -> bool:
    """Return whether a name of a map is neither a document's nor reserved by the format."""
    return name not in keys.DOCUMENTS and not name.startswith(keys.RESERVED)


def holds_nothing(directory: Map) -> bool:
    """Return whether an embedded directory of a foreign root holds no key: all its entries, if any, are such maps."""
    todo = [directory]
    for above in todo:
        for name, item in above.items():
            if not is_name(name) or not isinstance(item, dict):
                return False
            todo.append(item)
    return True


def decode_document(value: Any, size: int) -> Map:  # noqa: ARG001  # as every Decoder takes it
    """Decode a document that is a block of its own."""
    if not isinstance(value, dict):
        raise NodeError("expected a document, a map; found something else")
    problem = documents.find_problem(value)
    if problem is not None:
        raise NodeError(f"expected a document, JSON as data; found {problem} in it")
    return value


def ownership_of(documents: Map, load: Load) -> ChunkOwnership:
    """Return which chunk keys a directory owns, by its documents or the whole of its map."""
    if keys.ZARRAY in documents:
        return ChunkOwnership.ALL
    metadata = documents.get(keys.ZARR_JSON)
    if isinstance(metadata, bytes):
        if not is_directory_link(metadata):
            return ChunkOwnership.ONLY_C
        metadata = load(metadata, decode_document)
    is_array = metadata is not None and metadata.get("node_type") == "array"
    return ChunkOwnership.ALL if is_array else ChunkOwnership.NONE


class Frozen:
    """A directory without changes: the checked map of its node."""

    __slots__ = ("map",)

    def __init__(self, checked: Map) -> None:
        self.map = checked

    @property
    def value(self) -> bytes | None:
        """The link of the value that has the name of the directory."""
        return self.map.get(keys.VALUE)

    @property
    def has_chunks(self) -> bool:
        """Whether there is a chunk index."""
        return keys.CHUNKS in self.map

    def chunk(self, rest: str, load: Load, depth: int = 0) -> bytes | None:
        """Return the link of a chunk key in the index; ``depth`` as in :func:`~ipldstore._format.index_tree.find`."""
        return index_tree.find(index_tree.CHUNKS, self.map.get(keys.CHUNKS), rest, load, depth)

    def document(self, name: str) -> Map | bytes | None:
        """Return a document, or its link."""
        return self.map.get(name)

    def entry(self, name: str, load: Load) -> Map | bytes | Directory | None:
        """Return the entry at a name that is no document's."""
        found = self.map.get(name)
        return index_tree.find(index_tree.NAMES, self.map.get(keys.NAMES), name, load) if found is None else found


class Directory:
    """A directory with changes over its node.

    Its chunk keys are either indexed, in ``chunk_base`` or ``chunk_new``, or entries, each at its name. Freezing
    decides which.
    """

    def __init__(self) -> None:
        self.documents: dict[str, Map | bytes] = {}
        self.entries: dict[str, Map | bytes | Directory] = {}
        """Embedded maps, links of values and nodes, and directories with changes, by name."""
        self.value: bytes | None = None
        self.chunk_base: index_tree.Base = None
        self.chunk_new: dict[str, bytes] = {}
        """Links of indexed chunk keys that are new, or replace those in ``chunk_base``."""
        self.chunk_gone: set[str] = set()
        """Deleted chunk keys of ``chunk_base``; none of them is in ``chunk_new``."""
        self.chunk_total = 0
        """Number of keys of ``chunk_base``, set when the first of them is deleted."""
        self.name_base: index_tree.Base = None
        self.gone: set[str] = set()
        """Names of ``name_base`` that are deleted, or that ``entries`` replace."""
        self.name_total = 0
        """Number of names of ``name_base``, set when the first of them is deleted or replaced."""
        self.names_before = 0
        """Number of names in the map of its node."""
        self.ownership_before = ChunkOwnership.NONE
        """The ownership of its node."""
        self._ownership: ChunkOwnership | None = None
        """None where a document has changed since it was found out."""

    @classmethod
    def over(cls, base: Map, load: Load) -> Directory:
        """Return a directory over a checked map."""
        made = cls()
        for name, item in base.items():
            if name in keys.DOCUMENTS:
                made.documents[name] = item
            elif is_name(name) and not (isinstance(item, dict) and holds_nothing(item)):
                made.entries[name] = item
        made.value = base.get(keys.VALUE)
        made.chunk_base = base.get(keys.CHUNKS)
        made.name_base = base.get(keys.NAMES)
        made.names_before = len(made.entries)
        if made.name_base is not None:
            for name in filter(is_name, base):  # only a foreign directory has entries beside a name index
                made._hide(name, load)
        made.ownership_before = made.ownership(load)
        return made

    @property
    def has_chunks(self) -> bool:
        """Whether there are indexed chunk keys."""
        return self.chunk_base is not None or bool(self.chunk_new)

    def is_empty(self) -> bool:
        """Return whether the directory holds no key."""
        if self.documents or self.entries or self.value or self.chunk_new:
            return False
        no_chunks = self.chunk_base is None or 0 < self.chunk_total == len(self.chunk_gone)
        no_names = self.name_base is None or 0 < self.name_total == len(self.gone)
        return no_chunks and no_names

    def snapshot(self) -> Directory:
        """Return a copy that later changes do not reach, with copies of the changed directories below."""
        copied = copy(self)
        copied.documents = dict(self.documents)
        copied.chunk_new = dict(self.chunk_new)
        copied.chunk_gone = set(self.chunk_gone)
        copied.gone = set(self.gone)
        copied.entries = {
            name: entry.snapshot() if isinstance(entry, Directory) else entry for name, entry in self.entries.items()
        }
        return copied

    # -- reading --

    def chunk(self, rest: str, load: Load, depth: int = 0) -> bytes | None:
        """Return the link of an indexed chunk key; ``depth`` as in :func:`~ipldstore._format.index_tree.find`."""
        found = self.chunk_new.get(rest)
        if found is None and rest not in self.chunk_gone:
            return index_tree.find(index_tree.CHUNKS, self.chunk_base, rest, load, depth)
        return found

    def document(self, name: str) -> Map | bytes | None:
        """Return a document, or its link."""
        return self.documents.get(name)

    def entry(self, name: str, load: Load) -> Map | bytes | Directory | None:
        """Return the entry at a name that is no document's."""
        found = self.entries.get(name)
        if found is None and name not in self.gone:
            return index_tree.find(index_tree.NAMES, self.name_base, name, load)
        return found

    def ownership(self, load: Load) -> ChunkOwnership:
        """Return which chunk keys the directory owns."""
        if self._ownership is None:
            self._ownership = ownership_of(self.documents, load)
        return self._ownership

    # -- changing --

    def put_document(self, name: str, document: Map | bytes | None) -> None:
        """Set a document or its link; None deletes it."""
        if document is None:
            self.documents.pop(name, None)
        else:
            self.documents[name] = document
        self._ownership = None

    def put_chunk(self, rest: str, link: bytes) -> None:
        """Set the link of an indexed chunk key."""
        self.chunk_new[rest] = link
        self.chunk_gone.discard(rest)

    def drop_chunk(self, rest: str, load: Load) -> None:
        """Delete a chunk key from the indexed ones, if it is there."""
        if self.has_in_base(rest, load):
            self.drop_chunks([rest], load)
        self.chunk_new.pop(rest, None)

    def has_in_base(self, rest: str, load: Load) -> bool:
        """Return whether the index of the node holds a chunk key."""
        return index_tree.find(index_tree.CHUNKS, self.chunk_base, rest, load) is not None

    def drop_chunks(self, rests: Iterable[str], load: Load) -> None:
        """Delete chunk keys, all of which are in the index of the node."""
        self.chunk_total = index_tree.total(index_tree.CHUNKS, self.chunk_base, load)
        self.chunk_gone.update(rests)

    def forget_chunks(self) -> None:
        """Forget all indexed chunk keys, which the caller has set as entries."""
        self.chunk_base, self.chunk_new, self.chunk_gone = None, {}, set()

    def put_entry(self, name: str, entry: Map | bytes | Directory | None, load: Load) -> None:
        """Set an entry; None deletes it."""
        if name not in self.entries:
            self._hide(name, load)
        if entry is None:
            self.entries.pop(name, None)
        else:
            self.entries[name] = entry

    def drop_directory(self, name: str) -> None:
        """Delete the entry of a changed directory."""
        del self.entries[name]

    def _hide(self, name: str, load: Load) -> None:
        if name not in self.gone and index_tree.find(index_tree.NAMES, self.name_base, name, load) is not None:
            self.name_total = index_tree.total(index_tree.NAMES, self.name_base, load)
            self.gone.add(name)

    def open(self, name: str, load: Load) -> Directory | None:
        """Return the subdirectory at a name with the means to change it; None if there is none."""
        found = self.entry(name, load)
        if isinstance(found, Directory) or found is None:
            return found
        if isinstance(found, bytes):
            if not is_directory_link(found):
                return None
            node: DirectoryNode = load(found, decode_directory)
            found = node.map
        directory = Directory.over(found, load)
        self.put_entry(name, directory, load)
        return directory

    def make(self, name: str, load: Load) -> Directory:
        """Return the subdirectory at a name, as :meth:`open` does; make it if there is none."""
        directory = self.open(name, load)
        if directory is None:
            directory = Directory()
            value = self.entry(name, load)
            if isinstance(value, bytes):
                directory.value = value
            self.put_entry(name, directory, load)
        return directory
