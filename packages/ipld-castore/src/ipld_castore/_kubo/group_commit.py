"""Group commit: records that arrive while others are being put are put together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from ipld_castore.concurrency import ForkLocal
from ipld_castore.errors import BackendUnavailableError, CAStoreError

_MAX_BYTES: Final = 900 << 10
_MAX_LINKS: Final = 1024
"""With these the block has at most 1 MiB, the most that older nodes take."""


class Records(NamedTuple):
    """The records of one append."""

    first: int
    """Number of the first record."""
    records: tuple[bytes, ...]
    blocks: tuple[bytes, ...]
    """Binary CIDs of the blocks that they name."""
    framed: bytes
    """The records as they are stored."""

    @property
    def end(self) -> int:
        """The number behind that of the last record."""
        return self.first + len(self.records)


class _Append:
    """An append that waits."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.is_done = False
        self.error: CAStoreError | None = None


class _Writer:
    """The appends of one writer that wait."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        """Held by the thread that puts."""
        self.waiting: list[_Append] = []


class _Writers:
    """The writers of one process: a forked child has none of the threads that wait."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.by_name: dict[str, _Writer] = {}


class GroupCommit:
    """Puts records of many threads with few requests. Safe with threads.

    A thread whose records wait puts them together with all others of the same writer that wait by then.

    :param put: puts records whose numbers follow each other, and raises a :class:`CAStoreError` if it fails
    """

    def __init__(self, put: Callable[[str, Sequence[Records]], None]) -> None:
        self._put = put
        self._writers = ForkLocal(_Writers)

    def append(self, writer: str, records: Records) -> None:
        """Append records; return when they are stored.

        :raises BackendUnavailableError: if they cannot be put; they may be there or not
        """
        own = _Append(records)
        writers = self._writers.value
        with writers.lock:
            queue = writers.by_name.setdefault(writer, _Writer())
            queue.waiting.append(own)
        with queue.lock:
            if not own.is_done:
                with writers.lock:
                    waiting, queue.waiting = queue.waiting, []
                self._put_all(writer, waiting)
        if own.error is not None:
            raise BackendUnavailableError(str(own.error)) from own.error

    def _put_all(self, writer: str, waiting: list[_Append]) -> None:
        left = set(waiting)
        try:
            for group in _groups(sorted(waiting, key=lambda each: each.records.first)):
                self._put_group(writer, group)
                left.difference_update(group)
        finally:  # where this thread is interrupted, the others are told that theirs may be there or not
            for each in left:
                each.is_done, each.error = True, BackendUnavailableError("the thread that put the records was stopped")

    def _put_group(self, writer: str, group: list[_Append]) -> None:
        """Put a group; if that fails, each append of it alone, as one may be at fault."""
        error = self._try_put(writer, group)
        if error is not None and len(group) > 1:
            for each in group:
                self._put_group(writer, [each])
            return
        for each in group:
            each.is_done, each.error = True, error

    def _try_put(self, writer: str, group: list[_Append]) -> CAStoreError | None:
        try:
            self._put(writer, [each.records for each in group])
        except CAStoreError as error:
            return error
        return None


def _groups(waiting: list[_Append]) -> Iterator[list[_Append]]:
    """Yield appends whose numbers follow each other, as many as may be put together."""
    group: list[_Append] = []
    size = links = 0
    for each in waiting:
        own = each.records
        size, links = size + len(own.framed), links + len(own.blocks)
        if group and not (own.first == group[-1].records.end and size <= _MAX_BYTES and links <= _MAX_LINKS):
            yield group
            group, size, links = [], len(own.framed), len(own.blocks)
        group.append(each)
    if group:
        yield group
