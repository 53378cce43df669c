"""The state of a session: its root, the notes that are in the root, and the process that coordinates it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from ipld_car import CarError, cids, dagcbor

from ipldstore.errors import NodeError

_VERSION: Final = 1
_MAX_BYTES: Final = 16 << 20


class SessionState(NamedTuple):
    """The state of a session."""

    root: bytes
    """Binary CID of the root that has the notes up to ``positions``."""
    positions: dict[str, int]
    """By writer, the number of its last note in the root."""
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


def encode_state(state: SessionState) -> bytes:
    """Return the bytes of the object."""
    fields = {"version": _VERSION, **state._asdict()}
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
    if not isinstance(found, dict) or found.get("version") != _VERSION:
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
    return SessionState(root, positions, owner, ended, head, moves_head, done, head_name)
