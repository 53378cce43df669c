"""The documents of one node, as a merge and a diff read them: consolidated metadata apart."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ipldstore._format import documents, keys
from ipldstore._format.documents import Document
from ipldstore._format.links import is_directory_link
from ipldstore._format.nodes import Load
from ipldstore._tree import lookup
from ipldstore._tree.directory import Frozen, decode_document

CONSOLIDATED: Final = "consolidated_metadata"
"""In a ``zarr.json``, the name of the consolidated metadata."""

_MAX_EXACT_BYTES: Final = 16 << 20
"""Bytes of metadata that is kept as exact bytes, up to which they are looked into for consolidated metadata."""

_MAX_DIRECTORIES: Final = 100_000
"""Directories that are looked into for a node."""

ReadValue = Callable[[bytes, int], bytes | None]
"""Gives the bytes of a value by its link; None if the value has more bytes than the second argument says."""


class ExactText(bytes):
    """A document of a group without its consolidated metadata, as JSON text, where that is no document either."""

    __slots__ = ()

    def parse(self) -> Document:
        """Return what the text says, with NaN and Infinity."""
        return documents.parse_leniently(self) or {}


@dataclass(frozen=True)
class NodeDocuments:
    """The documents of a directory without consolidated metadata."""

    contents: Mapping[str, Document | bytes] = field(default_factory=dict)
    """Documents by name; of one that is kept as exact bytes the link, or its text without consolidated metadata."""
    consolidated: Mapping[str, str] = field(default_factory=dict)
    """Documents that have consolidated metadata, with "map", or with the JSON of what stands there instead."""
    kind: Literal["array", "group"] | None = None
    """What the node is; None where the documents make no node."""


NO_DOCUMENTS: Final = NodeDocuments()


class DocumentReader:
    """Reads the documents of nodes.

    :param load: loads nodes
    :param read_value: reads values
    """

    def __init__(self, load: Load, read_value: ReadValue) -> None:
        self.load = load
        self._read_value = read_value

    def at(self, top: Frozen, path: str) -> NodeDocuments:
        """Return the documents at a path of a tree."""
        _, directory = lookup.path_to(top, path.split("/") if path else [], self.load)
        return NO_DOCUMENTS if directory is None else self.of(directory)

    def of(self, directory: lookup.AnyDirectory) -> NodeDocuments:
        """Return the documents of a directory."""
        contents: dict[str, Document | bytes] = {}
        consolidated: dict[str, str] = {}
        for name, target in lookup.documents_of(directory):
            if name == keys.ZMETADATA:
                consolidated[name] = "map"
                continue
            content = self.content(target)
            if name == keys.ZARR_JSON:
                content, state = self._without_consolidated(content)
                if state is not None:
                    consolidated[name] = state
            contents[name] = content
        return NodeDocuments(contents, consolidated, self._kind(contents))

    def content(self, target: lookup.KeyTarget) -> Document | bytes:
        """Return a document, loading it if it is a block of its own; the link of one that is kept as exact bytes."""
        if isinstance(target, dict) or not is_directory_link(target):
            return target
        document: Document = self.load(target, decode_document)
        return document

    def _without_consolidated(self, content: Document | bytes) -> tuple[Document | bytes, str | None]:
        """Return a ``zarr.json`` without its consolidated metadata, and what stands there.

        A group is kept as exact bytes if its consolidated metadata are no data, with NaN in an attribute of another
        node; without them it is a document.
        """
        if isinstance(content, bytes):
            found = self.parse_exact(content)
            if found is None or found.get("node_type") != "group" or not isinstance(found.get(CONSOLIDATED), dict):
                return content, None
            text = documents.to_lenient_json({name: item for name, item in found.items() if name != CONSOLIDATED})
            document = documents.as_document(keys.ZARR_JSON, text)
            return ExactText(text) if document is None else document, "map"
        if CONSOLIDATED not in content:
            return content, None
        item: Any = content[CONSOLIDATED]
        rest = {name: item for name, item in content.items() if name != CONSOLIDATED}
        return rest, "map" if isinstance(item, dict) else json.dumps(item)

    def parse_exact(self, link: bytes) -> Document | None:
        """Return metadata that is kept as exact bytes; None if it is no JSON object, or very large."""
        if isinstance(link, ExactText):
            return link.parse()
        data = self._read_value(link, _MAX_EXACT_BYTES)
        return None if data is None else documents.parse_leniently(data)

    def holds_node(self, directory: Frozen, path: str, *, only_below: bool = False) -> bool:
        """Return whether a directory, or one below it, is a node; also if there are too many to look into.

        :param only_below: whether only directories below it count
        """
        stack = [(path, directory)]
        count = 0
        while stack:
            path, directory = stack.pop()
            count += 1
            if count > _MAX_DIRECTORIES or (not (only_below and count == 1) and self.of(directory).kind is not None):
                return True
            depth = path.count("/") + 2
            for name, entry in lookup.entries_of(directory, self.load):
                below = lookup.enter(entry, depth, self.load)
                if isinstance(below, Frozen):
                    stack.append((f"{path}/{name}", below))
        return False

    def _kind(self, contents: Mapping[str, Document | bytes]) -> Literal["array", "group"] | None:
        if keys.ZARRAY in contents:
            return "array"
        metadata = contents.get(keys.ZARR_JSON)
        if isinstance(metadata, bytes):
            metadata = self.parse_exact(metadata) or {"node_type": "array"}  # it may be one
        if metadata is not None:
            return "array" if metadata.get("node_type") == "array" else "group"
        return "group" if keys.ZGROUP in contents else None
