"""Whether a dataset may have consolidated metadata, so that a reader looks for it."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final, NoReturn

from ipldstore._format import keys

from . import lookup
from .directory import Directory

_MAX_DIRECTORIES: Final = 256
"""Directories in the root block that are looked at. Beyond, the answer is yes."""


class _BehindLinkError(Exception):
    """The answer is in another block."""


def may_be_consolidated(top: lookup.AnyDirectory) -> bool:
    """Return whether the group ``top`` has consolidated metadata, or a group below it may have.

    Reads no block: of what is behind a link the answer is yes. To look for consolidated metadata in vain is harmless,
    and a reader that does not look for consolidated metadata that is there fails where it was asked for.
    """
    try:
        return _has_consolidated(top)
    except _BehindLinkError:
        return True


def _has_consolidated(top: lookup.AnyDirectory) -> bool:
    todo = [(top, 0)]
    for _ in range(_MAX_DIRECTORIES):
        if not todo:
            return False
        directory, depth = todo.pop()
        if directory.document(keys.ZMETADATA) is not None:
            return True
        metadata = directory.document(keys.ZARR_JSON)
        if isinstance(metadata, bytes):
            return True
        if metadata is not None and metadata.get("consolidated_metadata") is not None:
            return True
        if directory.document(keys.ZARRAY) is not None or (metadata or {}).get("node_type") == "array":
            continue
        if _has_name_index(directory):
            return True
        for _, entry in islice(lookup.entries_of(directory, _load), _MAX_DIRECTORIES):
            below = lookup.enter(entry, depth + 1, _load)
            if below is not None:
                todo.append((below, depth + 1))
    return True


def _load(*_: Any) -> NoReturn:
    raise _BehindLinkError


def _has_name_index(directory: lookup.AnyDirectory) -> bool:
    return directory.name_base is not None if isinstance(directory, Directory) else keys.NAMES in directory.map
