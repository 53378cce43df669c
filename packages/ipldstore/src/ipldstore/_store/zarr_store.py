"""What zarr asks of a store, over a dataset."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
from ipld_car import cids
from ipld_castore import ContentAddressableStore
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype

from ipldstore._dataset.dataset import Dataset
from ipldstore._read.byte_range import WHOLE, ByteRange

from .async_writes import try_write_async
from .determinism import warn_if_blosc_has_threads
from .executor import in_far_thread
from .zarr_compat import for_zarr

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")

_INLINE_BYTES = 1 << 18
"""Bytes of a value up to which it is hashed in the event loop; above, starting a thread is worth it."""
_BATCH = 1024
"""Keys that are listed at once in another thread, where the blocks are slow."""


class ZarrStore(Store):
    """A dataset as zarr's ``Store``: the keys, read, listed and written.

    :param data: the dataset
    :param read_only: refuse all changes
    """

    supports_writes = True
    supports_deletes = True
    supports_listing = True

    def __init__(self, data: Dataset, *, read_only: bool) -> None:
        super().__init__(read_only=read_only)
        self._data = data

    @property
    def read_only(self) -> bool:
        """Whether changes are refused: the store was opened so, or its root is of another maker."""
        return self._read_only or self._data.tree.foreign is not None

    @property
    def castore(self) -> ContentAddressableStore:
        """Where the blocks are."""
        return self._data.castore

    def __eq__(self, other: object) -> bool:
        """Return whether this is the same store: the same blocks, and the same root or the same changes."""
        if not isinstance(other, ZarrStore):
            return NotImplemented
        return self._data.castore == other._data.castore and self._data.state == other._data.state

    __hash__ = None  # type: ignore[assignment]  # as mutable as its contents

    def __repr__(self) -> str:
        root = self._data.known_root  # a repr in an error message must not raise an error
        unnamed = "with changes" if self._data.needs_persist else "without keys"
        state = unnamed if root is None else cids.to_text(root)
        return f"<{type(self).__name__} {state} over {self.castore!r}>"

    def __str__(self) -> str:
        root = self._data.root
        return f"ipld://{'unfrozen' if root is None else cids.to_text(root)}"

    def __dask_tokenize__(self) -> tuple[object, ...]:
        """Return what dask compares stores by: root and place, never the data."""
        return type(self).__name__, self.castore.address, self._data.state, self.read_only

    def _copy(self, **state: object) -> Self:
        """Return a store over the same contents. ``copy()`` would pickle them, which writes a root."""
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__ | {"_data": self._data} | state)
        return copied

    @property
    def supports_consolidated_metadata(self) -> bool:
        """Whether zarr looks for consolidated metadata: they can be written or may be there. Reads the root at most."""
        return not self.read_only or self._data.may_be_consolidated()

    @property
    def _supports_sync_io(self) -> bool:
        return self.castore.local

    # -- reading --

    async def _run(self, action: Callable[[], T], *, inline: bool) -> T:
        """Run an action here if it is quick, else in a thread."""
        return action() if inline else await self._in_thread(action)

    async def _in_thread(self, action: Callable[[], T]) -> T:
        """Run an action in a thread; where blocks are far away, in one of a larger pool, so that requests overlap."""
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

    # -- listing --

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

    # -- writing --

    def _data_of(self, value: Buffer) -> bytes:
        if not isinstance(value, Buffer):
            raise TypeError(f"expected a zarr Buffer as value, found {type(value).__name__}")
        warn_if_blosc_has_threads()
        return _bytes_of(value.as_numpy_array())  # to_bytes() copies, at three times the cost for a small chunk

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
            if not self._data.castore.blocking:
                self._data.write(key, data, only_new=only_new)
                return
            if not only_new and (
                self._data.try_write_nowait(key, data) or await try_write_async(self._data, key, data)
            ):
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

    # -- the synchronous surface --

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


def _bytes_of(array: npt.NDArray[Any]) -> bytes:
    """Return the bytes of an array: those that a codec has made, if they are all of it; else a copy.

    Nobody can change ``bytes``, while the caller may go on to change an array.
    """
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    if type(base) is bytes and len(base) == array.nbytes and array.flags.c_contiguous:
        return base
    return array.tobytes()


def _below(prefix: str) -> str:
    """Return the prefix of all keys below a directory."""
    return prefix if not prefix or prefix.endswith("/") else prefix + "/"


def _byte_range(byte_range: ByteRequest | None) -> ByteRange:
    """Return the bytes that zarr asks for."""
    if byte_range is None:
        return WHOLE
    if isinstance(byte_range, RangeByteRequest):
        return ByteRange(byte_range.start, byte_range.end)
    if isinstance(byte_range, OffsetByteRequest):
        return ByteRange(byte_range.offset)
    if isinstance(byte_range, SuffixByteRequest):
        return ByteRange(suffix=byte_range.suffix)
    raise ValueError(f"Unexpected byte_range, got {byte_range}.")
