"""All links below a root, and the nodes that cannot be read: a walk that goes on where a block is lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ipldstore._format import index_tree, keys
from ipldstore._format.index_node import IndexNode
from ipldstore._format.links import is_directory_link
from ipldstore._format.nodes import NodeStore
from ipldstore._merge.nodes.documents import DocumentReader, NodeDocuments
from ipldstore._tree import lookup
from ipldstore._tree.directory import Frozen, decode_document
from ipldstore.errors import IPLDStoreError


class ArrayAt(NamedTuple):
    """An array on the way down."""

    path: str
    documents: NodeDocuments | None
    """Its metadata; None where they cannot be read."""


class Link(NamedTuple):
    """A key, and the link of its value."""

    key: str
    cid: bytes
    array: ArrayAt | None


class Document(NamedTuple):
    """A key whose bytes are in a node that was read."""

    key: str


class Lost(NamedTuple):
    """A node that cannot be read."""

    path: str
    cid: bytes
    error: Exception
    keys: int | None
    """How many keys are below it; None where that is not known."""
    array: ArrayAt | None = None
    """The array of whose index it is a part."""
    first: bytes | None = None
    """Of a part of a chunk index: the code of its first key."""
    end: bytes | None = None
    """The code that its keys are below; None at the end of the index."""


Found = Link | Document | Lost


class Walk:
    """Walks a dataset of our format.

    :param nodes: its nodes
    :param reader: reads its documents
    """

    def __init__(self, nodes: NodeStore, reader: DocumentReader) -> None:
        self._load = nodes.load
        self._reader = reader

    def run(self, top: Frozen, root: bytes) -> Iterator[Found]:
        """Yield what is below the root directory. In memory are the entries of the directories on the way down."""
        stack = [self._directory("", top, root, None, 0)]
        while stack:
            for found in stack[-1]:
                if isinstance(found, _Below):
                    stack.append(self._directory(*found))
                    break
                yield found
            else:
                stack.pop()

    def _directory(
        self, path: str, directory: Frozen, cid: bytes, array: ArrayAt | None, depth: int
    ) -> Iterator[Found | _Below]:
        prefix = f"{path}/" if path else ""
        array = self._array_at(path, directory) or array
        for name, target in lookup.documents_of(directory):
            yield from self._document(prefix + name, target)
        for item in self._index(index_tree.CHUNKS, directory.map.get(keys.CHUNKS), cid, path, array, depth):
            yield item if isinstance(item, Lost) else Link(prefix + item[0], item[1], array)
        if directory.value is not None and path:
            yield Link(path, directory.value, array)
        for name, entry in self._entries(directory, cid, path):
            if isinstance(name, Lost):
                yield name
                continue
            key = prefix + name
            if isinstance(entry, bytes) and not is_directory_link(entry):
                yield Link(key, entry, array)
                continue
            try:
                below = lookup.enter(entry, depth + 1, self._load)
            except IPLDStoreError as error:
                yield Lost(key, entry if isinstance(entry, bytes) else cid, error, None)
                continue
            if isinstance(below, Frozen):
                yield _Below(key, below, entry if isinstance(entry, bytes) else cid, array, depth + 1)

    def _document(self, key: str, target: lookup.KeyTarget) -> Iterator[Found]:
        if not isinstance(target, bytes):
            yield Document(key)
        elif not is_directory_link(target):
            yield Link(key, target, None)
        else:
            try:
                self._load(target, decode_document)
            except IPLDStoreError as error:
                yield Lost(key, target, error, 1)
            else:
                yield Document(key)

    def _array_at(self, path: str, directory: Frozen) -> ArrayAt | None:
        """Return the array at a directory; None where there is none."""
        try:
            documents = self._reader.of(directory)
        except IPLDStoreError:  # the document itself is found to be lost where it is walked
            return ArrayAt(path, None) if directory.has_chunks else None
        return ArrayAt(path, documents) if documents.kind == "array" else None

    def _entries(self, directory: Frozen, cid: bytes, path: str) -> Iterator[tuple[Any, Any]]:
        own = {name: item for name, item in directory.map.items() if name not in _NOT_ENTRIES}
        yield from own.items()
        for item in self._index(index_tree.NAMES, directory.map.get(keys.NAMES), cid, path, None, 0):
            if isinstance(item, Lost):
                yield item, None
            elif item[0] not in own:
                yield item

    def _index(
        self,
        kind: index_tree.IndexKind,
        base: IndexNode | bytes | None,
        cid: bytes,
        path: str,
        array: ArrayAt | None,
        depth: int,
    ) -> Iterator[tuple[str, bytes] | Lost]:
        """Yield the keys and links of an index, and its nodes that cannot be read."""
        if base is None:
            return
        at = base if isinstance(base, bytes) else cid
        try:
            top = index_tree.top_node(kind, base, self._load)
        except IPLDStoreError as error:
            yield Lost(path, at, error, None, array, b"")
            return
        stack = [index_tree.bounded_children(top, None)]
        while stack:
            for child in stack[-1]:
                try:
                    node = index_tree.load_child(kind, child, self._load, len(stack), depth)
                except IPLDStoreError as error:
                    first = kind.code(child.ref.first)
                    keys_below = child.ref.size if kind is index_tree.CHUNKS else None
                    yield Lost(path, child.ref.link, error, keys_below, array, first, child.end)
                    continue
                if isinstance(node, IndexNode):
                    stack.append(index_tree.bounded_children(node, child.end))
                    break
                yield from ((key, node.links[key]) for key in node.keys)
            else:
                stack.pop()


class _Below(NamedTuple):
    path: str
    directory: Frozen
    cid: bytes
    array: ArrayAt | None
    depth: int


_NOT_ENTRIES = keys.DOCUMENTS | {keys.VALUE, keys.CHUNKS, keys.NAMES}
