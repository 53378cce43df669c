"""References as kerchunk writes them."""

from __future__ import annotations

import json
import os
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

from ipldstore._format import keys
from ipldstore._there.model import Source

from .source import Reference, source_of


def kerchunk_references(name: str, folder: str, content: Any) -> Source:
    """Return the source that references describe, as fsspec reads them: versions 0 and 1, JSON or parquet.

    :param name: of the source, for messages
    :param folder: where relative paths begin
    :param content: the decoded JSON, or the path of a folder of parquet files
    :raises ImportError: if fsspec is not installed
    """
    try:
        from fsspec.implementations.reference import (  # type: ignore[import-untyped,unused-ignore]  # it has no types
            ReferenceFileSystem,
        )
    except ImportError as error:
        raise ImportError('fsspec is needed for kerchunk references: pip install "ipldstore[virtual]"') from error
    found = ReferenceFileSystem(fo=content, remote_protocol="file", skip_instance_cache=True).references

    def items() -> Iterator[tuple[str, Reference]]:
        for key in list(found):  # items() of a parquet mapping pairs keys and values of two orders (fsspec 2026.9)
            reference = _reference(key, found[key], folder)
            if key != keys.ZMETADATA or not (
                isinstance(reference, bytes) and b'"record_size"' in reference
            ):  # kerchunk's own
                yield key, reference

    return source_of(name, items())


def load_json(text: bytes) -> Any:
    """Return the references in a JSON text; None if it has none."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    references = found.get("refs", found)
    is_one = isinstance(references, dict) and any(key.rpartition("/")[2] in keys.DOCUMENTS for key in references)
    return found if is_one else None


def _reference(key: str, found: Any, folder: str) -> Reference:
    """Return the bytes or the range of a key.

    :raises ValueError: if it is neither a text nor the range of a file
    """
    if isinstance(found, (bytes, str)):
        text = found.encode() if isinstance(found, str) else found
        return b64decode(text[7:]) if text.startswith(b"base64:") else text
    if isinstance(found, dict):  # a document that stands in the references as JSON
        return json.dumps(found).encode()
    try:
        name, *numbers = found
        offset, length = map(int, numbers) if numbers else (0, None)
        is_good = isinstance(name, str) and name and "\0" not in name
        if not is_good or not 0 <= offset <= offset + (length or 0) < 1 << 63:
            raise ValueError  # as where it is no range at all
    except (TypeError, ValueError):
        raise ValueError(
            f"expected a text, or [file] or [file, offset, length], at {key!r} of the references; found {found!r:.200}"
        ) from None
    if name.startswith("file://"):  # fsspec decodes nothing
        name = name.removeprefix("file://").removeprefix("localhost")
    if "://" not in name:
        name = os.path.join(folder, name)  # noqa: PTH118  # as it may be absolute
    return name, offset, length
