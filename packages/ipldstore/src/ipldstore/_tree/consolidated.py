"""Whether a dataset has consolidated metadata anywhere, so that a reader looks for it."""

from __future__ import annotations

import json
from collections import deque
from itertools import islice
from typing import Any, Final

from ipldstore._format import keys
from ipldstore._format.links import is_directory_link
from ipldstore._format.nodes import Load
from ipldstore._read.reader import Reader

from . import lookup
from .directory import Directory, decode_document

_MAX_DIRECTORIES: Final = 256
"""Directories that are looked at. Beyond, the answer is yes: to look for consolidated metadata in vain is harmless."""


def is_consolidated(top: lookup.AnyDirectory, load: Load, reader: Reader) -> bool:
    """Whether a group at or below ``top`` has consolidated metadata, or there are too many groups to tell.

    zarr lists and reads the directories below a group without consolidated metadata, so reading them here costs
    nothing more.
    """
    todo = deque([(top, 0)])
    for _ in range(_MAX_DIRECTORIES):
        if not todo:
            return False
        directory, depth = todo.popleft()
        if directory.document(keys.ZMETADATA) is not None:
            return True
        metadata = _zarr_json(directory, load, reader)
        if metadata.get("consolidated_metadata") is not None:
            return True
        is_array = directory.document(keys.ZARRAY) is not None or metadata.get("node_type") == "array"
        if is_array:
            continue
        if _has_name_index(directory):
            return True
        entries = [entry for _, entry in islice(lookup.entries_of(directory, load), _MAX_DIRECTORIES)]
        reader.prefetch(entry for entry in entries if isinstance(entry, bytes) and is_directory_link(entry))
        for entry in entries:
            below = lookup.enter(entry, depth + 1, load)
            if below is not None:
                todo.append((below, depth + 1))
    return True


def _has_name_index(directory: lookup.AnyDirectory) -> bool:
    return directory.name_base is not None if isinstance(directory, Directory) else keys.NAMES in directory.map


def _zarr_json(directory: lookup.AnyDirectory, load: Load, reader: Reader) -> dict[str, Any]:
    """Return the ``zarr.json`` of a directory, also one that is kept as exact bytes; empty if there is none to read."""
    found = directory.document(keys.ZARR_JSON)
    if isinstance(found, bytes):
        found = load(found, decode_document) if is_directory_link(found) else _parse(reader.read_value(found))
    return found if isinstance(found, dict) else {}


def _parse(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):  # no JSON: then zarr cannot read it either, and says so
        return None
