"""Each note of a record counts when its own block is there, once, whatever attempts there were and came when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ipld_car import cids, hashes
from ipld_castore import Entry
from ipldstore import NodeError
from ipldstore._writers.attempts import CLOSED
from ipldstore._writers.looking import LateNotes, Look, look_at, look_with_repeated
from ipldstore._writers.notes import Content, Note, encode_notes
from ipldstore._writers.take_in import resolve_notes
from multiformats import CID


def link(text: str) -> bytes:
    return cids.make(cids.RAW, hashes.digest_of(cids.SHA2_256, text.encode()))


class Blocks:
    """The blocks of a store, and which of them it was asked for."""

    def __init__(self, *there: str) -> None:
        self.there = {link(text) for text in there}
        self.asked: list[bytes] = []

    def has(self, wanted: Iterable[CID]) -> Iterator[bool]:
        for cid in wanted:
            self.asked.append(bytes(cid))
            yield bytes(cid) in self.there


def record(writer: str, *notes: Note) -> Entry:
    return Entry(writer, notes[0].number, encode_notes(notes))


def note(number: int, key: str, after: str | None, *repeats: tuple[str, int], confirmed: int = 0) -> Note:
    return Note(number, key, None, None if after is None else link(after), False, confirmed, repeats)


class Reader:
    """A reader of a journal: what it has taken in, and how far it has read."""

    def __init__(self) -> None:
        self.tree: dict[str, Content] = {}
        self.taken: dict[str, int] = {}
        self.late: LateNotes = ()

    def read(self, entries: Iterable[Entry], blocks: Blocks) -> None:
        found = look_at(
            (each for each in entries if each.number > self.taken.get(each.writer, 0)), self.late, blocks.has
        )
        taken = resolve_notes(found.there, self.tree.get, late=found.late, taken=self.taken)
        self.tree |= taken.changes
        self.taken |= taken.positions
        self.late = taken.late


def test_each_note_waits_for_its_own_block() -> None:
    reader = Reader()
    first = record("aa", note(1, "a/0", "x"), note(1, "a/1", "y"), note(1, "a/2", None), note(1, "b/zarr.json", "x"))
    second = record("aa", note(2, "a/3", "z"))
    reader.read([first, second], Blocks("x", "z"))
    assert reader.tree == {"a/0": link("x"), "b/zarr.json": link("x"), "a/3": link("z")}
    assert [(writer, late.key) for writer, late in reader.late] == [("aa", "a/1")]
    assert reader.taken == {"aa": 2}
    reader.read([], Blocks("y"))
    assert reader.tree["a/1"] == link("y")
    assert reader.late == ()


def test_a_later_record_confirms_blocks() -> None:
    """They are not asked for; nor are those of late notes, nor any twice."""
    blocks = Blocks("z")
    found = look_at(
        [record("aa", note(7, "a/2", "z", confirmed=6)), record("bb", note(1, "b/0", "z"))],
        [("aa", note(5, "a/0", "x")), ("aa", note(6, "a/1", "y"))],
        blocks.has,
    )
    assert [each.key for _, each in found.there] == ["a/0", "a/1", "a/2", "b/0"]
    assert found.late == []
    assert blocks.asked == [link("z")]
    assert look_at([], [], blocks.has) == Look([], [])


def test_a_block_is_asked_for_when_all_records_were_read() -> None:
    """The record of another writer may follow a late note: then its block is there."""
    blocks = Blocks()

    def entries() -> Iterator[Entry]:
        blocks.there.add(link("x"))
        yield record("bb", Note(1, "a/0", link("x"), link("x"), True, 1))

    assert look_at(entries(), [("aa", note(1, "a/0", "x"))], blocks.has).late == []


def test_a_note_that_failed_is_put_again_under_the_same_name() -> None:
    """Whichever of the two has its block first counts, and the other does not, whenever its block comes."""
    failed = record("aa", note(1, "a/0", "x"), note(1, "a/1", "y"))
    again = record("aa", note(2, "a/0", "x", ("aa", 1)), Note(2, "a/0", link("x"), link("z"), False, 0))
    for early in ([], ["x"]):
        reader = Reader()
        reader.read([failed], Blocks("y", *early))
        reader.read([again], Blocks("z", *early))
        assert reader.tree == {"a/0": link("z"), "a/1": link("y")}
        reader.read([], Blocks("x"))
        assert reader.tree == {"a/0": link("z"), "a/1": link("y")}
        assert reader.late == ()


def test_a_record_that_failed_does_not_count_when_it_comes_late() -> None:
    """Nor do those behind it: its writer has another name. Those before it do, also notes of them that are late."""
    reader = Reader()
    reader.read([record("aa", note(1, "a/0", "x"))], Blocks())
    reader.read([record("bb", note(1, "a/1", "y", ("aa", 2)))], Blocks("y"))
    assert reader.taken == {"aa": CLOSED + 1, "bb": 1}
    late = [record("aa", note(2, "a/1", "z"), note(2, "a/2", "z")), record("aa", note(3, "a/3", "z"))]
    reader.read(late, Blocks("z", "x"))
    assert reader.tree == {"a/0": link("x"), "a/1": link("y")}


def test_a_record_that_was_taken_in_before_it_is_repeated() -> None:
    """Its note has counted, and the other does not; what its writer has noted behind it counts as well."""
    reader = Reader()
    reader.read([record("aa", note(1, "a/0", "x")), record("aa", note(2, "a/1", "x"))], Blocks("x"))
    reader.tree["a/0"] = link("later")
    reader.read([record("bb", note(1, "a/0", "x", ("aa", 1)), note(1, "a/2", "y", ("aa", 3)))], Blocks("x", "y"))
    assert reader.tree == {"a/0": link("later"), "a/1": link("x"), "a/2": link("y")}
    assert reader.taken == {"aa": CLOSED + 2, "bb": 1}


def test_a_note_that_repeats_another_is_taken_in_with_those_before_the_other() -> None:
    """Writers are listed side by side: a list may have the one and not yet the other, which was there before."""
    before, again = note(2, "a/c/2", "x", confirmed=1), note(1, "a/c/3", "x", ("aa", 3))
    whole = Look([("aa", before), ("bb", again)], [])
    looks = iter([Look([("bb", again)], []), whole, None])
    assert look_with_repeated(lambda: next(looks), {"aa": 1}) == whole
    for late in (Look([("bb", again)], []), Look([], [("bb", again)])):
        assert look_with_repeated(iter([late, late]).__next__, {"aa": 1}) == late
        assert look_with_repeated(iter([late]).__next__, {"aa": 1 + CLOSED}) == late
        assert look_with_repeated(iter([late]).__next__, {"aa": 3}) == late
    assert look_with_repeated(lambda: None, {}) is None


def test_a_record_without_notes_is_an_error() -> None:
    with pytest.raises(NodeError, match="expected notes"):
        look_at([Entry("aa", 1, b"\xff")], [], Blocks().has)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_attempts_in_any_order(data: st.DataObject) -> None:
    """One key is written again and again; any attempt may fail, its block and its record may come late or never."""
    reader, blocks = Reader(), Blocks()
    stored: list[Entry] = []
    flying: list[Entry] = []
    coming: list[str] = []
    name, number, before, failed = 0, 0, None, list[Note]()
    for step in range(data.draw(st.integers(1, 8))):
        after = f"{step}"
        notes = [*failed, Note(0, "k", failed[-1].after if failed else before, link(after), False, 0)]
        number += 1
        notes = [each._replace(number=number) for each in notes]
        entry = record(f"{name:02x}", *notes)
        how = data.draw(st.sampled_from(["done", "no block", "no record"]))
        if how == "no record":  # it may come when the writer has gone on
            flying.append(entry)
        else:
            stored.append(entry)
        (blocks.there.add(link(after)) if how == "done" else coming.append(after))
        if how == "done":
            before, failed = link(after), []
        else:
            failed = [each._replace(repeats=(*each.repeats, (f"{name:02x}", number))) for each in notes]
        if how != "done" and (how == "no record" or data.draw(st.booleans())):
            name, number = name + 1, 0
        if data.draw(st.booleans()) and flying:
            stored.append(flying.pop(0))
        if data.draw(st.booleans()) and coming:
            blocks.there.add(link(coming.pop(0)))
        if data.draw(st.booleans()):
            reader.read(sorted(stored, key=lambda each: each[:2]), blocks)
    stored += flying
    blocks.there.update(map(link, coming))
    reader.read(sorted(stored, key=lambda each: each[:2]), blocks)
    wanted = [before, *(each.after for each in failed)]
    assert reader.tree.get("k") in wanted
