"""Merges of branches: what is there already is nothing to do, bases count, conflicts change nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ipldstore import IPLDStore, IPLDStoreError, MergeConflictError, Repository

from ..support.repositories import commit, contents_of, text

xr: Any = pytest.importorskip("xarray")


@pytest.fixture
def repo() -> Repository:
    """Two branches that have changed different keys since their base."""
    made = Repository.create({})
    commit(made, {"a": b"0", "b": b"0"}, message="base")
    made.create_branch("exp")
    commit(made, {"a": b"1"}, message="on main")
    commit(made, {"b": b"1", "c": b"1"}, "exp", message="on exp")
    return made


def test_a_merge_has_both_changes_and_both_parents(repo: Repository) -> None:
    theirs = repo.branches["exp"]
    ours = repo.branches["main"]
    cid = repo.merge("exp")
    assert contents_of(repo) == {"a": b"1", "b": b"1", "c": b"1"}
    found = repo.lookup()
    assert (found.cid, found.message, found.parents) == (cid, "merge exp into main", (ours, theirs))
    assert repo.merge("exp") == cid, "what is there already is nothing to do"
    assert repo.merge("main", "exp", fast_forward=True) == cid
    assert repo.branches["exp"] == cid
    other = Repository.create({})
    other.pull(repo)
    assert text(other.cid) == text(repo.cid)


def test_a_merge_either_way_round_has_the_same_contents(repo: Repository) -> None:
    repo.create_branch("other", "exp")
    repo.merge("exp")
    repo.merge("main~1", "other")
    assert repo.lookup("main").data == repo.lookup("other").data


def test_without_fast_forward_a_merge_is_a_commit() -> None:
    repo = Repository.create({})
    repo.create_branch("exp")
    commit(repo, {"a": b"1"}, "exp")
    repo.merge("exp", message="kept apart")
    assert repo.lookup().message == "kept apart"
    assert len(repo.lookup().parents) == 2


def test_a_conflict_names_the_parts_and_changes_nothing(repo: Repository) -> None:
    commit(repo, {"a": b"2"}, "exp")
    state = repo.cid
    with pytest.raises(MergeConflictError, match="1 conflict,") as caught:
        repo.merge("exp")
    conflicts: Any = caught.value.conflicts
    assert [(each.path, each.kind) for each in conflicts] == [("a", "key")]
    assert repo.cid == state
    repo.merge("exp", resolve={"a": "theirs"})
    assert contents_of(repo)["a"] == b"2"
    assert "theirs" in repo.lookup().message
    asked: list[str] = []
    repo.reset_branch("main", "main~1")

    def decide(conflict: Any) -> Any:
        asked.append(conflict.path)
        return "ours"

    repo.merge("exp", resolve=decide, message="decided")
    assert (asked, contents_of(repo)["a"], repo.lookup().message) == (["a"], b"1", "decided")


def test_two_histories_are_merged_on_demand_only() -> None:
    """An old clone after ``expire`` would bring back what was deleted."""
    repo = Repository.create({})
    repo.create_branch("exp")
    commit(repo, {"a": b"1"})
    commit(repo, {"b": b"1"}, "exp")
    with pytest.raises(IPLDStoreError, match="unrelated=True"):
        repo.merge("exp")
    repo.merge("exp", unrelated=True)
    assert contents_of(repo) == {"a": b"1", "b": b"1"}


def test_picking_and_reverting_are_the_same_merge(repo: Repository) -> None:
    commit(repo, {"d": b"1"}, "exp", message="one more")
    picked = repo.cherry_pick("exp")
    assert contents_of(repo) == {"a": b"1", "b": b"0", "d": b"1"}
    assert repo.lookup().message.startswith("one more\n\n(cherry-picked from the commit bafy")
    assert repo.cherry_pick("exp") == picked, "it is there already"
    repo.revert("main~1")
    assert contents_of(repo) == {"a": b"0", "b": b"0", "d": b"1"}
    assert repo.revert(picked) != picked
    assert contents_of(repo) == {"a": b"0", "b": b"0"}
    with pytest.raises(IPLDStoreError, match="first commit"):
        repo.revert(f"main~{repo.lookup().height}")
    commit(repo, {"c": b"9"}, "exp")
    with pytest.raises(MergeConflictError, match="revert on exp"):
        repo.revert("exp~2", "exp")


def test_criss_cross_merges_have_two_bases() -> None:
    """Where the bases do not agree, and the sides differ, nobody is right."""
    repo = Repository.create({})
    commit(repo, {"a": b"0", "x": b"0"})
    repo.create_branch("exp")
    commit(repo, {"a": b"1"})
    commit(repo, {"x": b"1"}, "exp")
    left, right = repo.branches["main"], repo.branches["exp"]
    repo.merge(right, "main")
    repo.merge(left, "exp")
    commit(repo, {"m": b"1"})
    commit(repo, {"e": b"1"}, "exp")
    repo.merge("exp")
    assert contents_of(repo) == {"a": b"1", "x": b"1", "m": b"1", "e": b"1"}


def series(start: int, count: int) -> xr.Dataset:
    hours = np.arange(start, start + count)
    return xr.Dataset({"t": ("time", hours * 1.5)}, coords={"time": hours})


def test_two_appends_conflict_or_are_shifted() -> None:
    repo = Repository.create({})
    encoding = {name: {"chunks": (4,)} for name in ("t", "time")}
    with repo.transaction(message="base") as store:
        series(0, 8).to_zarr(store, zarr_format=2, consolidated=False, encoding=encoding)
    one, two = repo.writable_session(), repo.writable_session()
    for session, start in ((one, 8), (two, 100)):
        series(start, 4).to_zarr(session.store, append_dim="time", zarr_format=2, consolidated=False)
    one.commit("one")
    with pytest.raises(MergeConflictError):
        two.commit("two", rebase=True)
    two.commit("two", rebase=True, append=True)
    found = xr.open_zarr(repo.readonly_session().store, consolidated=False)
    assert list(found["time"].values) == [*range(12), *range(100, 104)]
    assert isinstance(two.store, IPLDStore)


def test_an_append_is_shifted_and_what_else_conflicts_is_decided() -> None:
    """ "ours" is what the session has, as in each rebase."""
    repo = Repository.create({})
    encoding = {name: {"chunks": (4,)} for name in ("t", "time")}
    with repo.transaction(message="base") as store:
        series(0, 8).to_zarr(store, zarr_format=2, consolidated=False, encoding=encoding)
    late = repo.writable_session()
    series(100, 4).to_zarr(late.store, append_dim="time", zarr_format=2, consolidated=False)
    late.store[".zattrs"] = b'{"title": "late"}'
    with repo.transaction(message="first") as store:
        series(8, 4).to_zarr(store, append_dim="time", zarr_format=2, consolidated=False)
        store[".zattrs"] = b'{"title": "first"}'
    with pytest.raises(MergeConflictError) as caught:
        late.rebase(append=True)
    conflicts: Any = caught.value.conflicts
    assert [(each.path, each.kind) for each in conflicts] == [("", "attribute")]
    late.commit("late", rebase=True, append=True, resolve="ours")
    found = repo.readonly_session().store
    assert found[".zattrs"] == b'{"title":"late"}'
    assert xr.open_zarr(found, consolidated=False)["time"].values[-4:].tolist() == [100, 101, 102, 103]
    assert "took ours" in repo.lookup().message
    with repo.transaction(message="one more", rebase=True, append=True) as store:
        series(200, 4).to_zarr(store, append_dim="time", zarr_format=2, consolidated=False)
        with repo.transaction(message="before it") as other:
            series(150, 4).to_zarr(other, append_dim="time", zarr_format=2, consolidated=False)
    found = xr.open_zarr(repo.readonly_session().store, consolidated=False)
    assert found["time"].values[-8:].tolist() == [150, 151, 152, 153, 200, 201, 202, 203]


@pytest.mark.parametrize(("ours", "theirs"), [("side/0", "side/1"), ("s/t/0", "s/t/1"), ("s/t/0", "s/u/0")])
def test_different_keys_in_a_directory_that_both_have_made_are_no_conflict(ours: str, theirs: str) -> None:
    repo = Repository.create({})
    commit(repo, {"base": b"1"})
    repo.create_branch("exp")
    commit(repo, {ours: b"1"})
    commit(repo, {theirs: b"2"}, "exp")
    repo.merge("exp")
    assert contents_of(repo) == {"base": b"1", ours: b"1", theirs: b"2"}


def test_a_conflict_of_arrays_that_both_made_says_so() -> None:
    zarr: Any = pytest.importorskip("zarr")
    repo = Repository.create({})
    commit(repo, {"base": b"1"})
    repo.create_branch("exp")
    for branch, value in (("main", 1), ("exp", 2)):
        with repo.transaction(branch, message="make") as store:
            zarr.create_array(store, name="g/a", shape=(4,), chunks=(2,), dtype="i4")[value : value + 1] = value
    with pytest.raises(MergeConflictError, match=r"both sides made the array, of the shape \[4\], with 2 chunks not"):
        repo.merge("exp")
