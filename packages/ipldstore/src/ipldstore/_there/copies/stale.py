"""What a target has where a source goes, and the source has not: it is deleted before the source is copied."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from zarr.core.common import concurrent_map
from zarr.storage import LocalStore

from ipldstore._format import keys
from ipldstore._there.ends import End
from ipldstore._there.folders import is_leftover

from .listing import keys_of
from .nodes import Node, above, node_at, parents, paths_of

_AT_ONCE: Final = 64
"""Keys that are deleted at a time."""


async def stale_keys(documents: Mapping[str, bytes], source: End, target: End, rechunked: tuple[str, ...]) -> list[str]:
    """Return the keys that are no longer what the source says, relative to the target.

    An array has nothing below it but its own chunks: what a target has below an array of the source, or below an array
    of its own that is a group in the source, is stale unless the source has it. Of a group only documents are, as those
    of the other format. Keys that are not zarr's stay. A listing of one array is in memory at a time.

    :param documents: all documents of the source by key
    :param rechunked: what the keys of rechunked arrays begin with, whose chunks are all made anew
    """
    if await target.store.is_empty(target.prefix):
        return []
    own = paths_of(documents)
    found: list[str] = []
    done: set[str] = set()
    for _, level in groupby(sorted(own | parents(own), key=_depth), _depth):  # below an array nothing is looked for
        paths = [path for path in level if done.isdisjoint(above(path))]
        nodes = await concurrent_map([(target, path) for path in paths], node_at, _AT_ONCE)
        for path, there in zip(paths, nodes, strict=True):
            prefix = f"{path}/" if path else ""
            if there.is_array or Node.of(documents, prefix).is_array:
                done.add(path)
                begin, end = (each._replace(path=(each.prefix + path).rstrip("/")) for each in (source, target))
                found += [prefix + rest for rest in await _stale_below(begin, end, is_made_anew=prefix in rechunked)]
            elif path in own:
                found += [prefix + name for name in there.names if prefix + name not in documents]
    return found


def _depth(path: str) -> int:
    return path.count("/") + 1 if path else 0


async def _stale_below(source: End, target: End, *, is_made_anew: bool) -> list[str]:
    """Return the keys below an array of either end that the source has not.

    :param is_made_anew: whether all chunks are made anew
    """
    wanted = {rest async for rest in keys_of(source) if not (is_made_anew and _is_chunk(rest))}
    return [rest for rest in _of_zarr([rest async for rest in keys_of(target)]) if rest not in wanted]


async def delete(target: End, stale: Collection[str]) -> None:
    """Delete keys, relative to the target: first chunks, which nothing would name after their documents."""
    for are_documents in (False, True):
        own = [key for key in stale if (key.rpartition("/")[2] in keys.DOCUMENTS) == are_documents]
        await concurrent_map([(target.prefix + key,) for key in own], target.store.delete, _AT_ONCE)


def _of_zarr(found: list[str]) -> Iterator[str]:
    """Yield those keys below an array that are zarr's: its chunks, nodes below it, and what a writer left."""
    tops = {""} | {key.rpartition("/")[0] for key in found if key.rpartition("/")[2] in keys.DOCUMENTS}
    for key in found:
        is_document = key.rpartition("/")[2] in keys.DOCUMENTS
        if (
            is_document
            or is_leftover(key)
            or any(_is_chunk(key[len(top) :].lstrip("/")) for top in tops.intersection(above(key)))
        ):
            yield key


def _is_chunk(rest: str) -> bool:
    return keys.is_chunk_key(rest) or rest == "c"  # of an array without axes


def remove_empty_folders(documents: Mapping[str, bytes], target: End) -> None:
    """Remove the empty folders below arrays of a target that is a folder: a chunk may have the name of one.

    Chunks of an array with more axes leave such folders, and nodes below it.

    :param documents: all documents of the source by key
    """
    root = folder_of(target.store)
    if root is None:
        return
    for path in paths_of(documents):
        if not Node.of(documents, f"{path}/" if path else "").is_array:
            continue
        top = root / target.path / path
        for folder, _, files in os.walk(top, topdown=False):
            inside = Path(folder).relative_to(top).parts
            if inside and not files and _is_chunk(inside[0]):
                with suppress(OSError):  # other folders are in it
                    os.rmdir(folder)  # noqa: PTH106  # at each folder


def folder_of(store: Any) -> Path | None:
    """Return the folder that a store of zarr keeps its keys in, if they are files on this machine."""
    if isinstance(store, LocalStore):
        return store.root
    prefix = getattr(getattr(store, "store", None), "prefix", None)  # of obstore's LocalStore
    if isinstance(prefix, Path):
        return prefix
    is_local = getattr(getattr(getattr(store, "fs", None), "sync_fs", None), "local_file", False)
    return Path(store.path) if is_local else None  # of fsspec
