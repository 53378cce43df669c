"""Journals: records that writers in several processes leave for the coordinator of a dataset.

A **session** is one dataset that several processes write. Each **writer** of it appends records to the journal of the
session, numbered from 1 on. The **coordinator** reads them. The session has one small object, its **state**, which
moves by compare-and-exchange only. A backend has journals if other processes can reach it and it exchanges atomically.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
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

    is_remote: bool
    """Whether each verb is a request to a server: threads may append for one writer at once, and need not look often.

    An append may then arrive before those with lower numbers. Of each writer, :meth:`entries` yields the records before
    the first gap, and the rest when the gap is filled.
    """

    refuses_stopped: bool
    """Whether :meth:`stop_writers` has the appends fail of each writer that had appended before.

    Such a writer need not look at the state after each append. Where this is False it does.
    """

    keeps_blocks: bool
    """Whether a record keeps the blocks that it names from the garbage collection of the store itself.

    They are put before the record then, and are kept until the record is deleted.
    """

    def append(
        self, writer: str, first: int, records: Sequence[bytes], blocks: Collection[bytes] = ()
    ) -> tuple[object, object] | None:
        """Append records of a writer. When it returns, the records are stored and readable.

        Return the marks before and after, if the backend knows them, and nothing else was appended between them: a
        reader that knew the first one need not look. Else return None.

        One caller at a time appends for one writer, unless the journal :attr:`is_remote`.

        :param writer: name of the writer, 1 to 64 characters of ``0-9a-f``
        :param first: number of the first record; those before it were appended before
        :param records: each at most :data:`MAX_RECORD_BYTES` long
        :param blocks: binary CIDs of the blocks that the records name, where :attr:`keeps_blocks`
        :raises BackendUnavailableError: if they cannot be written, or a block is missing that they are to keep. They
            may be stored or not. Do not use the writer again; use a new one
        """

    async def try_append_async(self, writer: str, first: int, record: bytes) -> bool:
        """Append a record in the running event loop; return whether it is known to be stored and readable.

        Where it returns False, :meth:`append` with the same number appends the record, or tells why it cannot. So does
        a backend that cannot wait for the network without a thread.
        """

    def stop_writers(self, known: Mapping[str, int]) -> object:
        """Make the next append of each writer that has appended fail, if the journal :attr:`refuses_stopped`.

        Its records up to then are readable. Those of writers that append for the first time after the call has begun
        may be left out from then on. Elsewhere writers look at the state after each append, and nothing is done here.

        Return the value of :meth:`mark` for all records of the writers that were stopped, where it is known; else None.

        :param known: by writer, the number up to which its records are known; these may be deleted
        :raises BackendUnavailableError: if it is unknown whether they are stopped; the call may be repeated
        """

    def entries(self, after: Mapping[str, int], mark: object = None) -> Iterator[Entry]:
        """Yield the records with higher numbers than ``after`` has for their writers, those of a writer in order.

        A missing, damaged or incomplete record is the last of its writer, which was stopped there.

        :param after: by writer, the number up to which its records are known
        :param mark: a value of :meth:`mark`; records that came later may then be left out, which saves a request
        :raises BackendUnavailableError: if they cannot be read
        """

    def mark(self) -> object:
        """Return a value that changes with each appended record; cheap where the backend allows it.

        Threads that ask at the same time may share one request, which begins after the last of them has asked.

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
        """Replace the state if it is ``old``; return whether it was. The exchange is atomic among all processes.

        :param old: the expected state; None where there must be no such session
        :raises BackendUnavailableError: if it is unknown whether it was replaced
        """

    def remove(self) -> None:
        """Delete the session: its state first, then its records. Writers that were stopped stay so.

        :raises BackendUnavailableError: if it cannot be deleted
        """

    def age(self) -> float:
        """Return for how many seconds neither the state has moved nor a record was appended, by the store's clock.

        :raises BackendUnavailableError: if that cannot be found out, or there is no such session
        """


@runtime_checkable
class SupportsJournal(Protocol):
    """A store that has journals."""

    def journal(self, session: str) -> Journal:
        """Return the journal of a session, which may not exist yet."""

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
