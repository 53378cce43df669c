"""Datasets of xarray and zarr, and the changes that tests of merging make to them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from ipld_car import cids
from ipld_castore import MappingCAStore
from ipldstore import IPLDStore
from ipldstore._merge.conflicts import Merged, Resolve
from ipldstore._merge.merge import merge_roots
from multiformats import CID

from .roots import edited

xarray: Any = pytest.importorskip("xarray")
zarr: Any = importlib.import_module("zarr")

Edit = Callable[[IPLDStore], Any]


class Maker(NamedTuple):
    """Makes roots of one zarr format, with or without consolidated metadata."""

    castore: MappingCAStore
    zarr_format: int
    consolidated: bool

    def base(self, steps: int = 4) -> bytes:
        """Return the root of a dataset with time and x, in chunks of one step."""
        root, blocks = _base(self.zarr_format, self.consolidated, steps)
        self.castore.put_blocks(blocks)
        return root

    def dataset(self, first: int, steps: int, value: float) -> Any:
        time, x = np.arange(first, first + steps), np.arange(3)
        values = np.full((steps, 3), value) + time[:, None]
        made = xarray.Dataset({"air": (("time", "x"), values)}, coords={"time": time, "x": x})
        return made.chunk(time=1)

    @property
    def options(self) -> dict[str, Any]:
        return {"zarr_format": self.zarr_format, "consolidated": self.consolidated}

    def edited(self, root: bytes | None, *edits: Edit) -> bytes:
        """Return the root after edits; consolidated metadata are made anew after each, as xarray does."""
        for edit in edits:
            root = edited(self.castore, root, edit)
        assert root is not None
        return root

    def append(self, first: int, steps: int, value: float = 0.0) -> Edit:
        dataset = self.dataset(first, steps, value)
        return lambda store: dataset.to_zarr(store, append_dim="time", **self.options)

    def add(self, name: str, dimension: str, size: int) -> Edit:
        dataset = xarray.Dataset({name: ((dimension,), np.arange(float(size)))})
        return lambda store: dataset.to_zarr(store, mode="a", **self.options)

    def in_group(self, change: Callable[[Any], None]) -> Edit:
        """Return an edit by zarr."""

        def edit(store: IPLDStore) -> None:
            change(zarr.open_group(store, mode="a", zarr_format=self.zarr_format, use_consolidated=False))
            if self.consolidated:
                zarr.consolidate_metadata(store)

        return edit

    def set_attribute(self, path: str, name: str, value: Any) -> Edit:
        def change(group: Any) -> None:
            (group[path] if path else group).attrs[name] = value

        return self.in_group(change)

    def set_values(self, path: str, where: Any, value: Any) -> Edit:
        def change(group: Any) -> None:
            group[path][where] = value

        return self.in_group(change)

    def delete(self, path: str) -> Edit:
        def change(group: Any) -> None:
            del group[path]

        return self.in_group(change)

    def merge(self, base: bytes, ours: bytes, theirs: bytes, resolve: Resolve | None = None) -> Merged:
        """Merge, and see that it is the same either way round, and puts nothing where conflicts are left."""
        before = len(self.castore.mapping)
        merged = merge_roots(self.castore, [base], ours, theirs, resolve)
        assert merged.root is not None or len(self.castore.mapping) == before
        if resolve is None:
            swapped = merge_roots(self.castore, [base], theirs, ours)
            assert swapped.root == merged.root
            assert [(each.path, each.kind) for each in swapped.conflicts] == [
                (each.path, each.kind) for each in merged.conflicts
            ]
        return merged

    def conflicts(self, base: bytes, ours: Edit, theirs: Edit) -> list[tuple[str, str]]:
        """Return path and kind of the conflicts between two edits."""
        merged = self.merge(base, self.edited(base, ours), self.edited(base, theirs))
        assert (merged.root is None) == bool(merged.conflicts)
        return [(each.path, each.kind) for each in merged.conflicts]

    def merges(self, base: bytes, ours: Edit, theirs: Edit) -> bytes:
        """See that two edits merge to the root that a single writer makes, in either order; return that root."""
        merged = self.merge(base, self.edited(base, ours), self.edited(base, theirs))
        assert merged.conflicts == ()
        assert merged.root == self.edited(base, ours, theirs) == self.edited(base, theirs, ours)
        return merged.root

    def open(self, root: bytes) -> Any:
        """Return a root as xarray reads it."""
        return xarray.open_zarr(IPLDStore(self.castore, root=root, read_only=True), consolidated=self.consolidated)


@cache
def _base(zarr_format: int, consolidated: bool, steps: int) -> tuple[bytes, tuple[tuple[CID, bytes], ...]]:
    make = Maker(MappingCAStore(), zarr_format, consolidated)
    dataset, encoding = make.dataset(0, steps, 0.0), {"time": {"chunks": [1]}}
    root = make.edited(None, lambda store: dataset.to_zarr(store, encoding=encoding, **make.options))
    return root, tuple(make.castore.get_dag(cids.from_validated(root)))
