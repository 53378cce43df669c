"""Directories: as they are in a node, and as they are while they change (format, section 3).

Both answer the same questions, so that a lookup does not care which it meets. A :class:`Directory` exists only
along changed paths; everything else stays in its node. ``load`` is :data:`~ipldstore._nodes.Load`.
"""

from __future__ import annotations

from copy import copy
from typing import Any, Final

from . import _checks, _documents, _index, _keys
from ._errors import NodeError
from ._nodes import Folder, Load, as_folder

Map = dict[str, Any]

FULL: Final = "full"
"""Owns all chunk keys below it."""
ONLY_C: Final = "c"
"""Owns the chunk keys that begin with ``c``: its ``zarr.json`` is exact bytes, and may be an array's."""


def is_name(name: str) -> bool:
    """Whether a name in a map is neither a document nor the format's own."""
    return name not in _keys.DOCUMENTS and not name.startswith(_keys.RESERVED)


def as_document(value: Any, size: int) -> Map:  # noqa: ARG001  # as every Role takes it
    """Read a block as a document."""
    if not isinstance(value, dict):
        raise NodeError("expected a document, a map; found something else")
    problem = _documents.problem(value)
    if problem is not None:
        raise NodeError(f"expected a document, JSON as data; found {problem} in it")
    return value


class Frozen:
    """A directory in a node: its checked map."""

    __slots__ = ("map",)

    def __init__(self, checked: Map) -> None:
        self.map = checked

    @property
    def value(self) -> bytes | None:
        """The link of the value of the same name."""
        return self.map.get(_keys.VALUE)

    @property
    def has_chunks(self) -> bool:
        """Whether there is a chunk index."""
        return _keys.CHUNKS in self.map

    def chunk(self, rest: str, load: Load) -> bytes | None:
        """The link of a chunk key in the index."""
        return _index.find(_index.CHUNKS, self.map.get(_keys.CHUNKS), rest, load)

    def document(self, name: str) -> Map | bytes | None:
        """A document, or its link."""
        return self.map.get(name)

    def entry(self, name: str, load: Load) -> Map | bytes | Directory | None:
        """What stands at a name that is no document's."""
        found = self.map.get(name)
        return _index.find(_index.NAMES, self.map.get(_keys.NAMES), name, load) if found is None else found


class Directory:
    """A directory that changes: what is new, over what its node had."""

    def __init__(self, base: Map | None = None) -> None:
        self.documents: dict[str, Map | bytes] = {}
        self.entries: dict[str, Map | bytes | Directory] = {}
        """Embedded maps, links to values and nodes, and directories that change, by name."""
        self.value: bytes | None = None
        self.chunk_base: _index.Base = None
        self.chunk_changes: dict[str, bytes | None] = {}
        self.name_base: _index.Base = None
        self.gone: set[str] = set()
        """Names that ``name_base`` has no more, or that ``entries`` hide."""
        self.names_before = 0
        """Names in the node that it had, if they were not in a name index."""
        self.owner_before: str | None = None
        self._owner: str | None = None
        self._owner_known = False
        if base is not None:
            self._take(base)

    def _take(self, base: Map) -> None:
        for name, item in base.items():
            if name in _keys.DOCUMENTS:
                self.documents[name] = item
            elif is_name(name):
                self.entries[name] = item
        self.value = base.get(_keys.VALUE)
        self.chunk_base = base.get(_keys.CHUNKS)
        self.name_base = base.get(_keys.NAMES)
        self.names_before = len(self.entries)
        if self.name_base is not None:
            self.gone = set(self.entries)

    @property
    def has_chunks(self) -> bool:
        """Whether there are chunk keys that are kept apart from the entries."""
        return self.chunk_base is not None or bool(self.chunk_changes)

    def is_empty(self) -> bool:
        """Whether certainly no key is in it; an index that lost all its keys is found empty when it is written."""
        return not (self.documents or self.entries or self.value or self.has_chunks or self.name_base is not None)

    def snapshot(self) -> Directory:
        """The directory as it is now, and those below it that change; later changes do not reach it."""
        copied = copy(self)
        copied.documents = dict(self.documents)
        copied.chunk_changes = dict(self.chunk_changes)
        copied.gone = set(self.gone)
        copied.entries = {
            name: entry.snapshot() if isinstance(entry, Directory) else entry for name, entry in self.entries.items()
        }
        return copied

    # -- reading --

    def chunk(self, rest: str, load: Load) -> bytes | None:
        """The link of a chunk key that is kept apart."""
        if rest in self.chunk_changes:
            return self.chunk_changes[rest]
        return _index.find(_index.CHUNKS, self.chunk_base, rest, load)

    def document(self, name: str) -> Map | bytes | None:
        """A document, or its link."""
        return self.documents.get(name)

    def entry(self, name: str, load: Load) -> Map | bytes | Directory | None:
        """What stands at a name that is no document's."""
        found = self.entries.get(name)
        if found is None and name not in self.gone:
            return _index.find(_index.NAMES, self.name_base, name, load)
        return found

    def owner(self, load: Load) -> str | None:
        """Which chunk keys the directory owns: FULL, ONLY_C, or None for none."""
        if not self._owner_known:
            self._owner = self._find_owner(load)
            self._owner_known = True
        return self._owner

    def _find_owner(self, load: Load) -> str | None:
        if _keys.ZARRAY in self.documents:
            return FULL
        metadata = self.documents.get(_keys.ZARR_JSON)
        if isinstance(metadata, bytes):
            if not _checks.is_directory_link(metadata):
                return ONLY_C
            metadata = load(metadata, as_document)
        return FULL if metadata is not None and metadata.get("node_type") == "array" else None

    # -- changing --

    def put_document(self, name: str, document: Map | bytes | None) -> None:
        """Have a document, its link, or None for no document."""
        if document is None:
            self.documents.pop(name, None)
        else:
            self.documents[name] = document
        self._owner_known = False

    def put_entry(self, name: str, entry: Map | bytes | Directory | None) -> None:
        """Have an entry, or None for none."""
        if self.name_base is not None:
            self.gone.add(name)
        if entry is None:
            self.entries.pop(name, None)
        else:
            self.entries[name] = entry

    def open(self, name: str, load: Load) -> Directory | None:
        """The subdirectory of a name, ready to change; None if there is none."""
        found = self.entry(name, load)
        if isinstance(found, Directory) or found is None:
            return found
        if isinstance(found, bytes):
            if not _checks.is_directory_link(found):
                return None
            folder: Folder = load(found, as_folder)
            found = folder.map
        directory = Directory(found)
        directory.owner_before = directory.owner(load)
        self.put_entry(name, directory)
        return directory

    def make(self, name: str, load: Load) -> Directory:
        """The subdirectory of a name, ready to change; it is made if there is none."""
        directory = self.open(name, load)
        if directory is None:
            directory = Directory()
            value = self.entry(name, load)
            if isinstance(value, bytes):
                directory.value = value
            self.put_entry(name, directory)
        return directory
