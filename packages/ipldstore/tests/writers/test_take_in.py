"""Notes of any split of a program over writers come to what the program came to, or to the conflict that there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import cids, dagcbor, hashes
from ipldstore import ConflictError
from ipldstore._writers.chain import Conflict
from ipldstore._writers.looking import Look
from ipldstore._writers.notes import Content, Note
from ipldstore._writers.take_in import TakenIn, resolve_notes, take_in_twice


def link(text: str) -> bytes:
    return cids.make(cids.RAW, hashes.digest_of(cids.SHA2_256, text.encode()))


NOTHING: dict[str, Content] = {}
KEYS = ["a/0", "a/1", "b/0"]
STEP = st.tuples(st.integers(0, 4), st.sampled_from(KEYS), st.one_of(st.none(), st.sampled_from("xyz").map(link)))


@given(st.lists(STEP, max_size=12), st.data())
def test_any_split_of_a_program(program: list[tuple[int, str, Content]], data: st.DataObject) -> None:
    """Writers that see each other's notes as they come, with a take-in anywhere between."""
    tree: dict[str, Content] = {}
    seen: dict[str, Content] = {}
    waiting: list[tuple[str, Note]] = []
    numbers: dict[str, int] = {}
    for writer, key, after in program:
        numbers[str(writer)] = numbers.get(str(writer), 0) + 1
        waiting.append((str(writer), Note(numbers[str(writer)], key, seen.get(key), after, False, 0)))
        seen[key] = after
        if data.draw(st.booleans()):
            tree |= resolve_or_skip(waiting, tree)
            waiting = []
    tree |= resolve_or_skip(waiting, tree)
    assert {key: content for key, content in tree.items() if content is not None} == {
        key: content for key, content in seen.items() if content is not None
    }


def resolve_or_skip(notes: list[tuple[str, Note]], tree: dict[str, Content]) -> dict[str, Content]:
    """What notes come to; where the same contents came back the order cannot be told, and that is said."""

    def ask(conflict: Conflict) -> Content:
        own = [note for _, note in notes if note.key == conflict.key]
        assert len({note.after for note in own} | {conflict.base}) <= len(own), "contents came back"
        return own[-1].after

    order: dict[str, list[tuple[str, Note]]] = {}
    for writer, note in notes:
        order.setdefault(writer, []).append((writer, note))
    return resolve_notes([note for own in order.values() for note in own], tree.get, ask).changes


def test_a_race_names_key_contents_and_writers_and_changes_nothing() -> None:
    x, y = link("x"), link("y")
    notes = [
        ("aa", Note(1, "a/0", None, x, False, 1)),
        ("bb", Note(1, "a/0", None, y, True, 1)),
        ("bb", Note(2, "a/1", None, y, False, 2)),
    ]
    with pytest.raises(ConflictError) as caught:
        resolve_notes(notes, NOTHING.get)
    assert all(word in str(caught.value) for word in ("a/0", "aa", "bb", cids.to_text(x), cids.to_text(y)))
    assert resolve_notes(notes, NOTHING.get, "first").changes == {"a/0": x, "a/1": y}
    assert resolve_notes(notes, NOTHING.get, choices={"a/0": "bb"}).changes == {"a/0": y, "a/1": y}
    assert resolve_notes(notes, NOTHING.get, lambda conflict: conflict.ends["bb"]).positions == {"aa": 1, "bb": 2}


def test_a_race_over_a_document_names_cids_of_both() -> None:
    """A document may be in the node above it, with no block of its own: its CID tells it from others all the same."""
    one, other = ({"attributes": {"title": title}, "node_type": "group", "zarr_format": 3} for title in "xy")
    notes = [("aa", Note(1, "zarr.json", None, one, False, 1)), ("bb", Note(1, "zarr.json", None, other, False, 1))]
    with pytest.raises(ConflictError) as caught:
        resolve_notes(notes, NOTHING.get)
    for document in (one, other):
        digest = hashes.digest_of(cids.SHA2_256, dagcbor.encode(document))
        assert cids.to_text(cids.make(cids.DAG_CBOR, digest)) in str(caught.value)


def test_a_conflict_counts_when_two_looks_have_found_it() -> None:
    """A look can have a note, and not the one of another writer that it follows: the look after it has both."""
    x, y = link("x"), link("y")
    first, then, other = (
        Note(1, "a/0", None, x, False, 1),
        Note(1, "a/0", x, y, True, 1),
        Note(1, "a/0", None, y, True, 1),
    )
    looks = iter([[("bb", then)], [("aa", first), ("bb", then)]])
    tree: dict[str, Content] = {}

    def resolve(found: Look, known: list[Conflict] | None) -> TakenIn:
        taken = resolve_notes(found.there, tree.get, known=known)
        tree.update({} if taken.doubtful else taken.changes)
        return taken

    assert take_in_twice(lambda: Look(next(looks), []), resolve) is not None
    assert tree == {"a/0": y}
    tree.clear()
    with pytest.raises(ConflictError):
        take_in_twice(lambda: Look([("aa", first), ("bb", other)], []), resolve)
    assert tree == {}
    assert take_in_twice(lambda: None, resolve) is None


def test_writers_that_go_on_with_a_race_are_told() -> None:
    """Each look finds another conflict then."""
    contents = iter(map(link, "abcdefghijkl"))
    looks = 0

    def look() -> Look:
        nonlocal looks
        looks += 1
        return Look([(name, Note(1, "a/0", None, next(contents), True, 1)) for name in ("aa", "bb")], [])

    with pytest.raises(ConflictError):
        take_in_twice(look, lambda found, known: resolve_notes(found.there, NOTHING.get, known=known))
    assert looks < 6
