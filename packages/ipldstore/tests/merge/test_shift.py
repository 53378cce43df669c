"""Two appends, the later behind the earlier."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ipld_castore import MappingCAStore
from ipldstore import ConflictError, IPLDStore
from ipldstore._merge import shift

from .datasets import Maker, zarr


def shift_append(castore: MappingCAStore, base: bytes, first: bytes, later: bytes, resolve: Any = None) -> bytes:
    """Return the root of a merge that leaves no conflict, with the later append behind the first."""
    merged = shift.shift_append(castore, base, later, first, resolve)
    assert merged.root is not None, merged.conflicts
    return merged.root


FORMATS = [(2, False), (2, True), (3, False), (3, True)]


@pytest.fixture(params=FORMATS, ids=["v2", "v2-consolidated", "v3", "v3-consolidated"])
def make(request: pytest.FixtureRequest) -> Maker:
    return Maker(MappingCAStore(), *request.param)


def test_the_later_append_is_behind_the_earlier(make: Maker) -> None:
    base = make.base()
    earlier, later = make.append(4, 2, 1.0), make.append(6, 3, 2.0)
    ours, theirs = make.edited(base, earlier), make.edited(base, later)
    shifted = shift_append(make.castore, base, ours, theirs)
    assert shifted == make.edited(base, earlier, later)
    assert make.open(shifted).time.values.tolist() == list(range(9))
    assert shift_append(make.castore, base, theirs, ours) == make.edited(base, later, earlier)


def test_other_changes_are_merged_beside_it(make: Maker) -> None:
    base = make.base()
    ours = make.edited(base, make.append(4, 2, 1.0), make.set_values("air", 1, 7))
    theirs = make.edited(base, make.append(6, 3, 2.0), make.set_values("air", 0, 8), make.add("area", "x", 3))
    shifted = shift_append(make.castore, base, ours, theirs)
    expected = make.edited(ours, make.append(6, 3, 2.0), make.set_values("air", 0, 8), make.add("area", "x", 3))
    assert shifted == expected


def test_the_same_append_is_done_once(make: Maker) -> None:
    base = make.base()
    ours = make.edited(base, make.append(4, 2, 1.0))
    theirs = make.edited(ours, make.set_attribute("air", "title", "t"))
    assert shift_append(make.castore, base, ours, theirs) == theirs
    assert shift_append(make.castore, base, ours, ours) == ours
    assert shift_append(make.castore, base, base, ours) == ours


def refused(make: Maker, base: bytes, ours: bytes, theirs: bytes, match: str) -> None:
    before = len(make.castore.mapping)
    with pytest.raises(ConflictError, match=match):
        shift_append(make.castore, base, ours, theirs)
    assert len(make.castore.mapping) == before


def test_chunks_that_are_not_whole_are_not_shifted(make: Maker) -> None:
    """xarray writes a coordinate in one chunk: both appends would be in it."""
    dataset = make.dataset(0, 4, 0.0)
    base = make.edited(None, lambda store: dataset.to_zarr(store, **make.options))
    ours, theirs = make.edited(base, make.append(4, 2)), make.edited(base, make.append(6, 2))
    refused(make, base, ours, theirs, "array 'time': expected a length after the first append that is a multiple of 4")


def test_all_arrays_of_a_dimension_are_shifted_or_none(make: Maker) -> None:
    def grow(*names: str) -> Any:
        def change(group: Any) -> None:
            for name in names:
                array = group[name]
                array.resize((array.shape[0] + 2, *array.shape[1:]))
                array[-2:] = len(names)

        return make.in_group(change)

    base = make.base()
    refused(
        make, base, make.edited(base, grow("air", "time")), make.edited(base, grow("air")), "found 'time', which did"
    )


def test_what_else_conflicts_is_told_and_decided(make: Maker) -> None:
    base = make.base()
    first = make.edited(base, make.append(4, 2, 1.0), make.set_attribute("", "title", "first"))
    later = make.edited(base, make.append(6, 2, 2.0), make.set_attribute("", "title", "later"))
    before = len(make.castore.mapping)
    told = shift.shift_append(make.castore, base, later, first)
    assert told.root is None
    assert [(each.path, each.kind, each.attribute) for each in told.conflicts] == [("", "attribute", "title")]
    assert len(make.castore.mapping) == before
    decided = shift_append(make.castore, base, first, later, "ours")
    both = make.edited(base, make.append(4, 2, 1.0), make.append(6, 2, 2.0))
    assert decided == make.edited(both, make.set_attribute("", "title", "later")), "ours is the later one"
    assert shift_append(make.castore, base, first, later, {("/", "title"): "theirs"}) != decided


@pytest.mark.parametrize("rewritten", ["by the earlier", "by the later", "deleted"])
def test_a_coordinate_that_one_side_changed_conflicts_with_the_append_of_the_other(make: Maker, rewritten: str) -> None:
    """Else its values would be in the order of one side before the shift, and in that of the other behind it."""
    base = make.base()
    change = make.delete("x") if rewritten == "deleted" else make.set_values("x", slice(None), [2, 1, 0])
    changing, appending = make.edited(base, make.append(4, 2), change), make.edited(base, make.append(6, 3))
    theirs, ours = (appending, changing) if rewritten == "by the later" else (changing, appending)
    before = len(make.castore.mapping)
    merged = shift.shift_append(make.castore, base, ours, theirs)
    assert [(each.kind, each.dimension) for each in merged.conflicts] == [("coordinate", "x")]
    assert merged.root is None
    assert len(make.castore.mapping) == before


@pytest.mark.parametrize("side", ["the earlier", "the later", "both"])
def test_what_one_side_added_along_the_dimension_is_no_shorter_then(make: Maker, side: str) -> None:
    """Both sides are as long, so that a merge alone would not see it."""
    base = make.base()
    add = make.add("flag", "time", 6)
    ours = make.edited(base, make.append(6, 2, 2.0), *([add] if side != "the earlier" else []))
    theirs = make.edited(base, make.append(4, 2, 1.0), *([add] if side != "the later" else []))
    refused(make, base, ours, theirs, "'flag' with 6")


def test_where_nothing_can_be_shifted_it_is_a_merge(make: Maker) -> None:
    base = make.base()
    units, grown = make.edited(base, make.set_attribute("air", "units", "K")), make.edited(base, make.append(4, 2))
    told = shift.shift_append(make.castore, base, grown, units)
    assert [(each.path, each.kind) for each in told.conflicts] == [("air", "array")]
    assert shift_append(make.castore, base, units, grown, "ours") == grown


def test_shards_are_shifted_whole() -> None:
    make = Maker(MappingCAStore(), 3, False)

    def create(group: Any) -> None:
        array = group.create_array(
            "a", shape=(4, 4), chunks=(1, 2), shards=(2, 4), dtype="i4", dimension_names=["t", "x"]
        )
        array[:] = 1

    def append(rows: int, value: int) -> Any:
        def change(group: Any) -> None:
            array = group["a"]
            array.resize((array.shape[0] + rows, 4))
            array[-rows:] = value

        return make.in_group(change)

    base = make.edited(None, make.in_group(create))
    ours, theirs = make.edited(base, append(2, 2)), make.edited(base, append(3, 3))
    shifted = shift_append(make.castore, base, ours, theirs)
    assert shifted == make.edited(ours, append(3, 3))
    assert zarr.open_array(IPLDStore(make.castore, root=shifted), path="a", mode="r")[:, 0].tolist() == [
        *[1] * 4,
        *[2] * 2,
        *[3] * 3,
    ]
    refused(make, base, theirs, ours, "after the first append that is a multiple of 2")


def test_arrays_without_names_of_dimensions_are_shifted_each_alone() -> None:
    make = Maker(MappingCAStore(), 2, False)

    def create(group: Any) -> None:
        for name in ("a", "b"):
            group.create_array(name, shape=(2,), chunks=(1,), dtype="i4")[:] = 1

    def append(name: str, value: int) -> Any:
        def change(group: Any) -> None:
            group[name].resize((3,))
            group[name][2:] = value

        return make.in_group(change)

    base = make.edited(None, make.in_group(create))
    ours, theirs = make.edited(base, append("a", 2)), make.edited(base, append("a", 3), append("b", 4))
    shifted = shift_append(make.castore, base, ours, theirs)
    group = zarr.open_group(IPLDStore(make.castore, root=shifted), mode="r")
    assert group["a"][:].tolist() == [1, 1, 2, 3]
    assert group["b"][:].tolist() == [1, 1, 4]
    assert np.array_equal(group["a"].shape, (4,))
