"""The two ends of a copy: datasets of ours, and stores that zarr opens."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import zarr
from ipld_car import fs
from zarr.abc.store import Store
from zarr.core.sync import sync
from zarr.storage import ZipStore

from ipldstore._address.grammar import local_path, parse
from ipldstore._address.references import references_of
from ipldstore._io.open import open as open_store
from ipldstore._store.group_store import GroupStore
from ipldstore._store.ipld_store import IPLDStore

from .icechunk_store import icechunk_store, is_icechunk
from .keyed.folder import is_zarr_folder

AnyEnd = str | os.PathLike[str] | Store | zarr.Group | zarr.Array[Any]
"""A path or URL, a store, or a group or array of zarr."""

_ZARR_URL: Final = re.compile(r"(?:\w+::)*[A-Za-z][A-Za-z0-9+.-]+://.*\.zarr/?", re.IGNORECASE)


class End(NamedTuple):
    """A store, and the path of a group or an array in it."""

    store: Store
    path: str
    marks: Path | None
    """The file in which a copy notes what it has taken over; None where it keeps no notes."""

    @property
    def prefix(self) -> str:
        """What the keys of the group begin with."""
        return f"{self.path}/" if self.path else ""

    @property
    def key_prefix(self) -> str:
        """What the keys of the group begin with in the whole dataset, where the store is one of ours."""
        above = f"{self.store.path}/" if isinstance(self.store, GroupStore) else ""
        return above + self.prefix

    @property
    def dataset(self) -> IPLDStore | None:
        """The store, if it is one of ours."""
        return self.store if isinstance(self.store, IPLDStore) else None


@contextmanager
def opened(what: AnyEnd, *, writing: bool, options: Mapping[str, Any] | None = None) -> Iterator[End]:
    """Yield an end of a copy. What is opened here is closed, a dataset frozen; after an error it is as it was.

    A path or URL is zarr's if a zarr folder is there, or it ends in ``.zarr`` or ``.zip``. A repository of icechunk, as
    ``icechunk:s3://bucket/prefix@branch`` or the path of its folder, is read. All else is an address of
    :func:`ipldstore.open`.

    :param options: of a dataset of ours, the ``storage_options`` of :func:`ipldstore.open`; of zarr's URL, those of
        fsspec; of a repository of icechunk in a bucket, those of ``icechunk.s3_storage`` or ``icechunk.gcs_storage``
    :raises OSError: if it cannot be opened
    :raises ValueError: if it is no address, or has options and is no URL
    """
    if options and (not isinstance(what, (str, os.PathLike)) or _is_here(what)):
        raise ValueError(f"expected options of storage with a URL, found them with {what!r}")
    if isinstance(what, (zarr.Group, zarr.Array)):
        yield End(what.store_path.store, what.store_path.path, None)
        return
    if isinstance(what, Store):
        if isinstance(what, ZipStore) and not what._is_open:  # noqa: SLF001  # a new one opens at the first set alone
            sync(what._open())  # noqa: SLF001  # as zarr does
        yield End(what, "", None)
        return
    with ExitStack() as stack:
        if is_zarr(what):
            place = Path(what) if writing and not is_zip(what) and "://" not in os.fspath(what) else None
            marks = None if place is None else place.with_name(f"{place.name}.copied")
            yield End(_zarr_store(what, options, writing=writing, stack=stack), "", marks)
            return
        if is_icechunk(os.fspath(what)):
            if writing:
                raise ValueError(
                    f"expected a target, found a repository of icechunk: write to a session's store: {what}"
                )
            yield End(icechunk_store(os.fspath(what), options), "", None)
            return
        if writing:
            with opened_to_write(what, options) as store:
                yield End(store, "", _marks_of(what))
            return
        store = open_store(what, "r", storage_options=options)
        stack.callback(store.close)
        yield End(store, "", None)


@contextmanager
def opened_to_write(what: str | os.PathLike[str], options: Mapping[str, Any] | None) -> Iterator[IPLDStore]:
    """Yield a dataset that is frozen and closed at the end; after an error it is as it was when it was last frozen.

    A file or folder that was not there before, and in which nothing is frozen, is removed after an error.

    :param options: see :func:`ipldstore.open`
    """
    place = parse(what).place
    path = place if isinstance(place, Path) and not place.exists() else None
    store = open_store(what, "a", storage_options=options)
    try:
        yield store
    except BaseException:
        if path is not None and store.base_root is None:
            if path.is_dir() and not (path / "HEAD").exists():
                shutil.rmtree(path, ignore_errors=True)  # under its lock: no other process has begun to write there
            store.abandon()  # that removes a new file
        elif store.has_changes:  # closing would freeze them
            _discard_changes(store)
        raise
    finally:
        store.close()


def _discard_changes(store: IPLDStore) -> None:
    """Go back to the last frozen root."""
    if store.base_root is not None:
        store.set_root(store.base_root, discard_changes=True)
    else:
        store.mapping.clear()


def _is_here(what: str | os.PathLike[str]) -> bool:
    """Return whether a path or URL is that of a file or folder of this machine."""
    text = os.fspath(what)
    if is_zarr(what):
        return "://" not in text or text.lower().startswith("file:")
    return not is_icechunk(text) and isinstance(parse(what).place, Path)


def is_zarr(what: str | os.PathLike[str]) -> bool:
    """Return whether a path or URL is that of zarr, and not the address of a group such as ``air.car#x.zarr``."""
    text = os.fspath(what)
    if _names_group(text):
        return False
    if _ZARR_URL.fullmatch(text):
        return True
    if "://" in text:
        return False
    return Path(text).suffix.lower() in (".zarr", ".zip") or is_zarr_folder(Path(text))


def is_zip(what: str | os.PathLike[str]) -> bool:
    """Return whether a path is that of a zip file."""
    text = os.fspath(what)
    return "://" not in text and Path(text).suffix.lower() == ".zip" and not _names_group(text)


def _names_group(text: str) -> bool:
    """Return whether an address names a group of a dataset, whose name may end as that of zarr does."""
    try:
        return "#" in text and bool(parse(text).group)
    except ValueError:
        return False


def _zarr_store(
    what: str | os.PathLike[str], options: Mapping[str, Any] | None, *, writing: bool, stack: ExitStack
) -> Store:
    from zarr.storage._common import make_store

    text = os.fspath(what)
    if is_zip(text):
        if writing:
            return _new_zip(text, stack)
        store: Store = sync(ZipStore.open(text, mode="r", read_only=True))
    else:
        given = dict(options) if options else None
        store = sync(make_store(text, mode="a" if writing else "r", storage_options=given))
    stack.callback(store.close)
    return store


def _new_zip(path: str, stack: ExitStack) -> Store:
    """Return a zip file that is written beside its place, and put there whole; after an error it is removed.

    A process that is killed leaves a hidden folder, which the next copy to the same place removes.
    """
    place = Path(path).resolve()
    beside = stack.enter_context(fs.unfinished_beside(place)) / place.name
    store = sync(ZipStore.open(beside, mode="w", read_only=False))

    def finish(kind: type[BaseException] | None, *_: object) -> None:
        store.close()
        if kind is None:
            beside.replace(place)

    stack.push(finish)
    return store


def _marks_of(what: str | os.PathLike[str]) -> Path | None:
    address = parse(what)
    if not isinstance(address.place, Path) or address.group or address.ref is not None:
        return None
    folder = references_of(local_path(what))
    return folder.with_suffix(".copied") if folder.suffix == ".references" else folder.with_name("copied")
