"""Blocks that are ranges of files as a store."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from ipld_car import cids, hashes
from multiformats import CID

from ipld_castore._core.store import ContentAddressableStore
from ipld_castore.concurrency import in_order
from ipld_castore.errors import (
    BackendUnavailableError,
    BlockCorruptError,
    BlockNotFoundError,
    CAStoreError,
    ReadOnlyStoreError,
)

from .allow import AllowList
from .index import ReferenceIndex
from .layout import Place
from .moved import AnyPlace, MovedFiles
from .ranges import FileRanges
from .verify import ChangedFile, changed_files

_SHA256: Final = b"\x12\x20"
_IN_FLIGHT: Final = 16
"""Ranges of files at URLs that are read at a time."""
_MAX_REPLICAS: Final = 8
"""Places of one block that are tried."""

AnyIndex = str | os.PathLike[str] | ReferenceIndex


class _Range(NamedTuple):
    """A place of a block, with its index."""

    source: ReferenceIndex
    place: Place


class ReferenceCAStore(ContentAddressableStore):
    """Blocks that are byte ranges of files which stay where they are: on this machine, at URLs, in buckets.

    An index says where the block of a CID is; nothing is copied, and each block is hashed when it is read. A file that
    has changed is an error that names the file, the offset and the CID. The store only reads; below a
    :class:`TieredCAStore` what was read is kept near. :class:`ReferenceIndexWriter` makes an index.

    **An index from others opens nothing** until ``allow`` names the folders and URLs that it may read: it could name
    any file of this machine, or any address of its network. Symbolic links and redirects are held to ``allow`` too. An
    index that this process has written itself needs none. A pickle carries what was allowed.

    Threads may share a store. Blocks have whole sha2-256 digests. Files are keyed by digest, so listing gives raw CIDs.

    :param index: the index file; or a folder of them, whose names end in ``.index``; or several indexes
    :param allow: folders, files and URLs that an index of others may read, each with all that is below it
    :param moved: by the old path or URL of a file or folder, as the index has it, the new one: where files are that
        were moved after they were referenced. ``allow`` has to name the new places
    :param storage_options: of files in buckets: the options of :meth:`ObjectCAStore.from_url`; of files on HTTP
        servers: ``timeout`` in seconds (30) and ``retries`` (3)
    :param local: whether to take the files for local, so that reading one costs no round trip
    :raises BackendUnavailableError: if an index cannot be read
    :raises BlockMalformedError: if it is no index
    :raises ValueError: if a prefix of ``allow`` is empty or has credentials in it
    """

    def __init__(
        self,
        index: AnyIndex | Iterable[AnyIndex],
        *,
        allow: Iterable[str | os.PathLike[str]] = (),
        moved: Mapping[Any, AnyPlace] | None = None,
        storage_options: Mapping[str, Any] | None = None,
        local: bool = True,
    ) -> None:
        super().__init__()
        self.indexes = _opened(index)
        """The indexes, in the order in which they are searched."""
        self.local = local
        self._allow = AllowList(allow)
        self._ranges = FileRanges(self._allow, storage_options or {}, MovedFiles(moved or {}))
        self._cache_names()

    def _cache_names(self) -> None:
        self._name = lru_cache(maxsize=4096)(_name_of)

    @property
    def address(self) -> str:
        """The paths of the indexes."""
        return ", ".join(str(index.path) for index in self.indexes)

    @property
    def writable(self) -> bool:
        """False: files stay as they are."""
        return False

    # -- finding --

    def _places(self, cid: CID) -> Iterator[_Range]:
        """Yield where a block is."""
        multihash = cids.multihash_of(cids.to_bytes(cid))
        if multihash[:2] != _SHA256 or len(multihash) != 34:
            return
        for index in self.indexes:
            for place in index.places(multihash[2:]):
                yield _Range(index, place)

    def _resolve(self, found: _Range) -> str:
        """Return the URL or resolved path of a file: each time anew, as a link may lead elsewhere by now."""
        index = found.source
        return self._ranges.resolve(self._name(index, found.place.file), index.path.parent, exempt=index.made_here)

    def _read(self, cid: CID, found: _Range) -> bytes:
        """Return the bytes at a place of a block, whatever they are.

        :raises BlockCorruptError: if the file has ended before
        """
        place, name = found.place, self._resolve(found)
        try:
            data = self._ranges.read(name, place.offset, place.length, exempt=found.source.made_here)
        except BackendUnavailableError as error:
            raise BackendUnavailableError(
                f"block {cid}, {place.length} bytes at {place.offset} of {name}: {error}"
            ) from error
        if len(data) != place.length:
            raise BlockCorruptError(
                f"expected block {cid}, {place.length} bytes at {place.offset} of {name}; found {len(data)} bytes: the "
                f"file has been truncated or replaced"
            )
        return data

    def places_of(self, cid: CID | str | bytes) -> Iterator[tuple[str, int, int]]:
        """Yield file, offset and length of each place of a block. Names are absolute paths and URLs; none is opened."""
        for index, place in self._places(cids.from_validated(cids.to_bytes(cid))):
            yield self._place_of(index, place), place.offset, place.length

    def _place_of(self, index: ReferenceIndex, place: Place) -> str:
        """Return the URL or absolute path of a file, where it is now."""
        return self._ranges.place_of(self._name(index, place.file), index.path.parent)

    def file_of(self, cid: CID | str | bytes) -> tuple[str, int, int]:
        """Return file name, offset and length of a block, as the index has them. No file is opened.

        :raises BlockNotFoundError: if no index has the block
        """
        binary = cids.to_bytes(cid)
        for index, place in self._places(cids.from_validated(binary)):
            return index.file(place.file).name, place.offset, place.length
        raise self._absent(binary)

    def _absent(self, binary: bytes) -> BlockNotFoundError:
        return BlockNotFoundError(f"no block {cids.to_text(binary)} in {self.address}")

    # -- the verbs of a backend --

    def get_block(self, cid: CID) -> bytes:
        """See :meth:`ContentAddressableStore.get_block`; a place that cannot be read is passed over for another one.

        :raises BlockCorruptError: if the file has ended before the block
        :raises FileRefusedError: if the file may not be opened
        """
        failed: CAStoreError | None = None
        for number, found in enumerate(self._places(cid)):
            try:
                return self._read(cid, found)
            except CAStoreError as error:
                failed = failed or error
            if number >= _MAX_REPLICAS:
                break
        if failed is not None:
            raise failed
        raise self._absent(cids.to_bytes(cid))

    def get_replica(self, cid: CID) -> bytes | None:
        """See :meth:`ContentAddressableStore.get_replica`: the bytes of the first place that has the right ones.

        :raises BlockCorruptError: if none has; it names file and offset
        """
        digest = cids.multihash_of(cids.to_bytes(cid))[2:]
        problem = ""
        for number, found in enumerate(self._places(cid)):
            try:
                data = self._read(cid, found)
            except CAStoreError as error:
                problem = problem or str(error)
                continue
            if hashes.sha2_256(data) == digest:
                return data
            name = self._place_of(found.source, found.place)
            problem = problem or (
                f"expected block {cid}, {found.place.length} bytes at {found.place.offset} of {name}; found other "
                f"bytes there: the file has changed since it was referenced"
            )
            if number >= _MAX_REPLICAS:
                break
        raise BlockCorruptError(problem)

    def has_block(self, cid: CID) -> bool:
        """See :meth:`ContentAddressableStore.has_block`: as the index says."""
        return next(self._places(cid), None) is not None

    def block_size(self, cid: CID) -> int:
        """See :meth:`ContentAddressableStore.block_size`: as the index says."""
        for found in self._places(cid):
            return found.place.length
        raise self._absent(cids.to_bytes(cid))

    def get_blocks(self, wanted: Iterable[CID]) -> Iterator[tuple[CID, bytes]]:
        """See :meth:`ContentAddressableStore.get_blocks`; where files are far away many ranges are read at a time."""
        if self.local:
            return super().get_blocks(wanted)
        return in_order(self.get_block, wanted, threads=_IN_FLIGHT)

    def put_block(self, cid: CID, data: bytes) -> None:
        """Raise an error: files stay as they are.

        :raises ReadOnlyStoreError: always
        """
        raise ReadOnlyStoreError(
            f"cannot write block {cid}: {self!r} only reads; TieredCAStore(near, references) keeps blocks beside it"
        )

    def __iter__(self) -> Iterator[CID]:
        """Return the raw CIDs of all blocks, in the order of their digests in each index."""
        for at, index in enumerate(self.indexes):
            before = b""
            for number in range(len(index)):
                digest, _ = index.record(number)
                if digest != before and not any(other.has(digest) for other in self.indexes[:at]):
                    yield cids.from_validated(cids.make(cids.RAW, digest))
                before = digest

    # -- what has changed --

    def verify(self) -> Iterator[ChangedFile]:
        """Read all files once, and yield each that has changed: it is absent, shorter, or has other bytes in a block.

        Files are read one after the other, from front to end. Memory: 8 bytes for each record of the largest index.

        :raises FileRefusedError: if a file may not be opened
        """
        for index in self.indexes:
            yield from changed_files(index, self._ranges)

    def close(self) -> None:
        """Close the connections. A closed store opens new ones when it is used."""
        self._ranges.close()

    # -- the store itself --

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_name"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._cache_names()


def _name_of(index: ReferenceIndex, number: int) -> str:
    return index.file(number).name


def _opened(index: AnyIndex | Iterable[AnyIndex]) -> tuple[ReferenceIndex, ...]:
    if isinstance(index, ReferenceIndex):
        return (index,)
    if isinstance(index, (str, os.PathLike)):
        path = Path(index)
        found: Iterable[AnyIndex] = sorted(path.glob("*.index")) if path.is_dir() else [path]
        return tuple(ReferenceIndex(each) for each in found if isinstance(each, Path))
    return tuple(each if isinstance(each, ReferenceIndex) else ReferenceIndex(each) for each in index)
