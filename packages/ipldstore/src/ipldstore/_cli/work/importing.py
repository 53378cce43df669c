"""Import: zarr, icechunk and datasets of ours by copying, all else by xarray."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from ipld_car.ops import Progress
from multiformats import CID

from ipldstore._cli.options import Opening
from ipldstore._io.writing import write_to
from ipldstore._store.group_store import GroupStore
from ipldstore._store.ipld_store import IPLDStore
from ipldstore._there.copies.copy import copy
from ipldstore._there.copies.overwriting import data_there
from ipldstore._there.ends import is_zarr as is_zarr_target
from ipldstore._there.icechunk_store import is_icechunk
from ipldstore._xarray.source import is_dataset


def import_source(
    source: str, target: str, opening: Opening, message: str | None, progress: Progress, *, overwrite: bool
) -> CID:
    """Write a source into a target; return the root."""
    try:
        return _import(source, target, opening, message, progress, overwrite=overwrite)
    except FileExistsError as error:
        raise data_there(target, "--overwrite") from error


def _import(
    source: str, target: str, opening: Opening, message: str | None, progress: Progress, *, overwrite: bool
) -> CID:
    given = opening.given | ({} if message is None else {"message": message})
    if is_zarr(source) or is_icechunk(source) or is_dataset(source):
        return _copy(source, target, given, overwrite=overwrite)
    from ipldstore._xarray.importing import import_files

    return import_files(source, target, given, progress, overwrite=overwrite)


def is_zarr(source: str) -> bool:
    """Return whether a path or URL is a zarr hierarchy."""
    text = source.rstrip("/")
    if text.lower().endswith((".zarr", ".zarr.zip", ".zip")):
        return True
    folder = Path(source)
    return any((folder / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))


def _copy(source: str, target: str, given: dict[str, Any], *, overwrite: bool) -> CID:
    if not given and "#" not in target:  # the copy notes beside the target how far it is
        if is_zarr_target(target):
            raise ValueError(f"expected a target that is a dataset, found zarr's {target!r}: export writes zarr")
        root = copy(_existing(source), target, overwrite=overwrite)
        assert root is not None  # noqa: S101  # of a dataset
        return root

    def write(store: IPLDStore) -> None:
        is_new = next(store.mapping.keys_below(""), None) is None
        copy(_existing(source), _whole_group(store), overwrite=overwrite or is_new)

    return write_to(target, write, given)


def _whole_group(store: IPLDStore) -> Any:
    """Return what is copied into: of a group, that of the whole dataset, which is made if it is not there."""
    if isinstance(store, GroupStore):
        import zarr

        return zarr.open_group(store.whole(), path=store.path, mode="a")
    return store


def _existing(source: str) -> str:
    """Return a source, if it is not a path at which nothing is."""
    is_path = "://" not in source and not is_icechunk(source) and not is_dataset(source)
    if is_path and not Path(source).exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), source)
    return source
