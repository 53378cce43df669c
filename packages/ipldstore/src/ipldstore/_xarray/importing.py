"""Files that xarray opens, written as a dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import xarray as xr
from multiformats import CID
from zarr.core.buffer import Buffer
from zarr.storage import WrapperStore

from ipldstore._io.writing import write_to
from ipldstore._store.ipld_store import IPLDStore

from .source import whole_of

Progress = Callable[[str, int, int | None], object]


def import_files(source: str, target: str, options: Mapping[str, Any], progress: Progress) -> CID:
    """Write a file that xarray opens into a dataset by ``to_zarr``, all groups of it; return the root.

    With dask, arrays are read and written chunk by chunk; without it, one array is in memory at a time.

    :param source: a path or URL
    :param target: what :func:`ipldstore.open` writes to
    :param options: of :func:`ipldstore.open`
    :param progress: called with the bytes of chunks written so far
    :raises OSError: if the source cannot be opened
    :raises ValueError: if nothing that xarray has can read it
    """
    chunks: Any = {} if find_spec("dask") else None
    with xr.open_datatree(source, chunks=chunks) as tree:

        def write(store: IPLDStore) -> None:
            whole, group = whole_of(store)
            counted = _Counted(whole, progress)
            for node in tree.subtree:
                path = "/".join(part for part in (group, node.path.strip("/")) if part)
                node.to_dataset(inherit=False).to_zarr(counted, group=path or None, mode="w" if not path else "a")

        return write_to(target, write, options)


class _Counted(WrapperStore[IPLDStore]):
    """A store that tells how many bytes were written to it."""

    def __init__(self, store: IPLDStore, progress: Progress) -> None:
        super().__init__(store)
        self._progress = progress
        self._written = 0

    async def set(self, key: str, value: Buffer) -> None:
        """Set a key."""
        await self._store.set(key, value)
        self._written += len(value)
        self._progress("writing", self._written, None)
