"""A dataset where it is: in a file, in a folder, in a bucket, or below a CID."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from ipld_car import cids
from ipld_castore import (
    CarCAStore,
    ContentAddressableStore,
    FileSystemCAStore,
    HeadRefusedError,
    ObjectCAStore,
)
from multiformats import CID

from ipldstore._dataset.castores import AnyCAStore, castore_of
from ipldstore._dataset.lifecycle import Opened
from ipldstore._store.ipld_store import IPLDStore
from ipldstore._tree.tree import EMPTY_ROOT

from .address import ArchiveURL, BucketURL, Where, parse

Mode = Literal["r", "a", "x"]


def open(  # noqa: A001  # as tarfile, gzip and many others have it
    where: Where,
    mode: Mode = "r",
    *,
    castore: AnyCAStore | None = None,
    fsync: bool = True,
    zero_length_section_as_eof: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> IPLDStore:
    """Open the store in a CAR file, here or at a URL, in a folder or a bucket, or below a CID.

    A folder of blocks has the root in its file ``HEAD``. Any other path is a CAR file, with the root in its header, and
    so is a new path that ends in ``.car``, in any case. One process at a time may have it open for writing; others read
    the root that was frozen when they opened it. A file that cannot be opened is left as it was.

    A bucket (``s3://bucket/prefix``, extra ``object``) has the root in its object ``HEAD``. Many may have it open for
    writing: of those that began at one root the first to freeze succeeds, and the others get a :class:`ConflictError`.

    The URL of a CAR file (``https://host/air.car``, ``s3://bucket/air.car``) reads it by ranges: the index and the
    chunks where they lie, each verified. See :class:`ipld_castore.CarCAStore`.

    What is opened for writing is frozen when it is closed, and closed when its ``with`` ends, be it by an error: what
    was written is there, and what was there before has a root of its own still, which ``compact`` would forget.

    :param where: a path, also as a ``file:`` URL; the URL of a bucket or a CAR file; or with ``castore``, a
        CID as object, text, ``ipfs://CID`` or ``/ipfs/CID``
    :param mode: "r" reads what is there; "a" also writes, and makes what is absent; "x" makes what must be absent
    :param castore: where the blocks of a CID are, or a store over them; it is not closed with the store
    :param fsync: wait for the disk where blocks are to be safe; see :class:`ipld_castore.CarCAStore` and
        :class:`ipld_castore.FileSystemCAStore`
    :param zero_length_section_as_eof: take a section of length zero for the end of a CAR file, as archives that are
        padded with zeros have it (pieces of Filecoin)
    :param storage_options: of a bucket: the options of :meth:`ipld_castore.ObjectCAStore.from_url`; of a CAR file at a
        URL: those of :class:`ipld_castore.CarCAStore`
    :raises FileNotFoundError: if there is nothing to read
    :raises FileExistsError: if the mode is "x" and something is there
    :raises OSError: if it cannot be opened, or another writer has it
    :raises ValueError: if the address is a URL of an unknown scheme, or there is no dataset, or not one alone; with "a"
        also if the header of a file has no place for another root
    :raises IPLDStoreError: if the root cannot be read

    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/air.car"
    >>> with open(path, "a") as store:
    ...     store["a/0"] = b"chunk"
    >>> with open(path) as store:
    ...     print(store.root_cid, store["a/0"])
    bafyreieyzoqqgs3l3tinb3llbqke53v2i52plrc67tdqih2ddciwjaqrh4 b'chunk'
    """
    if mode not in ("r", "a", "x"):
        raise ValueError(f'expected the mode "r", "a" or "x", found {mode!r}')
    if castore is not None:
        if mode != "r":
            raise ValueError(f'expected the mode "r" with a CID, found {mode!r}: IPLDStore(castore, root=cid) writes')
        cid = where if isinstance(where, (CID, str)) else os.fspath(where)
        return IPLDStore(castore_of(castore), root=cids.to_bytes(cid), read_only=True)
    path = parse(where)
    if isinstance(path, BucketURL):
        return _open_bucket(path.url, mode, storage_options or {})
    if isinstance(path, ArchiveURL):
        return _open_archive(path.url, mode, zeros_end=zero_length_section_as_eof, options=storage_options)
    if storage_options:
        raise ValueError(f"expected storage_options with the URL of a bucket or archive, found them with {where!r}")
    if isinstance(path, CID):
        message = f"expected with a CID the castore that has its blocks, found none: open({where!r}, castore=...)"
        raise ValueError(message)  # noqa: TRY004  # a wrong value
    if mode == "r" and not path.exists():
        raise FileNotFoundError(errno.ENOENT, "expected a CAR file or a folder of blocks, found nothing", str(path))
    if mode == "x" and path.exists():
        raise FileExistsError(errno.EEXIST, "expected nothing where a new store is to be, found something", str(path))
    if path.is_dir() or (not path.exists() and path.suffix.lower() != ".car"):
        return _open_folder(path, mode, fsync=fsync)
    return _open_file(path, mode, fsync=fsync, zeros_end=zero_length_section_as_eof)


def _open_file(path: Path, mode: Mode, *, fsync: bool, zeros_end: bool) -> IPLDStore:
    castore = CarCAStore(path, mode, fsync=fsync, zero_length_section_as_eof=zeros_end)
    try:
        _check_one_root(castore)
        if mode == "a":
            _check_room(castore)
        return _opened(castore, mode, lambda: None)
    except BaseException:
        castore.abandon()  # what is no dataset is not ours to finish
        raise


def _open_archive(url: str, mode: Mode, *, zeros_end: bool, options: Mapping[str, Any] | None) -> IPLDStore:
    castore = CarCAStore(url, mode, zero_length_section_as_eof=zeros_end, storage_options=options)
    try:
        _check_one_root(castore)
        return _opened(castore, mode, lambda: None)
    except BaseException:
        castore.close()
        raise


def _check_one_root(castore: CarCAStore) -> None:
    if len(castore.roots) != 1:
        raise ValueError(
            f"expected an archive with one root, found {len(castore.roots)} in {castore.address}: {castore!r} gives "
            f"its blocks, and IPLDStore(castore, root=cid) one of its datasets"
        )


def _check_room(castore: CarCAStore) -> None:
    """Refuse to begin what could not be frozen: any root that we write is as long as that of the empty dataset."""
    try:
        castore.check_head(cids.from_validated(EMPTY_ROOT))
    except HeadRefusedError as error:
        if len(bytes(castore.roots[0])) == len(EMPTY_ROOT):
            advice = "compact(path) makes a new file, whose header has room"
        else:
            advice = 'to go on from it, write it into a new one: open(new, "x").mapping.update(open(path).mapping)'
        raise ValueError(
            f"expected an archive whose header has room for a new root, found none: {error} ({advice})"
        ) from error


def _open_folder(path: Path, mode: Mode, *, fsync: bool) -> IPLDStore:
    if mode == "r":
        if not (path / "SHARDING").exists():
            raise ValueError(f"expected a folder of blocks, with a file SHARDING; found none in {path}")
        castore = FileSystemCAStore(path)
        if castore.head is None:
            raise ValueError(
                f"expected a folder whose file HEAD names a root, found none in {path}: "
                f"IPLDStore(FileSystemCAStore(path), root=cid) reads the dataset of a CID"
            )
        return _opened(castore, mode, lambda: None)
    castore = FileSystemCAStore(path, fsync=fsync)
    lock = castore.lock()
    try:
        return _opened(castore, mode, lock.release)
    except BaseException:
        lock.release()
        raise


def _open_bucket(url: str, mode: Mode, options: Mapping[str, Any]) -> IPLDStore:
    castore = ObjectCAStore.from_url(url, **options)
    head = castore.head
    if mode == "r" and head is None:
        raise FileNotFoundError(errno.ENOENT, "expected a bucket whose object HEAD names a root, found none", url)
    if mode == "x" and head is not None:
        raise FileExistsError(errno.EEXIST, f"expected no object HEAD where a new store is to be, found {head}", url)
    store = IPLDStore(castore, root=head, read_only=mode == "r")
    castore.persist_moves_head = True  # not before: the head would be asked for again, and may be another by then
    store._opened = Opened(store._data, writable=mode != "r", release=lambda: None)  # noqa: SLF001  # as in _opened
    return store


def _opened(castore: ContentAddressableStore, mode: Mode, release: Callable[[], None]) -> IPLDStore:
    castore.persist_moves_head = True
    store = IPLDStore(castore, read_only=mode == "r")
    store._opened = Opened(store._data, writable=mode != "r", release=release)  # noqa: SLF001  # set nowhere else
    return store
