"""What a dataset was opened from, as xarray keeps it in ``encoding``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ipldstore._address.grammar import parse
from ipldstore._address.places import ArchiveURL, BucketURL, ContentPath, NamePath
from ipldstore._store.group_store import GroupStore
from ipldstore._store.ipld_store import IPLDStore

SOURCE: Final = "source"
ROOT: Final = "ipld_root"


def shown(what: Any) -> str:
    """Return the address of a dataset as text, without credentials: user, password and the query of a URL.

    A path is made absolute, as xarray does.
    """
    if isinstance(what, IPLDStore):
        return str(what)
    text = str(os.fspath(what)) if isinstance(what, (str, os.PathLike)) else str(what)
    if "://" not in text:
        return str(Path(text).expanduser().absolute()) if _is_path(what) else text
    if not text.lower().startswith(("http://", "https://")):
        return text
    parts = urlsplit(text)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def _is_path(what: Any) -> bool:
    try:
        return isinstance(parse(what).place, Path)
    except (ValueError, TypeError):
        return False


def is_dataset(what: Any) -> bool:
    """Return whether an address can be told to be one of ours without asking another machine."""
    try:
        found = parse(what)
    except (ValueError, TypeError):
        return False
    place = found.place
    if isinstance(place, (ContentPath, NamePath, ArchiveURL)):
        return True
    if isinstance(place, BucketURL):
        return found.ref is not None
    return place.suffix.lower() == ".car" or (place / "SHARDING").exists()


def store_of(data: Any) -> IPLDStore | None:
    """Return the store that the engine ``zarr`` has opened a dataset from; None if it is none of ours.

    xarray keeps the store of zarr only where the method is that closes it.
    """
    backend = getattr(getattr(data, "_close", None), "__self__", None)
    store = getattr(getattr(backend, "zarr_group", None), "store", None)
    return store if isinstance(store, IPLDStore) else None


def whole_of(store: IPLDStore) -> tuple[IPLDStore, str]:
    """Return the store of a whole dataset, whose consolidated metadata saves reads, and the path of the group."""
    return (store.whole(), store.path) if isinstance(store, GroupStore) else (store, "")
