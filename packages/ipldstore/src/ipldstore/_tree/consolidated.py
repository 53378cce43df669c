"""Whether a dataset has consolidated metadata anywhere, so that a reader should look for it."""

from __future__ import annotations

import json
from collections import deque
from itertools import islice
from typing import Any

from ipld_castore import ContentAddressableStore

from ipldstore._format import keys, validate
from ipldstore._format.nodes import Load
from ipldstore._read.prefetch import Ahead

from . import lookup
from .directory import Directory, as_document

_LOOKED_AT = 256
"""Directories to look at. Beyond, nobody knows: then to look for it is the answer that loses nothing."""


def is_consolidated(top: lookup.AnyDirectory, load: Load, blocks: ContentAddressableStore) -> bool:
    """Whether a group below (or at) ``top`` has consolidated metadata, or may have, as there are too many to look at.

    Whoever opens a group without it lists and reads the directories below, so looking at them costs nothing more.
    """
    todo = deque([(top, 0)])
    for _ in range(_LOOKED_AT):
        if not todo:
            return False
        directory, depth = todo.popleft()
        if directory.document(keys.ZMETADATA) is not None:
            return True
        metadata = _zarr_json(directory, load, blocks)
        if metadata.get("consolidated_metadata") is not None:
            return True
        is_array = directory.document(keys.ZARRAY) is not None or metadata.get("node_type") == "array"
        if is_array:
            continue
        if _has_name_index(directory):
            return True
        entries = [entry for _, entry in islice(lookup.entries_of(directory, load), _LOOKED_AT)]
        if isinstance(blocks, Ahead):
            blocks.prefetch(
                entry for entry in entries if isinstance(entry, bytes) and validate.is_directory_link(entry)
            )
        for entry in entries:
            below = lookup.enter(entry, depth + 1, load)
            if below is not None:
                todo.append((below, depth + 1))
    return True


def _has_name_index(directory: lookup.AnyDirectory) -> bool:
    return directory.name_base is not None if isinstance(directory, Directory) else keys.NAMES in directory.map


def _zarr_json(directory: lookup.AnyDirectory, load: Load, blocks: ContentAddressableStore) -> dict[str, Any]:
    """The ``zarr.json`` of a directory, also where it is kept as exact bytes; empty if there is none to read."""
    found = directory.document(keys.ZARR_JSON)
    if isinstance(found, bytes):
        found = load(found, as_document) if validate.is_directory_link(found) else _parse(blocks.get_range(found))
    return found if isinstance(found, dict) else {}


def _parse(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):  # no JSON: then zarr cannot read it either, and says so
        return None
