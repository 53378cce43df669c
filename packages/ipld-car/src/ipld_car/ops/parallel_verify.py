"""The parts of an archive that :func:`~ipld_car.ops.verify` checks, one after the other or in several processes.

Where a part may begin is known only from the lengths of all sections before it, and to read those takes a third of
the time that it takes to hash the blocks, if they are small. So the processes get ranges that are cut anywhere, and
each looks for the first section in its range. What it finds counts only if the part before ends there, so the result is
that of one process. Where it does not end there, or where sections are too large for one to be found soon, the lengths
are read after all: then there are few sections.
"""

from __future__ import annotations

import re
import signal
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ipld_car import cids, varint
from ipld_car._car.limits import MAX_SECTION_BYTES
from ipld_car._file.scan import check_length, cid_at, length_at
from ipld_car.errors import CarError

from .check_blocks import Buffer, Part, check_part

if TYPE_CHECKING:
    from concurrent.futures import Future, ProcessPoolExecutor

STEP: Final = 8 << 20
"""Bytes of an archive that are checked at once, rounded up to whole sections."""

_SEARCHED: Final = 32 << 10
"""Bytes of a range in which its first section is looked for."""
_TRIES: Final = 100
"""How many of the places are tried that could be its CID."""
_IN_A_ROW: Final = 4
"""Sections that must follow each other from a place that is taken for the start of one."""
_SAMPLED: Final = 100
"""Sections at the start of an archive that tell how its CIDs begin."""
_MAX_PREFIXES: Final = 12
"""How many such beginnings are looked for."""
_HEAD: Final = 5 * varint.MAX_BYTES
"""Bytes of a length and of the longest prefix of a CID."""
_STRETCH: Final = 16
"""Ranges for which lengths are read before ranges are cut again; after each failure twice as many."""


def check_parts(
    path: Path | None,
    buffer: Buffer,
    start: int,
    stop: int,
    *,
    jobs: int,
    sizes: bool = False,
    zero_is_end: bool = False,
) -> Iterator[Part]:
    """Yield the parts of an archive, in their order, the last one with the error if there is one.

    :param path: the file that ``buffer`` has mapped; without, one process works
    :param start: position of the first section
    :param stop: position behind the last
    :param jobs: processes that work at once
    :param sizes: note where each section is
    :param zero_is_end: take a section of length zero for the end of the archive
    """
    if jobs > 1 and stop - start > STEP and path is not None:
        yield from _check_in_processes(path, buffer, start, stop, jobs, sizes, zero_is_end)
        return
    while start < stop:
        part = check_part(buffer, start, min(start + STEP, stop), stop, sizes=sizes, zero_is_end=zero_is_end)
        yield part
        if part.error or part.is_last:
            return
        start = part.end


def _check_in_processes(
    path: Path, buffer: Buffer, start: int, stop: int, jobs: int, sizes: bool, zero_is_end: bool
) -> Iterator[Part]:
    import multiprocessing  # one process does without
    from concurrent.futures import ProcessPoolExecutor

    prefixes = prefixes_of(buffer, start, stop)
    # Forking is much the cheaper; this is a process with one thread, but for those of the executor itself.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(jobs, context, _open_in_worker, (path, stop, prefixes, sizes, zero_is_end)) as pool:
        try:
            stretch, cut = _STRETCH, True
            while start < stop:
                if cut:
                    ranges = _cuts(start, stop)
                else:
                    ranges = islice(_hops(buffer, start, stop), stretch)
                    stretch *= 2
                for limit, part in _in_order(pool, ranges, cut, 2 * jobs):
                    if limit <= start:  # one section is all of the range, and more
                        continue
                    if part.start != start:
                        break
                    yield part
                    if part.error or part.is_last:
                        return
                    start = part.end
                cut = not cut
        finally:
            pool.shutdown(cancel_futures=True)


def _in_order(
    pool: ProcessPoolExecutor, ranges: Iterable[tuple[int, int]], cut: bool, ahead: int
) -> Iterator[tuple[int, Part]]:
    """Yield the ends of ranges and what workers find in them; so many wait that all workers are busy."""
    waiting: deque[tuple[int, Future[Part]]] = deque()
    try:
        for begin, limit in ranges:
            waiting.append((limit, pool.submit(_check_in_worker, begin, limit, cut)))
            if len(waiting) > ahead:
                end, future = waiting.popleft()
                yield end, future.result()
        while waiting:
            end, future = waiting.popleft()
            yield end, future.result()
    finally:
        for _, future in waiting:
            future.cancel()


# -- ranges that begin with a section, or anywhere -----------------------------------------------------


def _cuts(start: int, stop: int) -> Iterator[tuple[int, int]]:
    for begin in range(start, stop, STEP):
        yield begin, min(begin + STEP, stop)


def _hops(buffer: Buffer, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Ranges that begin with a section, found by the lengths alone; where these go wrong, the last one ends."""
    position = begin = start
    last = stop - varint.MAX_BYTES
    while position < stop:
        first, second = buffer[position : position + 2] if position < last else (0xFF, 0)
        if first > 0x7F > second > 0:
            position += 2 + (first & 0x7F | second << 7)
        else:
            try:
                size, width = length_at(buffer, position, stop)
            except CarError:
                break
            if not size:
                break
            position += width + size
        if position - begin >= STEP and position < stop:
            yield begin, position
            begin = position
    if begin < stop:
        yield begin, stop


def prefixes_of(buffer: Buffer, position: int, stop: int) -> tuple[bytes, ...]:
    """Return what precedes the digest in CIDs of this archive: the common prefixes, and those of the first sections."""
    found = set(cids.CIDV1_SHA256_PREFIXES)
    try:
        for _ in range(_SAMPLED):
            if position >= stop or len(found) == _MAX_PREFIXES:
                break
            size, width = length_at(buffer, position, stop)
            check_length(size, stop - position - width)
            cid = cid_at(buffer, position + width, size)
            found.add(cid[: cids.prefix_of(cid).size])
            position += width + size
    except CarError:
        pass  # the process that checks this section reports it
    return tuple(sorted(found))


def find_section(buffer: Buffer, start: int, limit: int, stop: int, prefixes: tuple[bytes, ...]) -> int | None:
    """Return where the first section seems to begin in a range that was cut anywhere; None if nothing is found.

    It is a guess: a block may hold an archive, or bytes that are made to look like sections. What is read and tried is
    bounded.
    """
    window = buffer[start : min(start + _SEARCHED, limit)]
    pattern = re.compile(b"(?=" + b"|".join(map(re.escape, prefixes)) + b")", re.DOTALL)
    for found in islice(pattern.finditer(window), _TRIES):
        at = found.start()
        for begin in range(at - 1, max(at - 5, -1), -1):  # a length of up to four bytes
            if (window[begin] < 0x80) is not (begin == at - 1):
                break
            if _is_followed(buffer, start + begin, stop, prefixes):
                return start + begin
    return None


def _is_followed(buffer: Buffer, position: int, stop: int, prefixes: tuple[bytes, ...]) -> bool:
    """Return whether sections with CIDs of these forms follow each other from here, some or to the end."""
    for _ in range(_IN_A_ROW):
        head = buffer[position : min(position + _HEAD, stop)]
        try:
            size, width = varint.decode(head)
        except CarError:
            return False
        position += width + size
        if size > MAX_SECTION_BYTES or position > stop or not head.startswith(prefixes, width):
            return False
        if position == stop:
            break
    return True


# -- in a worker -------------------------------------------------------------------------------------

_Work = tuple[mmap, int, tuple[bytes, ...], bool, bool]
_work: _Work | None = None
"""What a worker process works on: the file, where its data end, and what is the same for all parts."""


def _open_in_worker(path: Path, stop: int, prefixes: tuple[bytes, ...], sizes: bool, zero_is_end: bool) -> None:
    global _work  # noqa: PLW0603  # an initializer of a process has no other place to leave it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the process that gave the work ends this one
    with path.open("rb") as file:
        _work = mmap(file.fileno(), 0, access=ACCESS_READ), stop, prefixes, sizes, zero_is_end


def _check_in_worker(start: int, limit: int, cut: bool) -> Part:
    """Check a range; if it was cut, from the first section that begins in it."""
    if _work is None:
        raise RuntimeError("expected a worker that has opened its file")
    mapped, stop, prefixes, sizes, zero_is_end = _work
    if cut:
        found = find_section(mapped, start, limit, stop, prefixes)
        start = limit if found is None else found
    return check_part(mapped, start, limit, stop, sizes=sizes, zero_is_end=zero_is_end)
