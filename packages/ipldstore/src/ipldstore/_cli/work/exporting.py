"""Export: one dataset as a CAR file, as zarr, or as references of kerchunk."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import IO, Any

from ipld_car.ops import Progress
from ipld_car.ops.output import open_output

from ipldstore._cli.options import Opening
from ipldstore._io.kerchunk import car_references
from ipldstore._store.group_store import GroupStore
from ipldstore._there.copies.copy import copy


def export_dataset(
    source: str, target: str, form: str, url: str | None, opening: Opening, progress: Progress
) -> dict[str, Any]:
    """Write a dataset in a form; return what was done, for programs."""
    if form == "kerchunk":
        return _kerchunk(source, target, url, opening)
    with opening.store(source) as store:
        if form == "car":
            with open_output(sys.stdout.buffer if target == "-" else target) as stream:
                counted = _Counted(stream, progress)
                store.to_car(counted)
            return {"root": str(store.root_cid), "bytes": counted.written}
        if isinstance(store, GroupStore):
            import zarr

            copy(zarr.open(store.whole(), path=store.path, mode="r"), target)
        else:
            copy(store, target)
        return {"root": str(store.root_cid)}


def _kerchunk(source: str, target: str, url: str | None, opening: Opening) -> dict[str, Any]:
    is_padded = opening.given.get("zero_length_section_as_eof", False)
    references = car_references(source, url=url, zero_length_section_as_eof=is_padded)
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
