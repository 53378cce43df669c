"""Directories: as they are in a node, and as they are while they change (format, section 3).

Both answer the same questions, so that a lookup does not care which it meets. A :class:`Directory` exists only
along changed paths; everything else stays in its node. ``load`` is :data:`~ipldstore._format.nodes.Load`.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import Any, Final

from ipldstore._format import documents, index_tree, validate
from ipldstore._format import keys as _keys
from ipldstore._format.nodes import Folder, Load, as_folder
from ipldstore.errors import NodeError

Map = dict[str, Any]

FULL: Final = "full"
"""Owns all chunk keys below it."""
ONLY_C: Final = "c"
"""Owns the chunk keys that begin with ``c``: its ``zarr.json`` is exact bytes, and may be an array's."""


def is_name(name: str) -> bool:
    """Whether a name in a map is neither a document nor the format's own."""
    return name not in _keys.DOCUMENTS and not name.startswith(_keys.RESERVED)


def holds_nothing(directory: Map) -> bool:
    """Whether an embedded directory of a foreign root is an empty map, or such maps are all there is in it."""
    todo = [directory]
    for above in todo:
        for name, item in above.items():
            if not is_name(name) or not isinstance(item, dict):
                return False
            todo.append(item)
    return True


def as_document(value: Any, size: int) -> Map:  # noqa: ARG001  # as every Role takes it
    """Read a block as a document."""
    if not isinstance(value, dict):
        raise NodeError("expected a document, a map; found something else")
    problem = documents.problem(value)
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

    def chunk(self, rest: str, load: Load, depth: int = 0) -> bytes | None:
        """The link of a chunk key in the index; ``depth`` as in :func:`_index.find`."""
        return index_tree.find(index_tree.CHUNKS, self.map.get(_keys.CHUNKS), rest, load, depth)

    def document(self, name: str) -> Map | bytes | None:
        """A document, or its link."""
        return self.map.get(name)

    def entry(self, name: str, load: Load) -> Map | bytes | Directory | None:
        """What stands at a name that is no document's."""
        found = self.map.get(name)
        return index_tree.find(index_tree.NAMES, self.map.get(_keys.NAMES), name, load) if found is None else found


class Directory:
    """A directory that changes: what is new, over what its node had."""

    def __init__(self) -> None:
        self.documents: dict[str, Map | bytes] = {}
        self.entries: dict[str, Map | bytes | Directory] = {}
        """Embedded maps, links to values and nodes, and directories that change, by name."""
        self.value: bytes | None = None
        self.chunk_base: index_tree.Base = None
        self.chunk_new: dict[str, bytes] = {}
        """Links of chunk keys that are kept apart, new or in place of those in ``chunk_base``."""
        self.chunk_gone: set[str] = set()
        """Chunk keys of ``chunk_base`` that are no more, and have none in ``chunk_new``."""
        self.chunk_total = 0
        """Keys of ``chunk_base``; known where some are gone."""
        self.name_base: index_tree.Base = None
        self.gone: set[str] = set()
        """Names of ``name_base`` that are no more, or that ``entries`` hide."""
        self.name_total = 0
        """Names of ``name_base``; known where some are gone."""
        self.names_before = 0
        """Names in the node that it had, if they were not in a name index."""
        self.owner_before: str | None = None
        self._owner: str | None = None
        self._owner_known = False

    @classmethod
    def over(cls, base: Map, load: Load) -> Directory:
        """The directory of a checked map, ready to change."""
        made = cls()
        for name, item in base.items():
            if name in _keys.DOCUMENTS:
                made.documents[name] = item
            elif is_name(name) and not (isinstance(item, dict) and holds_nothing(item)):
                made.entries[name] = item
        made.value = base.get(_keys.VALUE)
        made.chunk_base = base.get(_keys.CHUNKS)
        made.name_base = base.get(_keys.NAMES)
        made.names_before = len(made.entries)
        if made.name_base is not None:
            for name in filter(is_name, base):  # only a foreign directory has entries beside its index
                made._hide(name, load)
        made.owner_before = made.owner(load)
        return made

    @property
    def has_chunks(self) -> bool:
        """Whether there are chunk keys that are kept apart from the entries."""
        return self.chunk_base is not None or bool(self.chunk_new)

    def is_empty(self) -> bool:
        """Whether no key is in it."""
        if self.documents or self.entries or self.value or self.chunk_new:
            return False
        no_chunks = self.chunk_base is None or 0 < self.chunk_total == len(self.chunk_gone)
        no_names = self.name_base is None or 0 < self.name_total == len(self.gone)
        return no_chunks and no_names

    def snapshot(self) -> Directory:
        """The directory as it is now, and those below it that change; later changes do not reach it."""
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
        """The link of a chunk key that is kept apart; ``depth`` as in :func:`_index.find`."""
        found = self.chunk_new.get(rest)
        if found is None and rest not in self.chunk_gone:
            return index_tree.find(index_tree.CHUNKS, self.chunk_base, rest, load, depth)
        return found

    def document(self, name: str) -> Map | bytes | None:
        """A document, or its link."""
        return self.documents.get(name)

    def entry(self, name: str, load: Load) -> Map | bytes | Directory | None:
        """What stands at a name that is no document's."""
        found = self.entries.get(name)
        if found is None and name not in self.gone:
            return index_tree.find(index_tree.NAMES, self.name_base, name, load)
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
            if not validate.is_directory_link(metadata):
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

    def put_chunk(self, rest: str, link: bytes) -> None:
        """Have a chunk key apart from the entries."""
        self.chunk_new[rest] = link
        self.chunk_gone.discard(rest)

    def drop_chunk(self, rest: str, load: Load) -> None:
        """Have no such chunk key apart from the entries."""
        if self.has_in_base(rest, load):
            self.drop_chunks([rest], load)
        self.chunk_new.pop(rest, None)

    def has_in_base(self, rest: str, load: Load) -> bool:
        """Whether the index of the node has a chunk key."""
        return index_tree.find(index_tree.CHUNKS, self.chunk_base, rest, load) is not None

    def drop_chunks(self, keys: Iterable[str], load: Load) -> None:
        """Have none of these keys, all of which are in the index of the node."""
        self.chunk_total = index_tree.total(index_tree.CHUNKS, self.chunk_base, load)
        self.chunk_gone.update(keys)

    def forget_chunks(self) -> None:
        """Keep no chunk keys apart; the caller has them elsewhere."""
        self.chunk_base, self.chunk_new, self.chunk_gone = None, {}, set()

    def put_entry(self, name: str, entry: Map | bytes | Directory | None, load: Load) -> None:
        """Have an entry, or None for none."""
        if name not in self.entries:
            self._hide(name, load)
        if entry is None:
            self.entries.pop(name, None)
        else:
            self.entries[name] = entry

    def drop_directory(self, name: str) -> None:
        """Have no entry where a changed directory was."""
        del self.entries[name]

    def _hide(self, name: str, load: Load) -> None:
        if name not in self.gone and index_tree.find(index_tree.NAMES, self.name_base, name, load) is not None:
            self.name_total = index_tree.total(index_tree.NAMES, self.name_base, load)
            self.gone.add(name)

    def open(self, name: str, load: Load) -> Directory | None:
        """The subdirectory of a name, ready to change; None if there is none."""
        found = self.entry(name, load)
        if isinstance(found, Directory) or found is None:
            return found
        if isinstance(found, bytes):
            if not validate.is_directory_link(found):
                return None
            folder: Folder = load(found, as_folder)
            found = folder.map
        directory = Directory.over(found, load)
        self.put_entry(name, directory, load)
        return directory

    def make(self, name: str, load: Load) -> Directory:
        """The subdirectory of a name, ready to change; it is made if there is none."""
        directory = self.open(name, load)
        if directory is None:
            directory = Directory()
            value = self.entry(name, load)
            if isinstance(value, bytes):
                directory.value = value
            self.put_entry(name, directory, load)
        return directory
