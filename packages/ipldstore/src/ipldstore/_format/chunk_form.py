"""The form of the chunk keys of one array, as its metadata gives it: prefix, separator and number of axes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class ChunkForm(NamedTuple):
    """How coordinates make a chunk key, relative to its array."""

    prefix: str
    """What comes before the numbers: "", "c/" or "c."."""
    separator: str
    """What is between them: "/" or "."."""
    axes: int
    """How many there are."""

    def key(self, numbers: Iterable[int]) -> str:
        """Return the key of a chunk. An array without axes has one chunk.

        >>> ChunkForm("c/", "/", 2).key([3, 0]), ChunkForm("", ".", 0).key([])
        ('c/3/0', '0')
        """
        text = self.separator.join(map(str, numbers))
        return f"{self.prefix}{text}" if self.axes else self.prefix.rstrip("./") or "0"

    def numbers(self, key: str) -> list[int] | None:
        """Return the coordinates of a chunk key of the format; None if it has another form."""
        if not self.axes:
            return [] if key == self.key([]) else None
        if not key.startswith(self.prefix):
            return None
        parts = key[len(self.prefix) :].split(self.separator)
        try:
            return list(map(int, parts)) if len(parts) == self.axes else None
        except ValueError:
            return None


def chunk_form(metadata: Mapping[str, Any], axes: int) -> ChunkForm:
    """Return the form of the chunk keys of an array.

    :param metadata: its ``.zarray`` or ``zarr.json``
    :param axes: the number of coordinates that the caller has for each chunk
    :raises ValueError: if the array has another number of axes, or an encoding of chunk keys that is not zarr's own

    >>> chunk_form({"zarr_format": 2, "shape": [9, 9]}, 2)
    ChunkForm(prefix='', separator='.', axes=2)
    """
    shape = metadata.get("shape")
    if isinstance(shape, list) and len(shape) != axes:
        raise ValueError(f"expected {len(shape)} coordinates for each chunk, one for each axis; found {axes}")
    if metadata.get("zarr_format") == 2:
        return ChunkForm("", _separator(metadata.get("dimension_separator", ".")), axes)
    encoding = metadata.get("chunk_key_encoding", "default")
    name, options = (encoding, {}) if isinstance(encoding, str) else (encoding["name"], encoding.get("configuration"))
    options = options or {}
    if name == "default":
        separator = _separator(options.get("separator", "/"))
        return ChunkForm(f"c{separator}", separator, axes)
    if name == "v2":
        return ChunkForm("", _separator(options.get("separator", ".")), axes)
    raise ValueError(f"expected the chunk key encoding 'default' or 'v2', found {name!r}: set its chunks one by one")


def _separator(found: object) -> str:
    if found not in ("/", "."):
        raise ValueError(f"expected '/' or '.' between the numbers of a chunk key, found {found!r}")
    return str(found)
