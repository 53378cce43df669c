"""What a key has after the notes of several writers, each of which must follow another (design, section 7, rule 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from ipld_car import dagcbor

from .notes import Content, Note, describe

_MAX_STATES: Final = 10_000
"""Ways to interleave notes of one key that are tried before they count as a conflict."""

_Identity = tuple[int, object]


class Conflict(NamedTuple):
    """Changes of one key that do not follow each other.

    A content is the binary CID of a block, a document as a dict, or None where the key is absent.
    """

    key: str
    base: Content
    """What the key has without these changes."""
    ends: Mapping[str, Content]
    """Of each writer, what it wrote last."""

    def __str__(self) -> str:
        ends = ", ".join(f"writer {writer} has {describe(end)}" for writer, end in sorted(self.ends.items()))
        return f"{self.key!r}: the coordinator has {describe(self.base)}, {ends}"


def follow_chain(base: Content, notes: Mapping[str, Sequence[Note]]) -> Content | Conflict:
    """Return what one key has after all notes on it, or the conflict that there is.

    A note fits where its ``before`` is what the key has, or had, and its ``after`` is that already. The notes of a
    writer are in their order; those of several writers may interleave in any way. If each way that uses all notes ends
    with the same content, that is the result. Neither clocks nor the order of arrival decide anything.

    :param base: what the key has in the tree
    :param notes: by writer its notes on this key, in their order; at least one
    """
    if len(notes) == 1:
        ((_, own),) = notes.items()
        if len(own) == 1 and (is_same_content(own[0].before, base) or is_same_content(own[0].after, base)):
            return own[0].after
    own_notes = list(notes.values())
    ends = _ends(base, own_notes) or _ends_through(base, own_notes)
    if len(ends) == 1:
        return ends[0]
    key = next(iter(notes.values()))[0].key
    return Conflict(key, base, {writer: own[-1].after for writer, own in notes.items()})


def _ends_through(base: Content, notes: list[Sequence[Note]]) -> list[Content]:
    """Return the ends of orders of notes that already lead to the base, as where an interrupted take-in is repeated."""
    starts = {_identity(own[0].before): own[0].before for own in notes}
    reached = {_identity(note.after) for own in notes for note in own}
    if _identity(base) not in reached:
        return []
    found = {_identity(end): end for start in starts.values() for end in _ends(start, notes)}
    return list(found.values()) if _identity(base) in found else []


def _ends(base: Content, notes: list[Sequence[Note]]) -> list[Content]:
    """Return the different contents with which an order of all notes can end."""
    start = (0,) * len(notes)
    goal = tuple(map(len, notes))
    found: dict[_Identity, Content] = {}
    seen = {(start, _identity(base))}
    todo: list[tuple[tuple[int, ...], Content]] = [(start, base)]
    while todo:
        at, content = todo.pop()
        if at == goal:
            found[_identity(content)] = content
            continue
        for writer, position in enumerate(at):
            if position == goal[writer]:
                continue
            note = notes[writer][position]
            if not is_same_content(note.before, content) and not (
                is_same_content(note.after, content) and _was_there(note.before, base, notes, at)
            ):
                continue
            step = (*at[:writer], position + 1, *at[writer + 1 :])
            state = (step, _identity(note.after))
            if state in seen:
                continue
            if len(seen) == _MAX_STATES:
                return []
            seen.add(state)
            todo.append((step, note.after))
    return list(found.values())


def _was_there(before: Content, base: Content, notes: list[Sequence[Note]], at: tuple[int, ...]) -> bool:
    """Return whether a writer can have seen a content by now: another one wrote it earlier, or it is older than all.

    :param at: by writer, how many of its notes have been used
    """
    wanted = _identity(before)
    if wanted == _identity(base):
        return True
    by_now = any(_identity(note.after) == wanted for own, used in zip(notes, at, strict=True) for note in own[:used])
    return by_now or not any(_identity(note.after) == wanted for own in notes for note in own)


def is_same_content(one: Content, other: Content) -> bool:
    """Return whether two contents are the same; JSON tells 1, 1.0 and true apart, which Python does not."""
    return _identity(one) == _identity(other)


def _identity(content: Content) -> _Identity:
    if content is None or isinstance(content, bytes):
        return 0, content
    return 1, dagcbor.encode_node(content)
