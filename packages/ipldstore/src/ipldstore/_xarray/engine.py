"""The engine ``ipldstore`` of xarray: a dataset by its address, read as the engine ``zarr`` reads it."""

from __future__ import annotations

import inspect
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import zarr
from multiformats import CID
from xarray import Dataset, DataTree
from xarray.backends import ZarrBackendEntrypoint

import ipldstore._public  # noqa: F401  # by which classes say where users import them from
from ipldstore._dataset.castores import AnyCAStore
from ipldstore._format import keys
from ipldstore._io.open import open as open_store
from ipldstore._repository.repository import Repository
from ipldstore._repository.session import RepositorySession
from ipldstore._store.group_store import GroupStore
from ipldstore._store.ipld_store import IPLDStore

from .source import ROOT, SOURCE, is_dataset, shown, whole_of

_DECODERS: Final = (
    "mask_and_scale",
    "decode_times",
    "concat_characters",
    "decode_coords",
    "drop_variables",
    "use_cftime",
    "decode_timedelta",
    "consolidated",
    "zarr_format",
)
_VERSIONS: Final = {"branch", "tag", "commit", "as_of"}
_OPENERS: Final = ("castore", "cache", "branch", "tag", "commit", "as_of", "path", "storage_options")


class IPLDBackendEntrypoint(ZarrBackendEntrypoint):
    """Open datasets of ipldstore: CAR files, folders and buckets of blocks, CIDs, ``ipfs://`` and ``ipns://``."""

    open_dataset_parameters = None  # else those of zarr's engine are inherited, if xarray has found them before
    description = "Open datasets by CID: CAR files, folders and buckets of blocks, ipfs:// and ipns:// (ipldstore)"
    url = ""
    supports_groups = True

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Return whether an address is one of ours: ``.car``, ``ipfs://``, ``ipns://``, a CID, a folder of blocks."""
        if isinstance(filename_or_obj, (IPLDStore, Repository, RepositorySession, CID)):
            return True
        return isinstance(filename_or_obj, (str, os.PathLike)) and is_dataset(filename_or_obj)

    def open_dataset(  # type: ignore[override]  # noqa: PLR0913  # xarray passes by name, and asks for the names
        self,
        filename_or_obj: Any,
        *,
        mask_and_scale: Any = True,
        decode_times: Any = True,
        concat_characters: Any = True,
        decode_coords: Any = True,
        drop_variables: str | Iterable[str] | None = None,
        use_cftime: Any = None,
        decode_timedelta: Any = None,
        group: str | None = None,
        consolidated: bool | None = None,
        storage_options: Mapping[str, Any] | None = None,
        zarr_format: int | None = None,
        castore: AnyCAStore | None = None,
        cache: str | os.PathLike[str] | None = None,
        branch: str | None = None,
        tag: str | None = None,
        commit: CID | str | None = None,
        as_of: datetime | str | None = None,
        path: str | None = None,
    ) -> Dataset:
        """Open one group as a dataset.

        :param filename_or_obj: what :func:`ipldstore.open` takes, or an open :class:`ipldstore.IPLDStore`, a session
            or a :class:`ipldstore.Repository`
        :param group: the path of the group, below the one in the address if there is one
        :param cache: the folder of :func:`ipldstore.open`; ``xarray.open_dataset(cache=PATH)`` is that too
        """
        given = {**locals(), "cache": cache or _cache_of_caller()}
        opened = _Opened.of(filename_or_obj, {name: given[name] for name in _OPENERS})
        with opened:
            decoders = {name: given[name] for name in _DECODERS}
            with opened.as_group(group) as whole_path:
                dataset = super().open_dataset(opened.any_store, group=whole_path, **decoders)
            opened.mark([dataset])
        return dataset

    def open_groups_as_dict(self, filename_or_obj: Any, **options: Any) -> dict[str, Dataset]:
        """Open a group and all groups below it, each as a dataset; see :meth:`open_dataset`, also for the options."""
        given = self._all_options(options, _cache_of_caller())
        opened = _Opened.of(filename_or_obj, {name: given[name] for name in _OPENERS})
        with opened:
            decoders = {name: given[name] for name in _DECODERS}
            with opened.as_group(given["group"]) as path:
                groups = super().open_groups_as_dict(opened.any_store, group=path, **decoders)
            opened.mark(groups.values())
        return groups

    def open_datatree(self, filename_or_obj: Any, **options: Any) -> DataTree:
        """Open a group and all groups below it as a tree; see :meth:`open_dataset`, also for the options."""
        groups = self.open_groups_as_dict(filename_or_obj, **self._all_options(options, _cache_of_caller()))
        try:
            return DataTree.from_dict(groups)
        except BaseException:
            for dataset in groups.values():
                dataset.close()
            raise

    def _all_options(self, options: dict[str, Any], cache: str | os.PathLike[str] | None) -> dict[str, Any]:
        """Return the options of :meth:`open_dataset` with the defaults of those that are not given.

        :param cache: the option of that name, where it is not given
        :raises TypeError: if there is another option
        """
        bound = inspect.signature(self.open_dataset).bind(None, **options)
        bound.apply_defaults()
        given = dict(bound.arguments)
        del given["filename_or_obj"]
        return given | {"cache": given["cache"] or cache}


def _cache_of_caller() -> str | os.PathLike[str] | None:
    """Return the path that a function of xarray was given as ``cache``; None for none.

    xarray has an argument of that name for itself, true or false, and does not hand it on. A path is true there, too.
    """
    caller = sys._getframe(2)  # noqa: SLF001  # there is no other way to what xarray keeps
    found = caller.f_locals.get("cache") if caller.f_globals.get("__name__") == "xarray.backends.api" else None
    return found if isinstance(found, (str, os.PathLike)) else None


class _Opened:
    """A store that was opened for datasets; it is closed with the last of them.

    :param store: the store of the whole dataset
    :param group: the path of the group that the address names
    :param source: the address, without credentials
    :param owned: whether it was opened here
    """

    def __init__(self, store: IPLDStore, group: str, source: str, *, owned: bool) -> None:
        self.store = store
        self._group = group
        self._source = source
        self._owned = owned
        self._left = 0
        self._lock = threading.Lock()

    @classmethod
    def of(cls, what: Any, options: dict[str, Any]) -> _Opened:
        """Open an address; a store, a session or a repository is taken as it is."""
        given = {name: value for name, value in options.items() if value is not None}
        if isinstance(what, Repository) and given.keys() <= _VERSIONS:
            return cls(what.readonly_session(**given).store, "", what.castore.address, owned=False)
        if isinstance(what, (IPLDStore, Repository, RepositorySession)):
            if given:
                raise ValueError(f"expected no such options with what is open, found {', '.join(given)}")
            store = what.store if isinstance(what, RepositorySession) else what
            assert isinstance(store, IPLDStore)  # noqa: S101  # a repository is above
            return cls(*whole_of(store), shown(store), owned=False)
        storage_options = dict(options.pop("storage_options") or {})
        for name in ("cache", "cache_bytes"):
            if name in storage_options:
                options[name] = storage_options.pop(name)
        store = open_store(_address(what, options["castore"]), storage_options=storage_options or None, **options)
        return cls(*whole_of(store), shown(what), owned=True)

    @property
    def any_store(self) -> Any:
        """The store, which xarray takes, though its annotations do not name stores of zarr."""
        return self.store

    @contextmanager
    def as_group(self, group: str | None) -> Iterator[str | None]:
        """Return the path of a group below that of the address; None for the top.

        :raises ValueError: if opening fails as an array is there
        """
        path = self._below(group)
        if path is not None and not any(name in self.store for name in (keys.ZARR_JSON, keys.ZGROUP)):
            self.store, path = GroupStore.of(self.store, path), None  # xarray looks at the top, as in "ipfs add -r ."
        try:
            yield path
        except AttributeError as error:  # zarr's array has no members
            if not isinstance(zarr.open(self.store, path=path, mode="r"), zarr.Array):
                raise
            raise ValueError(
                f"expected a group, which is a dataset of xarray, found an array at {path or '/'!r}: open the group "
                f"that it is in, or read it by zarr.open_array(ipldstore.open(...))"
            ) from error

    def _below(self, group: str | None) -> str | None:
        return "/".join(part for part in (self._group, (group or "").strip("/")) if part) or None

    def mark(self, datasets: Iterable[Dataset]) -> None:
        """Note where datasets are from, and close the store with the last of them."""
        root = self.store.root_cid
        for dataset in datasets:
            dataset.encoding[SOURCE] = self._source
            if root is not None:
                dataset.encoding[ROOT] = str(root)
            if self._owned:
                self._left += 1
                dataset.set_close(_Close(self, dataset._close))  # noqa: SLF001  # as xarray's engines do

    def release(self) -> None:
        """Close the store if this is the last dataset over it that is closed."""
        with self._lock:
            self._left -= 1
            is_last = self._left == 0
        if is_last:
            self.store.close()

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._owned:
            self.store.close()


class _Close:
    """Closes one dataset, once. A pickle closes only what xarray would close: its store is a copy without open files.

    :param before: what xarray would do
    """

    def __init__(self, opened: _Opened, before: Callable[[], None] | None) -> None:
        self._opened: _Opened | None = opened
        self._before = before

    def __call__(self) -> None:
        if self._before is not None:
            self._before()
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.release()

    def __reduce__(self) -> tuple[Any, ...]:
        return _given, (self._before,)


def _given(close: Callable[[], None] | None) -> Callable[[], None] | None:
    return close


def _address(what: Any, castore: AnyCAStore | None) -> Any:
    """Return the address that was meant: xarray takes a CID in a list for a relative path; ``~`` is the home."""
    if not isinstance(what, (str, os.PathLike)):
        return what
    text = os.fspath(what)
    if castore is not None and Path(text).is_absolute():
        return Path(text).name
    if re.match(r"~[^/\\]*[/\\]", text):
        expanded = os.path.expanduser(text)  # noqa: PTH111  # a text stays one
        return Path(expanded) if isinstance(what, os.PathLike) else expanded
    return what
