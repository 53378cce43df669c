"""Notes: the records by which a writer tells what it has written or deleted, and what it had read before."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from weakref import WeakSet

from ipld_car import CarError, cids, dagcbor, hashes

from ipldstore._format import documents, keys
from ipldstore.errors import NodeError

NoteName = tuple[str, int]
"""Writer and number of a note."""

Content = dict[str, Any] | bytes | None
"""What a key has: a document, the link of a document or a value, or nothing."""

MAX_REPEATS: Final = 32
"""Earlier attempts to put a note, which the last attempt names, at most."""

MAX_BYTES: Final = 1 << 19
"""Bytes of the largest record of notes, which any journal takes."""

WHOLE_SECONDS: Final = 2.0
"""A writer whose note and blocks take longer until all of them are there looks at the session then.

A note alone tells, by its number, that it came before the session ended. Its blocks may come after that: a coordinator
that has ended the session waits for them as long.
"""

_OVERHEAD: Final = 256
"""Bytes of a note beside its key, its documents and the names of earlier attempts, at most."""
_NAME_BYTES: Final = 96
"""Bytes of the name of a note, at most."""

_MAX_READS: Final = 1 << 20
"""Keys whose last read is remembered, at most. Beyond, the oldest reads are forgotten."""

_FIELDS: Final = (6, 7)
_WRITER: Final = re.compile(r"[0-9a-f]{1,64}")
_MAX_NUMBER: Final = 1 << 53


class Note(NamedTuple):
    """One change of a writer."""

    number: int
    """Position of its record among those of its writer, from 1 on: notes that were put together have one number."""
    key: str
    before: Content
    """What the key had for the writer: what the writer has read, or else what it saw when it wrote."""
    after: Content
    """What the key has now."""
    was_read: bool
    """Whether the writer has read the key since it last wrote it, so that ``after`` may depend on ``before``."""
    confirmed: int
    """The number of the last note of the writer up to which all its blocks are in the store; 0 if none is known."""
    repeats: tuple[NoteName, ...] = ()
    """Earlier attempts to note the same change, which failed: each of them may be in the journal or not.

    The note counts if none of them was taken in before. Then they do not count.
    """


def encode_notes(notes: Sequence[Note]) -> bytes:
    """Return the record of some notes."""
    block: bytes = dagcbor.encode_node([fields_of(note) for note in notes])
    return block


def fields_of(note: Note) -> list[Any]:
    """Return a note as a list, which :func:`note_of` reads."""
    *fields, repeats = note
    if repeats:
        fields.append([list(name) for name in repeats])
    return fields


def links_of(notes: Sequence[Note]) -> dict[str, bytes]:
    """Return by key the link whose block must be there for the notes of a record to count.

    It is the last one of the key, as earlier ones have failed. Keys without a block have none.
    """
    ends = {note.key: note.after for note in notes}
    return {
        key: end
        for key, end in ends.items()
        if isinstance(end, bytes) and cids.prefix_of(end).hash_code != cids.IDENTITY
    }


def room_of(note: Note) -> int:
    """Return a bound of the bytes that a note takes in a record."""
    documents_ = sum(documents.MAX_EMBEDDED for content in (note.before, note.after) if isinstance(content, dict))
    return _OVERHEAD + 4 * len(note.key) + documents_ + _NAME_BYTES * len(note.repeats)


def decode_notes(data: bytes) -> list[Note]:
    """Return the notes of a record, in their order.

    A record may also be one note, not a list, as earlier versions have written it.

    :raises NodeError: if the bytes are no record of notes
    """
    if len(data) > MAX_BYTES:
        raise NodeError(f"expected notes of at most {MAX_BYTES} bytes, found {len(data)}")
    try:
        found = dagcbor.decode_node(data)
    except CarError as error:
        raise NodeError(f"expected notes: {error}") from error
    if not isinstance(found, list) or not found:
        raise NodeError("expected notes, a list of at least one")
    notes = [note_of(fields) for fields in (found if isinstance(found[0], list) else [found])]
    if len({(note.number, note.confirmed) for note in notes}) > 1:
        raise NodeError(f"expected notes with the numbers of the first one, {notes[0].number} and {notes[0].confirmed}")
    return notes


def note_of(fields: object) -> Note:
    """Return the note of some fields; see :func:`fields_of`.

    :raises NodeError: if the fields are not those of a note
    """
    if not isinstance(fields, list) or len(fields) not in _FIELDS:
        raise NodeError(f"expected a note, a list of {_FIELDS[0]} or {_FIELDS[1]} fields")
    number, key, before, after, was_read, confirmed, *rest = fields
    if not (_is_number(number) and number and _is_number(confirmed) and confirmed <= number):
        raise NodeError(f"expected the numbers of a note, found {number!r} and {confirmed!r}")
    if not isinstance(key, str) or not keys.is_key(key):
        raise NodeError(f"expected a key in note {number}, found {key!r:.200}")
    if not isinstance(was_read, bool):
        raise NodeError(f"expected true or false in note {number}, found {was_read!r:.200}")
    for content in (before, after):
        problem = _content_problem(key, content)
        if problem is not None:
            raise NodeError(f"expected what {key!r} has in note {number}, found {problem}")
    return Note(number, key, before, after, was_read, confirmed, _repeats(rest[0]) if rest else ())


def _repeats(found: object) -> tuple[NoteName, ...]:
    """Return the names of earlier attempts.

    :raises NodeError: if the value is no list of names
    """
    if not isinstance(found, list) or len(found) > MAX_REPEATS:
        raise NodeError(f"expected at most {MAX_REPEATS} names of notes, found {found!r:.200}")
    names = []
    for name in found:
        if not (isinstance(name, list) and len(name) == 2):
            raise NodeError(f"expected writer and number of a note, found {name!r:.200}")
        writer, number = name
        if not (isinstance(writer, str) and _WRITER.fullmatch(writer) and _is_number(number) and number):
            raise NodeError(f"expected writer and number of a note, found {name!r:.200}")
        names.append((writer, number))
    return tuple(names)


def _is_number(value: object) -> bool:
    return type(value) is int and 0 <= value < _MAX_NUMBER


def _content_problem(key: str, content: object) -> str | None:
    if content is None or isinstance(content, bytes):
        return None
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    if key.rpartition("/")[2] not in keys.DOCUMENTS:
        return "a document at a key of a value"
    return documents.find_problem(content)


def describe(content: Content) -> str:
    """Return a content in words, for messages; a document by the CID of its block, which tells it from others."""
    if content is None:
        return "nothing"
    if isinstance(content, bytes):
        return cids.to_text(content)
    return f"the document {cids.to_text(cids.make(cids.DAG_CBOR, hashes.sha2_256(dagcbor.encode_node(content))))}"


class Reads:
    """The contents of keys when they were read, until they are written. The caller holds a lock."""

    def __init__(self) -> None:
        self._reads: OrderedDict[str, Content] = OrderedDict()

    def remember(self, key: str, content: Content) -> None:
        """Keep what a key had when it was read."""
        self._reads[key] = content
        self._reads.move_to_end(key)
        if len(self._reads) > _MAX_READS:
            self._reads.popitem(last=False)

    def __contains__(self, key: str) -> bool:
        return key in self._reads

    def __getitem__(self, key: str) -> Content:
        return self._reads[key]

    def forget(self, key: str) -> None:
        """Forget what a key had: it has been written."""
        self._reads.pop(key, None)

    def forget_all(self, prefix: str) -> None:
        """Forget what all keys had that begin with a prefix."""
        for key in [key for key in self._reads if key.startswith(prefix)]:
            del self._reads[key]


class ReadsOfCopies:
    """What each copy of a session in one process has read. The caller holds a lock."""

    def __init__(self) -> None:
        self._all: WeakSet[Reads] = WeakSet()

    def new(self) -> Reads:
        """Return a place for what another copy reads."""
        reads = Reads()
        self._all.add(reads)
        return reads

    def elsewhere(self, own: Reads, key: str) -> list[Content]:
        """Return what other copies have read at a key; nothing if the copy itself has read it."""
        return [] if key in own else [reads[key] for reads in self._all if key in reads]

    def forget(self, key: str) -> None:
        """Forget what a key had: it has been written."""
        for reads in self._all:
            reads.forget(key)

    def forget_all(self, prefix: str) -> None:
        """Forget what all keys had that begin with a prefix."""
        for reads in self._all:
            reads.forget_all(prefix)
