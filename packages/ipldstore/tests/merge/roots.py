"""Roots that tests of merging make, from contents and by edits."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ipld_car import cids
from ipld_castore import ContentAddressableStore
from ipldstore import IPLDStore
from ipldstore._dataset.dataset import Dataset
from ipldstore._format.limits import LIMITS, Limits

SMALL = Limits(inline=100, leaf=3, children=3, names=4, embedding=((2, 200), (4, 100)))
"""Limits at which few keys reach all forms of directories."""


def root_of(castore: ContentAddressableStore, contents: Mapping[str, bytes], limits: Limits = LIMITS) -> bytes:
    """Return the root that a fresh store gives to contents."""
    data = Dataset(castore, limits=limits)
    for key, value in contents.items():
        data.write(key, value)
    return data.freeze()


def contents_of(castore: ContentAddressableStore, root: bytes) -> dict[str, bytes]:
    """Return all keys of a root with their bytes."""
    return dict(IPLDStore(castore, root=root, read_only=True).mapping)


def edited(castore: ContentAddressableStore, root: bytes | None, edit: Callable[[IPLDStore], Any]) -> bytes:
    """Return the root after an edit of a store with another root."""
    store = IPLDStore(castore, root=root)
    edit(store)
    return cids.to_bytes(store.freeze())


def array_document(shape: tuple[int, ...], chunks: tuple[int, ...], **more: Any) -> bytes:
    """Return a ``zarr.json`` of an array, with what a merge looks at."""
    document: dict[str, Any] = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunks)}},
        "attributes": {},
    }
    return json.dumps(document | more).encode()


def group_document(**attributes: Any) -> bytes:
    """Return a ``zarr.json`` of a group."""
    return json.dumps({"zarr_format": 3, "node_type": "group", "attributes": attributes}).encode()
