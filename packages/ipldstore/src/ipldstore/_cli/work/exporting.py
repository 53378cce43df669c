"""Export: one dataset as a CAR file, as zarr, or as references of kerchunk."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import click
from ipld_car.ops import Progress
from ipld_car.ops.output import open_output
from ipld_castore import ReferencingCAStore

from ipldstore._address.grammar import parse
from ipldstore._address.places import ArchiveURL
from ipldstore._address.references import references_beside
from ipldstore._cli.options import PARTS, Far, Opening
from ipldstore._io.file_references import file_references
from ipldstore._io.kerchunk import Reference, archive_references, car_references, gateway_references
from ipldstore._store.group_store import GroupStore
from ipldstore._there.copies.copy import copy
from ipldstore._there.copies.overwriting import data_there
from ipldstore._there.ends import AnyEnd

from .whole import require_whole


def export_dataset(
    source: str, far: Far, form: str, url: str | None, opening: Opening, progress: Progress, *, overwrite: bool
) -> dict[str, Any]:
    """Write a dataset in a form; return what was done, for programs.

    :raises FileExistsError: if other data are there, without ``overwrite``
    """
    target = far.place
    if far.options and form != "zarr":
        raise click.UsageError(f"expected --target-option with zarr at a URL, found it with a file: {target!r}")
    if form != "zarr" and not overwrite and target != "-" and Path(target).is_file():
        raise data_there(target, "--overwrite")
    if form == "kerchunk":
        return _kerchunk(source, target, url, opening)
    with opening.store(source) as store:
        if form == "car":
            require_whole(store)
            with open_output(sys.stdout.buffer if target == "-" else target) as stream:
                counted = _Counted(stream, progress)
                store.to_car(counted)
            return {"root": str(store.root_cid), "bytes": counted.written}
        whole: AnyEnd = store
        if isinstance(store, GroupStore):
            import zarr

            whole = zarr.open(store.whole(), path=store.path, mode="r")
        try:
            copy(whole, target, overwrite=overwrite, storage_options=far.options)
        except FileExistsError as error:
            raise data_there(target, "--overwrite") from error
        return {"root": str(store.root_cid)}


def _references(source: str, url: str | None, opening: Opening) -> dict[str, Reference]:
    """Return references into what holds the chunks: an archive, original files, or a gateway."""
    address = parse(source)
    place, is_whole = address.place, address.ref is None and not address.group and PARTS.isdisjoint(opening.given)
    if isinstance(place, Path) and place.is_file() and is_whole and references_beside(place) is None:
        is_padded = opening.given.get("zero_length_section_as_eof", False)
        return car_references(source, url=url, zero_length_section_as_eof=is_padded)
    with opening.store(source) as store:
        if isinstance(store, GroupStore):
            raise ValueError(f"expected a whole dataset, found the group {store.path!r}: references are of all keys")  # noqa: TRY004  # the address names it
        if isinstance(store.castore, ReferencingCAStore):
            return file_references(store)
        if isinstance(place, ArchiveURL):
            return archive_references(store, url=url)
        gateway = url or getattr(place, "gateway", None)
        if gateway is None:
            raise click.UsageError(
                f"expected --url with a gateway that has the blocks of {source!r}, such as that of `ipldstore serve`"
            )
        return gateway_references(store, gateway)


def _kerchunk(source: str, target: str, url: str | None, opening: Opening) -> dict[str, Any]:
    references = _references(source, url, opening)
    with open_output(sys.stdout.buffer if target == "-" else target) as stream:
        stream.write(json.dumps({"version": 1, "refs": references}).encode())
    return {"references": len(references)}


class _Counted:
    """A stream that tells how many bytes were written to it."""

    def __init__(self, stream: IO[bytes], progress: Callable[[str, int, int | None], object]) -> None:
        self._stream = stream
        self._progress = progress
        self.written = 0

    def write(self, data: bytes) -> int:
        """Write bytes."""
        count = self._stream.write(data)
        self.written += len(data)
        self._progress("writing", self.written, None)
        return count
