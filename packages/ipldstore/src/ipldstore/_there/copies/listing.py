"""The keys of the source of a copy."""

from __future__ import annotations

from collections.abc import AsyncIterator

from zarr.storage import LocalStore

from ipldstore._there.ends import End
from ipldstore._there.folders import files_below


async def keys_of(source: End) -> AsyncIterator[str]:
    """Yield the keys below a source, relative to it."""
    if type(source.store) is LocalStore:  # zarr makes a path object of each file: 35 us, half the time of copying it
        for key in files_below(str(source.store.root / source.path)):
            yield key
        return
    prefix = source.prefix
    async for key in source.store.list_prefix(prefix):
        if not key.endswith("/"):  # zip files may list folders
            yield key.removeprefix(prefix)
