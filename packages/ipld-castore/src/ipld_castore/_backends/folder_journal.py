"""The journal of a session in a folder: files that writers append to."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from ipld_car import fs

from ipld_castore._core.journal import Entry, frame, unframe
from ipld_castore.errors import BackendUnavailableError, CAStoreError

from . import flatfs
from .folder_identity import FolderIdentity

FOLDER: Final = ".sessions"
"""Beside the shards of the blocks; Kubo passes over names that begin with a dot."""

STATE: Final = "state"
LOCK: Final = "lock"
"""Beside each state, from before it on. A state without a lock is a copy of that of a bucket's session."""
_MARK: Final = "mark"
"""Grows with each append: the time of a folder does not change when a file in it grows."""
SEGMENT: Final = re.compile(r"([0-9a-f]{1,64})\.([0-9]{16})")
"""The name of a file or object of records: the writer, and the number of the first record."""
_SEGMENT_BYTES: Final = 1 << 20
"""A writer begins another file then, so that the coordinator can delete those before."""
_READ_AT_ONCE: Final = 64 << 10
_FLAGS: Final = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class _Tail(NamedTuple):
    """How far a file has been read."""

    file: str
    offset: int
    number: int
    """Of the last record before the offset."""


class _OpenSegment(NamedTuple):
    handle: int
    mark: int
    """Handle of the mark."""
    next_number: int
    size: int


class FolderJournal:
    """The journal of one session; see :class:`ipld_castore.Journal`.

    After an error of :meth:`append` its writer is not to be used again: what it appended last may be there or not.

    :param folder: the folder of the session
    :param fsync: wait for the disk with each append
    :param identity: of the folder of blocks that it is in; nothing is written into another one at the same path
    """

    is_remote = False
    refuses_stopped = False
    keeps_blocks = False

    def __init__(self, folder: Path, *, fsync: bool, identity: FolderIdentity | None = None) -> None:
        self._folder = folder
        self._prefix = f"{folder}/"  # files are looked at for each note: a Path takes twice as long
        self._state_path = self._prefix + STATE
        self._mark_path = self._prefix + _MARK
        self._identity = identity
        self._fsync = fsync
        self._segments: dict[str, _OpenSegment] = {}
        """By writer, the file that is appended to. A fork has other writers, and so other files."""
        self._tails: dict[str, _Tail] = {}

    # -- records --

    def append(
        self, writer: str, first: int, records: Sequence[bytes], blocks: Collection[bytes] = ()
    ) -> tuple[object, object] | None:
        """See :meth:`Journal.append`."""
        data = frame(records)
        try:
            segment = self._segment(writer, first)
            if os.write(segment.handle, data) != len(data):
                raise OSError(f"expected to write {len(data)} bytes, the disk took fewer")
            if self._fsync:
                os.fsync(segment.handle)
            self._segments[writer] = segment._replace(next_number=first + len(records), size=segment.size + len(data))
            os.write(segment.mark, b".")
            after = None if os.name == "nt" else os.lseek(segment.mark, 0, os.SEEK_CUR)
        except OSError as error:
            self._close_segment(writer)
            self._require_current()
            raise BackendUnavailableError(f"cannot write to the journal in {self._folder}: {error}") from error
        return None if after is None else (after - 1, after)  # Windows does not append in one step

    async def try_append_async(self, writer: str, first: int, record: bytes) -> bool:
        """See :meth:`Journal.try_append_async`; there is no such way here."""
        return False

    def _segment(self, writer: str, first: int) -> _OpenSegment:
        """Return the file that a writer appends to, and begin another if it is full or another number comes."""
        segment = self._segments.get(writer)
        if segment is not None and segment.next_number == first and segment.size < _SEGMENT_BYTES:
            return segment
        self._close_segment(writer)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _FLAGS
        mark = os.open(self._folder / _MARK, flags, 0o666)
        try:
            handle = os.open(self._folder / f"{writer}.{first:016d}", flags | os.O_EXCL, 0o666)
        except OSError:
            os.close(mark)
            raise
        opened = self._segments[writer] = _OpenSegment(handle, mark, first, 0)
        if self._fsync:
            fs.sync_folder(self._folder)
        return opened

    def _close_segment(self, writer: str) -> None:
        segment = self._segments.pop(writer, None)
        if segment is not None:
            os.close(segment.handle)
            os.close(segment.mark)

    def stop_writers(self, known: Mapping[str, int]) -> None:  # they look at the state, which is cheap
        """See :meth:`Journal.stop_writers`."""

    def entries(self, after: Mapping[str, int], mark: object = None) -> Iterator[Entry]:  # cheap anyway
        """See :meth:`Journal.entries`."""
        for writer, firsts in sorted(self._segment_numbers().items()):
            yield from self._entries_of(writer, firsts, after.get(writer, 0))

    def _entries_of(self, writer: str, firsts: list[int], known: int) -> Iterator[Entry]:
        tail = self._tails.get(writer)
        expected = known + 1
        for first, following in zip(firsts, [*firsts[1:], None], strict=True):
            if following is not None and following <= expected:
                continue  # all of this file is known
            if first > expected:
                return  # records are missing before it
            name = f"{writer}.{first:016d}"
            offset, number = 0, first - 1
            if tail is not None and tail.file == name and tail.number <= known:
                offset, number = tail.offset, tail.number
            if following is None and self._has_no_more(writer, expected):
                return
            for record, end in unframe(self._read_from(name, offset)):
                number += 1
                self._tails[writer] = _Tail(name, offset + end, number)
                if number >= expected:
                    expected = number + 1
                    yield Entry(writer, number, record)

    def _has_no_more(self, writer: str, expected: int) -> bool:
        """Return whether a writer has not appended a record yet, as only this journal appends for it."""
        segment = self._segments.get(writer)
        return segment is not None and segment.next_number == expected

    def _read_from(self, name: str, offset: int) -> bytes:
        try:
            return _read(self._prefix + name, offset)
        except FileNotFoundError:  # deleted since it was listed
            return b""
        except OSError as error:
            raise BackendUnavailableError(f"cannot read the journal in {self._folder}: {error}") from error

    def _segment_numbers(self) -> dict[str, list[int]]:
        """Return by writer the number of the first record of each of its files, in order."""
        found: dict[str, list[int]] = {}
        for name in sorted(self._names()):
            match = SEGMENT.fullmatch(name)
            if match:
                found.setdefault(match[1], []).append(int(match[2]))
        return found

    def _names(self) -> list[str]:
        try:
            return os.listdir(self._prefix)  # noqa: PTH208  # names are all that is needed
        except FileNotFoundError:
            return []
        except OSError as error:
            raise BackendUnavailableError(f"cannot list the journal in {self._folder}: {error}") from error

    def mark(self) -> object:
        """See :meth:`Journal.mark`."""
        try:
            return os.stat(self._mark_path).st_size  # noqa: PTH116  # see __init__
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise BackendUnavailableError(f"cannot look at the journal in {self._folder}: {error}") from error

    def delete(self, upto: Mapping[str, int]) -> None:
        """See :meth:`Journal.delete`; the last file of each writer stays, as the writer may be appending to it."""
        for writer, firsts in self._segment_numbers().items():
            for first, following in pairwise(firsts):
                if following <= upto.get(writer, 0) + 1:
                    self._unlink(f"{writer}.{first:016d}")

    def _unlink(self, name: str) -> None:
        try:
            (self._folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise BackendUnavailableError(f"the journal in {self._folder} cannot be cleared: {error}") from error

    # -- state --

    @property
    def state(self) -> bytes | None:
        """See :attr:`Journal.state`."""
        try:
            return _read(self._state_path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BackendUnavailableError(f"cannot read the session in {self._folder}: {error}") from error

    def exchange(self, old: bytes | None, new: bytes) -> bool:
        """See :meth:`Journal.exchange`."""
        try:
            if old is None:
                self._require_current()
                self._folder.mkdir(parents=True, exist_ok=True)
            lock = fs.wait_locked(self._folder / LOCK)
            try:
                if self.state != old:
                    return False
                with fs.atomic_write(self._folder / STATE, fsync=self._fsync) as stream:
                    stream.write(new)
                return True
            finally:
                fs.unlock(lock)
                lock.close()
        except FileNotFoundError:  # there is no such session any more
            return False
        except CAStoreError:
            raise
        except OSError as error:
            raise BackendUnavailableError(f"cannot write the session in {self._folder}: {error}") from error

    def _require_current(self) -> None:
        if self._identity is not None:
            self._identity.require_current()

    def remove(self) -> None:
        """See :meth:`Journal.remove`."""
        self._unlink(STATE)
        try:
            shutil.rmtree(self._folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise BackendUnavailableError(f"cannot delete the session in {self._folder}: {error}") from error

    def age(self) -> float:
        """See :meth:`Journal.age`; what is compared are times of files."""
        try:
            moved = (self._folder / STATE).stat().st_mtime
            with suppress(FileNotFoundError):  # nothing was appended
                moved = max(moved, (self._folder / _MARK).stat().st_mtime)
            return max(clock_of(flatfs.temporary_in(self._folder)) - moved, 0.0)
        except OSError as error:
            raise BackendUnavailableError(f"cannot look at the session in {self._folder}: {error}") from error


def _read(path: str, offset: int = 0) -> bytes:
    """Return the bytes of a file from an offset on."""
    handle = os.open(path, os.O_RDONLY | _FLAGS)
    try:
        if offset:
            os.lseek(handle, offset, os.SEEK_SET)
        parts = []
        while part := os.read(handle, _READ_AT_ONCE):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(handle)


def clock_of(probe: Path) -> float:
    """Return the time that the file system gives to a file just written, in seconds since the epoch.

    :param probe: the file, which must not be there
    """
    try:
        with probe.open("xb") as stream:
            return os.fstat(stream.fileno()).st_mtime
    finally:
        probe.unlink(missing_ok=True)


def delete_orphans(path: Path, before: float) -> None:
    """Delete the folders that are no sessions here, older than a time.

    A process was killed when it made them, or they were copied from a bucket.
    """
    for folder in _folders(path):
        if not _is_session(folder) and folder.stat().st_mtime < before:
            shutil.rmtree(folder, ignore_errors=True)


def session_folders(path: Path) -> Iterator[str]:
    """Yield the names of the sessions in a folder of blocks; those of a bucket that was copied are none here."""
    for folder in _folders(path):
        if _is_session(folder):
            yield folder.name


def _is_session(folder: Path) -> bool:
    return (folder / STATE).exists() and (folder / LOCK).exists()


def _folders(path: Path) -> list[Path]:
    try:
        return sorted((path / FOLDER).iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BackendUnavailableError(f"cannot list the sessions in {path}: {error}") from error
