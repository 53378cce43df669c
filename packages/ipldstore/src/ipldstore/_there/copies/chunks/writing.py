"""Where a copy puts its chunks: datasets of ours get their links many at a time, other stores key by key."""

from __future__ import annotations

import asyncio
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from ipld_car import cids, unixfs
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import LocalStore, MemoryStore, ObjectStore, ZipStore

from ipldstore._dataset import values
from ipldstore._format.links import is_raw_sha256
from ipldstore._links.batch import LinkBatch
from ipldstore._there.ends import End
from ipldstore.errors import LOWER_ERRORS, translated

from . import zip_members
from .reading import Chunk

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

    def write_batch(self, chunks: Iterable[Chunk]) -> Iterable[tuple[Chunk, bytes]]:
        """Put chunks, in a thread that may wait; yield each with its link, empty where there are none."""

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
            return self._put(key, data, None)
        link = self._try_write_nowait(key, data)
        return await finished(self._put, key, data, None) if link is None else link

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

    def _put(self, key: str, data: bytes, link: bytes | None) -> bytes:
        """Put a chunk; return its link.

        :param link: the link by which a dataset has just verified the bytes, which are not hashed again where they get
            this link here; None if they come from elsewhere
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

    def write_batch(self, chunks: Iterable[Chunk]) -> Iterator[tuple[Chunk, bytes]]:
        """See :meth:`ChunkWriter.write_batch`: each chunk is put when it is read."""
        for chunk in chunks:
            link = chunk.found if isinstance(chunk.found, bytes) else None
            yield chunk, self._put(chunk.key, chunk.data, link)

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

    def write_batch(self, chunks: Iterable[Chunk]) -> Iterable[tuple[Chunk, bytes]]:
        """See :meth:`ChunkWriter.write_batch`: each chunk is put when it is read."""
        make = default_buffer_prototype().buffer.from_bytes
        for chunk in chunks:
            self._store.set_sync(self._prefix + chunk.key, make(chunk.data))
            yield chunk, b""

    def flush(self) -> None:
        """Return at once: each chunk has its key already."""


class _Uncopied(NamedTuple):
    """Bytes as a zip file of zarr takes them from a buffer, which would make a copy."""

    data: bytes

    def to_bytes(self) -> bytes:
        return self.data


class ZipWriter(StoreWriter):
    """Writes into a zip file of zarr. Threads read chunks and make checksums; one at a time writes its batch.

    With a turn for each chunk, handing it over would take as long as writing it.
    """

    batch_bytes = 1 << 20  # they are in memory until it is their turn, and in the cache of the processor

    def write_batch(self, chunks: Iterable[Chunk]) -> list[tuple[Chunk, bytes]]:
        """See :meth:`ChunkWriter.write_batch`. All chunks are read before the thread waits for its turn."""
        here = list(chunks)
        values = [chunk.data for chunk in here]
        names = [self._prefix + chunk.key for chunk in here]
        is_stored = self._store.compression == zipfile.ZIP_STORED
        members = list(map(zip_members.member, names, values)) if is_stored else []
        with self._store._lock:  # noqa: SLF001  # as set takes it
            archive: zipfile.ZipFile = self._store._zf  # noqa: SLF001  # as set does
            if is_stored and archive.NameToInfo.keys().isdisjoint(names):
                zip_members.append(archive, members, values)
            else:
                for name, data in zip(names, values, strict=True):
                    self._store._set(name, _Uncopied(data))  # noqa: SLF001  # as set does
        return [(chunk, b"") for chunk in here]


def writer_to(target: End) -> ChunkWriter:
    """Return what writes into the end of a copy."""
    if target.dataset is not None:
        return DatasetWriter(target)
    return ZipWriter(target) if type(target.store) is ZipStore else StoreWriter(target)


def can_wait(source: End, target: End) -> bool:
    """Return whether threads copy without an event loop: the target is on this machine, the source too or a bucket."""
    return (_is_at_hand(source) or type(source.store) is ObjectStore) and _is_at_hand(target)


def _is_at_hand(end: End) -> bool:
    if end.dataset is not None:
        return end.dataset.castore.local
    if type(end.store) is ZipStore and not zip_members.are_reachable(end.store):
        return False  # zarr then reads and writes it, in its event loop
    return type(end.store) in _AT_HAND


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
