"""The block store behind a place, opened to read or to write: which root it has, and how it is released."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from ipld_car import CarError, CarWarning, TruncatedError, cids
from ipld_car.messages import Message, Term
from ipld_castore import CarCAStore, ContentAddressableStore, FileSystemCAStore, HeadRefusedError
from multiformats import CID

from ipldstore._dataset.castores import AnyCAStore, castore_of
from ipldstore._tree.tree import EMPTY_ROOT

from .cache import Cache
from .content import open_content, resolve_below
from .grammar import local_path, parse
from .places import ArchiveURL, BucketURL, ContentPath, NamePath, Place
from .references import has_references, with_references

Mode = Literal["r", "a", "x"]

_KINDS: Final = {b"CDF": "netCDF", b"\x89HDF\r\n": "HDF5 or netCDF-4", b"PK\x03\x04": "a zip, such as of zarr"}
"""The files that people have beside ours, by their first bytes."""


class PlaceOptions(NamedTuple):
    """How block stores are opened; see :func:`ipldstore.open`."""

    fsync: bool = True
    zero_length_section_as_eof: bool = False
    storage_options: Mapping[str, Any] | None = None
    allow: tuple[str | os.PathLike[str], ...] = ()
    """What an index of references may open."""
    cache: Cache | None = None
    """The folder before what is far away; None for that of the environment."""
    moved: Mapping[Any, Any] | None = None
    """Where files of an index of references are now, by their old places."""
    allow_truncated: bool = False
    """Write a CAR file whose end is lost, or that is damaged. One that is read may always be such."""


class OpenedCAStore(NamedTuple):
    """A block store that was opened for an address."""

    castore: ContentAddressableStore
    release: Callable[[], None]
    """Releases the lock of a folder. It may be called more than once, also in a forked process."""
    abandon: Callable[[], None]
    """Closes the block store after an error, and leaves its contents as they were."""
    root: CID | None = None
    """The root that the address names; None where the head of the block store is the root."""
    path: tuple[str, ...] = ()
    """The names below the root that the address has."""
    resolved: str | None = None
    """What the name in the address points to, as ``/ipfs/CID/path``; None if there is none."""
    has_no_root: bool = False
    """Whether there was no head when this was opened, so that it is not to be asked for again."""


def _referencing(castore: ContentAddressableStore, path: Path, options: PlaceOptions) -> ContentAddressableStore:
    return with_references(castore, path, options.allow, options.storage_options, options.moved)


def _nothing() -> None:
    pass


def open_castore(place: Place, mode: Mode, options: PlaceOptions) -> OpenedCAStore:
    """Open the block store of a place.

    :param mode: see :func:`ipldstore.open`
    :raises FileNotFoundError: if there is nothing to read
    :raises FileExistsError: if the mode is "x" and something is there
    :raises ValueError: if it is no block store, or its archive has not one root
    :raises CAStoreError: if it cannot be opened
    """
    if isinstance(place, BucketURL):
        return _open_bucket(place.url, mode, options)
    if isinstance(place, ArchiveURL):
        return _open_archive(place.url, mode, options)
    if isinstance(place, (ContentPath, NamePath)):
        return _open_content(place, mode, options)
    if options.storage_options and not has_references(place):
        raise ValueError(
            Message("expected ", Term("storage_options"), f" with a URL, found them with the path {str(place)!r}")
        )
    if mode == "r" and not place.exists():
        raise FileNotFoundError(errno.ENOENT, "expected a CAR file or a folder of blocks, found nothing", str(place))
    if mode == "x" and place.exists():
        raise FileExistsError(errno.EEXIST, "expected nothing where a new store is to be, found something", str(place))
    if place.is_dir() or (not place.exists() and place.suffix.lower() != ".car"):
        return _open_folder(place, mode, options)
    return _open_file(place, mode, options)


def shared_castore(
    where: str | os.PathLike[str] | AnyCAStore, storage_options: Mapping[str, Any] | None = None
) -> ContentAddressableStore:
    """Return the block store of a folder or bucket beside others that write it: without its lock.

    :param where: a path, a ``file:`` URL or the URL of a bucket; or a block store or a store over one, as it is
    :param storage_options: of a bucket: the options of :meth:`ipld_castore.ObjectCAStore.from_url`
    :raises ValueError: if there is no folder of blocks, or the options are for something else than a bucket's URL
    :raises CAStoreError: if the bucket cannot be asked
    """
    found = parse(where) if isinstance(where, (str, os.PathLike)) else None
    if found is not None and isinstance(found.place, BucketURL) and found.ref is None and not found.group:
        from ipld_castore import ObjectCAStore

        return ObjectCAStore.from_url(found.place.url, **(storage_options or {}))
    if storage_options:
        raise ValueError(
            Message("expected ", Term("storage_options"), f" with the URL of a bucket, found them with {where!r}")
        )
    if not isinstance(where, (str, os.PathLike)):
        return castore_of(where)
    path = Path(os.path.realpath(local_path(where)))
    if not (path / "SHARDING").exists():
        raise ValueError(f"expected a folder of blocks, with a file SHARDING; found none in {path}")
    return FileSystemCAStore(path)


def _open_file(path: Path, mode: Mode, options: PlaceOptions) -> OpenedCAStore:
    try:
        castore = CarCAStore(
            path,
            mode,
            fsync=options.fsync,
            zero_length_section_as_eof=options.zero_length_section_as_eof,
            allow_truncated=mode == "r" or options.allow_truncated,
        )
    except TruncatedError as error:
        if mode == "a" and not _kind_of(path) and _has_header(path):
            error.message += "; what is whole can be read, and `repair` fetches the rest from elsewhere"
        _say_what_it_is(error, path)
        raise
    except CarError as error:
        _say_what_it_is(error, path)
        raise
    try:
        _check_one_root(castore)
        if mode == "a":
            _check_room(castore)
    except BaseException:
        castore.abandon()  # what is no dataset is not ours to finish
        raise
    castore.persist_moves_head = mode != "r"
    return OpenedCAStore(_referencing(castore, path, options), _nothing, castore.abandon)


def _open_archive(url: str, mode: Mode, options: PlaceOptions) -> OpenedCAStore:
    castore = CarCAStore(
        url,
        mode,
        zero_length_section_as_eof=options.zero_length_section_as_eof,
        allow_truncated=True,
        storage_options=options.storage_options,
    )
    try:
        _check_one_root(castore)
    except BaseException:
        castore.close()
        raise
    cached = (options.cache or Cache()).before(castore)
    return OpenedCAStore(cached, _nothing, cached.close)


def _say_what_it_is(error: CarError, path: Path) -> None:
    """Add the type of a file that is no archive to its error, where the first bytes tell it."""
    kind = _kind_of(path)
    if kind:
        error.message += f" (it is {kind}: `ipldstore import` makes a dataset of it)"


def _kind_of(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(8)
    return next((kind for start, kind in _KINDS.items() if head.startswith(start)), "")


def _has_header(path: Path) -> bool:
    """Return whether the header of an archive is whole, and its end alone is lost."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CarWarning)
        try:
            CarCAStore(path, allow_truncated=True).close()
        except CarError:
            return False
    return True


def _check_one_root(castore: CarCAStore) -> None:
    if len(castore.roots) != 1:
        raise ValueError(
            Message(
                f"expected an archive with one root, found {len(castore.roots)} in {castore.address}: ",
                Term(
                    "IPLDStore(castore, root=cid)",
                    f"{castore!r} gives its blocks, and IPLDStore(castore, root=cid) one of its datasets",
                ),
            )
        )


def _check_room(castore: CarCAStore) -> None:
    """Refuse to begin what could not be frozen: any root that we write is as long as that of the empty dataset."""
    try:
        castore.check_head(cids.from_validated(EMPTY_ROOT))
    except HeadRefusedError as error:
        if len(bytes(castore.roots[0])) == len(EMPTY_ROOT):
            advice = Message(Term("compact(path)"), " makes a new file, whose header has room")
        else:
            update = 'write it into a new one: open(new, "x").mapping.update(open(path).mapping)'
            advice = Message("to go on from it, ", Term("mapping.update(...)", update))
        raise ValueError(
            Message(f"expected an archive whose header has room for a new root, found none: {error} (", advice, ")")
        ) from error


def _open_folder(path: Path, mode: Mode, options: PlaceOptions) -> OpenedCAStore:
    if mode == "r":
        if not (path / "SHARDING").exists():
            is_zarr = any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))
            found = "zarr, which `ipldstore import` makes a dataset of," if is_zarr else "none"
            raise ValueError(f"expected a folder of blocks, with a file SHARDING; found {found} in {path}")
        castore = FileSystemCAStore(path)
        if castore.head is None:
            raise ValueError(
                Message(
                    f"expected a folder whose file HEAD names a root, found none in {path}",
                    Term(
                        "IPLDStore(FileSystemCAStore(path), root=cid)",
                        ": IPLDStore(FileSystemCAStore(path), root=cid) reads the dataset of a CID, and "
                        "FileSystemCAStore(path).swap_head(None, cid) makes it the one that is opened here",
                    ),
                )
            )
        return OpenedCAStore(_referencing(castore, path, options), _nothing, _nothing)
    castore = FileSystemCAStore(path, fsync=options.fsync)
    release = castore.lock().release
    castore.persist_moves_head = True
    return OpenedCAStore(_referencing(castore, path, options), release, release)


_NO_HEAD: Final = Message(
    "expected a bucket whose object HEAD names a root, found none: ",
    Term(
        "ObjectCAStore.from_url(url)",
        'the mode "a" makes a dataset there, and ObjectCAStore.from_url(url).swap_head(None, cid) names one that was '
        "written without open",
    ),
)


def _open_bucket(url: str, mode: Mode, options: PlaceOptions) -> OpenedCAStore:
    from ipld_castore import ObjectCAStore

    castore = ObjectCAStore.from_url(url, **(options.storage_options or {}))
    head = castore.head
    if mode == "r" and head is None:
        raise FileNotFoundError(errno.ENOENT, _NO_HEAD, url)
    if mode == "x" and head is not None:
        raise FileExistsError(errno.EEXIST, f"expected no object HEAD where a new store is to be, found {head}", url)
    cached = (options.cache or Cache()).before(castore)
    return OpenedCAStore(cached, _nothing, cached.close, head, has_no_root=head is None)


def _open_content(place: ContentPath | NamePath, mode: Mode, options: PlaceOptions) -> OpenedCAStore:
    is_bare = isinstance(place, ContentPath) and place.is_bare
    if mode != "r" and not is_bare:
        raise ValueError(f'expected the mode "r" with {place!r}, found {mode!r}: what a CID names does not change')
    found = open_content(place, options.storage_options or {})
    castore = (options.cache or Cache()).before(found.castore)
    return OpenedCAStore(castore, _nothing, castore.close, found.root, found.path, found.resolved)


def open_in(castore: ContentAddressableStore, place: Place) -> OpenedCAStore:
    """Return a place in a block store that the caller has, and closes.

    :raises IPLDStoreError: if a name cannot be resolved
    """
    if isinstance(place, NamePath):
        found = resolve_below(castore, place)
        return OpenedCAStore(castore, _nothing, _nothing, found.root, found.path, found.resolved)
    assert isinstance(place, ContentPath)  # noqa: S101  # the caller has parsed it as a CID or a name
    return OpenedCAStore(castore, _nothing, _nothing, place.cid, place.path)
