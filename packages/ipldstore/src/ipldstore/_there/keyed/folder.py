"""Zarr in a folder of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ipldstore._format import keys
from ipldstore._there.folders import files_below, is_leftover
from ipldstore._there.model import Source

from .source import Reference, source_of


def is_zarr_folder(path: Path) -> bool:
    """Return whether a folder is a zarr group or array."""
    return path.is_dir() and any((path / name).exists() for name in keys.DOCUMENTS)


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
