"""The rules of design section 9, each on datasets that zarr and xarray wrote."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from ipld_car import cids
from ipld_castore import MappingCAStore
from ipldstore import IPLDStore
from ipldstore._format.keys import DOCUMENTS
from ipldstore._merge.conflicts import MergeConflict
from ipldstore._merge.merge import merge_roots

from .datasets import Maker, zarr
from .roots import contents_of, group_document, root_of

FORMATS = [(2, False), (2, True), (3, False), (3, True)]


@pytest.fixture(params=FORMATS, ids=["v2", "v2-consolidated", "v3", "v3-consolidated"])
def make(request: pytest.FixtureRequest) -> Maker:
    return Maker(MappingCAStore(), *request.param)


@pytest.fixture
def base(make: Maker) -> bytes:
    return make.base()


# -- rule 1 --


def test_attributes_of_one_node_merge_by_name(make: Maker, base: bytes) -> None:
    make.merges(base, make.set_attribute("air", "title", "t"), make.set_attribute("air", "source", "s"))
    make.merges(base, make.set_attribute("", "title", "t"), make.set_attribute("air", "source", "s"))
    title = make.set_attribute("", "title", "t")
    ours, theirs = make.edited(base, title), make.edited(base, make.append(4, 2))
    assert make.merge(base, ours, theirs).root == make.edited(theirs, title)


def test_one_attribute_with_two_values_conflicts(make: Maker, base: bytes) -> None:
    title = make.set_attribute("air", "title", 1)
    assert make.conflicts(base, title, make.set_attribute("air", "title", 1.0)) == [("air", "attribute")]
    assert make.conflicts(base, title, make.set_attribute("air", "title", 1)) == []
    assert make.conflicts(base, title, make.set_attribute("", "title", 2)) == []


def test_chunks_of_one_array_merge_one_by_one(make: Maker, base: bytes) -> None:
    first, second = make.set_values("air", 0, 7), make.set_values("air", 1, 8)
    merged = make.merges(base, first, second)
    assert make.open(merged).air.values[:2].tolist() == [[7] * 3, [8] * 3]
    assert make.conflicts(base, first, make.set_values("air", 0, 8)) == [("air", "chunks")]
    assert make.conflicts(base, first, make.set_values("air", slice(0, 2), 7)) == []


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_the_chunk_of_an_array_without_axes_is_a_chunk(zarr_format: int) -> None:
    make = Maker(MappingCAStore(), zarr_format, False)
    base = make.edited(None, make.in_group(lambda group: group.create_array("s", shape=(), dtype="i4")))
    one, two = make.set_values("s", ..., 1), make.set_values("s", ..., 2)
    assert make.conflicts(base, one, two) == [("s", "chunks")]
    assert make.conflicts(base, one, make.set_attribute("s", "units", "K")) == [("s", "array")]
    make.merges(base, one, make.set_attribute("s", "title", "t"))


def test_groups_with_many_names_merge_across_the_lines_of_the_format() -> None:
    """16, 256 and 2,048 names are where directories take another form: both sides together cross each of them."""
    for names in (10, 250, 2040):
        castore = MappingCAStore()
        contents = {f"g{number}/zarr.json": group_document(number=number) for number in range(names)}
        sides = [{f"{side}{number}/zarr.json": group_document(side=side) for number in range(5)} for side in "ab"]
        base = root_of(castore, contents)
        ours, theirs = (root_of(castore, contents | side) for side in sides)
        both = root_of(castore, contents | sides[0] | sides[1])
        assert merge_roots(castore, [base], ours, theirs).root == both
        assert merge_roots(castore, [both], ours, theirs).root == base


def test_keys_of_no_node_are_parts(make: Maker, base: bytes) -> None:
    def note(key: str, text: bytes) -> Any:
        return lambda store: store.mapping.update({key: text})

    make.merges(base, note("README", b"one"), note("air.md", b"two"))
    assert make.conflicts(base, note("README", b"one"), note("README", b"two")) == [("README", "key")]


def test_a_document_kept_as_exact_bytes_is_one_part(make: Maker, base: bytes) -> None:
    nan = make.edited(base, make.set_attribute("air", "limit", float("nan")))
    other = make.edited(base, make.set_attribute("air", "title", "t"))
    merged = make.merge(base, nan, other)
    assert [(each.path, each.kind) for each in merged.conflicts] == [("air", "array")]
    decided = make.merge(base, nan, other, {"air": "theirs"})
    assert decided.root == other
    far = make.set_values("x", 0, 5)
    found = make.merge(base, nan, make.edited(base, far)).root
    assert found is not None
    assert json_of(make, found) == json_of(make, make.edited(nan, far))


def json_of(make: Maker, root: bytes) -> dict[str, str]:
    """Return the contents with the text of documents in one form: with NaN they are kept as zarr wrote them."""
    found = {}
    for key, value in contents_of(make.castore, root).items():
        if key.rpartition("/")[2] in DOCUMENTS:
            found[key] = json.dumps(json.loads(value), sort_keys=True).replace('"dimension_separator": ".", ', "")
        else:
            found[key] = value.hex()
    return found


# -- rule 2 --


def test_metadata_against_values_conflicts(make: Maker, base: bytes) -> None:
    """``units`` changed against an append: the appended values would be read in the wrong unit."""
    units = make.set_attribute("air", "units", "K")
    assert make.conflicts(base, units, make.append(4, 2)) == [("air", "array")]
    assert make.conflicts(base, units, make.set_values("air", 0, 7)) == [("air", "array")]
    assert make.conflicts(base, units, make.set_attribute("air", "units", "C")) == [("air", "array")]
    make.merges(base, units, make.set_attribute("air", "title", "t"))
    make.merges(base, units, make.set_attribute("air", "units", "K"))


def test_growth_merges_with_changes_wholly_inside(make: Maker, base: bytes) -> None:
    merged = make.merges(base, make.append(4, 2), make.set_values("air", 1, 7))
    assert make.open(merged).air.values[1].tolist() == [7] * 3


def test_growth_conflicts_with_changes_of_a_chunk_at_the_edge(make: Maker) -> None:
    def create(group: Any) -> None:
        group.create_array("a", shape=(3,), chunks=(2,), dtype="i4")[:] = 1

    def grow(group: Any) -> None:
        group["a"].resize((5,))
        group["a"][3:] = 2

    base = make.edited(None, make.in_group(create))
    assert make.conflicts(base, make.in_group(grow), make.set_values("a", 2, 9)) == [("a", "array")]
    make.merges(base, make.in_group(grow), make.set_values("a", 0, 9))


def test_two_appends_conflict_unless_they_are_the_same(make: Maker, base: bytes) -> None:
    found = make.conflicts(base, make.append(4, 2, 1.0), make.append(4, 2, 2.0))
    assert found == [("air", "array")]
    assert make.conflicts(base, make.append(4, 2), make.append(4, 2)) == []
    both = make.merge(
        base,
        make.edited(base, make.append(4, 2), make.set_values("air", 0, 7)),
        make.edited(base, make.append(4, 2), make.set_values("air", 1, 8)),
    )
    edits = make.append(4, 2), make.set_values("air", 0, 7), make.set_values("air", 1, 8)
    assert both.root == make.edited(base, *edits)


def test_sparse_appends_do_not_mix_in_one_row(make: Maker) -> None:
    """Two sparse appends have no chunk in common, and would be rows of values from both."""

    def create(group: Any) -> None:
        group.create_array("a", shape=(2, 4), chunks=(1, 2), dtype="i4", fill_value=0)[:] = 1

    def append(columns: slice, value: int) -> Any:
        def change(group: Any) -> None:
            group["a"].resize((3, 4))
            group["a"][2, columns] = value

        return make.in_group(change)

    base = make.edited(None, make.in_group(create))
    assert make.conflicts(base, append(slice(0, 2), 5), append(slice(2, 4), 6)) == [("a", "array")]


def test_an_array_made_on_both_sides_merges_if_it_is_the_same(make: Maker, base: bytes) -> None:
    assert make.conflicts(base, make.add("new", "x", 3), make.add("new", "x", 3)) == []

    def other(group: Any) -> None:
        group["new"][:] = 5

    different = make.edited(base, make.add("new", "x", 3), make.in_group(other))
    merged = make.merge(base, make.edited(base, make.add("new", "x", 3)), different)
    assert [(each.path, each.kind) for each in merged.conflicts] == [("new", "array")]
    titled = make.edited(base, make.add("new", "x", 3), make.set_attribute("new", "title", "t"))
    assert make.merge(base, make.edited(base, make.add("new", "x", 3)), titled).root == titled


# -- rule 3 --


def with_group(make: Maker) -> bytes:
    def create(group: Any) -> None:
        group.create_group("g").create_array("a", shape=(4,), chunks=(2,), dtype="i4")[:] = 1

    return make.edited(make.base(), make.in_group(create))


def test_a_deleted_group_conflicts_with_an_array_added_in_it(make: Maker) -> None:
    """The array would be an orphan, which zarr does not list."""

    def add(group: Any) -> None:
        group["g"].create_array("b", shape=(2,), dtype="i4")

    base = with_group(make)
    assert make.conflicts(base, make.delete("g"), make.in_group(add)) == [("g", "node")]
    ours, theirs = make.edited(base, make.delete("g")), make.edited(base, make.in_group(add))
    assert make.merge(base, ours, theirs, "theirs").root == theirs
    assert make.merge(base, ours, theirs, {"g": "ours"}).root == ours
    assert make.merge(base, ours, theirs, {"/g": "ours"}).root == ours
    assert make.merge(base, ours, theirs, {"h": "ours"}).root is None


@pytest.mark.parametrize("change", ["attribute", "values", "below"])
def test_a_deleted_node_conflicts_with_any_change_of_it(make: Maker, change: str) -> None:
    base = with_group(make)
    edits = {
        "attribute": make.set_attribute("g", "title", "t"),
        "values": make.set_values("g/a", 0, 5),
        "below": make.delete("g/a"),
    }
    assert make.conflicts(base, make.delete("g"), edits[change]) == [("g", "node")]
    make.merges(base, make.delete("g"), make.set_values("air", 0, 5))


def test_array_and_group_at_one_path_conflict(make: Maker, base: bytes) -> None:
    def group(root: Any) -> None:
        root.create_group("new").create_array("a", shape=(2,), dtype="i4")

    def array(root: Any) -> None:
        root.create_array("new", shape=(2,), dtype="i4")

    assert make.conflicts(base, make.in_group(group), make.in_group(array)) == [("new", "node")]
    ours, theirs = make.edited(base, make.in_group(group)), make.edited(base, make.in_group(array))
    assert make.merge(base, ours, theirs, "theirs").root == theirs
    assert make.merge(base, ours, theirs, lambda _: "ours").root == ours


# -- rule 4 --


def test_a_grown_dimension_conflicts_with_a_new_variable_of_the_old_length(make: Maker, base: bytes) -> None:
    """A dataset that xarray cannot open."""
    ours, theirs = make.edited(base, make.append(4, 2)), make.edited(base, make.add("new", "time", 4))
    merged = make.merge(base, ours, theirs)
    (conflict,) = merged.conflicts
    assert (conflict.path, conflict.kind, conflict.dimension) == ("", "length", "time")
    assert conflict.paths == ("air", "new", "time")
    assert make.merge(base, ours, theirs, "ours").root == ours
    assert make.merge(base, ours, theirs, "theirs").root == theirs
    make.merges(base, make.append(4, 2), make.add("new", "x", 3))


def test_a_coordinate_rewritten_conflicts_with_values_along_it(make: Maker, base: bytes) -> None:
    """``x`` reversed against ``area(x)`` added: the areas would belong to other places."""
    reverse = make.set_values("x", slice(None), np.array([2, 1, 0]))
    assert make.conflicts(base, reverse, make.add("area", "x", 3)) == [("", "coordinate")]
    assert make.conflicts(base, reverse, make.set_values("air", 0, 5)) == [("", "coordinate")]
    assert make.conflicts(base, make.delete("x"), make.add("area", "x", 3)) == [("", "coordinate")]
    assert make.conflicts(base, reverse, make.set_values("time", 0, 5)) == []
    make.merges(base, reverse, make.set_attribute("air", "title", "t"))
    ours, theirs = make.edited(base, reverse), make.edited(base, make.add("area", "x", 3))
    assert make.merge(base, ours, theirs, "theirs").root == theirs


# -- rule 5 --


def consolidate(root: bytes, make: Maker, path: str = "") -> bytes:
    def edit(store: IPLDStore) -> None:
        zarr.consolidate_metadata(store, path=path, zarr_format=make.zarr_format)

    return make.edited(root, edit)


@pytest.mark.parametrize("limit", [1.5, float("nan"), float("-inf")])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_consolidated_metadata_are_made_anew_as_zarr_does(zarr_format: int, limit: float) -> None:
    """With NaN in an attribute they are no document: they are kept as text, which zarr writes with other spaces."""
    make = Maker(MappingCAStore(), zarr_format, False)
    base = consolidate(consolidate(with_group(make), make), make, "g")
    ours = consolidate(make.edited(base, make.set_attribute("g/a", "title", "t")), make, "g")
    theirs = make.edited(base, make.set_attribute("g", "limit", limit), make.set_attribute("air", "b", 1))
    merged = make.merge(base, ours, theirs)
    assert merged.root is not None
    by_zarr = consolidate(consolidate(merged.root, make), make, "g")
    assert json_of(make, merged.root) == json_of(make, by_zarr)
    assert (merged.root == by_zarr) == (limit == 1.5)
    store = IPLDStore(make.castore, root=merged.root)
    group = zarr.open_consolidated(store, zarr_format=zarr_format)
    assert group["g/a"].attrs["title"] == "t"
    assert group["air"].attrs["b"] == 1
    assert np.array_equal(group["g"].attrs["limit"], limit, equal_nan=True)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_the_presence_of_consolidated_metadata_merges(zarr_format: int) -> None:
    make = Maker(MappingCAStore(), zarr_format, False)
    base = make.base()
    changed = make.edited(base, make.set_attribute("air", "title", "t"))
    assert make.merge(base, consolidate(base, make), changed).root == consolidate(changed, make)
    again = make.edited(consolidate(base, make), make.set_attribute("air", "title", "t"))
    assert make.merge(consolidate(base, make), base, again).root == changed


def test_consolidated_metadata_alone_never_conflict() -> None:
    """One side consolidated, and the other too, with other contents: what they say follows from the documents."""
    make = Maker(MappingCAStore(), 2, False)
    base = consolidate(make.base(), make)

    def stale(store: IPLDStore) -> None:
        store[".zmetadata"] = b'{"metadata":{},"zarr_consolidated_format":1}'

    ours, theirs = make.edited(base, stale), make.edited(base, make.set_attribute("air", "title", "t"))
    assert make.merge(base, ours, consolidate(theirs, make)).root == consolidate(theirs, make)


# -- conflicts --


def test_a_conflict_tells_path_kind_and_chunks(make: Maker, base: bytes) -> None:
    ours, theirs = make.edited(base, make.append(4, 2, 1.0)), make.edited(base, make.append(4, 3, 2.0))
    asked = []

    def ask(conflict: MergeConflict) -> None:
        asked.append(conflict)

    merged = merge_roots(make.castore, [base], ours, theirs, ask)
    assert {each.path for each in merged.conflicts} == {"air", "time"}
    air = next(each for each in asked if each.path == "air")
    separator = "air/" if make.zarr_format == 2 else "air/c/"
    assert air.chunk_keys[0].startswith(separator)
    assert "shape to [6, 3]" in str(air)
    assert "air: " in str(air)


def test_an_answer_that_is_no_side_is_refused(make: Maker, base: bytes) -> None:
    ours, theirs = (make.edited(base, make.set_values("air", 0, value)) for value in (5, 6))
    with pytest.raises(ValueError, match="expected 'ours' or 'theirs'"):
        merge_roots(make.castore, [base], ours, theirs, {"air": "mine"})  # type: ignore[dict-item]  # on purpose
    with pytest.raises(ValueError, match="expected the roots that both sides go back to"):
        merge_roots(make.castore, [], ours, theirs)


def test_resolving_takes_attributes_by_name(make: Maker, base: bytes) -> None:
    ours = make.edited(base, make.set_attribute("air", "a", 1), make.set_attribute("air", "b", 1))
    theirs = make.edited(base, make.set_attribute("air", "a", 2), make.set_attribute("air", "b", 2))
    merged = make.merge(base, ours, theirs, {("air", "a"): "ours", "air": "theirs"})
    assert merged.root == make.edited(base, make.set_attribute("air", "a", 1), make.set_attribute("air", "b", 2))
    assert sorted((each.conflict.attribute, each.side) for each in merged.resolved) == [("a", "ours"), ("b", "theirs")]
    assert cids.to_text(merged.root)
