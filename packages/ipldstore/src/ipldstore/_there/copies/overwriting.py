"""What a copy would overwrite."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore, MemoryStore, ZipStore

from ipldstore._format import keys
from ipldstore._there.ends import AnyEnd, End, is_zip

from .listing import keys_of


def require_no_others(target: End, documents: Mapping[str, bytes]) -> None:
    """Return if the nodes that are to be written into a target are not there, or are the same.

    :param documents: all documents of the nodes, by key below the target
    :raises FileExistsError: if a node that is there has other documents
    """
    for path in dict.fromkeys(key.rpartition("/")[0] for key in documents):
        for name in sorted(keys.DOCUMENTS):
            key = f"{path}/{name}" if path else name
            found = sync(target.store.get(target.prefix + key, default_buffer_prototype()))
            if found is not None and not _is_same(found.to_bytes(), documents.get(key)):
                raise data_there(f"{target.store}: {target.prefix}{key}")


def require_reachable(target: AnyEnd, dask: Any) -> None:
    """Return if the workers of an executor can write a target, as far as its kind tells.

    :raises TypeError: if there is an executor that is none
    :raises ValueError: if each worker would have a memory store, or a zip file, of its own
    """
    if dask is None or isinstance(dask, ThreadPoolExecutor):
        return
    if not hasattr(dask, "submit"):
        raise TypeError(f"expected dask as a Client or another executor with submit(), found {dask!r}")
    store = target.store if isinstance(target, (zarr.Group, zarr.Array)) else target
    is_path = isinstance(store, (str, os.PathLike))
    if is_zip(store) if is_path else isinstance(store, (MemoryStore, ZipStore)):  # type: ignore[arg-type]  # a path
        raise ValueError(f"expected a target that workers can write, found {store}: copy without dask")


def require_apart(source: End, target: End) -> None:
    """Return if a target is not the source, nor below it.

    :raises ValueError: if it is: the source would be read while it is overwritten
    """
    ours, theirs = source.dataset, target.dataset
    if isinstance(source.store, LocalStore) and isinstance(target.store, LocalStore):
        above, below = (f"{os.path.realpath(end.store.root / end.path)}/" for end in (source, target))  # type: ignore[attr-defined]
        is_one = True
    elif ours is not None and theirs is not None:
        above, below = source.key_prefix, target.key_prefix
        is_one = ours._data is theirs._data  # noqa: SLF001  # two stores may have one dataset
    else:
        above, below = source.prefix, target.prefix
        is_one = source.store is target.store
    if is_one and below.startswith(above):
        raise ValueError(f"expected another target than the source, found {target.store} {target.path!r} below it")


async def stale_keys(documents: Mapping[str, bytes], source: End, target: End, rechunked: tuple[str, ...]) -> list[str]:
    """Return the keys that a target has of nodes that are copied, and the source has not: chunks, then documents.

    These are documents, as of another zarr format, and chunks: those that a source lacks have its fill value, those of
    a rechunked array are all made anew, and where the source has a group they are no longer of an array. A listing of
    one array is in memory at a time.

    :param documents: all documents of the source by key
    :param rechunked: what the keys of rechunked arrays begin with
    """
    if await target.store.is_empty(target.prefix):
        return []
    arrays = {key.rpartition("/")[0] for key, text in documents.items() if _is_array(key, text)}
    chunks: list[str] = []
    others: list[str] = []
    for path in dict.fromkeys(key.rpartition("/")[0] for key in documents):
        prefix = f"{path}/" if path else ""
        there = [name for name in sorted(keys.DOCUMENTS) if await target.store.exists(target.prefix + prefix + name)]
        others += [prefix + name for name in there if prefix + name not in documents]
        if not there or not (path in arrays or await _has_array(target, prefix, there)):
            continue
        begin, end = (each._replace(path=(each.prefix + path).rstrip("/")) for each in (source, target))
        wanted = set() if prefix in rechunked else {rest async for rest in keys_of(begin)}
        chunks += [prefix + rest async for rest in keys_of(end) if _is_chunk(rest) and rest not in wanted]
    return chunks + others


async def _has_array(target: End, prefix: str, there: list[str]) -> bool:
    """Return whether a node of a target is an array, or was one.

    :param there: the names of its documents
    """
    if keys.ZARR_JSON not in there:
        return keys.ZARRAY in there
    data = await target.store.get(target.prefix + prefix + keys.ZARR_JSON, default_buffer_prototype())
    return keys.ZARRAY in there or (data is not None and _is_array(keys.ZARR_JSON, data.to_bytes()))


def remove_empty_folders(documents: Mapping[str, bytes], target: End) -> None:
    """Remove the empty folders of chunks of a target that is a folder: a chunk may have the name of one.

    Chunks of an array with more axes leave such folders.

    :param documents: all documents of the source by key
    """
    if not isinstance(target.store, LocalStore):
        return
    for path in [key.rpartition("/")[0] for key, text in documents.items() if _is_array(key, text)]:
        top = target.store.root / target.path / path
        for folder, _, files in os.walk(top, topdown=False):
            if not files and _is_chunk(os.path.relpath(folder, top).replace(os.sep, "/")):
                with suppress(OSError):  # other folders are in it
                    os.rmdir(folder)  # noqa: PTH106  # at each folder


def _is_array(key: str, text: bytes) -> bool:
    name = key.rpartition("/")[2]
    return name == keys.ZARRAY or (name == keys.ZARR_JSON and (_parsed(text) or {}).get("node_type") == "array")


def _is_chunk(rest: str) -> bool:
    return keys.is_chunk_key(rest) or rest == "c"  # of an array without axes


def require_other_zip(source: object, target: object, *, overwrite: bool) -> None:
    """Return if a target is no zip file that is there, or is to be replaced: opening it to write empties it.

    :raises ValueError: if it is the source
    :raises FileExistsError: if it must not be replaced
    """
    if not isinstance(target, (str, os.PathLike)) or not is_zip(target) or not Path(target).exists():
        return
    if isinstance(source, (str, os.PathLike)) and is_zip(source) and Path(target).samefile(source):
        raise ValueError(f"expected another target than the source, found a copy of {target} over itself")
    if not overwrite:
        raise data_there(os.fspath(target))


def data_there(where: str, option: str = "overwrite=True") -> FileExistsError:
    """Return the error of a target that has other data.

    :param option: what allows to overwrite them
    """
    message = f"expected no other data where the source is to go, found some, which {option} overwrites"
    return FileExistsError(errno.EEXIST, message, where)


def _is_same(one: bytes, other: bytes | None) -> bool:
    return other is not None and (one == other or _parsed(one) == _parsed(other) is not None)


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text, parse_constant=str)  # NaN is not equal to itself
    except ValueError:
        return None
