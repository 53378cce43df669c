"""What a target keeps beside the nodes of a source, and the consolidated metadata that repeat both."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Final

import zarr
from zarr.abc.store import Store
from zarr.core.common import concurrent_map

from ipldstore._format import keys
from ipldstore._store.group_store import GroupStore
from ipldstore._there.ends import End

from .nodes import Node, above, node_at, parents, paths_of

_AT_ONCE: Final = 64


async def kept_nodes(documents: Mapping[str, bytes], target: End, stale: Iterable[str]) -> list[str]:
    """Return the paths of the nodes that stay beside those of a source, each in a group of the source.

    :param documents: all documents of the source by key
    :param stale: the keys that are deleted
    :raises ValueError: if one is of another format than its group, or a group above them is: nobody would find it there
    """
    own = paths_of(documents)
    known = own | parents(own) | paths_of(stale)
    kept: list[str] = []
    for group in sorted(own):
        wanted = Node.of(documents, _prefix(group))
        if wanted.is_array:
            continue
        names = {name.rstrip("/") async for name in target.store.list_dir((target.prefix + group).rstrip("/"))}
        paths = [path for name in sorted(names - keys.DOCUMENTS) if (path := _prefix(group) + name) not in known]
        there = await concurrent_map([(target, path) for path in paths], _node_in, _AT_ONCE)
        for path, node in zip(paths, there, strict=True):
            if node:
                _require_format(target, path, node, wanted.formats)
                kept.append(path)
    top = target._replace(path="")
    for path in [*above(target.path), *sorted((target.prefix + path).rstrip("/") for path in parents(own) - own)]:
        if path not in paths_of(stale):
            formats = {each for path in own for each in Node.of(documents, _prefix(path)).formats}
            _require_format(top, path, await node_at(top, path), formats)
    return kept


async def _node_in(end: End, path: str) -> Node:
    """Return what is at a path that was listed, which may be that of a file."""
    return Node((), {}) if await end.store.is_empty(end.prefix + path) else await node_at(end, path)


def _require_format(end: End, path: str, there: Node, wanted: set[int]) -> None:
    if there and there.formats and wanted and there.formats.isdisjoint(wanted):
        raise ValueError(
            f"expected zarr format {max(wanted)} at {end.prefix + path!r} of {end.store}, as the source has; found "
            f"format {max(there.formats)}: readers find one of the two formats there. Copy to a new place, or delete it"
        )


async def consolidate(documents: Mapping[str, bytes], target: End, kept: Iterable[str]) -> None:
    """Consolidate metadata anew that the source does not say, or not all: readers take them for what is there.

    These are of groups above the target and above nodes of the source, and of groups of the source with others in them.

    :param documents: all documents of the source by key
    :param kept: the nodes that the target keeps in groups of the source
    """
    whole = target
    if isinstance(target.store, GroupStore):
        whole = End(target.store.whole(), target.key_prefix.rstrip("/"), None)
    own = paths_of(documents)
    paths = {*above(whole.path)}
    paths |= {(whole.prefix + path).rstrip("/") for path in (parents(own) - own) | parents(kept)}
    top = End(whole.store, "", None)
    for path in sorted(paths, key=lambda path: -len(path)):  # those below first, which those above repeat
        node = await node_at(top, path)
        if node.is_consolidated:
            await asyncio.to_thread(_consolidate, whole.store, path, 2 if keys.ZMETADATA in node.names else 3)


def _consolidate(store: Store, path: str, zarr_format: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that consolidated metadata are not in the specification of format 3
        zarr.consolidate_metadata(store, path=path, zarr_format=zarr_format)


def _prefix(path: str) -> str:
    return f"{path}/" if path else ""
