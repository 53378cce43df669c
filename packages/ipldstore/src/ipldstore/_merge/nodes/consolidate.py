"""Consolidated metadata made anew, as zarr's ``consolidate_metadata`` does (design, section 9, rule 5).

zarr itself is not asked: what it writes is the same for the same documents, whatever its version.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ipldstore._format import documents, keys
from ipldstore._format.documents import Document
from ipldstore._tree import lookup
from ipldstore.errors import NodeError

from .documents import CONSOLIDATED, DocumentReader, ExactText

_MAX_NODES: Final = 1_000_000
"""Arrays and groups in one consolidated metadata; a root with more below a group is refused."""

_EMPTY: Final[Document] = {"kind": "inline", "must_understand": False, "metadata": {}}
"""What zarr writes for each group below the one whose metadata are consolidated."""


def consolidated_anew(
    top: lookup.AnyDirectory, reader: DocumentReader, changed: Iterable[str]
) -> Iterator[tuple[list[str], bytes]]:
    """Yield the documents with consolidated metadata of groups that have them, at or above paths with changes.

    Each is the parts of its key and its text: JSON with NaN and Infinity, where attributes have them.

    :param top: the root directory, in which the documents of single nodes are as they are to be
    :param changed: the paths
    :raises NodeError: if there are more nodes than consolidated metadata can name
    """
    for path in sorted(_with_parents(changed)):
        parts = path.split("/") if path else []
        _, directory = lookup.path_to(top, parts, reader.load)
        if directory is None:
            continue
        found = reader.of(directory)
        made: list[tuple[str, Document]] = []
        if keys.ZMETADATA in found.consolidated:
            metadata = _format_2(reader, directory, path)
            made.append((keys.ZMETADATA, {"metadata": metadata, "zarr_consolidated_format": 1}))
        content = found.contents.get(keys.ZARR_JSON)
        if isinstance(content, ExactText):
            content = content.parse()
        if found.consolidated.get(keys.ZARR_JSON) == "map" and isinstance(content, dict):
            inner = {**_EMPTY, "metadata": _format_3(reader, directory, path)}
            made.append((keys.ZARR_JSON, {**content, CONSOLIDATED: inner}))
        for name, document in made:
            yield [*parts, name], documents.to_lenient_json(document)


def _with_parents(paths: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for path in paths:
        parts = path.split("/")
        found.update("/".join(parts[:size]) for size in range(len(parts) + 1))
    return found


def _format_2(reader: DocumentReader, top: lookup.AnyDirectory, path: str) -> dict[str, Document]:
    """Return the documents of format 2 below a group and its own, by key."""
    made = {keys.ZATTRS: _exact(reader, top, keys.ZATTRS) or {}}
    own = _exact(reader, top, keys.ZGROUP)
    if own is not None:
        made[keys.ZGROUP] = own
    for below, directory in _nodes_below(reader, top, path, (keys.ZARRAY, keys.ZGROUP)):
        array, group = (_exact(reader, directory, name) for name in (keys.ZARRAY, keys.ZGROUP))
        if array is not None:
            made[f"{below}/{keys.ZARRAY}"] = array
        elif group is not None:
            made[f"{below}/{keys.ZGROUP}"] = {**group, CONSOLIDATED: _EMPTY}
        made[f"{below}/{keys.ZATTRS}"] = _exact(reader, directory, keys.ZATTRS) or {}
    return made


def _format_3(reader: DocumentReader, top: lookup.AnyDirectory, path: str) -> dict[str, Document]:
    """Return the documents of format 3 below a group, by path."""
    made = {}
    for below, directory in _nodes_below(reader, top, path, (keys.ZARR_JSON,)):
        found = {"attributes": {}, **(_exact(reader, directory, keys.ZARR_JSON) or {})}
        if found.get("node_type") == "array":
            made[below] = {"storage_transformers": [], **found}
        else:
            made[below] = {**found, CONSOLIDATED: _EMPTY}
    return made


def _exact(reader: DocumentReader, directory: lookup.AnyDirectory, name: str) -> Document | None:
    """Return a document, or what the exact bytes of metadata say in JSON with NaN; None if there is none."""
    target = directory.document(name)
    content = None if target is None else reader.content(target)
    return reader.parse_exact(content) if isinstance(content, bytes) else content


def _nodes_below(
    reader: DocumentReader, top: lookup.AnyDirectory, path: str, names: tuple[str, ...]
) -> Iterator[tuple[str, lookup.AnyDirectory]]:
    """Yield the nodes below a group with their paths from it: all that zarr finds from group to group.

    :param path: the path of the group
    :param names: the documents of which a node has one
    """
    count = 0
    above = path.count("/") + 1 if path else 0
    stack = [("", top)]
    while stack:
        prefix, group = stack.pop()
        for name, entry in lookup.entries_of(group, reader.load):
            directory = lookup.enter(entry, above + prefix.count("/") + 1, reader.load)
            if directory is None or all(directory.document(each) is None for each in names):
                continue
            count += 1
            if count > _MAX_NODES:
                raise NodeError(f"expected at most {_MAX_NODES} nodes to consolidate below {path or '/'!r}, found more")
            yield prefix + name, directory
            if reader.of(directory).kind == "group":
                stack.append((f"{prefix}{name}/", directory))
