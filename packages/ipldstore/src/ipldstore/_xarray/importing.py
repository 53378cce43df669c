"""Files that xarray opens, written as a dataset."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, NamedTuple

import xarray as xr
import zarr
from multiformats import CID
from zarr.core.buffer import Buffer
from zarr.errors import ZarrUserWarning
from zarr.storage import WrapperStore

from ipldstore._io.writing import write_to
from ipldstore._store.ipld_store import IPLDStore
from ipldstore._there.copies.marks import Marks
from ipldstore._there.copies.overwriting import data_there
from ipldstore._there.ends import is_zarr as is_zarr_target
from ipldstore._there.ends import opened

from .source import whole_of

Progress = Callable[[str, int, int | None], object]

_COMMIT_SECONDS: Final = 60.0
_ROOT: Final = "/"
"""The key under which the root is noted that has all that was noted before."""
_REGION_BYTES: Final = 64 << 20
"""What is written at a time, unless one row of chunks is larger."""


def import_files(
    source: str, target: str, options: Mapping[str, Any], progress: Progress, *, overwrite: bool = False
) -> CID:
    """Write a file that xarray opens into a dataset by ``to_zarr``, all groups of it; return the root.

    With dask, arrays are written by regions, and the dataset is frozen once a minute: an import of a file of this
    machine that was stopped does not read again what was frozen, if size and time of the file are the same. So it is
    where nothing but an address of this machine is given as the target. In other cases, what was there before is there
    until all is written. Without dask, one array is in memory at a time, and an import that was stopped begins anew.

    :param source: a path or URL
    :param target: what :func:`ipldstore.open` writes to
    :param options: of :func:`ipldstore.open`
    :param progress: called with the bytes of chunks written so far
    :param overwrite: whether to take the place of what the target has
    :raises OSError: if the source cannot be opened
    :raises FileExistsError: if the target has other data, and ``overwrite`` is false; nothing has changed then
    :raises ValueError: if nothing that xarray has can read it, or the target is zarr's
    """
    if is_zarr_target(target):
        raise ValueError(f"expected a target that is a dataset, found zarr's {target!r}: export writes zarr")
    with xr.open_datatree(source, chunks={} if find_spec("dask") else None) as tree:
        if options or "#" in target:

            def write(store: IPLDStore) -> None:
                _Import(tree, store, Marks(None, source), None, progress).run(overwrite=overwrite)

            return write_to(target, write, options)
        with opened(target, writing=True) as end:
            assert end.dataset is not None  # noqa: S101  # see above
            stamp = _stamp(source)
            with Marks(end.marks if stamp is not None else None, str(Path(source).absolute())) as marks:
                _Import(tree, end.dataset, marks, stamp, progress).run(overwrite=overwrite)
            return end.dataset.freeze()


def _stamp(source: str) -> str | None:
    """Return size and time of a file of this machine; None for anything else."""
    try:
        status = Path(source).stat()
    except OSError:
        return None
    return f"{status.st_size}-{status.st_mtime_ns}"


class _Region(NamedTuple):
    """A part of a variable, in whole chunks: some rows of its first dimension, or all of it."""

    group: str
    name: str
    rows: slice | None
    data: xr.Dataset

    @property
    def key(self) -> str:
        """What tells the region from others of the file."""
        rows = "" if self.rows is None else f"{self.rows.start}:{self.rows.stop}"
        return f"{self.group}/{self.name}[{rows}]"


class _Import:
    """One import.

    :param stamp: what tells one state of the source from the next
    """

    def __init__(
        self, tree: xr.DataTree, store: IPLDStore, marks: Marks, stamp: str | None, progress: Progress
    ) -> None:
        self._tree = tree
        self._store = store
        self._marks = marks
        self._stamp = stamp or ""
        self._whole, self._group = whole_of(store)
        self._counted = _Counted(self._whole, progress)

    def run(self, *, overwrite: bool) -> None:
        """Write metadata and coordinates with an index first, and all else that dask does not hold; then regions."""
        if not self._marks.has(_ROOT, str(self._store.root_cid)):  # not the dataset that the notes are of
            if not overwrite and next(self._whole.mapping.keys_below(self._group), None) is not None:
                raise data_there(str(self._store))
            self._marks.forget()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Consolidated metadata is currently not part", ZarrUserWarning)
            self._write()

    def _write(self) -> None:
        if not self._marks.has("", self._stamp):
            for node in self._tree.subtree:
                path = self._path(node)
                data = node.to_dataset(inherit=False)
                data.to_zarr(self._counted, group=path or None, mode="a" if path else "w", compute=False)
            self._marks.note("", self._stamp)
        committed = time.monotonic()
        for region in self._regions():
            if self._marks.has(region.key, self._stamp):
                continue
            place: Any = None if region.rows is None else {region.data[region.name].dims[0]: region.rows}
            mode: Any = "a" if place is None else "r+"
            region.data.to_zarr(self._counted, group=region.group or None, mode=mode, consolidated=False, region=place)
            self._marks.note(region.key, self._stamp)
            if self._marks.are_kept and time.monotonic() - committed > _COMMIT_SECONDS:
                self._commit()
                committed = time.monotonic()
        if self._marks.are_kept:
            self._commit()

    def _path(self, node: xr.DataTree) -> str:
        return "/".join(part for part in (self._group, node.path.strip("/")) if part)

    def _commit(self) -> None:
        self._marks.note(_ROOT, str(self._store.freeze()))
        self._marks.commit()

    def _regions(self) -> Iterator[_Region]:
        for node in self._tree.subtree:
            for name, variable in node.to_dataset(inherit=False).variables.items():
                if variable.chunks is None:  # written already
                    continue
                path = self._path(node)
                array = zarr.open_array(self._whole, path=f"{path}/{name}".strip("/"), mode="r")
                for rows in _rows(array):
                    data = variable if rows is None else variable.isel({variable.dims[0]: rows})
                    yield _Region(path, str(name), rows, xr.Dataset({name: data}))


def _rows(array: zarr.Array[Any]) -> Iterator[slice | None]:
    """Yield the rows of the regions that an array is written by: whole chunks; None for an array without rows."""
    if not array.shape:
        yield None
        return
    chunk = (array.shards or array.chunks)[0]
    row_bytes = max(1, array.nbytes // max(1, array.shape[0]))
    step = chunk * max(1, _REGION_BYTES // (chunk * row_bytes))
    for start in range(0, array.shape[0], step):
        yield slice(start, min(start + step, array.shape[0]))


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
