"""Looks into a journal: the notes that were put since the last one, and which of their blocks are there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, groupby
from typing import NamedTuple

from ipld_car import cids
from ipld_castore import Entry
from multiformats import CID

from .attempts import CLOSED
from .notes import Note, decode_notes, links_of

LateNotes = Sequence[tuple[str, Note]]
"""Writers and their notes that were read, and of which a block was not there."""

HasBlocks = Callable[[Iterable[CID]], Iterator[bool]]
"""Says of blocks whether the store has them, as :meth:`ipld_castore.ContentAddressableStore.has_blocks` does."""


class Look(NamedTuple):
    """What a look into a journal has found. The notes of a writer are in their order."""

    there: list[tuple[str, Note]]
    """Writers and their notes: those whose blocks are there."""
    late: list[tuple[str, Note]]
    """Those of which a block is not there. The change has not returned, and a later look may find the block."""


def look_at(entries: Iterable[Entry], late: LateNotes, has_blocks: HasBlocks) -> Look:
    """Return the notes of some records, and those that were late before.

    Of the notes of a record each counts when its own block is there. A record confirms earlier ones of its writer, so
    only blocks behind the last confirmation are asked for.

    :param entries: the records of the journal that were not read before, each writer's in order
    :param late: the late notes of the look before
    :param has_blocks: asks the store; called when all records were read, so that a block is there of each note that
        another one in the look has followed
    :raises NodeError: if a record has no notes
    :raises CAStoreError: if the journal or the store cannot be asked
    """
    records: dict[str, list[list[Note]]] = {}
    for writer, own in groupby(late, lambda each: each[0]):
        same_number = groupby((note for _, note in own), lambda note: note.number)
        records.setdefault(writer, []).extend(list(notes) for _, notes in same_number)
    for entry in entries:
        records.setdefault(entry.writer, []).append(decode_notes(entry.record))
    missing = _missing_links(records.values(), has_blocks)
    found = Look([], [])
    for writer, of_writer in records.items():
        for notes in of_writer:
            late_keys = {key for key, link in links_of(notes).items() if link in missing} if missing else ()
            for note in notes:
                (found.late if note.key in late_keys else found.there).append((writer, note))
    return found


def _missing_links(records: Iterable[list[list[Note]]], has_blocks: HasBlocks) -> set[bytes]:
    """Return the links of records whose blocks are not there.

    :param records: of each writer, the notes of its records
    """
    unsure: set[bytes] = set()
    for own in records:
        confirmed = max(notes[-1].confirmed for notes in own)
        for notes in own:
            if notes[0].number > confirmed:
                unsure.update(links_of(notes).values())
    asked = list(unsure)
    there = has_blocks(map(cids.from_validated, asked)) if asked else ()
    return {link for link, is_there in zip(asked, there, strict=True) if not is_there}


def look_with_repeated(look: Callable[[], Look | None], taken: Mapping[str, int]) -> Look | None:
    """Return a look that has, with notes that repeat others, all that their writers had noted before the others.

    Records are put side by side: one that repeats others may be listed before records that were put earlier. These are
    in the journal by then, so a second look lists them.

    :param look: looks at the journal, and returns what was noted since ``taken``; None if nothing was
    :param taken: by writer, the number of its last record that was read before
    """
    known: set[str] = set()
    while True:
        found = look()
        if found is None:
            return None
        names = {name for notes in found for _, note in notes for name in note.repeats}
        read = {writer: taken.get(writer, 0) for writer, _ in names}
        for writer, note in chain(*found) if names else ():
            if writer in read:
                read[writer] = max(note.number, read[writer])
        repeated = {writer for writer, number in names if read[writer] < min(number, CLOSED)}
        if repeated <= known:
            return found
        known |= repeated
