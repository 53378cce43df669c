"""What a key has after the notes of several writers: one end, or a conflict; never the one that came last."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import cids, hashes
from ipldstore._writers.chain import Conflict, follow_chain
from ipldstore._writers.notes import Content, Note, decode_notes, encode_notes
from ipldstore._writers.noting.sequence import NoteGroup
from ipldstore.errors import NodeError

X, Y, Z, W = (cids.make(cids.RAW, hashes.digest_of(cids.SHA2_256, text)) for text in (b"x", b"y", b"z", b"w"))
ONE: dict[str, Any] = {"a": 1}
TRUE: dict[str, Any] = {"a": True}


def notes(*changes: tuple[Content, Content]) -> list[Note]:
    return [Note(number, "a/0", before, after, False, 0) for number, (before, after) in enumerate(changes, 1)]


@pytest.mark.parametrize(
    ("base", "writers", "end"),
    [
        pytest.param(None, [notes((None, X))], X, id="one write"),
        pytest.param(X, [notes((None, X))], X, id="what is there already is done"),
        pytest.param(None, [notes((None, X)), notes((None, X))], X, id="a task that ran twice"),
        pytest.param(None, [notes((None, X), (X, Y))], Y, id="a writer that writes again"),
        pytest.param(None, [notes((X, Y)), notes((None, X))], Y, id="one writer after another"),
        pytest.param(None, [notes((None, X), (X, None), (None, Z))], Z, id="deleted and written again"),
        pytest.param(None, [notes((None, X), (X, Y)), notes((None, X))], Y, id="a repeated task, overwritten since"),
        pytest.param(ONE, [notes((ONE, TRUE))], TRUE, id="true is not 1"),
        pytest.param(None, [notes((None, X)), notes((X, None))], None, id="written by one, deleted by another"),
        pytest.param(X, [notes((None, X)), notes((X, Z))], Z, id="what is there already, then another"),
        pytest.param(None, [notes((None, X), (Y, Z)), notes((X, Y), (Z, W))], W, id="two writers in turn"),
    ],
)
def test_one_end(base: Content, writers: list[list[Note]], end: Content) -> None:
    for order in itertools.permutations(writers):
        found = follow_chain(base, {str(number): own for number, own in enumerate(order)})
        assert found == end
        assert encode_notes([Note(1, ".zattrs", found, None, False, 0)]) == encode_notes(
            [Note(1, ".zattrs", end, None, False, 0)]
        )


@pytest.mark.parametrize(
    ("base", "writers"),
    [
        pytest.param(None, [notes((None, X)), notes((None, Y))], id="two ends"),
        pytest.param(Z, [notes((None, X))], id="a stale writer"),
        pytest.param(X, [notes((X, Y)), notes((X, Z))], id="two changes of what was read"),
        pytest.param(None, [notes((None, X), (X, Z)), notes((X, Y))], id="a change of what is no longer there"),
        pytest.param(ONE, [notes((TRUE, X))], id="1 is not true"),
    ],
)
def test_conflicts(base: Content, writers: list[list[Note]]) -> None:
    for order in itertools.permutations(enumerate(writers)):
        found = follow_chain(base, {str(number): own for number, own in order})
        assert isinstance(found, Conflict)
        assert found.key == "a/0"
        assert found.ends == {str(number): own[-1].after for number, own in enumerate(writers)}
        assert all(word in str(found) for word in ("a/0", "coordinator", "writer 0"))


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from([None, X, Y, Z])), min_size=1, max_size=7))
def test_writers_in_turn_never_conflict(program: list[tuple[int, Content]]) -> None:
    """Each writer sees what was written before it, as in one program; whatever arrives in whatever order."""
    content: Content = None
    changes: dict[str, list[tuple[Content, Content]]] = {}
    for writer, after in program:
        changes.setdefault(str(writer), []).append((content, after))
        content = after
    found = follow_chain(None, {writer: notes(*own) for writer, own in changes.items()})
    if not isinstance(found, Conflict):
        assert found == content or len(changes) > 1
    else:
        # Ambiguous: the same contents came back, so that other orders end otherwise.
        assert len(changes) > 1
        assert len({after for _, after in program} | {None}) < len(program) + 1


def test_very_many_notes_are_bounded() -> None:
    """Notes that interleave in more ways than can be tried are a conflict, not a hang."""
    back_and_forth = notes(*[(X, Y), (Y, X)] * 30)
    found = follow_chain(X, {str(writer): back_and_forth for writer in range(8)})
    assert isinstance(found, Conflict)


def test_notes_are_read_as_they_were_written() -> None:
    note = Note(3, "a/.zattrs", X, ONE, True, 2)
    again = note._replace(key="a/0", before=None, after=X, repeats=(("0a", 2), ("0b", 1)))
    assert decode_notes(encode_notes([note, again])) == [note, again]


@pytest.mark.parametrize(
    "change",
    [
        {"number": 0},
        {"number": True},
        {"confirmed": 4},
        {"key": "../x"},
        {"key": "a/0", "after": ONE},
        {"before": 7},
        {"was_read": 1},
        {"repeats": (("0a", 0),)},
        {"repeats": (("..", 1),)},
        {"repeats": (("0a", 1),) * 33},
    ],
)
def test_what_is_no_note(change: dict[str, Any]) -> None:
    note = Note(3, "a/.zattrs", X, ONE, True, 2)._replace(**change)
    with pytest.raises(NodeError):
        decode_notes(encode_notes([note]))


def test_a_note_by_itself() -> None:
    """As sessions have them that were left behind before notes were put together."""
    note = Note(3, "a/.zattrs", X, ONE, True, 2)
    record = encode_notes([note])
    assert record[0] == 0x81, "a list of one"
    assert decode_notes(record[1:]) == [note]


@pytest.mark.parametrize(
    "record", [b"", b"\x80", b"\xa0", bytes((1 << 19) + 1)], ids=["nothing", "none", "map", "large"]
)
def test_what_is_no_record_of_notes(record: bytes) -> None:
    with pytest.raises(NodeError):
        decode_notes(record)


def test_notes_that_were_put_together_have_one_number() -> None:
    note = Note(3, "a/0", None, X, False, 2)
    for other in (note._replace(number=4), note._replace(confirmed=1)):
        with pytest.raises(NodeError, match="numbers of the first"):
            decode_notes(encode_notes([note, other]))


def test_notes_of_very_many_failures_fit_in_a_record() -> None:
    """The oldest become one, which repeats the same attempts."""
    documents = [{"n": number, "text": "x" * 30_000} for number in range(40)]
    changes = itertools.pairwise([None, *documents])
    failed = [
        Note(3, "a/.zattrs", before, after, False, 2, ((f"{number:x}", 1),))
        for number, (before, after) in enumerate(changes)
    ]
    again = NoteGroup().to_repeat(failed)
    assert len(encode_notes(again)) <= 1 << 19
    assert again[0].before is None
    assert all(one.after == other.before for one, other in itertools.pairwise(again))
    assert again[-1] == failed[-1]
    assert {name for note in again for name in note.repeats} >= {(f"{number:x}", 1) for number in range(8, 40)}
