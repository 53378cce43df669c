"""Copy a hierarchy from one store to another, chunk by chunk as bytes."""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from concurrent import futures
from typing import Any, Final

import zarr
from multiformats import CID
from zarr.core.buffer import default_buffer_prototype
from zarr.core.common import concurrent_map
from zarr.core.sync import sync
from zarr.storage import ObjectStore

from ipldstore._display.bars import Bar, open_bar
from ipldstore._format import keys
from ipldstore._there.ends import AnyEnd, End, opened
from ipldstore._there.folders import is_leftover

from . import rechunking
from .beside import consolidate, kept_nodes
from .budget import Budget
from .chunks.reading import Chunk, reader_from
from .chunks.writing import can_wait, finished, writer_to
from .in_threads import Threads, copy_in_threads
from .listing import Listing
from .marks import Marks
from .overwriting import require_apart, require_no_others, require_other_zip, require_reachable
from .stale import delete, remove_empty_folders, stale_keys
from .taken import Taken, states_in

_READS: Final = 64
"""Keys that are read at a time where an end is far away; in an event loop as many others may wait to be written."""
_DOCUMENTS: Final = 32
"""Documents that are read at a time."""
_THREADS: Final = max(2, min(8, os.cpu_count() or 1))
"""Threads where both ends are on this machine."""
_THREADS_AT_DISK: Final = max(8, _THREADS)
"""Threads where the target waits for a disk."""
_BATCH: Final = 64
_BATCH_AT_DISK: Final = 4
"""Keys of a batch where each waits for the disk: several threads wait at once then, from few keys on."""
_BATCH_FAR: Final = 2
"""Keys of a batch where each waits for an answer."""
_COMMIT_SECONDS: Final = 60.0
_TASK_KEYS: Final = 256


def copy(
    source: AnyEnd,
    target: AnyEnd,
    *,
    rechunk: Mapping[str, int | tuple[int, ...]] | None = None,
    dask: Any = None,
    overwrite: bool = True,
    storage_options: Mapping[str, Any] | None = None,
    source_options: Mapping[str, Any] | None = None,
    progress: bool | None = None,
) -> CID | None:
    """Copy a zarr hierarchy; return the root if the target is a dataset of ours.

    Chunks are copied as the bytes that they are, with documents and formats as they are, many at a time. Each group and
    array of the source takes the place of what the target has there, an array also of all that is below it. What the
    target has beside them stays, and consolidated metadata say both; a zip file is replaced, when the new one is whole.
    A dataset is frozen now and then, and at the end; a copy that was stopped goes on where it was. What is there
    already is not read again if the source is a dataset of ours (CIDs tell), or has ETags or files (ETag, size and time
    tell, which are noted beside the target; beside a folder of zarr until it is whole).

    :param source: a path or URL, a store, or a group or array of zarr. A path or URL is zarr's if a zarr folder is
        there or it ends in ``.zarr`` or ``.zip``; a repository of icechunk is ``icechunk:s3://bucket/prefix@branch``,
        or the path of its folder; all else is an address of :func:`ipldstore.open`
    :param target: likewise, but for icechunk: there it is the store of a session
    :param rechunk: new lengths of chunks: by the name of a dimension a number, or by the path of an array a tuple; -1
        is the whole axis. Such arrays are decoded and encoded anew; all others are copied as bytes
    :param dask: a ``distributed.Client``, or another executor with ``submit``, whose workers copy the chunks. Source
        and target must be reachable from them, the target a folder, a bucket, or zarr's
    :param overwrite: False refuses a target whose groups or arrays are others than those of the source that go there,
        unless they were copied from it
    :param storage_options: of ``target``, where it is a URL: as :func:`ipldstore.open` has them, or for zarr's URL as
        fsspec has them
    :param source_options: as ``storage_options``, but of ``source``; for a repository of icechunk in a bucket those of
        ``icechunk.s3_storage`` or ``icechunk.gcs_storage``
    :param progress: whether to show a bar; by default in a notebook, and where standard error is a terminal
    :raises ValueError: if there is no hierarchy, or ``rechunk`` names what is not there: the target is not opened then.
        Also if the source would be written over itself, what stays beside it has the other zarr format, options are
        given for what is no URL, or workers of ``dask`` cannot write the target
    :raises FileExistsError: if ``overwrite`` is false, and something would be overwritten; nothing has changed then
    :raises IPLDStoreError: if a block of a dataset cannot be read or written

    >>> import pathlib, tempfile, zarr, ipldstore
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> array = zarr.create_array(folder / "a.zarr", shape=(4,), chunks=(2,), dtype="i4")
    >>> array[:] = [1, 2, 3, 4]
    >>> root = copy(folder / "a.zarr", folder / "a.car")
    >>> copy(folder / "a.car", folder / "b.zarr")
    >>> zarr.open_array(folder / "b.zarr")[:].tolist()
    [1, 2, 3, 4]
    """
    with opened(source, writing=False, options=source_options) as begin:
        listing = Listing(begin)
        documents = sync(_documents(begin, listing))
        plans = rechunking.plans(documents, rechunk or {})
        require_reachable(target, dask)
        require_other_zip(source, target, overwrite=overwrite)
        with opened(target, writing=True, options=storage_options) as end:
            if end.store.read_only:
                raise ValueError(f"expected a target that can be written, found one that is read-only: {end.store}")
            require_apart(begin, end, documents)
            with open_bar("copying", unit="B", progress=progress) as bar:
                task = _Copy(begin, end, listing, Budget.of(documents), dask, bar)
                return task.run(documents, plans, overwrite=overwrite)


def copy_chunks(source: zarr.Array[Any], target: zarr.Array[Any]) -> None:
    """Copy the chunks of an array as bytes to another one with the same metadata. Nothing is frozen."""
    begin, end = (End(array.store_path.store, array.store_path.path, None) for array in (source, target))
    budget = Budget({"": math.prod(source.shards or source.chunks) * source.dtype.itemsize})
    with open_bar("copying", unit="B", progress=False) as bar:
        _Copy(begin, end, Listing(begin), budget, None, bar, commits=False).copy_chunks()


async def _documents(source: End, listing: Listing) -> dict[str, bytes]:
    """Return the documents below a source by key, groups before what is in them.

    :raises ValueError: if there are none
    """

    async def get(key: str) -> tuple[str, Any]:
        return key, await source.store.get(source.prefix + key, default_buffer_prototype())

    wanted = [(key,) async for key in listing.keys() if key.rpartition("/")[2] in keys.DOCUMENTS]
    found = {key: data.to_bytes() for key, data in await concurrent_map(wanted, get, _DOCUMENTS) if data is not None}
    if not found:
        raise ValueError(f"expected a zarr hierarchy, found none in {source.store} at {source.path!r}")
    return dict(sorted(found.items(), key=lambda item: (item[0].count("/"), item[0])))


class _Copy:
    """One copy.

    :param commits: whether a target that is a dataset is frozen now and then
    """

    def __init__(
        self,
        source: End,
        target: End,
        listing: Listing,
        budget: Budget,
        dask: Any,
        bar: Bar,
        *,
        commits: bool = True,
    ) -> None:
        self._source = source
        self._target = target
        self._dask = dask
        self._bar = bar
        self._budget = budget
        self._marks = Marks(target.marks, _name_of(source), states_in(target))
        self._listing = listing
        self._reading = asyncio.Semaphore(_READS)
        self._reader = reader_from(source)
        self._writer = writer_to(target)
        self._taken = Taken(source, target, listing, self._marks)
        self._committing = threading.Lock()
        self._lock = threading.Lock()
        """Of the bar, and of when was committed."""
        self._committed = time.monotonic()
        self._commit_seconds = _COMMIT_SECONDS if commits else math.inf

    def run(self, documents: Mapping[str, bytes], plans: rechunking.Plans, *, overwrite: bool) -> CID | None:
        """Copy documents first, then chunks as bytes, then what is rechunked; return the root of a dataset."""
        with self._marks as marks:
            kept = self._begin(documents, plans, overwrite=overwrite)
            try:
                self._copy_values(plans)
            except BaseException:
                if self._target.dataset is None:
                    marks.commit()  # what is noted is where it belongs; of a dataset it is not frozen
                raise
            sync(consolidate(documents, self._target, kept))
            if self._target.dataset is None:
                marks.forget()  # they are for a copy that was stopped alone: folders of zarr are not littered
                return None
            root = self._target.dataset.freeze()  # once: a second time would ask a bucket for its head
            marks.commit()
            return root

    def _begin(self, documents: Mapping[str, bytes], plans: rechunking.Plans, *, overwrite: bool) -> list[str]:
        """Make place for the source, and write its documents; return the nodes that stay beside it."""
        if not overwrite and not self._was_copied(self._marks):
            require_no_others(self._target, {**documents, **plans.documents})
        stale = sync(stale_keys(documents, self._source, self._target, plans.paths))
        kept = sync(kept_nodes(documents, self._target, stale))
        sync(delete(self._target, stale))
        remove_empty_folders(documents, self._target)
        for key, text in documents.items():
            sync(self._target.store.set(self._target.prefix + key, _buffer(plans.documents.get(key, text))))
        return kept

    def _copy_values(self, plans: rechunking.Plans) -> None:
        if self._dask is None:
            self._copy_chunks(plans.paths)
        else:
            self._submit_all(plans.paths)
        for plan in plans.arrays:
            plan.copy(self._source, self._target, self._bar)

    def _was_copied(self, marks: Marks) -> bool:
        """Return whether the target has a chunk that was noted: notes can outlive their file, or another source."""
        there = self._target.dataset
        if there is None:
            return False
        prefix = self._target.key_prefix
        links = ((there._data.find(prefix + key), noted) for key, noted in marks.known.items())  # noqa: SLF001  # see above
        return any(isinstance(link, bytes) and noted.endswith(f" {link.hex()}") for link, noted in links)

    def copy_chunks(self) -> None:
        """Copy chunks as bytes, and nothing else."""
        self._copy_chunks(())

    def _copy_chunks(self, rechunked: tuple[str, ...]) -> None:
        self._taken.look()
        chunk_keys = self._chunk_keys(rechunked)
        if can_wait(self._source, self._target):
            copy_in_threads(chunk_keys, self._budget, self._threads(), self._copy_batch)
        else:
            sync(self._copy_in_loop(chunk_keys))
        self._writer.flush()

    def _threads(self) -> Threads:
        """Return how many threads copy, and what they take at a time."""
        target = self._target.dataset
        if type(self._source.store) is ObjectStore:
            return Threads(_READS, _BATCH_FAR, self._writer.batch_bytes)
        if target is not None and target.castore.blocking:
            return Threads(_THREADS_AT_DISK, _BATCH_AT_DISK, self._writer.batch_bytes)
        return Threads(_THREADS, _BATCH, self._writer.batch_bytes)

    async def _chunk_keys(self, rechunked: tuple[str, ...]) -> AsyncGenerator[str, None]:
        """Yield the keys that are copied as bytes, relative to the source."""
        async for key in self._listing.keys():
            if key.startswith(rechunked) or key.rpartition("/")[2] in keys.DOCUMENTS or is_leftover(key):
                continue
            yield key

    async def _copy_in_loop(self, chunk_keys: AsyncIterator[str]) -> None:
        """Copy chunks in tasks, of one key each."""
        queue: asyncio.Queue[str | None] = asyncio.Queue(2 * _READS)
        budget = self._budget

        async def work() -> None:
            while (key := await queue.get()) is not None:
                async with budget.held(budget.size(key)):
                    self._bar.update(await self._copy_key(key))
                if self._commit_is_due():
                    await finished(self._commit)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(2 * _READS):
                    group.create_task(work())
                async for key in chunk_keys:
                    await queue.put(key)
                for _ in range(2 * _READS):
                    await queue.put(None)
        except ExceptionGroup as errors:
            first = errors.exceptions[0]  # what one key has stopped, and other keys like it
            raise first from first.__cause__  # the command words what the cause says

    def _commit_is_due(self) -> bool:
        """Return whether what was copied is to be frozen and noted now; true once, then not for a while."""
        if not self._marks.are_kept and self._target.dataset is None:
            return False
        with self._lock:
            is_due = time.monotonic() - self._committed > self._commit_seconds
            if is_due:
                self._committed = time.monotonic()
        return is_due

    def _commit(self) -> None:
        with self._committing:
            noted = self._marks.mark()
            self._writer.flush()
            if self._target.dataset is not None:
                self._target.dataset.freeze()
            self._marks.commit(noted)

    async def _copy_key(self, key: str) -> int:
        """Copy a key; return the number of bytes."""
        own = self._taken.own(key)
        stamp = self._taken.stamp(key, own)
        if self._taken.is_there(key, own, stamp):
            return 0
        async with self._reading:
            data = await self._source.store.get(self._source.prefix + key, default_buffer_prototype())
        if data is None:  # deleted since it was listed
            return 0
        return self._note(key, stamp, await self._writer.write(key, data), len(data))

    def _copy_batch(self, batch: list[str]) -> None:
        """Copy keys in a thread that may wait."""
        size = 0
        for chunk, link in self._writer.write_batch(self._read_batch(batch)):
            size += self._note(chunk.key, chunk.stamp, link, len(chunk.data))
        with self._lock:
            self._bar.update(size)
        if self._commit_is_due():
            self._commit()

    def _read_batch(self, batch: list[str]) -> Iterator[Chunk]:
        """Yield the chunks that the target has not."""
        for key in batch:
            found = self._taken.own(key)
            stamp = self._taken.stamp(key, found)
            if self._taken.is_there(key, found, stamp):
                continue
            data = self._reader.read_sync(key, found)
            if data is not None:  # else deleted since it was listed
                yield Chunk(key, stamp, found, data)

    def _note(self, key: str, stamp: str | None, link: bytes, size: int) -> int:
        """Note a chunk that was put; return its size."""
        self._budget.note(key, size)
        self._taken.note(key, stamp, link)
        return size

    def _submit_all(self, rechunked: tuple[str, ...]) -> None:
        """Submit the chunks to the workers of a cluster or executor, some hundred keys a task."""

        async def batches() -> list[list[str]]:
            found: list[list[str]] = []
            async for key in self._chunk_keys(rechunked):
                if not found or len(found[-1]) >= _TASK_KEYS:
                    found.append([])
                found[-1].append(key)
            return found

        ends = self._source._replace(marks=None), self._target._replace(marks=None)
        tasks = [self._dask.submit(copy_keys, *ends, batch) for batch in sync(batches())]
        try:
            for task in tasks:
                self._bar.update(task.result())
        except BaseException:
            # Nothing runs on while the caller closes what tasks use, but tasks that a cluster has begun.
            running = [task for task in tasks if not task.cancel() and isinstance(task, futures.Future)]
            futures.wait(running)
            raise


def _name_of(source: End) -> str:
    """Return what tells a source from others, in notes; of a dataset without its root, as links are noted."""
    store = source.store if source.dataset is None else source.dataset.castore.address
    return f"{store}/{source.key_prefix.rstrip('/')}"


def copy_keys(source: End, target: End, names: list[str]) -> int:
    """Copy some keys in a worker; return the number of bytes."""

    async def copy_all() -> int:
        size = 0
        for key in names:
            data = await source.store.get(source.prefix + key, default_buffer_prototype())
            if data is not None:
                await target.store.set(target.prefix + key, data)
                size += len(data)
        return size

    return sync(copy_all())


def _buffer(text: bytes) -> Any:
    return default_buffer_prototype().buffer.from_bytes(text)
