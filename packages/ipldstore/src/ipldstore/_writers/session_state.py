"""The state of a session: its root, the notes that are in the root, and the process that coordinates it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from ipld_car import CarError, cids, dagcbor
from ipld_castore import Journal

from ipldstore.errors import NodeError

from .notes import Note, decode_notes, fields_of, note_of

_VERSION: Final = 2
_VERSIONS: Final = (1, _VERSION)
"""Those that are read: the first one has no late notes."""
_MAX_BYTES: Final = 16 << 20


class SessionState(NamedTuple):
    """The state of a session."""

    root: bytes
    """Binary CID of the root that has the notes up to ``positions``, but for those that are late."""
    positions: dict[str, int]
    """By writer, the number of its last record that was taken in."""
    owner: str
    """The random name of the coordinator."""
    ended: bool
    """Whether the session refuses notes."""
    head: bytes | None = None
    """Binary CID of the head of the block store that the coordinator moves on when it freezes, or in a repository of
    the commit that the contents go on from; None without."""
    moves_head: bool = False
    """Whether the root is to become the head of the block store."""
    done: bool = False
    """Whether the root has all notes that count, and is the head if it is to be. Later notes were refused."""
    head_name: str | None = None
    """In a repository on an IPFS node, the name of the key whose IPNS name is its head."""
    late: tuple[tuple[str, Note], ...] = ()
    """Writers and their notes up to ``positions`` whose blocks were not there: they count when these are."""


def encode_state(state: SessionState) -> bytes:
    """Return the bytes of the object."""
    late = [[writer, fields_of(note)] for writer, note in state.late]
    fields = {"version": _VERSION, **state._asdict(), "late": late}
    block: bytes = dagcbor.encode_node(fields)
    return block


def decode_state(data: bytes) -> SessionState:
    """Return the state of some bytes.

    :raises NodeError: if the bytes are no state
    """
    if len(data) > _MAX_BYTES:
        raise NodeError(f"expected the state of a session of at most {_MAX_BYTES} bytes, found {len(data)}")
    try:
        found: Any = dagcbor.decode_node(data)
    except CarError as error:
        raise NodeError(f"expected the state of a session: {error}") from error
    if not isinstance(found, dict) or found.get("version") not in _VERSIONS:
        raise NodeError(f"expected the state of a session, version {_VERSION}: this one is of a newer version, or none")
    root, positions = found.get("root"), found.get("positions")
    owner, ended = found.get("owner"), found.get("ended")
    if not isinstance(root, bytes) or cids.codec_of(root) != cids.DAG_CBOR:
        raise NodeError("expected the state of a session with a root, a link with codec dag-cbor")
    if not isinstance(positions, dict) or not all(type(number) is int and number >= 0 for number in positions.values()):
        raise NodeError("expected the state of a session with positions, numbers by writer")
    if not isinstance(owner, str) or not isinstance(ended, bool):
        raise NodeError("expected the state of a session with an owner, and whether it has ended")
    head, moves_head = found.get("head"), found.get("moves_head")
    done, head_name = found.get("done"), found.get("head_name")  # sessions of older versions have no name
    if not (head is None or isinstance(head, bytes)) or not isinstance(moves_head, bool) or not isinstance(done, bool):
        raise NodeError("expected the state of a session with a head, a link or null, whether it moves, and the end")
    if not (head_name is None or isinstance(head_name, str)):
        raise NodeError("expected the state of a session with the name of a head, a text or null")
    late = tuple(map(_late_note, _list_of(found.get("late", []))))
    return SessionState(root, positions, owner, ended, head, moves_head, done, head_name, late)


def _list_of(found: object) -> list[object]:
    if not isinstance(found, list):
        raise NodeError("expected the state of a session with a list of late notes")
    return found


def _late_note(found: object) -> tuple[str, Note]:
    if not (isinstance(found, list) and len(found) == 2 and isinstance(found[0], str)):
        raise NodeError("expected the state of a session with late notes, each a writer and a note")
    return found[0], note_of(found[1])


def notes_behind(state: SessionState, journal: Journal) -> list[tuple[str, Note]]:
    """Return writers and their notes that the root of a session does not have; blocks of them may be missing.

    Notes are deleted when the state has gone on. Whoever needs all of them reads the state again after that.

    :param state: the state of the journal
    :raises NodeError: if a record has no notes
    :raises CAStoreError: if the journal cannot be read
    """
    if state.done:
        return []
    entries = journal.entries(state.positions)
    return [*state.late, *((entry.writer, note) for entry in entries for note in decode_notes(entry.record))]
