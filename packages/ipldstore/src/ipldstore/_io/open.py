"""A dataset where it is: in a file, in a folder, in a bucket, or below a CID."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from ipld_car import cids
from ipld_car.messages import Message, Term
from ipld_castore import SupportsHead
from multiformats import CID

from ipldstore._address.cache import Cache
from ipldstore._address.castores import Mode, OpenedCAStore, PlaceOptions, open_castore, open_in
from ipldstore._address.grammar import parse, parse_cid
from ipldstore._address.places import Address, AnyAddress, ContentPath, NamePath
from ipldstore._address.references import prefixes_of
from ipldstore._dataset.castores import AnyCAStore, castore_of
from ipldstore._dataset.lifecycle import Opened
from ipldstore._foreign.paths import resolve_path
from ipldstore._repository.opening import found_history, open_repository_folder, open_version
from ipldstore._revisions.version import Version, refuse_version
from ipldstore._store.group_store import GroupStore
from ipldstore._store.ipld_store import IPLDStore


def open(  # noqa: A001, PLR0913  # as tarfile, gzip and many others have it; keywords
    what: AnyAddress,
    mode: Mode = "r",
    *,
    castore: AnyCAStore | None = None,
    branch: str | None = None,
    tag: str | None = None,
    commit: CID | str | None = None,
    as_of: datetime | str | None = None,
    path: str | None = None,
    message: str | None = None,
    cache: str | os.PathLike[str] | None = None,
    cache_bytes: int | None = None,
    fsync: bool = True,
    allow: Iterable[str | os.PathLike[str]] = (),
    moved: Mapping[Any, str | os.PathLike[str]] | None = None,
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

    ``ipfs://CID/path`` and ``ipns://name/path`` are read from a node on this machine if one answers, else from the
    gateways of ``$IPFS_GATEWAY`` or ``~/.ipfs/gateway``, else from public ones; every block is verified. A name is not
    verified as a CID is: what it pointed to is in :attr:`IPLDStore.resolved`. ``https://gateway/ipfs/CID`` asks that
    gateway. The path leads through UnixFS directories, or to a group of a dataset. A bare CID needs ``castore``.

    Behind the place may be ``@`` and a branch, tag or commit of a repository, and ``#`` and the path of a group, as in
    ``air.car@v1#ocean``. A file whose name has these characters is opened by its plain path.

    A repository opens at its default branch, or the version that is named. A branch that is opened to write is a
    session: closing it commits what was changed, and no other process is kept out. A tag, a commit or a time opens to
    read.

    A store that is opened for writing is frozen when it is closed, and closed when its ``with`` ends, also by an error:
    what was written is kept. The contents from before still have a root of their own, until ``compact`` drops it.

    :param what: a path, also as a ``file:`` URL; the URL of a bucket or a CAR file; ``ipfs://CID/path``,
        ``ipns://name/path`` or a URL behind a gateway; or with ``castore``, a CID as object or text
    :param mode: "r" reads what is there; "a" also writes, and makes what is absent; "x" makes what must be absent
    :param castore: where the blocks of a CID are, or a store over them; it is not closed with the store
    :param branch: the branch of a repository
    :param tag: the tag of a repository
    :param commit: the commit of a repository
    :param as_of: a time: the newest commit of the branch then
    :param message: of the commit that closing a session makes; by default "close". Only a branch that is opened to
        write takes one
    :param path: the path of a group or an array, which the store is to have at its top; the address may have it too
    :param cache: a folder that keeps the blocks that are read from far away, by default that of ``$IPLDSTORE_CACHE``,
        else none; "" is none. It has no effect on files and folders of this machine
    :param cache_bytes: the most bytes in that folder, by default ``$IPLDSTORE_CACHE_BYTES``, else 16 GiB; what was not
        read for the longest time is deleted
    :param fsync: wait for the disk where blocks are to be safe; see :class:`ipld_castore.CarCAStore` and
        :class:`ipld_castore.FileSystemCAStore`
    :param allow: the folders, files and URLs that may be read of a dataset made by :func:`ipldstore.reference`, which
        has its chunks in other files; by default only what this process has referenced itself
    :param moved: where the files of such a dataset are now, if they were moved since: by the old path or URL of a file
        or folder the new one, as in ``moved={"/scratch/run7": "/archive/run7"}``. ``allow`` has to name the new places
    :param zero_length_section_as_eof: take a section of length zero for the end of a CAR file, as archives that are
        padded with zeros have it (pieces of Filecoin)
    :param storage_options: of a bucket: the options of :meth:`ipld_castore.ObjectCAStore.from_url`; of a CAR file at a
        URL: those of :class:`ipld_castore.CarCAStore`; of a dataset made by :func:`ipldstore.reference`: those of its
        files, as :class:`ipld_castore.ReferenceCAStore` takes them; of ``ipfs:`` and ``ipns:``: those of
        :func:`ipld_castore.resolve_name`, such as ``node`` (an address, or False for none) and ``gateways``
    :raises FileNotFoundError: if there is nothing to read
    :raises FileExistsError: if the mode is "x" and something is there
    :raises OSError: if it cannot be opened, or another writer has it
    :raises ValueError: if the address is a URL of an unknown scheme, or there is no dataset, or not one alone; if a
        version or a message is given where there is no history; with "a" also if the header of a file has no place for
        another root
    :raises IPLDStoreError: if the root cannot be read

    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/air.car"
    >>> with open(path, "a") as store:
    ...     store["a/0"] = b"chunk"
    >>> with open(path) as store:
    ...     print(store.root_cid, store["a/0"])
    bafyreieyzoqqgs3l3tinb3llbqke53v2i52plrc67tdqih2ddciwjaqrh4 b'chunk'
    """
    address = parse(what) if castore is None else _content_address(what)
    version = Version(address.ref, branch, tag, commit, as_of)
    version.check()
    group = _group_of(address, path)
    _check_mode(mode, what, is_part=version.is_given or bool(group), of_cid=castore is not None, message=message)
    if mode == "a" and isinstance(address.place, Path) and not address.place.exists():  # before a folder is made
        refuse_version(version)
        _refuse_message(message)
    if castore is not None:
        opened = open_in(castore_of(castore), address.place)
    else:
        options = PlaceOptions(
            fsync, zero_length_section_as_eof, storage_options, prefixes_of(allow), Cache(cache, cache_bytes), moved
        )
        folder = open_repository_folder(address.place, options) if mode == "a" else None
        opened = (
            open_castore(address.place, mode, options) if folder is None else OpenedCAStore(folder, _nothing, _nothing)
        )
    try:
        root, names = _directory_of(opened)
        store = _store_over(opened._replace(root=root), mode, version, message, owned=castore is None)
        return _at(store, (*names, *group), what)
    except BaseException:
        opened.abandon()
        raise


def _check_mode(mode: Mode, what: AnyAddress, *, is_part: bool, of_cid: bool, message: str | None) -> None:
    """Refuse an unknown mode, or one that does not go with the other arguments.

    :param is_part: whether a version or a group is named
    :param of_cid: whether blocks of a CID are read from a given block store
    """
    if mode not in ("r", "a", "x"):
        raise ValueError(f'expected the mode "r", "a" or "x", found {mode!r}')
    if of_cid and mode != "r":
        raise ValueError(f'expected the mode "r" with a CID, found {mode!r}: IPLDStore(castore, root=cid) writes')
    if mode == "x" and is_part:
        raise ValueError(
            f'expected with the mode "x" no version and no group, found {what!r}; a file of that name is Path({what!r})'
        )
    if message is not None and mode != "a":
        raise ValueError(f'expected a message with the mode "a" on a repository only, found it with {mode!r}')


def _content_address(what: AnyAddress) -> Address:
    """Return the address of a CID whose blocks are in a given block store.

    :raises ipld_car.CarError: if it is no CID
    """
    if isinstance(what, str):
        found = parse(what) if "://" in what else parse_cid(what)
        if found is not None and isinstance(found.place, (ContentPath, NamePath)):
            return found
    return Address(ContentPath(cids.from_validated(cids.to_bytes(what if isinstance(what, (CID, str)) else str(what)))))


def _refuse_message(message: str | None) -> None:
    """Refuse the message of a commit where no commit will be made."""
    if message is not None:
        raise ValueError(
            Message(
                f"expected no message, as there is no repository whose commit would have it; found {message!r}: ",
                Term("Repository.create(...)"),
                " makes one",
            )
        )


def _group_of(address: Address, path: str | None) -> tuple[str, ...]:
    """Return the names of the path of the group that the address or the caller gives.

    :raises ValueError: if both do, and differ
    """
    given = (path or "").strip("/")
    if given and address.group and given != address.group:
        raise ValueError(f"expected one path of a group, found #{address.group} in the address and path={path!r}")
    group = given or address.group
    return tuple(group.split("/")) if group else ()


def _directory_of(opened: OpenedCAStore) -> tuple[CID | None, tuple[str, ...]]:
    """Return the root that a path through UnixFS directories leads to, and the names that are left."""
    root = opened.root
    if root is None or not opened.path or cids.codec_of(bytes(root)) != cids.DAG_PB:
        return root, opened.path
    return resolve_path(opened.castore, root, opened.path), ()


def _nothing() -> None:
    pass


def _store_over(opened: OpenedCAStore, mode: Mode, version: Version, message: str | None, *, owned: bool) -> IPLDStore:
    """Return the store of what was opened, in a version.

    :param owned: whether the block store was opened for it, and is closed with it
    """
    castore, read_only = opened.castore, mode == "r"
    root = opened.root
    if root is None and not opened.has_no_root and isinstance(castore, SupportsHead):
        root = castore.head
    store = IPLDStore(castore, root=root, read_only=read_only)
    found = found_history(store)
    if found is None:
        refuse_version(version)
        _refuse_message(message)
    elif version.is_given or not read_only:
        release = opened.release if owned else None
        store = open_version(castore, found, version, read_only=read_only, message=message, release=release)
        owned = False  # it is the session's
    store._resolved = opened.resolved  # noqa: SLF001  # set nowhere else
    if owned:
        # Not before: the head of a bucket would be asked for again, and may be another.
        castore.persist_moves_head = not read_only
        store._opened = Opened(store._data, writable=mode != "r", release=opened.release)  # noqa: SLF001  # as above
    return store


def _at(store: IPLDStore, path: tuple[str, ...], what: AnyAddress) -> IPLDStore:
    """Return the store of a group, or the store itself if the path is empty.

    :raises FileNotFoundError: if nothing is there to read
    """
    if not path:
        return store
    found = GroupStore.of(store, "/".join(path))
    if store.read_only and next(iter(found), None) is None:
        there = sorted(islice((name for name in store.mapping.names() if name[0] != "."), 20))
        message = f"expected a group or an array at {found.path!r}, found none (at the top are {there})"
        raise FileNotFoundError(errno.ENOENT, message, str(what))
    return found
