"""Sources that have zarr's keys already: a zarr store in a folder, and references as kerchunk writes them."""

from __future__ import annotations

import json
import os
from base64 import b64decode
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ipldstore._format import keys

from .folders import files_below, is_leftover
from .model import Ranges, Source, SourceArray, parse_json

Reference = bytes | tuple[str, int, int | None]
"""The bytes of a key, or name, offset and length of the file range that has them; None for the whole file."""


def zarr_folder(path: str) -> Source:
    """Return a zarr store in a folder of this machine. Each key is a file; the formats stay what they are."""

    def walk() -> Iterator[tuple[str, Reference]]:
        for key in sorted(files_below(path)):
            file = Path(path, key)
            if key.rpartition("/")[2] in keys.DOCUMENTS:
                yield key, file.read_bytes()
            elif not is_leftover(key):
                yield key, (str(file), 0, file.stat().st_size)

    return source_of(path, walk())


def zarr_bucket(url: str, store: Any, path: str) -> Source:
    """Return a zarr store in a bucket. Each key is an object; the formats stay what they are.

    :param url: the URL of the hierarchy
    :param store: the object store of obstore, from the top of the bucket on
    :param path: of the hierarchy in the bucket
    """
    prefix = f"{path.strip('/')}/"

    def walk() -> Iterator[tuple[str, Reference]]:
        for page in store.list(prefix=prefix):
            for found in page:
                key = found["path"].removeprefix(prefix)
                is_document = key.rpartition("/")[2] in keys.DOCUMENTS
                text = store.get(found["path"]).bytes().to_bytes() if is_document else b""
                yield key, text if is_document else (f"{url.rstrip('/')}/{key}", 0, found["size"])

    return source_of(url, walk())


def is_zarr_folder(path: Path) -> bool:
    """Return whether a folder is a zarr group or array."""
    return path.is_dir() and any((path / name).exists() for name in keys.DOCUMENTS)


def kerchunk_references(name: str, folder: str, content: Any) -> Source:
    """Return what references name, as fsspec reads them: versions 0 and 1, JSON or parquet.

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
            if key != keys.ZMETADATA or b'"record_size"' not in reference:  # kerchunk's own
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
    """Return what a key has.

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
    if name.startswith("file://"):
        name = name.removeprefix("file://")
    if "://" not in name:
        name = os.path.join(folder, name)  # noqa: PTH118  # as it may be absolute
    return name, offset, length


def source_of(name: str, items: Iterable[tuple[str, Reference]]) -> Source:
    """Return a source of keys and what they have.

    :raises ValueError: if the format does not allow a key, or a whole file of another machine is a chunk
    """
    documents: dict[str, bytes] = {}
    rest: list[tuple[str, Reference]] = []
    numbers: dict[str, int] = {}
    for key, reference in items:
        keys.split_key(key)
        if key.rpartition("/")[2] in keys.DOCUMENTS:
            if not isinstance(reference, bytes):
                raise ValueError(f"expected the text of {key!r} in the references of {name}, found a range of a file")
            documents[key] = reference
        else:
            rest.append((key, reference))
    arrays = {array.path: array for array in _arrays(documents)}
    rows: dict[str, list[tuple[list[int], int, int, int]]] = {path: [] for path in arrays}
    source = Source(name, [], documents, arrays)
    for key, reference in rest:
        owner, found = _chunk_of(key, arrays)
        if isinstance(reference, bytes):
            if found is None:
                source.values[key] = reference
            else:
                arrays[owner].inlined[tuple(found)] = reference
            continue
        file, offset, length = reference
        if length is None:
            length = _size_of(file)
        number = numbers.setdefault(file, len(numbers))
        if found is None:
            source.values[key] = number, offset, length
        else:
            rows[owner].append((found, number, offset, length))
    for path, array in arrays.items():
        array.ranges = Ranges.of(len(array.shape), rows[path])
    source.files = list(numbers)
    return source


def _arrays(documents: dict[str, bytes]) -> Iterator[SourceArray]:
    for key, text in documents.items():
        path, _, name = key.rpartition("/")
        if name == keys.ZARRAY:
            attributes = documents.get(f"{path}/{keys.ZATTRS}" if path else keys.ZATTRS, b"{}")
            metadata = {"zarr_format": 2, **parse_json(text)}
            yield SourceArray(path, metadata, parse_json(attributes), Ranges.of(0, []))
        elif name == keys.ZARR_JSON:
            metadata = parse_json(text)
            if metadata.get("node_type") == "array":
                yield SourceArray(path, metadata, metadata.get("attributes", {}), Ranges.of(0, []))


def _chunk_of(key: str, arrays: dict[str, SourceArray]) -> tuple[str, list[int] | None]:
    """Return the path of the array that a key is a chunk of, and the position of the chunk; None if it is none."""
    parts = key.split("/")
    for at in range(len(parts) - 1, -1, -1):
        path = "/".join(parts[:at])
        if path in arrays:
            rest = "/".join(parts[at:])
            form = arrays[path].form
            return path, form.numbers(rest) if keys.is_chunk_key(rest) or not form.axes else None
    return "", None


def _size_of(name: str) -> int:
    if "://" in name:
        raise ValueError(f"expected offset and length for a chunk in {name}, found the whole file: only local ones are")
    return Path(name).stat().st_size
