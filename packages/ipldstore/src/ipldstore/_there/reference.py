"""Make a dataset over files that stay where they are."""

from __future__ import annotations

import os
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ipld_castore import CAStoreError, ContentAddressableStore, FileRefusedError, RangeHasher, ReferenceIndexWriter
from ipld_castore.concurrency import in_order
from multiformats import CID

from ipldstore._address.grammar import local_path, parse
from ipldstore._address.references import prefixes_of, references_of
from ipldstore._display.bars import Bar, open_bar
from ipldstore._store.group_store import GroupStore
from ipldstore._store.ipld_store import IPLDStore
from ipldstore.errors import store_errors, translated

from .appending import Appender
from .ends import opened_to_write
from .index_files import Done, IndexFiles, source_stamp, stamp_of
from .linking import SourceLinks
from .sources import AnySource, SourceReader, names_of, warn_of_codecs

_COMMIT_SECONDS: Final = 60.0
"""Seconds of work that are lost at most when a process is killed."""
_HASHED_AT_ONCE: Final = 32 << 20
"""Bytes of a source up to which one thread hashes it while others hash other sources."""
_THREADS: Final = max(2, min(8, os.cpu_count() or 1))
_REMOTE_THREADS: Final = 16


def reference(  # noqa: PLR0913  # keywords
    what: AnySource | Iterable[AnySource],
    into: str | os.PathLike[str] | IPLDStore,
    *,
    parser: Any = None,
    concat_dim: str | None = None,
    registry: Any = None,
    allow: Iterable[str | os.PathLike[str]] | None = None,
    index: str | os.PathLike[str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
    source_options: Mapping[str, Any] | None = None,
    progress: bool | None = None,
) -> CID:
    """Make a dataset of files that stay where they are; return its root.

    Sources are netCDF-4, HDF5, netCDF-3, zarr, and references of kerchunk (JSON or parquet). Zarr is a folder, a zip
    file, or the URL of either a bucket or a server, which ends in ``.zarr`` or ``/``; a server lists nothing, so that a
    group there needs consolidated metadata. Each source is
    read once, and many are hashed side by side, from 64 MiB on in processes of their own; nothing is copied. Chunks are
    blocks that lie in the original files. **The root is that of the same chunks stored as copies.** Chunks over 1 MiB
    are UnixFS files, whose nodes are written into ``into``. So are chunks that no file holds as they are: those that
    stand in kerchunk's references or are deflated in a zip file, HDF5's compact datasets, and the coordinate of
    ``concat_dim``, whose units may differ from file to file. A warning says how many are deflated.

    **Several sources** are taken in one behind the other along ``concat_dim``. Arrays without that dimension must be
    the same in all. A later call with further sources appends them, and reads only them; a call that was stopped goes
    on where it was, at most a minute of work before.

    The index of where blocks lie is in the folder ``references`` of a folder of blocks, and in ``x.car.references`` for
    ``x.car``; :func:`ipldstore.open` reads it. Other processes must pass it ``allow=[prefix, ...]`` with the folders of
    the original files, as an index could name any file. :func:`ipldstore.push` copies all to another store.

    :param what: a path or URL, or several, or a pattern of paths such as ``"2026/*.nc"``, whose matches are sorted
    :param into: where :func:`ipldstore.open` writes a dataset, a file or a folder; or with ``index`` also a bucket, or
        a store that is open
    :param parser: a parser of VirtualiZarr for all sources, of GRIB, TIFF, FITS and others. A warning names the codecs
        that readers need
    :param concat_dim: the dimension along which several sources are one dataset
    :param registry: the object stores that parsers read by (``obspec_utils.registry.ObjectStoreRegistry``)
    :param allow: what kerchunk's references may name beside the folder that they are in; paths and URLs
    :param index: the folder of the index, by default beside ``into``. It notes which sources were taken in, and of
        which dataset it is: one of another is refused. Elsewhere ``open`` does not find it, and
        ``IPLDStore(ReferencingCAStore(castore, ReferenceCAStore(index)), root=root)`` reads the dataset
    :param storage_options: of ``into``, where it is a bucket: see :func:`ipldstore.open`. Without ``source_options``
        also of the sources
    :param source_options: of sources at URLs: see :class:`ipld_castore.ReferenceCAStore`
    :param progress: whether to show a bar; by default in a notebook, and where standard error is a terminal
    :raises ValueError: if there is no source, or one twice, or of no known format; if sources do not fit together, or
        one has changed since it was taken in; if ``index`` is that of another dataset
    :raises FileNotFoundError: if there is no such file, or none that matches
    :raises ImportError: if a package that reads a source is not installed
    :raises FileRefusedError: if references name a file that may not be read
    :raises IPLDStoreError: if a source or ``into`` cannot be read or written

    >>> import tempfile, pathlib, zarr, ipldstore
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> array = zarr.create_array(folder / "a.zarr", shape=(4,), chunks=(2,), dtype="i4")
    >>> array[:] = [1, 2, 3, 4]
    >>> root = reference(folder / "a.zarr", folder / "a.car")
    >>> with ipldstore.open(folder / "a.car") as store:
    ...     zarr.open_array(store)[:].tolist(), store.root_cid == root
    ([1, 2, 3, 4], True)
    """
    names = names_of(what)
    _require_distinct(names)
    if len(names) > 1 and concat_dim is None:
        raise ValueError(
            f"expected concat_dim with {len(names)} sources, the dimension along which they are one dataset"
        )
    prefixes = prefixes_of(() if allow is None else allow)
    files = IndexFiles(_index_folder(into, index))
    of_sources = storage_options if source_options is None else source_options
    with RangeHasher(storage_options=of_sources) as hasher, _writable(into, storage_options) as store:
        if index is not None:
            files.claim(store)
        appender = Appender(store, concat_dim, hasher.read)
        files.find(store, concat_dim)
        done = files.done(appender.length if appender.tells_length else None)
        left = _left(names, done, concat_dim, appender.length, files)
        if left:
            run = _Run(
                store,
                files,
                appender,
                hasher,
                _Allowed(prefixes, left),
                SourceReader(hasher, parser, registry, of_sources),
            )
            with open_bar("hashing", unit=" sources", total=len(left), progress=progress) as bar:
                run.take_in(left, bar, chosen=parser is not None)
        return store.freeze()


def _require_distinct(names: list[str]) -> None:
    if not names:
        raise ValueError("expected a source or more, found none")
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:  # a call that was stopped behind it would not take it in again
        raise ValueError(f"expected each source once, found {twice} more often")


def _index_folder(into: str | os.PathLike[str] | IPLDStore, index: str | os.PathLike[str] | None) -> Path:
    if index is not None:
        return Path(index)
    if isinstance(into, IPLDStore):
        raise ValueError("expected index=folder with a store that is open, where the index of its blocks is to be")  # noqa: TRY004  # a missing value
    try:
        return references_of(local_path(into))
    except ValueError as error:
        raise ValueError(
            f"{error}: with index=folder, where the index of its blocks is to be, it may be another"
        ) from None


@contextmanager
def _writable(
    into: str | os.PathLike[str] | IPLDStore, storage_options: Mapping[str, Any] | None
) -> Iterator[IPLDStore]:
    if isinstance(into, IPLDStore):
        yield _whole(into)
        return
    is_url = not isinstance(parse(into).place, Path)
    with opened_to_write(into, storage_options if is_url else None) as store:
        yield _whole(store)


def _whole(store: IPLDStore) -> IPLDStore:
    if isinstance(store, GroupStore):
        raise ValueError(f"expected a whole dataset to write references into, found the group {store.path!r} of one")  # noqa: TRY004  # the address names it
    return store


def _left(names: list[str], done: list[Done], dimension: str | None, length: int, files: IndexFiles) -> list[str]:
    """Return the sources that are still to be taken in.

    :param length: see :attr:`Appender.length`
    :raises ValueError: if one has changed since, or a dataset is there already and no dimension to append along
    """
    known = {each.name: each for each in done}
    for name in names:
        if name in known and known[name].stamp and known[name].stamp != stamp_of(name):  # URLs have none
            raise ValueError(f"expected {name} as it was taken in before, found it changed: make a new dataset")
    left = [name for name in names if name not in known]
    if left and dimension is None and length:
        if files.was_in(left[0]):
            raise ValueError(
                f"expected the dataset as {left[0]} had made it, found other arrays or chunks in it: make a new "
                f"dataset, or go back to the root of then"
            )
        behind = done[-1].name if done else "the arrays that are there"
        raise ValueError(f"expected concat_dim to take {left[0]} in behind {behind}")
    return left


_Begun = tuple[SourceLinks, bytes]
"""The chunks of a source, and what tells the state of the source before it was read."""


class _Allowed:
    """The files that sources may name: themselves, what is beside or below them, and what the user allows."""

    def __init__(self, allow: Iterable[str | os.PathLike[str]], names: list[str]) -> None:
        beside = [_folder_of(name) if "://" in name else str(Path(name).parent) for name in names]
        self._hasher = RangeHasher(allow=[*dict.fromkeys(beside), *allow])

    def check(self, files: Iterable[str]) -> None:
        """Require that all files may be read.

        :raises FileRefusedError: if one may not
        """
        for name in files:
            self._hasher.check(name)


def _folder_of(url: str) -> str:
    """Return what comes before the last "/" of the path of a URL.

    :raises ValueError: if the URL has credentials
    """
    parts = urlsplit(url)
    if "@" in parts.netloc:
        raise ValueError(
            f"expected the URL of a source without credentials, as an index keeps it; found some for "
            f"{parts.netloc.rpartition('@')[2]}"
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rpartition('/')[0]}"


class _Run:
    """Take sources in: hashed in threads, parsed and taken in here in their order, committed now and then."""

    def __init__(
        self,
        store: IPLDStore,
        files: IndexFiles,
        appender: Appender,
        hasher: RangeHasher,
        allowed: _Allowed,
        reader: SourceReader,
    ) -> None:
        self._store = store
        self._files = files
        self._appender = appender
        self._hasher = hasher
        self._allowed = allowed
        self._reader = reader
        self._writer: ReferenceIndexWriter | None = None
        self._inflated = 0

    def take_in(self, names: list[str], bar: Bar, *, chosen: bool) -> None:
        """Take in sources, in order.

        :param chosen: whether the user has chosen the parser
        """
        try:
            self._take_in(names, bar, chosen=chosen)
        except BaseException:
            if self._writer is not None:
                self._writer.discard()
                self._files.remove_if_empty()
            raise

    def _take_in(self, names: list[str], bar: Bar, *, chosen: bool) -> None:
        committed = time.monotonic()
        with _hashing_errors():
            first = self._hash(self._parse(names[0]))  # alone: metadata of a series are those of the source read first
            warn_of_codecs(first[0].source, chosen=chosen)  # later ones have the same, or are refused
            for links, stamp in chain([first], self._hashed(names[1:])):
                if links.size > _HASHED_AT_ONCE:
                    links.hash(self._hasher.digests)
                self._add(links, stamp)
                bar.update()
                if time.monotonic() - committed > _COMMIT_SECONDS:
                    self._commit()
                    committed = time.monotonic()
        self._commit()
        if self._inflated:
            warnings.warn(
                f"{self._inflated:,} chunks are deflated in zip files, so that they are no ranges of these: they were "
                f"put into the dataset. Chunks that are stored only (zipfile.ZIP_STORED, zip -0) are referenced",
                stacklevel=4,
            )

    def _hashed(self, names: list[str]) -> Iterator[_Begun]:
        """Yield sources that are parsed and hashed, in order; later ones are hashed meanwhile.

        On this machine they are parsed in this thread: the GIL and the lock of h5py let one thread do that at a time,
        and several take turns at each call. At URLs parsing waits for servers.
        """
        if any("://" in name for name in names):
            for _, begun in in_order(lambda name: self._hash(self._parse(name)), names, threads=_REMOTE_THREADS):
                yield begun
        else:
            for begun, _ in in_order(self._hash, map(self._parse, names), threads=_THREADS):
                yield begun

    def _parse(self, name: str) -> _Begun:
        stamp = stamp_of(name)
        source = self._reader.read(name)
        self._allowed.check(source.files)
        return SourceLinks(source), stamp

    def _hash(self, begun: _Begun) -> _Begun:
        """Hash a source if it is small: many threads are then busy with one each."""
        links, _ = begun
        if links.size <= _HASHED_AT_ONCE:
            links.hash(lambda jobs: (self._hasher.digest(*job) for job in jobs))
        return begun

    def _add(self, links: SourceLinks, stamp: bytes) -> None:
        source = links.source
        if stamp_of(source.name) != stamp:
            raise ValueError(f"expected {source.name} to stay as it is while it is hashed, found it changed")
        castore: ContentAddressableStore = self._store.castore
        length = self._appender.add(source, *links.finish(castore))
        self._inflated += source.inflated
        if self._writer is None:
            self._writer = self._files.writer()
        writer = self._writer
        writer.file(source.name, source_stamp(Done(source.name, stamp, length)))
        numbers = [writer.file(name, stamp_of(name)) for name in source.files]
        writer.add_records(links.records(numbers))

    def _commit(self) -> None:
        """Write the index, and then freeze: what the dataset names can be found."""
        if self._writer is None:
            return
        self._appender.write()
        writer, self._writer = self._writer, None
        with store_errors("writing the index"):
            writer.close()
        root = self._store.freeze()
        with store_errors("noting the root"):
            self._files.note(root)


@contextmanager
def _hashing_errors() -> Iterator[None]:
    """Raise errors of files as those of a store; a refused file, and what is wrong with a source, as they are."""
    try:
        yield
    except FileRefusedError:
        raise
    except CAStoreError as error:
        raise translated("hashing the sources", error) from error
