"""The journal of a session in a bucket: small objects, one for each append."""

from __future__ import annotations

import asyncio
import re
import secrets
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

from ipld_castore._backends.folder_journal import FOLDER, LOCK, STATE, FolderJournal, session_folders
from ipld_castore._core.journal import MAX_RECORD_BYTES, Entry, Journal, frame, unframe
from ipld_castore.concurrency import SharedCall, in_order, renew_after_fork
from ipld_castore.errors import BackendUnavailableError

from .client import Client, Failure, FailureKind, NoObjectError
from .clock import read_clock
from .conditional import ConditionalObject
from .journal_objects import Appended, Objects
from .layout import Layout

_NONCE_BYTES: Final = 16
"""Random bytes before the state: where an answer was lost, they tell a caller's own state from an equal one."""
_MAX_STATE_BYTES: Final = 16 << 20
_MAX_OBJECT_BYTES: Final = 64 * MAX_RECORD_BYTES
_MAX_LOST: Final = 3
"""Attempts to append whose answer was lost; each of them is as many requests as obstore makes."""
_DELETED_AT_ONCE: Final = 100
"""Objects that are deleted with one request, several of which are under way: servers delete one after another."""
_LISTED_AT_FIRST: Final = 1000
"""Objects that are listed before it is known which writers there are: one answer of S3 names as many."""
_OBJECT: Final = re.compile(r"([0-9a-f]{1,64})/([0-9]{16})\.([0-9]{1,9})")
"""The name of an object of records: the writer, the number of the first one, and how many there are."""


class BucketJournal:
    """The journal of one session; see :class:`ipld_castore.Journal`.

    The records of one append are the object ``<writer>/<first number>.<count>``, which is put only if there is none. Of
    each 32 records a writer then puts another object, so that a reader of all needs few requests. An empty object takes
    the next number of a writer that is stopped. The state is the object ``state``, which moves by
    conditional puts. Threads may append for one writer at once. A mark is what is known of the objects.
    While no writer is known, a look lists all objects, if one answer names them. Else it lists the writers, and of each
    other writer what is behind the last one known.

    The first append of a writer succeeds in a session that was removed, as a bucket has no folders: the writer looks at
    :attr:`state` after it.

    :param client: the store
    :param folder: what the names of the objects begin with, without "/" at its end
    :param in_flight: the most requests at a time
    """

    is_remote = True
    refuses_stopped = True
    keeps_blocks = False

    def __init__(self, client: Client, folder: str, in_flight: int) -> None:
        self._client = client
        self._folder = folder
        self._in_flight = in_flight
        self._what = f"the session {folder.rpartition('/')[2]}"
        self._object = ConditionalObject(client, f"{folder}/{STATE}", self._what, _MAX_STATE_BYTES)
        self._states: SharedCall[bytes | None] = SharedCall()
        self._marks: SharedCall[object] = SharedCall()
        self._putting: set[asyncio.Task[None]] = set()
        """Objects of many records that are being put, in event loops."""
        self._renew_lock()
        renew_after_fork(self._renew_lock)
        self._writers: dict[str, Objects] = {}
        self._only: frozenset[str] | None = None
        """The writers that are looked for; None is all. Others have begun when all of these were being stopped."""
        self._appended: dict[str, Appended | None] = {}
        """By writer that appends by this journal, what it has appended: its objects need no listing.

        None once an append has failed, which may be there all the same.
        """

    def _renew_lock(self) -> None:
        """Replace the lock in the child of a fork, where a thread of the parent may hold it."""
        self._lock = threading.Lock()

    # -- records --

    def append(
        self, writer: str, first: int, records: Sequence[bytes], blocks: Collection[bytes] = ()
    ) -> None:  # a mark is a request
        """See :meth:`Journal.append`."""
        segment, data = (writer, first, first + len(records) - 1), frame(records)
        try:
            self._put(segment, data)
        except BaseException:
            self._lose(writer)
            raise
        for many, framed in self._arrived(segment, records):
            result = self._client.try_put(self._name(*many), framed, f"notes in {self._what}", "overwrite")
            if not isinstance(result, Failure):  # else readers take the single ones
                self._add(many)

    async def try_append_async(self, writer: str, first: int, record: bytes) -> bool:
        """See :meth:`Journal.try_append_async`."""
        segment = writer, first, first
        try:
            if not await self._client.try_put_async(self._name(*segment), frame([record]), "create"):
                return False
        except BaseException:  # the task was cancelled
            self._lose(writer)
            raise
        for many, framed in self._arrived(segment, [record]):
            putting = asyncio.ensure_future(self._put_many(many, framed))  # no append waits for it
            self._putting.add(putting)
            putting.add_done_callback(self._putting.discard)
        return True

    async def _put_many(self, segment: tuple[str, int, int], data: bytes) -> None:
        """Put an object that repeats many records; where it fails, readers take the single ones."""
        if await self._client.try_put_async(self._name(*segment), data, "overwrite"):
            self._add(segment)

    def _lose(self, writer: str) -> None:
        """Note that it is unknown whether an append of a writer has arrived."""
        with self._lock:
            self._appended[writer] = None

    def _add(self, segment: tuple[str, int, int]) -> None:
        """Note an object of records that is there."""
        with self._lock:
            self._writers.setdefault(segment[0], Objects()).add(*segment[1:])

    def _arrived(
        self, segment: tuple[str, int, int], records: Sequence[bytes]
    ) -> list[tuple[tuple[str, int, int], bytes]]:
        """Note records that were appended; return the objects that repeat many of them, for readers of all records."""
        writer, first, last = segment
        with self._lock:
            self._writers.setdefault(writer, Objects()).add(first, last)
            appended = self._appended.setdefault(writer, Appended())
            full = [] if appended is None else appended.add(first, records)
        framed = [((writer, start, start + len(many) - 1), frame(many)) for start, many in full]
        return [(many, data) for many, data in framed if len(data) <= _MAX_OBJECT_BYTES]

    def _put(self, segment: tuple[str, int, int], data: bytes) -> None:
        """Put an object of records, if there is none of the name."""
        for attempt in range(_MAX_LOST):
            result = self._client.try_put(self._name(*segment), data, f"a note in {self._what}", "create")
            if not isinstance(result, Failure):
                return
            if result.kind is FailureKind.NOT_EXPECTED:
                if self._read(segment) == data:
                    return  # an answer was lost on its way here, or to obstore, which had tried again
                raise BackendUnavailableError(
                    f"cannot append to {self._what} in {self._client.where}: expected that number {segment[1]} of the "
                    f"writer {segment[0]} is free, found it taken, as when the session has ended"
                )
            if result.kind is not FailureKind.UNKNOWN or attempt == _MAX_LOST - 1:
                raise result.error()

    def stop_writers(self, known: Mapping[str, int]) -> object:
        """See :meth:`Journal.stop_writers`: each gets a request, and another one as often as it was faster.

        Those that are known get theirs beside the look that finds the others. Writers that append for the first time
        after that look are left out, then and by later looks, as more and more of them may begin.
        """
        mark: object = None
        is_seen = False
        self._only = None
        taken: set[tuple[str, int]] = set()
        while (running := self._running(known)) or not is_seen:
            looks = [] if is_seen else [None]
            is_seen = True
            following = [each for each in running if each not in taken]
            for at, found in in_order(self._look_or_stop, [*looks, *following], threads=self._in_flight):
                if at is None:
                    mark = found
                elif not found:  # it was faster: a look tells its next number
                    taken.add(at)
                    is_seen = False
            with self._lock:
                self._only = self._only or frozenset(self._writers)
        return mark

    def _running(self, known: Mapping[str, int]) -> list[tuple[str, int]]:
        """Return the writers that are not known to be stopped, each with the number behind its last one."""
        with self._lock:
            for writer, number in known.items():
                self._writers.setdefault(writer, Objects()).go_on(number)
            return [(writer, objects.last + 1) for writer, objects in self._writers.items() if not objects.is_stopped]

    def _look_or_stop(self, at: tuple[str, int] | None) -> object:
        return self.mark() if at is None else self._take_number(at)

    def _take_number(self, at: tuple[str, int]) -> bool:
        """Put an empty object in place of the next append of a writer; return whether there was none yet."""
        writer, number = at
        verb = f"stopping a writer of {self._what}"
        result = self._client.try_put(self._name(writer, number, number), b"", verb, "create")
        if isinstance(result, Failure) and result.kind is not FailureKind.NOT_EXPECTED:
            raise result.error()
        if isinstance(result, Failure):
            return False
        with self._lock:
            self._writers[writer].stops.add(number)
        return True

    def _name(self, writer: str, first: int, last: int) -> str:
        return f"{self._folder}/{writer}/{first:016d}.{last - first + 1}"

    def entries(self, after: Mapping[str, int], mark: object = None) -> Iterator[Entry]:
        """See :meth:`Journal.entries`; many objects are read at a time."""
        if mark is None:
            self.mark()
        wanted = self._wanted(after)
        expected = {writer: after.get(writer, 0) + 1 for writer, _, _ in wanted}
        for (writer, first, _), data in in_order(self._read, wanted, threads=self._in_flight):
            if first > expected[writer]:
                continue  # records are missing before it
            for number, (record, _) in enumerate(unframe(data), first):
                if number >= expected[writer]:
                    expected[writer] = number + 1
                    yield Entry(writer, number, record)

    def _wanted(self, after: Mapping[str, int]) -> list[tuple[str, int, int]]:
        """Return writer, first and last number of the objects to read: what is not known, up to the first gap."""
        wanted: list[tuple[str, int, int]] = []
        with self._lock:
            for writer, known in after.items():
                if writer in self._writers:
                    self._writers[writer].go_on(known)
            for writer, objects in sorted(self._writers.items()):
                wanted += [(writer, *numbers) for numbers in objects.behind(after.get(writer, 0))]
        return wanted

    def _read(self, segment: tuple[str, int, int]) -> bytes:
        try:
            data, _ = self._client.get(self._name(*segment), f"a note of {self._what}", _MAX_OBJECT_BYTES)
        except NoObjectError:  # deleted since it was listed
            return b""
        return data

    def mark(self) -> object:
        """See :meth:`Journal.mark`: one look for all threads that asked before it began."""
        return self._marks.call(self._look)

    def _look(self) -> object:
        if not self._writers and self._list_below(self._folder, most=_LISTED_AT_FIRST) < _LISTED_AT_FIRST:
            return self._known_mark()
        with self._lock:
            known = {writer: objects.last for writer, objects in self._writers.items()}
            others = [(writer, last) for writer, last in known.items() if self._appended.get(writer) is None]
        there: Any = None
        if len(others) > self._in_flight // 2:
            self._list_below(self._folder)
        else:
            for each, found in in_order(self._look_at, [None, *others], threads=self._in_flight):
                there = found if each is None else there
            new = [(writer, 0) for writer in there if writer not in known]
            for _ in in_order(self._look_at, new, threads=self._in_flight):
                pass
        return self._known_mark()

    def _known_mark(self) -> object:
        with self._lock:
            return frozenset(
                (writer, first)
                for writer, objects in self._writers.items()
                for first in (objects.last, *objects.beyond)
            )

    def _look_at(self, at: tuple[str, int] | None) -> list[str]:
        """List the objects of a writer behind a number; or, without one, return the names of the writers."""
        if at is not None:
            writer, last = at
            self._list_below(f"{self._folder}/{writer}", f"{self._folder}/{writer}/{last:016d}.z")
            return []
        found: Any = self._client.ask_bucket(
            f"list {self._what} in", lambda: self._client.store.list_with_delimiter(self._folder)
        )
        return [below.rstrip("/").rpartition("/")[2] for below in found["common_prefixes"]]

    def _list_below(self, folder: str, behind: str | None = None, most: int | None = None) -> int:
        """List the objects of records below a folder, and return how many there are.

        :param behind: leave out names up to this one
        :param most: list this many names at most
        """
        listed = 0
        for meta in islice(self._client.list(folder, self._what, behind), most):
            listed += 1
            match = _OBJECT.fullmatch(meta["path"].removeprefix(f"{self._folder}/"))
            if match:
                first = int(match[2])
                with self._lock:
                    if self._only is not None and match[1] not in self._only:
                        continue
                    objects = self._writers.setdefault(match[1], Objects())
                    if meta["size"]:
                        objects.add(first, first + int(match[3]) - 1)
                    else:
                        objects.stops.add(first)
        return listed

    def delete(self, upto: Mapping[str, int]) -> None:
        """See :meth:`Journal.delete`; an object of which not all is known, or that was not listed yet, stays."""
        with self._lock:
            gone = [
                (writer, first, last)
                for writer, objects in self._writers.items()
                for first, last in objects.all
                if last <= upto.get(writer, 0)
            ]
        batches = [gone[start : start + _DELETED_AT_ONCE] for start in range(0, len(gone), _DELETED_AT_ONCE)]
        for _ in in_order(self._delete_objects, batches, threads=self._in_flight):
            pass

    def _delete_objects(self, gone: Sequence[tuple[str, int, int]]) -> None:
        self._client.delete((self._name(*each) for each in gone), f"notes of {self._what}")
        with self._lock:
            for writer, first, last in gone:
                self._writers[writer].remove(first, last)

    # -- state --

    @property
    def state(self) -> bytes | None:
        """See :attr:`Journal.state`: one request for all threads that asked before it began."""
        return _without_nonce(self._states.call(self._object.read))

    def exchange(self, old: bytes | None, new: bytes) -> bool:
        """See :meth:`Journal.exchange`."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        found = self._object.exchange(lambda found: _without_nonce(found) == old, nonce + new, is_new=old is None)
        return found is None

    def remove(self) -> None:
        """See :meth:`Journal.remove`."""
        self._client.delete([f"{self._folder}/{STATE}"], self._what)
        notes = (meta["path"] for meta in self._client.list(self._folder, self._what) if meta["size"])
        self._client.delete(notes, self._what)  # what stops a writer is empty, and stays

    def age(self) -> float:
        """See :meth:`Journal.age`; what is compared are times that the store gives."""
        times = {meta["path"]: meta["last_modified"] for meta in self._client.list(self._folder, self._what)}
        if f"{self._folder}/{STATE}" not in times:
            raise BackendUnavailableError(f"expected {self._what} in {self._client.where}, found none")
        seconds: float = (read_clock(self._client, f"{self._folder}/") - max(times.values())).total_seconds()
        return max(seconds, 0.0)


def _without_nonce(data: bytes | None) -> bytes | None:
    return None if data is None else data[_NONCE_BYTES:]


def live_sessions(folder: str, objects: Collection[str]) -> set[str]:
    """Return the names of the sessions among objects: those that have a state, and were not copied from a folder.

    :param folder: what the names of the objects begin with
    :param objects: the names of all objects of each session that are not below its writers
    """
    begin, end = len(folder) + 1, f"/{STATE}"
    states = (name for name in objects if name.endswith(end) and f"{name.removesuffix(STATE)}{LOCK}" not in objects)
    return {name[begin:].removesuffix(end) for name in states}


class HasJournals:
    """The journals of an object store; not of one over memory, which no other process reaches."""

    _client: Client
    _layout: Layout
    _in_flight: int

    def journal(self, session: str) -> Journal:
        """See :meth:`SupportsJournal.journal`; over a folder it is that of :class:`FileSystemCAStore`."""
        folder = f"{self._layout.name(FOLDER)}/{session}"
        if self._client.kind == "LocalStore":
            return FolderJournal(Path(self._client.store.prefix or "/") / folder, fsync=False)
        return BucketJournal(self._client, folder, self._in_flight)

    def sessions(self) -> Iterator[str]:
        """See :meth:`SupportsJournal.sessions`; those of a folder that was copied are none here."""
        folder = self._layout.name(FOLDER)
        if self._client.kind == "LocalStore":
            yield from session_folders((Path(self._client.store.prefix or "/") / folder).parent)
            return
        found: Any = self._client.ask_bucket(
            "list the sessions in", lambda: self._client.store.list_with_delimiter(folder)
        )
        for below in sorted(found["common_prefixes"]):
            name = below.rstrip("/").rpartition("/")[2]
            there: Any = self._client.ask_bucket(
                f"look at the session {name} in",
                lambda: self._client.store.list_with_delimiter(f"{folder}/{name}"),  # noqa: B023  # it is called at once
            )
            yield from live_sessions(folder, {meta["path"] for meta in there["objects"]})
