"""What the pins of a node say of sessions: their names, and how they are found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from ipld_car import cids

from . import pins
from .rpc import RPC, RefusedError

PREFIX: Final = "ipld-castore-session/"
_STATE: Final = re.compile(re.escape(PREFIX) + r"([0-9a-z]{1,64})/state")
_NOTES: Final = re.compile(
    re.escape(PREFIX) + r"([0-9a-z]{1,64})/([0-9a-f]{1,64})/([0-9]{1,16})-([0-9]{1,16})@([0-9]{1,16})"
)
_AT_ONCE: Final = 100
"""Pins that are removed with one request."""
_LOOKS: Final = 12
"""How often a session is looked for before it is taken for deleted, as a listing can leave out a state that moves.

On a node with 10,000 pins a third of the listings left out a state that moved all the time.
"""


class NotesPin(NamedTuple):
    """A pin of records of one writer."""

    session: str
    writer: str
    first: int
    last: int
    time: int
    """When the node took the records, in seconds since 1970 by its clock."""
    cid: bytes
    """Binary CID of the block that has the records and links what they name."""

    @property
    def name(self) -> str:
        """The name of the pin."""
        return f"{PREFIX}{self.session}/{self.writer}/{self.first}-{self.last}@{self.time}"


def state_name(session: str) -> str:
    """Return the name of the pin of the state of a session."""
    return f"{PREFIX}{session}/state"


def find_notes(rpc: RPC, session: str | None = None) -> list[NotesPin]:
    """Return the pins of the records of a session, or of all sessions, those of a writer in order."""
    found = []
    for pin in pins.all_pins(rpc, PREFIX if session is None else f"{PREFIX}{session}/"):
        match = _NOTES.fullmatch(pin.name)
        if match and (session is None or match[1] == session):
            found.append(NotesPin(match[1], match[2], int(match[3]), int(match[4]), int(match[5]), pin.cid))
    return sorted(found)


def find_states(rpc: RPC, session: str, looks: int = _LOOKS) -> list[bytes]:
    """Return the binary CIDs of the state of a session: none or one.

    More while two processes begin it, or when the node was killed while it moved the state.
    """
    for _ in range(looks):
        found = [pin.cid for pin in pins.all_pins(rpc, state_name(session)) if pin.name == state_name(session)]
        if found:
            return found
    return []


def find_sessions(rpc: RPC) -> list[str]:
    """Return the names of the sessions that have a state."""
    found = {match[1] for pin in pins.all_pins(rpc, PREFIX) if (match := _STATE.fullmatch(pin.name))}
    noted = {pin.session for pin in find_notes(rpc)}  # a state that moved was left out, the notes behind it were not
    return sorted(found | {session for session in noted - found if find_states(rpc, session)})


def delete_strays(rpc: RPC, before: float) -> None:
    """Remove the records of sessions without a state, which are not read, if the node took them before a time."""
    old = [pin for pin in find_notes(rpc) if pin.time < before]
    for session in {pin.session for pin in old}:
        if not find_states(rpc, session):
            unpin_all(rpc, (pin.cid for pin in old if pin.session == session))


def unpin_all(rpc: RPC, roots: Iterable[bytes]) -> None:
    """Remove recursive pins, many with one request; those that are not there are passed over."""
    for some in _batches(roots):
        try:
            with rpc.call("pin/rm", {"arg": [cids.to_text(root) for root in some]}, long=True) as answer:
                answer.field(answer.json(1 << 20), "Pins", list)
        except RefusedError:  # one of them is not pinned any more, and the others after it are left
            for root in some:
                pins.unpin(rpc, root)


def _batches(roots: Iterable[bytes]) -> Iterator[list[bytes]]:
    all_roots = list(roots)
    for start in range(0, len(all_roots), _AT_ONCE):
        yield all_roots[start : start + _AT_ONCE]
