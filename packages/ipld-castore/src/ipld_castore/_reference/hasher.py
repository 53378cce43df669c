"""Hashing ranges of files, each byte read once."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from ipld_castore.concurrency import in_order
from ipld_castore.errors import BlockCorruptError

from . import hashing
from .allow import AllowList, is_url
from .processes import HashProcesses
from .ranges import OPEN_FLAGS, FileRanges, LocalRanges

_REMOTE_SPAN_BYTES: Final = 4 << 20
_GAP_BYTES: Final = 64 << 10
"""Bytes between two ranges that are read together."""
_TASK_BYTES: Final = 8 << 20
"""Bytes that one thread hashes at a time of a file of this machine, which it opens once for them."""
_THREADS: Final = max(2, min(8, os.cpu_count() or 1))
_REMOTE_THREADS: Final = 16

Range = tuple[int, int]
"""Offset and length in bytes."""


class _Span(NamedTuple):
    """Ranges of one file that are read together."""

    start: int
    stop: int
    ranges: list[int]
    """Positions of the ranges in what was asked for."""


class _Task(NamedTuple):
    """What one thread does at a time."""

    name: str
    ranges: Sequence[Range]
    """All ranges of the file."""
    spans: list[_Span]
    tasks: int | None
    """How many tasks the file has, with the first of them; else None."""

    @property
    def positions(self) -> Iterator[int]:
        """The positions of the ranges of the task in those of the file."""
        return (position for span in self.spans for position in span.ranges)


class RangeHasher:
    """Hash ranges of files with sha2-256, side by side in threads. Nothing is kept but the digests.

    In a ``with`` statement, files of this machine are hashed in processes from the 65th MiB on: other threads of this
    one then run Python meanwhile, without waiting for it. Threads may share a hasher.

    :param allow: folders, files and URLs that may be read; None for any
    :param storage_options: see :class:`ReferenceCAStore`

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "x")
    >>> _ = path.write_bytes(b"header, then a chunk")
    >>> [[digest.hex()[:8] for digest in own] for own in RangeHasher().digests([(str(path), [(13, 7)])])]
    [['abbe7862']]
    """

    def __init__(
        self,
        *,
        allow: Iterable[str | os.PathLike[str]] | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._allow = None if allow is None else AllowList(allow)
        self._ranges = FileRanges(self._allow or AllowList([]), storage_options or {})
        self._buffers = threading.local()
        self._processes: HashProcesses | None = None

    def check(self, name: str) -> None:
        """Require that a file may be read.

        :raises FileRefusedError: if it may not
        """
        self._ranges.resolve(name, _HERE, exempt=self._allow is None)

    def size(self, name: str) -> int:
        """Return the size of a file in bytes.

        :raises FileRefusedError: if the file may not be read
        :raises BackendUnavailableError: if it cannot be read
        """
        exempt = self._allow is None
        return self._ranges.size(self._ranges.resolve(name, _HERE, exempt=exempt), exempt=exempt)

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Return a range of a file.

        :raises FileRefusedError: if the file may not be read
        :raises BackendUnavailableError: if it cannot be read
        :raises BlockCorruptError: if it ends before
        """
        exempt = self._allow is None
        resolved = self._ranges.resolve(name, _HERE, exempt=exempt)
        data = self._ranges.read(resolved, offset, length, exempt=exempt)
        if len(data) != length:
            raise BlockCorruptError(f"expected {length} bytes at {offset} of {name}, found {len(data)}")
        return data

    def digest(self, name: str, ranges: Sequence[Range]) -> list[bytes]:
        """Return the digests of ranges of one file, in their order. This thread reads them.

        :raises FileRefusedError: if the file may not be read
        :raises BackendUnavailableError: if it cannot be read
        :raises BlockCorruptError: if it ends before one of the ranges
        """
        task = _Task(name, ranges, list(_spans(name, ranges)), None)
        found = [b""] * len(ranges)
        for position, digest in zip(task.positions, self._hash(task), strict=True):
            found[position] = digest
        return found

    def digests(self, jobs: Iterable[tuple[str, Sequence[Range]]]) -> Iterator[list[bytes]]:
        """Yield for each file the digests of its ranges, in their order. Later files are read meanwhile.

        :param jobs: names of files, paths or URLs, and the ranges of each; taken as files are read
        :raises FileRefusedError: if a file may not be read
        :raises BackendUnavailableError: if a file cannot be read
        :raises BlockCorruptError: if a file ends before one of its ranges
        """
        tasks = _tasks(jobs)
        first = next(tasks, None)
        if first is None:
            return
        threads = _REMOTE_THREADS if is_url(first.name) else _THREADS
        found: list[bytes] = []
        left = 0
        for task, done in in_order(self._hash, chain([first], tasks), threads=threads):
            if task.tasks is not None:
                found, left = [b""] * len(task.ranges), task.tasks
            for position, digest in zip(task.positions, done, strict=True):
                found[position] = digest
            left -= 1
            if not left:
                yield found

    def _hash(self, task: _Task) -> list[bytes]:
        """Return the digests of the ranges of a task."""
        if not task.spans:
            return []
        resolved = self._ranges.resolve(task.name, _HERE, exempt=self._allow is None)
        spans = [
            (span.start, span.stop, [(int(task.ranges[at][0]), int(task.ranges[at][1])) for at in span.ranges])
            for span in task.spans
        ]
        found = self._hash_remote(task.name, spans) if is_url(resolved) else self._hash_local(resolved, spans)
        size = hashing.DIGEST_BYTES
        return [found[start : start + size] for start in range(0, len(found), size)]

    def _hash_remote(self, name: str, spans: list[hashing.Span]) -> bytes:
        def fill(offset: int, piece: memoryview) -> None:
            piece[:] = self.read(name, offset, len(piece))

        most = max(stop - start for start, stop, _ in spans)
        return hashing.hash_spans(fill, spans, memoryview(bytearray(min(most, _REMOTE_SPAN_BYTES))))

    def _hash_local(self, path: str, spans: list[hashing.Span]) -> bytes:
        found = None if self._processes is None else self._processes.hash(path, OPEN_FLAGS, spans)
        if found is not None:
            return found
        with LocalRanges(path) as file:

            def fill(offset: int, piece: memoryview) -> None:
                count = file.read_into(offset, piece)
                if count != len(piece):
                    raise BlockCorruptError(
                        f"expected {offset + len(piece)} bytes or more in {path}, found {offset + count}"
                    )

            return hashing.hash_spans(fill, spans, self._buffer())

    def _buffer(self) -> memoryview:
        """Return memory of this thread, as new memory for each span would take a tenth of the time of hashing."""
        buffer: memoryview | None = getattr(self._buffers, "buffer", None)
        if buffer is None:
            buffer = self._buffers.buffer = memoryview(bytearray(hashing.BUFFER_BYTES))
        return buffer

    def __enter__(self) -> Self:
        self._processes = HashProcesses()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        processes, self._processes = self._processes, None
        if processes is not None:
            processes.close()


_HERE: Final = os.curdir


def _spans(name: str, ranges: Sequence[Range]) -> Iterator[_Span]:
    """Yield what is read together of a file: ranges that lie close together, in the order of their offsets."""
    most = _REMOTE_SPAN_BYTES if is_url(name) else hashing.BUFFER_BYTES
    order = sorted(range(len(ranges)), key=ranges.__getitem__)
    if not order:
        return
    (start, length), own = ranges[order[0]], [order[0]]
    stop = start + length
    for position in order[1:]:
        begin, length = ranges[position]
        end = begin + length
        if begin - stop > _GAP_BYTES or max(stop, end) - start > most:
            yield _Span(start, stop, own)
            start, stop, own = begin, end, [position]
        else:
            own.append(position)
            stop = max(stop, end)
    yield _Span(start, stop, own)


def _tasks(jobs: Iterable[tuple[str, Sequence[Range]]]) -> Iterator[_Task]:
    for name, ranges in jobs:
        most = _REMOTE_SPAN_BYTES if is_url(name) else _TASK_BYTES
        groups: list[list[_Span]] = [[]]
        size = 0
        for span in _spans(name, ranges):
            if groups[-1] and size + span.stop - span.start > most:
                groups.append([])
                size = 0
            groups[-1].append(span)
            size += span.stop - span.start
        for number, group in enumerate(groups):
            yield _Task(name, ranges, group, None if number else len(groups))
