"""Journals: what writers in other processes leave for the one that holds the dataset.

A **session** is one dataset that several processes write. Each **writer** of it appends records to the journal of the
session, numbered from 1 on. The **coordinator** reads them. The session has one small object, its **state**, which
moves by compare-and-exchange only. A backend has journals if other processes can reach it and it exchanges atomically.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol, runtime_checkable

MAX_RECORD_BYTES: Final = 1 << 20
"""Bytes of the largest record."""

_FRAME: Final = struct.Struct("<II")


class Entry(NamedTuple):
    """A record of a journal."""

    writer: str
    number: int
    """Position among the records of its writer, from 1 on."""
    record: bytes


class Journal(Protocol):
    """The journal of one session. Threads and processes may use it at once."""

    appends_side_by_side: bool
    """Whether threads may append for one writer at once.

    If so, each append is a request of its own, which may arrive before those with lower numbers: of a writer,
    :meth:`entries` gives what is before the first gap, and the rest when the gap is filled.
    """

    def append(self, writer: str, first: int, records: Sequence[bytes]) -> None:
        """Append records of a writer; they are there, and stay, when it returns.

        One caller at a time appends for one writer, unless :attr:`appends_side_by_side`.

        :param writer: name of the writer, 1 to 64 characters of ``0-9a-f``
        :param first: number of the first record; those before it were appended before
        :param records: each at most :data:`MAX_RECORD_BYTES` long
        :raises BackendUnavailableError: if they cannot be written. They may be there or not, so the writer is not to be
            used again: another one takes its place
        """

    def entries(self, after: Mapping[str, int], mark: object = None) -> Iterator[Entry]:
        """Yield the records with higher numbers than ``after`` has for their writers, each writer's in order.

        A record that is missing, damaged or incomplete ends those of its writer: the writer was stopped there.

        :param after: of each writer, up to which number its records are known
        :param mark: what :meth:`mark` has returned; records that came later may then be left out, which saves a request
        :raises BackendUnavailableError: if they cannot be read
        """

    def mark(self) -> object:
        """Return something that is equal as long as no record was appended; cheap where the backend allows it.

        What threads ask for at the same time may be found out once, after the last of them has asked.

        :raises BackendUnavailableError: if that cannot be found out
        """

    def delete(self, upto: Mapping[str, int]) -> None:
        """Delete records up to the given numbers, as far as the backend can; they are not needed any more.

        :raises BackendUnavailableError: if they cannot be deleted
        """

    @property
    def state(self) -> bytes | None:
        """The state of the session; None if there is no such session.

        :raises BackendUnavailableError: if it cannot be read
        """

    def exchange(self, old: bytes | None, new: bytes) -> bool:
        """Replace the state, if it is ``old``; returns whether it was. Atomic among all processes.

        :param old: the expected state; None where there must be no such session
        :raises BackendUnavailableError: if it cannot be written; whether it was is not known
        """

    def remove(self) -> None:
        """Delete the session: its state first, then its records.

        :raises BackendUnavailableError: if it cannot be deleted
        """

    def age(self) -> float:
        """Return for how many seconds the state has not moved, by the clock of the store.

        :raises BackendUnavailableError: if that cannot be found out, or there is no such session
        """


@runtime_checkable
class SupportsJournal(Protocol):
    """A store that has journals."""

    def journal(self, session: str) -> Journal:
        """Return the journal of a session, be there one already or not."""

    def sessions(self) -> Iterator[str]:
        """Yield the names of the sessions that are there."""


def frame(records: Sequence[bytes]) -> bytes:
    """Return records as they are stored: each after its length and its checksum.

    :raises ValueError: if a record is too long
    """
    parts: list[bytes] = []
    for record in records:
        if len(record) > MAX_RECORD_BYTES:
            raise ValueError(f"expected a record of at most {MAX_RECORD_BYTES} bytes, found {len(record)}")
        parts += (_FRAME.pack(len(record), zlib.crc32(record)), record)
    return b"".join(parts)


def unframe(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield whole records, each with the position behind it; stop at what is damaged or incomplete.

    >>> [record for record, _ in unframe(frame([b"one", b"two"]) + b"torn")]
    [b'one', b'two']
    """
    at = 0
    while at + _FRAME.size <= len(data):
        size, checksum = _FRAME.unpack_from(data, at)
        start = at + _FRAME.size
        record = data[start : start + size]
        if size > MAX_RECORD_BYTES or len(record) < size or zlib.crc32(record) != checksum:
            return
        at = start + size
        yield record, at
