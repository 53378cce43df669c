"""The zarr store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from ipld_car import cids
from ipld_castore import AnyCID, ContentAddressableStore, MappingCAStore, SupportsHead
from multiformats import CID
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype

from ipldstore._dataset.carried import CarriedDataset
from ipldstore._dataset.castores import AnyCAStore, castore_of
from ipldstore._dataset.dataset import CLOSED, Dataset
from ipldstore._dataset.lifecycle import Opened, close
from ipldstore._read.byte_range import WHOLE, ByteRange
from ipldstore._tree.stats import Stats
from ipldstore._writers.take_in import OnConflict
from ipldstore.errors import IPLDStoreError, store_errors

from .archives import ArchiveVerbs
from .determinism import warn_if_blosc_has_threads
from .executor import in_far_thread
from .mapping import DictVerbs
from .names import NameVerbs
from .writers import WriterVerbs
from .zarr_compat import for_zarr

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")

_INLINE_BYTES = 1 << 18
"""Values up to this size are hashed where they are; above, a thread of their own is worth its start."""
_BATCH = 1024
"""Keys that are listed at once in another thread, where the blocks are slow."""


class IPLDStore(ArchiveVerbs, DictVerbs, NameVerbs, WriterVerbs):
    """A zarr store, formats 2 and 3, whose contents are an IPLD graph with one root CID.

    What is written changes the tree in memory and puts blocks into ``castore``; :meth:`freeze` writes the tree and
    returns the CID of the root. The same contents give the same CID, whatever the order, the history, the
    backend or the version of zarr. All bytes that are read are verified against the CIDs that name them.

    Keys are what zarr uses; also a ``dict``'s verbs work (``store["a/.zarray"]``, ``in``, ``del``, ``len``,
    iteration), and :attr:`mapping` is a full ``MutableMapping``.

    Threads may read and write at once. Copies in other processes (by pickle, as dask makes them) read, and write where
    ``castore`` is one that both processes reach and that has a journal, as a folder has: this store takes in what they
    write. Elsewhere they refuse to write, as the changes would be lost, and :meth:`fork` and :meth:`merge` help. In one
    process a pickle is the same store again.

    :param castore: where the blocks are, by default in memory; another IPLDStore stands for its ``castore``
    :param root: a root to begin with, as CID object, text or bytes; by default the one that ``castore`` names as its
        head, as a CAR file does, or else the dataset is empty
    :param read_only: refuse all changes
    :raises IPLDStoreError: if the root cannot be read

    >>> store = IPLDStore()
    >>> store["a/0"] = b"chunk"
    >>> print(store.freeze())
    bafyreieyzoqqgs3l3tinb3llbqke53v2i52plrc67tdqih2ddciwjaqrh4
    >>> sorted(store), store["a/0"]
    (['a/0'], b'chunk')
    """

    supports_writes = True
    supports_deletes = True
    supports_listing = True

    def __init__(
        self,
        castore: AnyCAStore | None = None,
        *,
        root: AnyCID | None = None,
        read_only: bool = False,
    ) -> None:
        super().__init__(read_only=read_only)
        store = MappingCAStore() if castore is None else castore_of(castore)
        if root is None:
            with store_errors("reading the root"):
                root = store.head if store.persist_moves_head and isinstance(store, SupportsHead) else None
        self._data = Dataset(store, None if root is None else cids.to_bytes(root))
        self._opened: Opened | None = None
        self._is_view = False
        self._is_closed = False
        self._pickled: CarriedDataset | None = None
        """What this store came out of."""
        self._changes_when_pickled = 0

    @property
    def castore(self) -> ContentAddressableStore:
        """Where the blocks are."""
        return self._data.castore

    def close(self) -> None:
        """Close the store: freeze what has changed, and refuse to change anything from now on.

        A store that :func:`ipldstore.open` opened also releases its file or folder; the ``castore`` of any other store
        stays open. Closing again changes nothing. Closing another view of the store, or a copy out of a pickle, closes
        that alone. If the changes cannot be frozen, the store stays open with its changes; ``castore.abandon()``
        releases a CAR file without them.

        :raises IPLDStoreError: if blocks cannot be written
        """
        if not self._is_view:
            if self._opened is None:
                close(self._data)
            else:
                self._opened.close()
        self._is_closed = True
        super().close()

    def _become_fork(self, data: Dataset) -> None:
        self._data, self._pickled = data, None
        self._opened, self._is_view, self._is_closed, self._read_only = None, True, False, False

    def _check_writable(self) -> None:
        super()._check_writable()
        if self._is_closed:
            raise IPLDStoreError(CLOSED)

    # -- roots --

    @property
    def root_cid(self) -> CID | None:
        """The CID of the contents; None while there are changes that are not frozen, and before the first freeze."""
        root = self._data.root
        return None if root is None else cids.from_validated(root)

    @property
    def has_changes(self) -> bool:
        """Whether there are changes that are not frozen. To pickle is not to freeze: ``castore`` knows no root."""
        return self._data.has_changes

    @property
    def base_root(self) -> CID | None:
        """The CID of the root that changes go on from, whether there are any or not; None for a new, empty store.

        >>> store = IPLDStore()
        >>> store["a/0"] = b"chunk"
        >>> store.has_changes, store.root_cid, store.base_root
        (True, None, None)
        >>> root = store.freeze()
        >>> store["a/1"] = b"another"
        >>> store.has_changes, store.root_cid, store.base_root == root
        (True, None, True)
        """
        root = self._data.frozen_root
        return None if root is None else cids.from_validated(root)

    def freeze(self, on_conflict: OnConflict = "raise") -> CID:
        """Write what has changed and have ``castore`` keep it; returns the CID of the root. Nothing is lost after it.

        Keeping is what the backend makes of it: at least what was put is where it stays. It reads and writes only what
        changed, and the neighbours that a merge needs. If it fails the changes are still there, and a second call goes
        on.

        :param on_conflict: what to do where writers in other processes have changed one key, as in :meth:`merge`;
            "first" takes what the writer has whose name sorts first
        :raises ConflictError: if changes of writers conflict, or another process has moved the head or taken over the
            session; the changes are still there
        :raises IPLDStoreError: if blocks cannot be written, or this is a copy with changes in another process
        """
        # A reader of a root does not decide whether the backend keeps it.
        return cids.from_validated(self._data.frozen() if self.read_only else self._data.freeze(on_conflict))

    def set_root(self, cid: AnyCID, *, discard_changes: bool = False) -> None:
        """Go on from a root.

        :param cid: the root, as CID object, text or bytes
        :param discard_changes: lose changes that are not frozen, instead of refusing where there are any
        :raises IPLDStoreError: if the root cannot be read, or changes would be lost; then nothing changes
        :raises ValueError: if this is no CID, or the store is read-only and there are changes of its writer

        >>> store = IPLDStore()
        >>> root = store.freeze()
        >>> store["a/0"] = b"chunk"
        >>> store.set_root(root, discard_changes=True)
        >>> "a/0" in store
        False
        """
        root = cids.to_bytes(cid)
        what = f"going to the root {cids.to_text(root)}"
        if self._data.has_changes:  # a read-only view of a store must not drop what its writer has
            self._check_writable()
            if not discard_changes:
                self._data.require_no_changes(what)
        self._data.set_root(root, what, discard_changes=discard_changes)

    def canonicalize(self) -> CID:
        """Write all keys again, and return the root that a conforming writer gives these contents.

        For roots of other writers; reads all there is.
        """
        self._check_writable()
        return cids.from_validated(self._data.canonicalize())

    def stats(self) -> Stats:
        """Return the numbers of keys, and of blocks of the indexes as freezing would make them.

        Writes nothing, and reads no leaf of a chunk index that has not changed. With changes that are not frozen, the
        nodes that freezing would write are made in memory.

        >>> store = IPLDStore()
        >>> store["a/0"] = b"chunk"
        >>> store.stats()
        Stats(keys=1, index_blocks=0)
        """
        return self._data.stats()

    # -- as a zarr store: what it is --

    def __eq__(self, other: object) -> bool:
        """Whether this is the same store: the same blocks, and the same root or the same changes."""
        if not isinstance(other, IPLDStore):
            return NotImplemented
        return self._data.castore == other._data.castore and self._data.state == other._data.state

    __hash__ = None  # type: ignore[assignment]  # as mutable as its contents

    def __repr__(self) -> str:
        root = self._data.known_root  # what is printed in an error must not raise one
        unnamed = "with changes" if self._data.needs_persist else "without keys"
        state = unnamed if root is None else cids.to_text(root)
        return f"<{type(self).__name__} {state} over {self.castore!r}>"

    def __str__(self) -> str:
        return f"ipld://{self.root_cid or 'unfrozen'}"

    def __dask_tokenize__(self) -> tuple[object, ...]:
        """Return what dask compares stores by: root and place, never the data."""
        return type(self).__name__, self.castore.address, self._data.state, self.read_only

    def with_read_only(self, read_only: bool = False) -> Self:
        """Return another view of the same contents, changes included; it is not open yet."""
        view = object.__new__(type(self))  # copy() would make it as a pickle does, which writes a root
        state = {"_is_open": False, "_read_only": read_only, "_is_view": True, "_is_closed": False}
        view.__dict__.update(self.__dict__ | state)  # with _opened: it keeps open what it does not close
        return view

    def __getstate__(self) -> dict[str, Any]:
        # A pickle of what came out of a pickle is the same pickle, without I/O: schedulers pickle a store once a task.
        if self._pickled is None or self._data.own_changes != self._changes_when_pickled:
            carried = CarriedDataset(self._data, shared=not self.read_only)
        else:
            carried = self._pickled
        # A copy does not close the store.
        return self.__dict__ | {"_opened": None, "_is_view": True, "_data": None, "_pickled": carried}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        assert self._pickled is not None  # noqa: S101  # see above
        self._data = self._pickled.dataset()
        self._changes_when_pickled = self._data.own_changes

    @property
    def supports_consolidated_metadata(self) -> bool:
        """Whether it can be written, or may be there: zarr looks for it then. Reads no block but the root."""
        return not self.read_only or self._data.may_be_consolidated()

    @property
    def _supports_sync_io(self) -> bool:
        return self.castore.local

    # -- as a zarr store: reading --

    async def _run(self, action: Callable[[], T], *, inline: bool) -> T:
        """Run an action here if it is quick, else in a thread."""
        return action() if inline else await self._in_thread(action)

    async def _in_thread(self, action: Callable[[], T]) -> T:
        """Run an action in a thread: where blocks are far away, in one of many, so that all wait side by side."""
        return await (asyncio.to_thread(action) if self.castore.local else in_far_thread(action))

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return the bytes of a key, verified; None if it is absent.

        :raises IPLDStoreError: if the key is there and its bytes cannot be had, or are not the ones named
        """
        self._is_open = True
        wanted = _byte_range(byte_range)
        value: bytes | None
        if self.castore.blocking:
            value = self._data.get_cached(key) if byte_range is None else None
            if value is None:
                value = await self._in_thread(lambda: self._data.read(key, wanted, for_zarr))
        else:
            found = self._data.find(key)
            if found is None:
                return None
            value = self._data.values.try_read_nowait(found, wanted, for_zarr, _INLINE_BYTES)
            if value is None:
                value = await asyncio.to_thread(self._data.values.read, key, found, wanted, for_zarr)
        return None if value is None else (prototype or default_buffer_prototype()).buffer.from_bytes(value)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return the bytes of several keys or parts of them, in their order; see :meth:`get`."""
        return list(await asyncio.gather(*(self.get(key, prototype, wanted) for key, wanted in key_ranges)))

    async def exists(self, key: str) -> bool:
        """Return whether a key is there; its blocks are not read."""
        return await self._run(lambda: self._data.find(key) is not None, inline=not self.castore.blocking)

    async def getsize(self, key: str) -> int:
        """Return how many bytes a key has, without reading them.

        :raises FileNotFoundError: if it is absent
        """
        size = await self._run(lambda: self._data.size(key), inline=not self.castore.blocking)
        if size is None:
            raise FileNotFoundError(key)
        return size

    async def getsize_prefix(self, prefix: str) -> int:
        """Return how many bytes all keys below a directory have."""
        sizes = self._data.sizes(_below(prefix))
        return await self._run(lambda: sum(sizes), inline=not self.castore.blocking)

    # -- as a zarr store: listing --

    async def _stream(self, names: Callable[[], Iterator[str]]) -> AsyncIterator[str]:
        """Yield the items of an iterator, which runs in a thread where it may wait for blocks."""
        found = names()
        if not self.castore.blocking:
            for name in found:
                yield name
            return
        while batch := await self._in_thread(lambda: list(islice(found, _BATCH))):
            for name in batch:
                yield name

    def list(self) -> AsyncIterator[str]:
        """Yield all keys, as they were at the first step."""
        return self._stream(self._data.keys)

    def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield all keys that begin with a prefix, as they were at the first step."""
        return self._stream(lambda: self._data.keys(prefix))

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names directly below a directory; below a group this reads no chunk index."""
        return self._stream(lambda: self._data.names(prefix.rstrip("/")))

    async def is_empty(self, prefix: str) -> bool:
        """Return whether there are no keys below a directory."""
        async for _ in self.list_prefix(_below(prefix)):
            return False
        return True

    # -- as a zarr store: writing --

    def _data_of(self, value: Buffer) -> bytes:
        if not isinstance(value, Buffer):
            raise TypeError(f"expected a zarr Buffer as value, found {type(value).__name__}")
        warn_if_blosc_has_threads()
        return value.as_numpy_array().tobytes()  # to_bytes() does the same, at three times the cost for a small chunk

    async def set(self, key: str, value: Buffer) -> None:
        """Give a key its bytes; the block is written now, the tree at the next freeze.

        :raises ValueError: if the format does not allow the key, or the store is read-only
        :raises IPLDStoreError: if the block cannot be written, or this is a copy in another process
        """
        await self._write(key, value, only_new=False)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Give a key its bytes if it is absent; see :meth:`set`."""
        await self._write(key, value, only_new=True)

    async def _write(self, key: str, value: Buffer, *, only_new: bool) -> None:
        self._check_writable()
        self._is_open = True
        data = self._data_of(value)
        if len(data) <= _INLINE_BYTES:
            if not self.castore.blocking:
                self._data.write(key, data, only_new=only_new)
                return
            if not only_new and self._data.try_write_nowait(key, data):
                return
        await self._in_thread(lambda: self._data.write(key, data, only_new=only_new))

    async def delete(self, key: str) -> None:
        """Delete a key; deleting an absent key changes nothing."""
        self._check_writable()
        self._is_open = True
        await self._run(lambda: self._data.delete(key), inline=not self.castore.blocking)

    async def delete_dir(self, prefix: str) -> None:
        """Delete all keys below a directory; the nodes of an index below it are not read."""
        self._check_writable()
        self._is_open = True
        await self._run(lambda: self._data.delete_below(prefix.rstrip("/")), inline=not self.castore.blocking)

    async def clear(self) -> None:
        """Delete all keys."""
        await self.delete_dir("")

    # -- as a zarr store: the synchronous surface --

    def get_sync(
        self, key: str, *, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """See :meth:`get`."""
        self._is_open = True
        data = self._data.read(key, _byte_range(byte_range), for_zarr)
        return None if data is None else (prototype or default_buffer_prototype()).buffer.from_bytes(data)

    def set_sync(self, key: str, value: Buffer) -> None:
        """See :meth:`set`."""
        self._check_writable()
        self._is_open = True
        self._data.write(key, self._data_of(value))

    def delete_sync(self, key: str) -> None:
        """See :meth:`delete`."""
        self._check_writable()
        self._is_open = True
        self._data.delete(key)


def _below(prefix: str) -> str:
    """The prefix of all keys below a directory."""
    return prefix if not prefix or prefix.endswith("/") else prefix + "/"


def _byte_range(byte_range: ByteRequest | None) -> ByteRange:
    """The bytes that zarr asks for."""
    if byte_range is None:
        return WHOLE
    if isinstance(byte_range, RangeByteRequest):
        return ByteRange(byte_range.start, byte_range.end)
    if isinstance(byte_range, OffsetByteRequest):
        return ByteRange(byte_range.offset)
    if isinstance(byte_range, SuffixByteRequest):
        return ByteRange(suffix=byte_range.suffix)
    raise ValueError(f"Unexpected byte_range, got {byte_range}.")
