"""Sources whose keys are those of zarr, each with its bytes or the range of a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from ipldstore._format import keys
from ipldstore._there.model import Content, Ranges, Source, SourceArray, content, parse_json

Reference = Content | tuple[str, int, int | None]
"""The bytes of a key, or name, offset and length of the file range that has them; None for the whole file."""


def source_of(name: str, items: Iterable[tuple[str, Reference]]) -> Source:
    """Return a source of keys and their bytes or ranges.

    :raises ValueError: if the format does not allow a key, or a whole file of another machine is a chunk
    """
    documents: dict[str, bytes] = {}
    rest: list[tuple[str, Reference]] = []
    numbers: dict[str, int] = {}
    for key, reference in items:
        keys.split_key(key)
        if key.rpartition("/")[2] in keys.DOCUMENTS:
            if isinstance(reference, tuple):
                raise ValueError(f"expected the text of {key!r} in the references of {name}, found a range of a file")
            documents[key] = content(reference)
        else:
            rest.append((key, reference))
    arrays = {array.path: array for array in arrays_of(documents)}
    rows: dict[str, list[tuple[list[int], int, int, int]]] = {path: [] for path in arrays}
    source = Source(name, [], documents, arrays)
    for key, reference in rest:
        owner, found = _chunk_of(key, arrays)
        if not isinstance(reference, tuple):
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


def arrays_of(documents: dict[str, bytes]) -> Iterator[SourceArray]:
    """Yield the arrays that documents are of, without their chunks."""
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
