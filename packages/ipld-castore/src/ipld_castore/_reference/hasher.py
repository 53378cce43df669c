"""Hashing ranges of files, each byte read once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ipld_car import hashes

from ipld_castore.concurrency import in_order
from ipld_castore.errors import BlockCorruptError

from .allow import AllowList, is_url
from .ranges import FileRanges, LocalRanges

_SPAN_BYTES: Final = 4 << 20
"""Bytes that are read at a time, for many ranges that lie close together."""
_GAP_BYTES: Final = 64 << 10
_THREADS: Final = max(2, min(8, os.cpu_count() or 1))
_REMOTE_THREADS: Final = 16

Range = tuple[int, int]
"""Offset and length in bytes."""


class _Span(NamedTuple):
    """Ranges of one file that are read together."""

    name: str
    start: int
    stop: int
    ranges: list[int]
    """Positions of the ranges in what was asked for."""


class RangeHasher:
    """Hash ranges of files with sha2-256, side by side in threads. Nothing is kept but the digests.

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

    def check(self, name: str) -> None:
        """Return if a file may be read.

        :raises FileRefusedError: if it may not
        """
        self._ranges.resolve(name, _HERE, exempt=self._allow is None)

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

    def digests(self, jobs: Iterable[tuple[str, Sequence[Range]]]) -> Iterator[list[bytes]]:
        """Yield for each file the digests of its ranges, in their order. Later files are read meanwhile.

        :param jobs: names of files, paths or URLs, and the ranges of each; taken as files are read
        :raises FileRefusedError: if a file may not be read
        :raises BackendUnavailableError: if a file cannot be read
        :raises BlockCorruptError: if a file ends before one of its ranges
        """
        found: list[bytes] = []
        left = 0
        for (span, ranges, count), digests in in_order(self._hash, _spans(jobs), threads=self._threads):
            if count is not None:
                found, left = [b""] * len(ranges), count
            if span is not None:
                left -= 1
                for position, digest in zip(span.ranges, digests, strict=True):
                    found[position] = digest
            if not left:
                yield found

    @property
    def _threads(self) -> int:
        return _THREADS

    def _hash(self, job: _Job) -> list[bytes]:
        span, ranges, _ = job
        if span is None:
            return []
        exempt = self._allow is None
        if exempt and not is_url(span.name):
            with LocalRanges(span.name) as file:
                data = file.read(span.start, span.stop - span.start)
            if len(data) != span.stop - span.start:
                raise BlockCorruptError(
                    f"expected {span.stop} bytes or more in {span.name}, found {span.start + len(data)}"
                )
        else:
            data = self.read(span.name, span.start, span.stop - span.start)
        if len(span.ranges) == 1:
            return [hashes.sha2_256(data)]
        places = ((ranges[at][0] - span.start, ranges[at][1]) for at in span.ranges)
        return [hashes.sha2_256(data[start : start + length]) for start, length in places]


_HERE: Final = os.curdir
_Job = tuple[_Span | None, Sequence[Range], int | None]
"""What is read together, all ranges of the file, and with the first of a file how many spans it has."""


def _spans(jobs: Iterable[tuple[str, Sequence[Range]]]) -> Iterator[_Job]:
    for name, ranges in jobs:
        spans: list[_Span] = []
        for position in sorted(range(len(ranges)), key=ranges.__getitem__):
            start, length = ranges[position]
            last = spans[-1] if spans else None
            if last is None or start - last.stop > _GAP_BYTES or start + length - last.start > _SPAN_BYTES:
                spans.append(_Span(name, start, start + length, [position]))
            else:
                last.ranges.append(position)
                spans[-1] = last._replace(stop=max(last.stop, start + length))
        if not spans:
            yield None, ranges, 0
        for at, span in enumerate(spans):
            yield span, ranges, None if at else len(spans)
