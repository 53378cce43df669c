"""Taking notes in: all of them, or none where some conflict (design, section 7, rule 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Final, Literal, NamedTuple

from ipld_car import cids
from ipld_car.messages import Message, Term
from ipld_castore import Entry
from multiformats import CID

from ipldstore.errors import ConflictError

from .attempts import CLOSED, Attempts
from .chain import Conflict, follow_chain, is_same_content
from .notes import Content, Note, NoteName, decode_notes, links_of

ContentOf = Callable[[str], Content]
"""Returns what a key has in the tree."""

OnConflict = Literal["raise", "first"] | Callable[[Conflict], Content]
"""What to do where notes conflict: raise an error; take the content of the first writer; or call a function."""

HasBlocks = Callable[[Iterable[CID]], Iterator[bool]]
"""Says of blocks whether the store has them, as :meth:`ipld_castore.ContentAddressableStore.has_blocks` does."""

_MOST_TOLD: Final = 10
_ASKED_AT_ONCE: Final = 1024
"""Records whose blocks are asked for in one request, at most."""


class TakenIn(NamedTuple):
    """The result of taking in notes."""

    changes: dict[str, Content]
    """What each key has now that it did not have before."""
    positions: dict[str, int]
    """Of each writer, the number of its last note."""


class Made(NamedTuple):
    """The changes of a record that have been made already."""

    keys: set[str]
    size: int
    """How many keys the record has."""


_NOT_MADE: Final = Made(set(), 0)


def resolve_notes(
    notes: Iterable[tuple[str, Note]],
    content_of: ContentOf,
    on_conflict: OnConflict = "raise",
    choices: Mapping[str, str] | None = None,
    *,
    taken: Mapping[str, int] | None = None,
    made: Mapping[NoteName, Made] | None = None,
    void: Mapping[str, int] | None = None,
) -> TakenIn:
    """Return the changes that notes make together; change nothing.

    :param notes: writer and note, each writer's in their order
    :param content_of: returns what a key has without the notes
    :param on_conflict: what to do where notes of a key do not follow each other
    :param choices: by key, the writer whose content counts where notes do not follow each other
    :param taken: by writer, the number of its last note that was taken in before
    :param made: of records, the changes that have been made already
    :param void: by writer, the number of its first note that does not count, as notes that were made repeat it
    :raises ConflictError: if notes do not follow each other, and neither argument decides
    """
    by_key: dict[str, dict[str, list[Note]]] = {}
    attempts = Attempts(taken or {}, void)

    def is_made(writer: str, note: Note) -> bool:
        return made is not None and note.key in made.get((writer, note.number), _NOT_MADE).keys

    for writer, note in notes:
        attempts.add(writer, note)
        by_key.setdefault(note.key, {}).setdefault(writer, []).append(note)
    changes: dict[str, Content] = {}
    conflicts: list[Conflict] = []
    for key, seen in by_key.items():
        counting = (
            (writer, [note for note in all_ if attempts.counts(writer, note) and not is_made(writer, note)])
            for writer, all_ in seen.items()
        )
        own = {writer: left for writer, left in counting if left}
        if not own:
            continue
        base = content_of(key)
        found = follow_chain(base, own)
        if isinstance(found, Conflict):
            found = _decided(found, (choices or {}).get(key), on_conflict)
        if isinstance(found, Conflict):
            conflicts.append(found)
        elif not is_same_content(found, base):
            changes[key] = found
    if conflicts:
        raise conflict_error(conflicts)
    return TakenIn(changes, attempts.positions())


def check_on_conflict(on_conflict: object) -> None:
    """Refuse what decides no conflict, also where there is none.

    :raises ValueError: if it is neither "raise" nor "first" nor a callable
    """
    if not (on_conflict in ("raise", "first") if isinstance(on_conflict, str) else callable(on_conflict)):
        raise ValueError(f'expected on_conflict to be "raise", "first" or a callable, found {on_conflict!r:.200}')


def _decided(conflict: Conflict, writer: str | None, on_conflict: OnConflict) -> Content | Conflict:
    """Return what the key of a conflict is to have; the conflict itself if nothing says what.

    :param writer: the writer whose content counts, if it has one
    """
    if writer is not None and writer in conflict.ends:
        return conflict.ends[writer]
    if on_conflict == "raise":
        return conflict
    return next(iter(conflict.ends.values())) if on_conflict == "first" else _ask(on_conflict, conflict)


Notes = Iterable[tuple[str, Note]]
"""Writers and their notes, each writer's in their order."""


def read_with_repeated(look: Callable[[], Notes | None], taken: Mapping[str, int]) -> list[tuple[str, Note]] | None:
    """Return notes, and with those that repeat others all that their writers had noted before the others.

    Notes are put side by side: one that repeats others may be listed before notes that were put earlier. These are in
    the journal by then, so a second look at the journal lists them.

    :param look: looks at the journal, and returns what was noted since ``taken``; None if nothing was
    :param taken: by writer, the number of its last note that was taken in before
    """
    known: set[str] = set()
    while True:
        found = look()
        notes = None if found is None else list(found)
        repeated = {writer for _, note in notes or () for writer, _ in note.repeats if taken.get(writer, 0) < CLOSED}
        if repeated <= known:
            return notes
        known |= repeated


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


class ConfirmedNotes:
    """The notes of a journal up to the first record of each writer of which a block is not there.

    A record confirms earlier records of its writer, so only blocks behind the last confirmation are asked for. A record
    that is left out is read again later, as the positions of a reader do not pass it. Its writer has not returned from
    putting it, nor any record after it.

    :param entries: the records of the journal, each writer's in order
    :param has_blocks: asks the store
    """

    def __init__(self, entries: Iterable[Entry], has_blocks: HasBlocks) -> None:
        self._entries = entries
        self._has_blocks = has_blocks
        self.is_complete = True
        """Whether no record was left out until now."""

    def __iter__(self) -> Iterator[tuple[str, Note]]:
        """Yield writer and note.

        :raises NodeError: if a record has no notes
        :raises CAStoreError: if the journal or the store cannot be asked
        """
        for writer, entries in groupby(self._entries, lambda entry: entry.writer):
            waiting: list[list[Note]] = []
            for entry in entries:
                waiting.append(decode_notes(entry.record))
                known = waiting[-1][0].confirmed - waiting[0][0].number + 1
                if known > 0:
                    yield from ((writer, note) for notes in waiting[:known] for note in notes)
                    del waiting[:known]
            yield from ((writer, note) for note in self._arrived(waiting))

    def _arrived(self, waiting: list[list[Note]]) -> Iterator[Note]:
        """Yield the notes of records that nothing confirms, up to the first one of which a block is not there."""
        for start in range(0, len(waiting), _ASKED_AT_ONCE):
            needed = [links_of(notes) for notes in waiting[start : start + _ASKED_AT_ONCE]]
            asked = list(set().union(*needed))
            there = dict(zip(asked, self._has_blocks(map(cids.from_validated, asked)), strict=True))
            for notes, links in zip(waiting[start:], needed, strict=False):
                if not all(there[link] for link in links):
                    self.is_complete = False
                    return
                yield from notes
