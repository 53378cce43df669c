"""Taking notes in: all of them, or none where some do not chain (design, section 7, rule 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, NamedTuple

from ipldstore.errors import ConflictError

from .chain import Conflict, follow_chain, is_same_content
from .notes import Content, Note

ContentOf = Callable[[str], Content]
"""Gives what a key has in the tree."""

OnConflict = Literal["raise", "first"] | Callable[[Conflict], Content]
"""What to do where notes do not chain: raise an error; take what the first writer has; or ask."""

_MOST_TOLD: Final = 10


class TakenIn(NamedTuple):
    """The result of taking in notes."""

    changes: dict[str, Content]
    """What each key has now that it did not have before."""
    positions: dict[str, int]
    """Of each writer, the number of its last note."""


def resolve_notes(
    notes: Iterable[tuple[str, Note]],
    content_of: ContentOf,
    on_conflict: OnConflict = "raise",
    choices: Mapping[str, str] | None = None,
) -> TakenIn:
    """Return what notes come to; change nothing.

    :param notes: writer and note, each writer's in their order
    :param content_of: gives what a key has without them
    :param on_conflict: what to do where they do not chain
    :param choices: by key, the writer whose content counts where they do not chain
    :raises ConflictError: if they do not, and nothing says what to do
    """
    by_key: dict[str, dict[str, list[Note]]] = {}
    positions: dict[str, int] = {}
    for writer, note in notes:
        positions[writer] = note.number
        by_key.setdefault(note.key, {}).setdefault(writer, []).append(note)
    changes: dict[str, Content] = {}
    conflicts: list[Conflict] = []
    for key, own in by_key.items():
        base = content_of(key)
        found = follow_chain(base, own)
        if isinstance(found, Conflict):
            chosen = (choices or {}).get(key)
            if chosen is not None and chosen in found.ends:
                found = found.ends[chosen]
            elif on_conflict == "raise":
                conflicts.append(found)
                continue
            else:
                found = next(iter(found.ends.values())) if on_conflict == "first" else _ask(on_conflict, found)
        if not is_same_content(found, base):
            changes[key] = found
    if conflicts:
        raise conflict_error(conflicts)
    return TakenIn(changes, positions)


def _ask(on_conflict: Callable[[Conflict], Content], conflict: Conflict) -> Content:
    """Return what a callable decides."""
    answer = on_conflict(conflict)
    if not any(is_same_content(answer, end) for end in (conflict.base, *conflict.ends.values())):
        raise ValueError(
            f"expected on_conflict to return the base of {conflict.key!r}, or one of its ends, found {answer!r:.200}"
        )
    return answer


def conflict_error(conflicts: list[Conflict]) -> ConflictError:
    """Return the error that names keys, contents and writers."""
    told = "; ".join(map(str, conflicts[:_MOST_TOLD]))
    more = f"; and {len(conflicts) - _MOST_TOLD} more" if len(conflicts) > _MOST_TOLD else ""
    return ConflictError(
        f"expected the changes of several writers to follow each other, found {len(conflicts)} keys where they do not: "
        f"{told}{more}. Nothing was changed. on_conflict=... of freeze and merge decides, or "
        f"resolve_conflict(key, writer)"
    )
