"""Import: zarr, icechunk and datasets of ours by copying, all else by xarray."""

from __future__ import annotations

import errno
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click
from ipld_car.ops import Progress
from multiformats import CID

from ipldstore._address.grammar import parse
from ipldstore._address.places import BucketURL
from ipldstore._cli.options import Far, Opening
from ipldstore._io.writing import write_to
from ipldstore._store.group_store import GroupStore
from ipldstore._store.ipld_store import IPLDStore
from ipldstore._there.copies.copy import copy
from ipldstore._there.copies.overwriting import data_there
from ipldstore._there.ends import is_zarr as is_zarr_target
from ipldstore._there.icechunk_store import is_icechunk
from ipldstore._xarray.source import is_dataset

if TYPE_CHECKING:
    import zarr


def import_source(
    source: Far, target: str, opening: Opening, message: str | None, progress: Progress, *, overwrite: bool
) -> CID:
    """Write a source into a target; return the root."""
    try:
        return _import(source, target, opening, message, progress, overwrite=overwrite)
    except FileExistsError as error:
        raise data_there(target, "--overwrite") from error


def _import(
    far: Far, target: str, opening: Opening, message: str | None, progress: Progress, *, overwrite: bool
) -> CID:
    given = opening.given | ({} if message is None else {"message": message})
    source = far.place
    if is_zarr(source) or is_icechunk(source) or is_dataset(source) or _is_in_bucket(source):
        return _copy(far, target, given, overwrite=overwrite)
    if far.options:
        raise click.UsageError(
            f"expected --source-option with zarr or a dataset, found it with what xarray opens: {source!r}"
        )
    from ipldstore._xarray.importing import import_files

    return import_files(source, target, given, progress, overwrite=overwrite)


def is_zarr(source: str) -> bool:
    """Return whether a path or URL is a zarr hierarchy."""
    text = source.rstrip("/")
    if text.lower().endswith((".zarr", ".zarr.zip", ".zip")):
        return True
    folder = Path(source)
    return any((folder / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))


def _is_in_bucket(source: str) -> bool:
    """Return whether a source is the URL of a bucket, and by its name no file that xarray opens."""
    try:
        place = parse(source).place
    except ValueError:
        return False
    return isinstance(place, BucketURL) and not PurePosixPath(urlsplit(place.url).path).suffix


def _copy(far: Far, target: str, given: dict[str, Any], *, overwrite: bool) -> CID:
    source = _existing(far.place)
    if not given and "#" not in target:  # the copy notes beside the target how far it is
        if is_zarr_target(target):
            raise ValueError(f"expected a target that is a dataset, found zarr's {target!r}: export writes zarr")
        root = copy(source, target, overwrite=overwrite, source_options=far.options)
        assert root is not None  # noqa: S101  # of a dataset
        return root

    def write(store: IPLDStore) -> None:
        is_new = next(store.mapping.keys_below(""), None) is None
        copy(source, _whole_group(store), overwrite=overwrite or is_new, source_options=far.options)

    return write_to(target, write, given)


def _whole_group(store: IPLDStore) -> IPLDStore | zarr.Group:
    """Return the target of a copy: of a group, the group in the whole dataset, which is made if it is absent."""
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
