"""Which copies are refused, before anything is written."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import zarr
from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import FsspecStore, MemoryStore, ObjectStore, WrapperStore, ZipStore

from ipldstore._format import keys
from ipldstore._store.ipld_store import IPLDStore
from ipldstore._there.ends import AnyEnd, End, is_zip

from .nodes import Node, parsed, paths_of
from .stale import folder_of


def require_no_others(target: End, documents: Mapping[str, bytes]) -> None:
    """Require that the nodes that are to be written into a target are not there, or are the same.

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
    """Require that the workers of an executor can write a target, as far as its kind tells.

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


def require_apart(source: End, target: End, documents: Mapping[str, bytes]) -> None:
    """Require that nothing of a source would be overwritten while it is read.

    :param documents: all documents of the source by key
    :raises ValueError: if a target is the source or below it, or one of its nodes would take the place of the source
    """
    begin, end = _places(source, target)
    if begin is None or end is None:
        return
    if f"{end}/".startswith(f"{begin}/"):
        raise ValueError(f"expected another target than the source, found {target.store} {target.path!r} below it")
    for path in paths_of(documents):
        place = f"{end}/{path}".rstrip("/")
        is_over = Node.of(documents, f"{path}/" if path else "").is_array and f"{begin}/".startswith(f"{place}/")
        if is_over or f"{place}/".startswith(f"{begin}/"):
            raise ValueError(
                f"expected another target than {target.store} {target.path!r}: its {path!r} would be written over the "
                f"source, {source.path!r}, while that is read"
            )


def _places(source: End, target: End) -> tuple[str, str] | tuple[None, None]:
    """Return both ends as paths of one tree; None if they are in no tree together."""
    above, below = folder_of(source.store), folder_of(target.store)
    if above is not None and below is not None:
        return os.path.realpath(above / source.path), os.path.realpath(below / target.path)
    if _tree(source.store) != _tree(target.store):
        return None, None
    return f"/{source.key_prefix}".rstrip("/"), f"/{target.key_prefix}".rstrip("/")


def _tree(store: Store) -> tuple[type, Any]:
    """Return what is equal for two stores over the same keys, such as one and its copy that only reads."""
    if isinstance(store, WrapperStore):
        return _tree(store._store)  # noqa: SLF001  # it has no public name
    if isinstance(store, IPLDStore):
        return IPLDStore, id(store._data)  # noqa: SLF001  # two stores may have one dataset
    if isinstance(store, MemoryStore):
        return MemoryStore, id(store._store_dict)  # noqa: SLF001  # as above
    if isinstance(store, ObjectStore):
        return ObjectStore, store.store
    return (FsspecStore, (store.fs, store.path)) if isinstance(store, FsspecStore) else (Store, id(store))


def require_other_zip(source: object, target: object, *, overwrite: bool) -> None:
    """Require that a target is no zip file that is there, or is to be replaced: opening it to write empties it.

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
    return other is not None and (one == other or parsed(one) == parsed(other) is not None)
