"""Where a copy gets its chunks, in threads that may wait."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from zarr.core.buffer import default_buffer_prototype
from zarr.storage import LocalStore, ObjectStore, ZipStore

from ipldstore._dataset.value_reader import as_it_is
from ipldstore._read.byte_range import WHOLE
from ipldstore._there.ends import End
from ipldstore._tree.lookup import AnyTarget

from . import zip_members

_BINARY: Final = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class Chunk(NamedTuple):
    """A chunk that is copied."""

    key: str
    """Relative to the source."""
    stamp: str | None
    """Its state in the source, before it was read; see :meth:`Taken.stamp`."""
    found: AnyTarget | None
    """What the source has for the key, if it is a dataset."""
    data: bytes


class ChunkReader(Protocol):
    """Reads chunks by their keys, relative to the source."""

    def read_sync(self, key: str, found: AnyTarget | None) -> bytes | None:
        """Return the bytes of a key, in a thread that may wait; None if the key is absent.

        :param found: what a dataset has for the key; None for other sources
        """


class DatasetReader:
    """Reads from a dataset of ours.

    :param source: the dataset, or a group of it
    """

    def __init__(self, source: End) -> None:
        assert source.dataset is not None  # noqa: S101  # see the caller
        self._data = source.dataset._data  # noqa: SLF001  # links of blocks are no keys of zarr
        self._prefix = source.key_prefix

    def read_sync(self, key: str, found: AnyTarget | None) -> bytes | None:
        """See :meth:`ChunkReader.read_sync`; the bytes are those of the link that was found.

        :raises IPLDStoreError: if the bytes are missing, damaged or out of reach
        """
        return self._data.read_found(self._prefix + key, found, WHOLE, as_it_is)


class FolderReader:
    """Reads the files of a LocalStore of zarr.

    :param source: the store, and the path in it
    """

    def __init__(self, source: End) -> None:
        self._root = f"{source.store.root}/{source.prefix}"  # type: ignore[attr-defined]  # of a LocalStore

    def read_sync(self, key: str, found: AnyTarget | None) -> bytes | None:
        """See :meth:`ChunkReader.read_sync`. A file object would ask the system for twice as much."""
        try:
            handle = os.open(self._root + key, os.O_RDONLY | _BINARY)
        except FileNotFoundError:
            return None
        try:
            size = os.fstat(handle).st_size
            data = os.read(handle, size + 1)
            while len(data) != size and (more := os.read(handle, size + 1)):  # it has grown, or one call gives less
                data += more
        finally:
            os.close(handle)
        return data


class ZipReader:
    """Reads the members of a ZipStore of zarr, without the lock that would let one thread read at a time.

    :param source: the store, and the path in it
    """

    def __init__(self, source: End) -> None:
        self._store: Any = source.store
        self._prefix = source.prefix

    def read_sync(self, key: str, found: AnyTarget | None) -> bytes | None:
        """See :meth:`ChunkReader.read_sync`.

        :raises zipfile.BadZipFile: if the member is damaged
        """
        archive: zipfile.ZipFile = self._store._zf  # noqa: SLF001  # threads may share it for reading
        try:
            member = archive.getinfo(self._prefix + key)
        except KeyError:
            return None
        data = zip_members.stored(archive, member)
        return archive.read(member) if data is None else data


class BucketReader:
    """Reads objects from an ObjectStore of zarr. A thread that waits takes less of the processor than an event loop.

    :param source: the store, and the path in it
    """

    def __init__(self, source: End) -> None:
        self._objects: Any = source.store.store  # type: ignore[attr-defined]  # of an ObjectStore
        self._prefix = source.prefix

    def read_sync(self, key: str, found: AnyTarget | None) -> bytes | None:
        """See :meth:`ChunkReader.read_sync`."""
        try:
            return bytes(self._objects.get(self._prefix + key).bytes())
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):  # as zarr's store has it
            return None


class StoreReader:
    """Reads from another store of zarr that needs no event loop.

    :param source: the store, and the path in it
    """

    def __init__(self, source: End) -> None:
        self._store: Any = source.store
        self._prefix = source.prefix
        self._prototype = default_buffer_prototype()  # else zarr asks its configuration for it each time

    def read_sync(self, key: str, found: AnyTarget | None) -> bytes | None:
        """See :meth:`ChunkReader.read_sync`."""
        value = self._store.get_sync(self._prefix + key, prototype=self._prototype)
        return None if value is None else bytes(value.to_bytes())


_READERS: Final[Mapping[type, Callable[[End], ChunkReader]]] = {
    LocalStore: FolderReader,
    ZipStore: ZipReader,
    ObjectStore: BucketReader,
}


def reader_from(source: End) -> ChunkReader:
    """Return what reads from the source of a copy."""
    if source.dataset is not None:
        return DatasetReader(source)
    return _READERS.get(type(source.store), StoreReader)(source)
