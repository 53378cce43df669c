"""The journal of a session in a bucket: small objects, one for each append."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ipld_castore._backends.folder_journal import FOLDER, SEGMENT, STATE, FolderJournal, session_folders
from ipld_castore._core.journal import MAX_RECORD_BYTES, Entry, Journal, frame, unframe
from ipld_castore.concurrency import SharedCall, in_order
from ipld_castore.errors import BackendUnavailableError

from .client import Client, Failure, FailureKind, NoObjectError
from .clock import read_clock
from .conditional import ConditionalObject
from .layout import Layout

_NONCE_BYTES: Final = 16
"""Random bytes before the state: where an answer was lost, they tell a caller's own state from an equal one."""
_MAX_STATE_BYTES: Final = 16 << 20
_MAX_OBJECT_BYTES: Final = 64 * MAX_RECORD_BYTES

_Segments = dict[str, list[int]]
"""By writer the number of the first record of each of its objects, in order."""


class BucketJournal:
    """The journal of one session; see :class:`ipld_castore.Journal`.

    The records of one append are the object ``<writer>.<first number>``. The state is the object ``state``, which
    moves by conditional puts. Threads may append for one writer at once. A mark is the names of all objects.

    An append to a session that was removed succeeds, as a bucket has no folders: a writer looks at :attr:`state` after
    it. What it left is deleted by :meth:`remove`.

    :param client: the store
    :param folder: what the names of the objects begin with, without "/" at its end
    :param in_flight: the most requests at a time
    """

    is_remote = True

    def __init__(self, client: Client, folder: str, in_flight: int) -> None:
        self._client = client
        self._folder = folder
        self._in_flight = in_flight
        self._what = f"the session {folder.rpartition('/')[2]}"
        self._object = ConditionalObject(client, f"{folder}/{STATE}", self._what, _MAX_STATE_BYTES)
        self._states: SharedCall[bytes | None] = SharedCall()
        self._marks: SharedCall[frozenset[str]] = SharedCall()
        self._lasts: dict[str, tuple[int, int]] = {}
        """By writer the first and the last number in the last object of it that was read."""

    # -- records --

    def append(self, writer: str, first: int, records: Sequence[bytes]) -> None:  # a mark is a request
        """See :meth:`Journal.append`."""
        self._client.put(self._name(writer, first), frame(records), f"a note in {self._what}")

    def _name(self, writer: str, first: int) -> str:
        return f"{self._folder}/{writer}.{first:016d}"

    def entries(self, after: Mapping[str, int], mark: object = None) -> Iterator[Entry]:
        """See :meth:`Journal.entries`; many objects are read at a time."""
        names = mark if isinstance(mark, frozenset) else self._names()
        wanted = self._wanted(_segments(names), after)
        expected = {writer: after.get(writer, 0) + 1 for writer, _ in wanted}
        for (writer, first), data in in_order(self._read, wanted, threads=self._in_flight):
            if first > expected[writer]:
                continue  # records are missing before it
            number = first - 1
            for record, _ in unframe(data):
                number += 1
                if number >= expected[writer]:
                    expected[writer] = number + 1
                    yield Entry(writer, number, record)
            if number >= first:
                self._lasts[writer] = first, number

    def _wanted(self, segments: _Segments, after: Mapping[str, int]) -> list[tuple[str, int]]:
        """Return the objects to read: those of which not all is known, up to the first gap that can be seen."""
        wanted: list[tuple[str, int]] = []
        for writer, firsts in sorted(segments.items()):
            expected = after.get(writer, 0) + 1
            begun = False
            for first, end in self._ends(writer, firsts):
                if end is not None and end <= expected:
                    continue
                if first > expected and not begun:
                    break  # a gap
                wanted.append((writer, first))
                begun = True
        return wanted

    def _ends(self, writer: str, firsts: list[int]) -> Iterator[tuple[int, int | None]]:
        """Yield the first number of each object, and before which number it ends; None where that is not known."""
        known_first, known_last = self._lasts.get(writer, (0, 0))
        for first, following in zip(firsts, [*firsts[1:], None], strict=True):
            yield first, known_last + 1 if first == known_first else following

    def _read(self, segment: tuple[str, int]) -> bytes:
        try:
            data, _ = self._client.get(self._name(*segment), f"a note of {self._what}", _MAX_OBJECT_BYTES)
        except NoObjectError:  # deleted since it was listed
            return b""
        return data

    def mark(self) -> object:
        """See :meth:`Journal.mark`: one listing for all threads that asked before it began."""
        return self._marks.call(self._names)

    def _names(self) -> frozenset[str]:
        """Return the names of the objects of records."""
        names = (meta["path"].rpartition("/")[2] for meta in self._client.list(self._folder, self._what))
        return frozenset(name for name in names if SEGMENT.fullmatch(name))

    def delete(self, upto: Mapping[str, int]) -> None:
        """See :meth:`Journal.delete`; an object of which not all is known to be covered stays."""
        gone = [
            self._name(writer, first)
            for writer, firsts in _segments(self._names()).items()
            for first, end in self._ends(writer, firsts)
            if end is not None and end <= upto.get(writer, 0) + 1
        ]
        self._client.delete(gone, f"notes of {self._what}")

    # -- state --

    @property
    def state(self) -> bytes | None:
        """See :attr:`Journal.state`: one request for all threads that asked before it began."""
        return _without_nonce(self._states.call(self._object.read))

    def exchange(self, old: bytes | None, new: bytes) -> bool:
        """See :meth:`Journal.exchange`."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return self._object.exchange(lambda found: _without_nonce(found) == old, nonce + new) is None

    def remove(self) -> None:
        """See :meth:`Journal.remove`."""
        self._client.delete([f"{self._folder}/{STATE}"], self._what)
        self._client.delete((meta["path"] for meta in self._client.list(self._folder, self._what)), self._what)

    def age(self) -> float:
        """See :meth:`Journal.age`; what is compared are times that the store gives."""
        times = {meta["path"]: meta["last_modified"] for meta in self._client.list(self._folder, self._what)}
        if f"{self._folder}/{STATE}" not in times:
            raise BackendUnavailableError(f"expected {self._what} in {self._client.where}, found none")
        seconds: float = (read_clock(self._client, f"{self._folder}/") - max(times.values())).total_seconds()
        return max(seconds, 0.0)


def _without_nonce(data: bytes | None) -> bytes | None:
    return None if data is None else data[_NONCE_BYTES:]


def _segments(names: frozenset[str]) -> _Segments:
    found: defaultdict[str, list[int]] = defaultdict(list)
    for name in sorted(names):
        match = SEGMENT.fullmatch(name)
        if match:
            found[match[1]].append(int(match[2]))
    return found


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
        """See :meth:`SupportsJournal.sessions`."""
        folder = self._layout.name(FOLDER)
        if self._client.kind == "LocalStore":
            yield from session_folders((Path(self._client.store.prefix or "/") / folder).parent)
            return
        found: Any = self._client.ask_bucket(
            "list the sessions in", lambda: self._client.store.list_with_delimiter(folder)
        )
        for below in sorted(found["common_prefixes"]):
            name = below.rstrip("/").rpartition("/")[2]
            state = f"{folder}/{name}/{STATE}"
            there = self._client.attempt(f"look at the session {name} in", lambda: self._client.store.head(state))  # noqa: B023  # it is called at once
            if not isinstance(there, Failure):
                yield name
            elif there.kind is not FailureKind.ABSENT:
                raise there.error()
