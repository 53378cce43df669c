"""Which commit is meant: a CID, a branch or a tag, and steps down its first parents."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Final

from ipld_car import CarError, cids
from multiformats import CID

from ipldstore._history.ancestry import ancestor_at_height, newest_at_time
from ipldstore._history.jumps import has_jump, jump_height
from ipldstore._history.state import StateNode
from ipldstore.errors import NodeError, RefNotFoundError

from .history import History, path_down
from .record import Commit
from .times import instant

Ref = str | CID | bytes | Commit
"""A commit, its CID, or a text: a CID, a branch or a tag, each with steps behind it, such as ``main~3``."""

_STEP: Final = re.compile(r"~([0-9]*)|@([^~@]+)")
_MAX_SHOWN: Final = 10


def find_commit(history: History, names: StateNode, ref: Ref) -> bytes:
    """Return the binary CID of the commit that is meant.

    A text is looked up as a CID, then as a branch, then as a tag. Behind it ``~3`` goes three first parents down, and
    ``@2024-05-01T00:00Z`` to the newest commit then, along first parents. The CID of a state is its default branch.

    :raises RefNotFoundError: if there is no such commit
    :raises ValueError: if the text is no ref
    :raises IPLDStoreError: if a commit cannot be read
    """
    if isinstance(ref, Commit):
        return _commit_of_cid(history, cids.to_bytes(ref.cid))  # it may be of another repository
    if not isinstance(ref, str):
        return _commit_of_cid(history, cids.to_bytes(ref))
    name, steps = _split(ref)
    at = _look_up(history, names, name)
    for down, time in steps:
        at = newest_at_time(history.load, at, instant(time)) if time else go_down(history, at, int(down or 1), ref)
    return at


def _split(ref: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the name in a ref, and the steps behind it.

    >>> _split("main~3@2024-05-01T00:00Z")
    ('main', [('3', ''), ('', '2024-05-01T00:00Z')])
    """
    start = min((at for at in map(ref.find, "~@") if at >= 0), default=len(ref))
    steps = [(found[1] or "", found[2] or "") for found in _STEP.finditer(ref, start)]
    if sum(len(found[0]) for found in _STEP.finditer(ref, start)) != len(ref) - start or not ref[:start]:
        raise ValueError(f"expected a ref such as 'main', 'main~3' or 'main@2024-05-01T00:00Z', found {ref[:200]!r}")
    return ref[:start], steps


def _look_up(history: History, names: StateNode, name: str) -> bytes:
    try:
        return _commit_of_cid(history, cids.to_bytes(name))
    except CarError:
        pass
    for known in (names.branches, names.tags):
        spelling = spelling_in(known, name)
        if spelling is not None:
            return known[spelling]
    raise RefNotFoundError(
        f"expected a CID, a branch or a tag, found {name[:200]!r}: there are the branches {listed(names.branches)}, "
        f"and {'the tags ' + listed(names.tags) if names.tags else 'no tags'}"
    )


def spelling_in(names: Mapping[str, bytes], name: str) -> str | None:
    """Return a name as it is in a map of names: as given, else in NFC, as writers have it; None if it is absent."""
    if not isinstance(name, str):
        raise TypeError(f"expected the name of a branch or tag, found {name!r:.200}")
    return next((each for each in (name, unicodedata.normalize("NFC", name)) if each in names), None)


def listed(names: Mapping[str, bytes]) -> str:
    """Return the first of some names, for a message."""
    shown = ", ".join(map(repr, sorted(names)[:_MAX_SHOWN]))
    return f"{shown} and {len(names) - _MAX_SHOWN} more" if len(names) > _MAX_SHOWN else shown


def _commit_of_cid(history: History, cid: bytes) -> bytes:
    try:
        history.load(cid)
    except NodeError as error:
        try:
            state = history.load_state(cid)
        except NodeError:
            raise error from None
        return state.branches[state.default]
    return cid


def go_down(history: History, tip: bytes, steps: int, what: str) -> bytes:
    """Return the ancestor a number of first parents down.

    :param what: what is looked up, for errors
    :raises RefNotFoundError: if there are not as many
    """
    height = history.load(tip).height
    if steps > height:
        raise RefNotFoundError(
            f"expected {what[:200]!r} to have {steps} first parents below it, found that the commit has height {height}"
        )
    history.prefetch(tip, path_down(_steps_down(height, height - steps)))
    return ancestor_at_height(history.load, tip, height - steps)


def _steps_down(height: int, target: int) -> Iterator[bool]:
    """Yield for each step from a height down to another whether it is a jump."""
    while height > target:
        jumps = has_jump(height) and jump_height(height) >= target
        yield jumps
        height = jump_height(height) if jumps else height - 1
