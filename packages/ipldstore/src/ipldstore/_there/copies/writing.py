"""Where a copy puts its chunks: datasets of ours get their links many at a time, other stores key by key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from ipld_car import cids, unixfs
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import LocalStore, MemoryStore, ZipStore

from ipldstore._dataset import values
from ipldstore._format.links import is_raw_sha256
from ipldstore._links.batch import LinkBatch
from ipldstore._there.ends import End
from ipldstore.errors import LOWER_ERRORS, translated

T = TypeVar("T")

_INLINE_BYTES: Final = 1 << 18
"""Values up to this size are hashed where they are; above, a thread of their own is worth its start."""
_AT_HAND: Final = (LocalStore, MemoryStore, ZipStore)
"""Stores of zarr that read and write without an event loop; classes derived from them may need one."""


class ChunkWriter(Protocol):
    """Puts chunks by their keys, relative to the target."""

    batch_bytes: int
    """Bytes that a thread copies in one go, as far as the largest chunk so far tells; the bar moves after them."""

    async def write(self, key: str, value: Buffer) -> bytes:
        """Put a chunk; return its link, empty where there are none."""

    def write_sync(self, key: str, data: bytes, link: bytes | None) -> bytes:
        """Put a chunk, in a thread that may wait; return its link, empty where there are none.

        :param link: the link by which a dataset has just verified the bytes; None where they come from elsewhere
        """

    def turn(self, chunks: Iterable[T]) -> AbstractContextManager[Iterable[T]]:
        """Give the chunks of a thread when it may write them; where one thread writes at a time, they are read then."""

    def flush(self) -> None:
        """Return when the store has the keys of all chunks that were put."""


class DatasetWriter:
    """Writes into a dataset of ours. Safe with threads.

    :param target: the dataset, or a group of it
    """

    batch_bytes = 8 << 20

    def __init__(self, target: End) -> None:
        assert target.dataset is not None  # noqa: S101  # see the caller
        self._data = target.dataset._data  # noqa: SLF001  # links of blocks are no keys of zarr
        self._prefix = target.key_prefix
        self._batch = LinkBatch(self._data)

    async def write(self, key: str, value: Buffer) -> bytes:
        """See :meth:`ChunkWriter.write`."""
        data = value.as_numpy_array().tobytes()  # to_bytes() does the same, at three times the cost for a small chunk
        if len(data) <= _INLINE_BYTES and not self._data.castore.blocking:
            return self.write_sync(key, data, None)
        link = self._try_write_nowait(key, data)
        return await finished(self.write_sync, key, data, None) if link is None else link

    def _try_write_nowait(self, key: str, data: bytes) -> bytes | None:
        """Put a chunk if nothing has to be waited for; return its link, None if it was not put.

        A store that collects what it sends far away has room most of the time. Others are not asked: a chunk would be
        hashed twice. In a session of several writers a key waits for its note.
        """
        castore = self._data.castore
        if castore.local or self._data.sharing is not None or len(data) > _INLINE_BYTES:
            return None
        try:
            link = values.try_put_nowait(castore, data)
        except LOWER_ERRORS as error:
            raise translated(f"writing {key!r}", error) from error
        if link is not None:
            self._batch.add(self._prefix + key, link)
        return link

    def write_sync(self, key: str, data: bytes, link: bytes | None) -> bytes:
        """See :meth:`ChunkWriter.write_sync`; bytes whose link is known, and is the one they get here, are not hashed.

        :raises IPLDStoreError: if the block cannot be put
        """
        try:
            if link is not None and is_raw_sha256(link) and len(data) <= unixfs.CHUNK_SIZE:
                self._data.castore.put_block(cids.from_validated(link), data)
            else:
                link = values.put_bytes(self._data.castore, data)
        except LOWER_ERRORS as error:
            raise translated(f"writing {key!r}", error) from error
        self._batch.add(self._prefix + key, link)
        return link

    def turn(self, chunks: Iterable[T]) -> AbstractContextManager[Iterable[T]]:
        """See :meth:`ChunkWriter.turn`: at once."""
        return nullcontext(chunks)

    def flush(self) -> None:
        """See :meth:`ChunkWriter.flush`."""
        self._batch.flush()


class StoreWriter:
    """Writes into a store of zarr.

    :param target: the store, and the path in it
    """

    batch_bytes = 8 << 20

    def __init__(self, target: End) -> None:
        self._store: Any = target.store
        self._prefix = target.prefix

    async def write(self, key: str, value: Buffer) -> bytes:
        """See :meth:`ChunkWriter.write`."""
        await self._store.set(self._prefix + key, value)
        return b""

    def write_sync(self, key: str, data: bytes, link: bytes | None) -> bytes:
        """See :meth:`ChunkWriter.write_sync`."""
        self._store.set_sync(self._prefix + key, default_buffer_prototype().buffer.from_bytes(data))
        return b""

    def turn(self, chunks: Iterable[T]) -> AbstractContextManager[Iterable[T]]:
        """See :meth:`ChunkWriter.turn`: at once."""
        return nullcontext(chunks)

    def flush(self) -> None:
        """Return at once: each chunk has its key already."""


class _Uncopied(NamedTuple):
    """Bytes as a zip file of zarr takes them from a buffer, which would make a copy."""

    data: bytes

    def to_bytes(self) -> bytes:
        return self.data


class ZipWriter(StoreWriter):
    """Writes into a zip file of zarr, whose only way without an event loop is what its own set calls."""

    batch_bytes = 1 << 20  # they are in memory until it is their turn, and in the cache of the processor

    @contextmanager
    def turn(self, chunks: Iterable[T]) -> Iterator[Iterable[T]]:
        """See :meth:`ChunkWriter.turn`.

        A thread writes a batch in one go, and others read meanwhile: with a turn for each chunk, handing it over takes
        as long as writing it.
        """
        here = list(chunks)
        with self._store._lock:  # noqa: SLF001  # as set takes it
            yield here

    def write_sync(self, key: str, data: bytes, link: bytes | None) -> bytes:
        """See :meth:`ChunkWriter.write_sync`, in the turn of the thread."""
        self._store._set(self._prefix + key, _Uncopied(data))  # noqa: SLF001  # see above
        return b""


def writer_to(target: End) -> ChunkWriter:
    """Return what writes into the end of a copy."""
    if target.dataset is not None:
        return DatasetWriter(target)
    return ZipWriter(target) if type(target.store) is ZipStore else StoreWriter(target)


def can_wait(source: End, target: End) -> bool:
    """Return whether both ends read and write without an event loop, so that a thread copies a chunk in one go.

    Not from memory into a zip file: one thread at a time writes that, and there is nothing that others could read.
    """
    from_memory = type(source.store) is MemoryStore and type(target.store) is ZipStore
    return _is_at_hand(source) and _is_at_hand(target) and not from_memory


def _is_at_hand(end: End) -> bool:
    return type(end.store) in _AT_HAND if end.dataset is None else end.dataset.castore.local


async def finished(action: Callable[..., T], *arguments: Any) -> T:
    """Return the result of an action in a thread; if the caller is cancelled, when the thread has ended.

    Nothing runs on then while the caller closes what the thread uses.
    """
    task = asyncio.ensure_future(asyncio.to_thread(action, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # what cancelled the caller is told; asyncio would print this too
        raise
