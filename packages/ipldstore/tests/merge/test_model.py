"""Merges of random changes agree with a plain three-way merge of dicts, and give canonical roots."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ipld_castore import MappingCAStore
from ipldstore._format.limits import LIMITS, Limits
from ipldstore._merge.merge import merge_roots

from .plain_rules import has_conflict, parts_of, plain_merge
from .roots import SMALL, array_document, contents_of, group_document, root_of

Contents = dict[str, bytes]
Edit = Callable[[Contents], None]

ARRAYS = ("a", "g/b", "x")
NODES = ("", "g", *ARRAYS)


def base_contents() -> Contents:
    contents = {"zarr.json": group_document(t=0), "g/zarr.json": group_document(), "note": b"note"}
    for path in ARRAYS:
        dimensions = ["x"] if path == "x" else ["time", "x"]
        contents[f"{path}/zarr.json"] = array_document((4,) * len(dimensions), (2, 1)[: len(dimensions)])
        document = json.loads(contents[f"{path}/zarr.json"]) | {"dimension_names": dimensions}
        contents[f"{path}/zarr.json"] = json.dumps(document).encode()
        for number in range(2):
            contents[f"{path}/c/" + "/".join([str(number)] * len(dimensions))] = b"base"
    return contents


def change_document(contents: Contents, path: str, change: Callable[[dict[str, Any]], None]) -> None:
    key = f"{path}/zarr.json".lstrip("/")
    if key in contents:
        document = json.loads(contents[key])
        change(document)
        contents[key] = json.dumps(document).encode()


def set_attribute(path: str, name: str, value: int | None) -> Edit:
    def change(document: dict[str, Any]) -> None:
        if value is None:
            document["attributes"].pop(name, None)
        else:
            document["attributes"][name] = value

    return lambda contents: change_document(contents, path, change)


def set_length(path: str, length: int) -> Edit:
    def change(document: dict[str, Any]) -> None:
        document["shape"][0] = length

    return lambda contents: change_document(contents, path, change)


def set_key(key: str, value: bytes | None) -> Edit:
    def edit(contents: Contents) -> None:
        if value is None:
            contents.pop(key, None)
        else:
            contents[key] = value

    return edit


def delete(path: str) -> Edit:
    def edit(contents: Contents) -> None:
        for key in [key for key in contents if key.startswith(f"{path}/")]:
            del contents[key]

    return edit


def make_array(path: str, length: int) -> Edit:
    return set_key(f"{path}/zarr.json", array_document((length,), (1,), dimension_names=["x"]))


values = st.sampled_from([b"1", b"2", None])
edits = st.one_of(
    st.builds(
        lambda path, at, value: set_key(f"{path}/c/" + "/".join(map(str, at[: 1 if path == "x" else 2])), value),
        st.sampled_from(ARRAYS),
        st.tuples(st.integers(0, 4), st.integers(0, 4)),
        values,
    ),
    st.builds(
        set_attribute, st.sampled_from(NODES), st.sampled_from(["t", "u", "units"]), st.sampled_from([0, 1, 2, None])
    ),
    st.builds(set_length, st.sampled_from(ARRAYS), st.sampled_from([2, 4, 6, 8])),
    st.builds(set_key, st.sampled_from(["note", "g/note", "g/b/note", "h/note", "h/other"]), values),
    st.builds(delete, st.sampled_from(["a", "g", "g/b", "x"])),
    st.builds(make_array, st.sampled_from(["new", "g/new", "g"]), st.sampled_from([2, 4])),
)


def with_edits(contents: Contents, made: list[Edit]) -> Contents:
    changed = dict(contents)
    for edit in made:
        edit(changed)
    return changed


@pytest.mark.parametrize("limits", [LIMITS, SMALL], ids=["limits", "small"])
@given(ours=st.lists(edits, max_size=6), theirs=st.lists(edits, max_size=6))
@example(ours=[set_key("note", b"1"), delete("g"), make_array("g/new", 2)], theirs=[make_array("g/new", 2)])
@example(
    ours=[delete("a"), set_length("x", 2)],
    theirs=[set_key("a/c/0/0", b"1"), make_array("new", 4)],
)
@example(ours=[make_array("new", 2), make_array("new/x", 2)], theirs=[make_array("new/x", 2)])
@example(ours=[make_array("new", 2), make_array("new/x/y", 2)], theirs=[make_array("new/x/y", 2)])
def test_a_merge_agrees_with_a_plain_merge_of_parts(limits: Limits, ours: list[Edit], theirs: list[Edit]) -> None:
    castore = MappingCAStore()
    base = base_contents()
    sides = [with_edits(base, made) for made in (ours, theirs)]
    root, own, other = (root_of(castore, contents, limits) for contents in (base, *sides))
    before = len(list(castore))
    merged = merge_roots(castore, [root], own, other, limits=limits)
    swapped = merge_roots(castore, [root], other, own, limits=limits)
    assert merged.root == swapped.root
    assert {each.path for each in merged.conflicts} == {each.path for each in swapped.conflicts}
    assert (merged.root is None) == bool(merged.conflicts)
    plain = plain_merge(base, *sides)
    if merged.root is None:
        assert len(list(castore)) == before
    else:
        contents = contents_of(castore, merged.root)
        assert parts_of(contents) == plain
        assert root_of(MappingCAStore(), contents, limits) == merged.root
    assert bool(merged.conflicts) == has_conflict(base, *sides)
    for side in ("ours", "theirs"):
        decided = merge_roots(castore, [root], own, other, resolve=side, limits=limits)
        assert decided.root is not None
        assert root_of(MappingCAStore(), contents_of(castore, decided.root), limits) == decided.root
        mirror = merge_roots(castore, [root], other, own, resolve="theirs" if side == "ours" else "ours", limits=limits)
        assert mirror.root == decided.root


@given(
    writes=st.dictionaries(st.tuples(st.integers(0, 7), st.integers(0, 7)), st.sampled_from([b"1", b"2"]), max_size=12),
    writers=st.integers(2, 4),
)
@settings(max_examples=15, deadline=None)
def test_writers_of_different_chunks_merge_to_the_root_of_a_single_writer(
    writes: dict[tuple[int, int], bytes], writers: int
) -> None:
    """One after the other, as commits with ``rebase=True`` come, in any order."""
    castore = MappingCAStore()
    base = {"zarr.json": group_document(), "a/zarr.json": array_document((8, 8), (1, 1)), "a/c/0/0": b"base"}
    changed = {f"a/c/{row}/{column}": value for (row, column), value in writes.items()}
    shares = [dict(list(changed.items())[number::writers]) for number in range(writers)]
    start = root_of(castore, base, SMALL)
    roots = [root_of(castore, base | share, SMALL) for share in shares]
    for order in (roots, roots[::-1]):
        tip = start
        for root in order:
            merged = merge_roots(castore, [start], root, tip, limits=SMALL).root
            assert merged is not None
            tip = merged
        assert tip == root_of(castore, base | changed, SMALL)


@given(changes=st.lists(edits, max_size=6))
@settings(max_examples=20, deadline=None)
def test_merging_with_what_did_not_change_is_nothing(changes: list[Edit]) -> None:
    castore = MappingCAStore()
    base = base_contents()
    root, changed = root_of(castore, base), root_of(castore, with_edits(base, changes))
    assert merge_roots(castore, [root], root, changed).root == changed
    assert merge_roots(castore, [root], changed, root).root == changed
    assert merge_roots(castore, [root], changed, changed).root == changed


@given(ours=st.lists(edits, max_size=5), theirs=st.lists(edits, max_size=5), other=st.lists(edits, max_size=3))
def test_bases_that_do_not_agree_on_a_part_are_unlike_either_side(
    ours: list[Edit], theirs: list[Edit], other: list[Edit]
) -> None:
    castore = MappingCAStore()
    base = base_contents()
    second, own, their = (with_edits(base, made) for made in (other, ours, theirs))
    roots = [root_of(castore, contents, SMALL) for contents in (base, second, own, their)]
    merged = merge_roots(castore, roots[:2], roots[2], roots[3], limits=SMALL)
    assert merge_roots(castore, roots[1::-1], roots[3], roots[2], limits=SMALL).root == merged.root
    bases, sides = [parts_of(base), parts_of(second)], [parts_of(own), parts_of(their)]
    if roots[2] == roots[3]:
        assert merged.root == roots[2]
        return
    disagree = [
        part
        for part in {*bases[0], *bases[1]}
        if bases[0].get(part) != bases[1].get(part) and sides[0].get(part) != sides[1].get(part)
    ]
    if disagree:
        assert merged.conflicts
    elif merged.root is not None:
        assert parts_of(contents_of(castore, merged.root)) == plain_merge(base, own, their)
