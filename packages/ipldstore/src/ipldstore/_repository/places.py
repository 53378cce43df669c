"""Where a repository is: the block store and the head behind an address, a mapping or a block store."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple

from ipld_car import cids
from ipld_car.messages import Message, Term
from ipld_castore import ContentAddressableStore, FileSystemCAStore, MappingCAStore, SupportsJournal
from multiformats import CID

from ipldstore._address.cache import Cache
from ipldstore._address.castores import PlaceOptions, open_castore
from ipldstore._address.grammar import parse
from ipldstore._address.places import Address, BucketURL, ContentPath
from ipldstore._address.references import prefixes_of, with_references
from ipldstore._dataset.castores import AnyCAStore, castore_of
from ipldstore._exchange.head import FixedHead, Head, NamedHead, head_of, leave_head
from ipldstore.errors import IPLDStoreError, RepositoryNotFoundError

Where = str | os.PathLike[str] | CID | AnyCAStore | MutableMapping[str, bytes]
"""What a repository is opened by."""


class Options(NamedTuple):
    """How the place of a repository is opened; see :meth:`Repository.open`."""

    name: str | None = None
    castore: AnyCAStore | None = None
    read_only: bool = False
    fsync: bool = True
    allow: Iterable[str | os.PathLike[str]] = ()
    moved: Mapping[Any, Any] | None = None
    cache: str | os.PathLike[str] | None = None
    cache_bytes: int | None = None
    zero_length_section_as_eof: bool = False
    storage_options: Mapping[str, Any] | None = None

    @property
    def place(self) -> PlaceOptions:
        """How its block store is opened."""
        cache = Cache(self.cache, self.cache_bytes)
        is_padded = self.zero_length_section_as_eof
        allow = prefixes_of(self.allow)
        return PlaceOptions(self.fsync, is_padded, self.storage_options, allow, cache, self.moved)


def options_of(given: Mapping[str, Any]) -> Options:
    """Return the options that a caller gave.

    :raises TypeError: if one is unknown
    """
    unknown = sorted(given.keys() - set(Options._fields))
    if unknown:
        raise TypeError(f"expected of the options {', '.join(Options._fields)}, found {unknown[0]!r}")
    return Options(**given)


class Place(NamedTuple):
    """The block store of a repository, and its head."""

    castore: ContentAddressableStore
    head: Head
    read_only: bool
    close: Callable[[], None]
    """Closes the block store, if it was opened here."""


def open_place(where: Where, options: Options, *, create: bool = False) -> Place:
    """Open the block store that a repository is in, or is to be in.

    :param create: make the file or folder if it is absent
    :raises RepositoryNotFoundError: if nothing is there
    :raises IPLDStoreError: if the block store has no head
    :raises OSError: if it cannot be opened
    :raises ValueError: if the address names a version or a group, or is no address
    """
    known = getattr(where, "_place", None)
    if isinstance(known, Place):  # a repository
        return known._replace(close=_nothing)
    if isinstance(where, (str, os.PathLike, CID)):
        return _open_address(where, options, create=create)
    given = MappingCAStore(where) if isinstance(where, MutableMapping) else castore_of(where)
    return _place(given, head_of(given, options.name), options, _nothing)


def reopened_place(castore: ContentAddressableStore, head: Head, *, read_only: bool) -> Place:
    """Return the place of a repository in another process than the one that opened it.

    A folder, a bucket and a node are the same for both processes. Of a mapping the other process has a copy, and a CAR
    file has one writer: there the repository only reads.
    """
    leave_head(castore)
    is_shared = castore.writable and (isinstance(castore, SupportsJournal) or isinstance(head, NamedHead))
    return Place(castore, head, read_only or not is_shared, castore.close)


def _nothing() -> None:
    pass


def _place(castore: ContentAddressableStore, head: Head, options: Options, close: Callable[[], None]) -> Place:
    leave_head(castore)
    read_only = options.read_only or not castore.writable or isinstance(head, FixedHead)
    return Place(castore, head, read_only, close)


def _open_address(where: str | os.PathLike[str] | CID, options: Options, *, create: bool) -> Place:
    address = parse(where)
    if address.ref is not None or address.group:
        raise ValueError(
            Message(
                f"expected the address of a repository, without a version or a group; found {where!r}: ",
                Term("readonly_session(...)", "readonly_session(...) and writable_session(...) name versions"),
            )
        )
    place = address.place
    if options.castore is not None:
        if not isinstance(place, ContentPath) or place.path:
            raise ValueError(f"expected with castore=... the CID of a state, found {where!r}")
        given = castore_of(options.castore)
        return _place(given, FixedHead(given, cids.to_bytes(place.cid)), options, _nothing)
    if isinstance(place, Path):
        return _open_path(place, options, create=create)
    if isinstance(place, BucketURL):
        from ipld_castore import ObjectCAStore

        bucket = ObjectCAStore.from_url(place.url, **(options.storage_options or {}))
        return _place(bucket, head_of(bucket), options, bucket.close)
    return _open_elsewhere(address, options)


def _open_path(path: Path, options: Options, *, create: bool) -> Place:
    if not path.exists() and not create:
        raise RepositoryNotFoundError(
            Message(f"expected a repository, found nothing at {path}: ", Term("Repository.create(...)"), " makes one")
        ) from FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    if path.is_dir() or (not path.exists() and path.suffix.lower() != ".car"):
        if not create and not (path / "SHARDING").exists():
            raise RepositoryNotFoundError(f"expected a folder of blocks, with a file SHARDING; found none in {path}")
        folder = FileSystemCAStore(path, fsync=options.fsync)  # its lock is for one writer: a repository has many
        castore = with_references(folder, path, options.allow, options.storage_options, options.moved)
        return _place(castore, head_of(castore), options, castore.close)
    file = open_castore(path, "r" if options.read_only else "a", options.place)
    return _place(file.castore, head_of(file.castore), options, file.castore.close)


def _open_elsewhere(address: Address, options: Options) -> Place:
    """Open an archive at a URL, or content behind a node or gateways: only to read."""
    opened = open_castore(address.place, "r", options.place)
    castore = opened.castore
    root = opened.root
    if root is None:
        root = getattr(castore, "head", None)
    if root is None:
        raise IPLDStoreError(f"expected a repository, found no root at {address.place!r}")
    return _place(castore, FixedHead(castore, cids.to_bytes(root)), options, castore.close)
