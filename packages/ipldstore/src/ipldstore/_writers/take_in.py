"""Taking notes in: all of them, or none where some conflict (design, section 7, rule 3)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, Literal, NamedTuple

from ipld_car.messages import Message, Term

from ipldstore.errors import ConflictError

from .attempts import Attempts
from .chain import Conflict, follow_chain, is_same_content
from .looking import LateNotes, Look
from .notes import Content, Note, NoteName

ContentOf = Callable[[str], Content]
"""Returns what a key has in the tree."""

OnConflict = Literal["raise", "first"] | Callable[[Conflict], Content]
"""What to do where notes conflict: raise an error; take the content of the first writer; or call a function."""

_MOST_TOLD: Final = 10
_MOST_LOOKS: Final = 4
"""Looks for conflicts that an earlier look has found too: writers that go on with a race make new ones each time."""


class TakenIn(NamedTuple):
    """The result of taking in notes."""

    changes: dict[str, Content]
    """What each key has now that it did not have before."""
    positions: dict[str, int]
    """Of each writer, the number of its last record that was read; see :class:`Attempts`."""
    late: tuple[tuple[str, Note], ...]
    """Writers and their notes that are taken in when their blocks are there."""
    doubtful: list[Conflict]
    """Conflicts that the look before has not found. Nothing is to be made then: see :func:`resolve_notes`."""


Made = Mapping[NoteName, Collection[str]]
"""By the name of a record, the keys of it whose changes have been made already."""


def resolve_notes(
    notes: LateNotes,
    content_of: ContentOf,
    on_conflict: OnConflict = "raise",
    choices: Mapping[str, str] | None = None,
    *,
    late: LateNotes = (),
    taken: Mapping[str, int] | None = None,
    made: Made | None = None,
    known: Collection[Conflict] | None = None,
) -> TakenIn:
    """Return the changes that notes make together; change nothing.

    A look reads the notes of one writer after those of another. It may have a note, and not the one of another writer
    that came before it. The next look has both. So a conflict counts when two looks have found it.

    :param notes: writer and note, each writer's in their order, of those whose blocks are there
    :param content_of: returns what a key has without the notes
    :param on_conflict: what to do where notes of a key do not follow each other
    :param choices: by key, the writer whose content counts where notes do not follow each other
    :param late: writer and note of those whose blocks are not there
    :param taken: by writer, the number of its last record that was read before
    :param made: the changes of records that have been made already
    :param known: the conflicts of the look before; None where there are no notes but these
    :raises ConflictError: if notes do not follow each other, and neither argument decides
    """
    attempts = Attempts(taken or {}, notes, late)
    by_key: dict[str, dict[str, list[Note]]] = {}
    for writer, note in notes:
        if attempts.counts(writer, note) and not _is_made(made, writer, note):
            by_key.setdefault(note.key, {}).setdefault(writer, []).append(note)
    changes: dict[str, Content] = {}
    conflicts: list[Conflict] = []
    for key, own in by_key.items():
        base = content_of(key)
        found = follow_chain(base, own)
        if isinstance(found, Conflict):
            conflicts.append(found)
        elif not is_same_content(found, base):
            changes[key] = found
    doubtful = [] if known is None else [each for each in conflicts if each not in known]
    if not doubtful:
        changes |= _decide(conflicts, choices or {}, on_conflict)
    still = [each for each in late if not attempts.is_void(*each) and not _is_made(made, *each)]
    return TakenIn(changes, attempts.positions(), tuple(still), doubtful)


def take_in_twice(
    look: Callable[[], Look | None], resolve: Callable[[Look, list[Conflict] | None], TakenIn]
) -> TakenIn | None:
    """Return what a look comes to, or another look where the first one has found conflicts; None if nothing was noted.

    :param look: looks into the journal
    :param resolve: resolves a look, with the conflicts of the looks before, and applies the changes if none is doubtful
    :raises ConflictError: if there are conflicts in both, and ``resolve`` does not decide them
    """
    known: list[Conflict] = []
    for left in reversed(range(_MOST_LOOKS)):
        found = look()
        if found is None:
            return None
        taken = resolve(found, known if left else None)
        if not taken.doubtful:
            return taken
        known += taken.doubtful
    raise AssertionError("the last look has doubtful conflicts")  # it knows all


def _is_made(made: Made | None, writer: str, note: Note) -> bool:
    return made is not None and note.key in made.get((writer, note.number), ())


def check_on_conflict(on_conflict: object) -> None:
    """Refuse what decides no conflict, also where there is none.

    :raises ValueError: if it is neither "raise" nor "first" nor a callable
    """
    if not (on_conflict in ("raise", "first") if isinstance(on_conflict, str) else callable(on_conflict)):
        raise ValueError(f'expected on_conflict to be "raise", "first" or a callable, found {on_conflict!r:.200}')


def _decide(conflicts: list[Conflict], choices: Mapping[str, str], on_conflict: OnConflict) -> dict[str, Content]:
    """Return what the keys of conflicts are to have.

    :param choices: see :func:`resolve_notes`
    :raises ConflictError: if nothing says what
    """
    decided: dict[str, Content] = {}
    open_: list[Conflict] = []
    for each in conflicts:
        writer = choices.get(each.key)
        if writer is not None and writer in each.ends:
            decided[each.key] = each.ends[writer]
        elif on_conflict == "raise":
            open_.append(each)
        else:
            decided[each.key] = next(iter(each.ends.values())) if on_conflict == "first" else _ask(on_conflict, each)
    if open_:
        raise conflict_error(open_)
    return decided


def _ask(on_conflict: Callable[[Conflict], Content], conflict: Conflict) -> Content:
    """Return what a function decides on a conflict."""
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
        Message(
            f"expected the changes of several writers to follow each other, found {len(conflicts)} keys where they do "
            f"not: {told}{more}. Nothing was changed. ",
            Term("on_conflict=...", "on_conflict=... of freeze and merge decides, or resolve_conflict(key, writer)"),
        )
    )
