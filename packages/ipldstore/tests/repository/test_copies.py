"""Whole repositories in other places: the same state, names that move forward only, and each commit checked."""

from __future__ import annotations

from pathlib import Path

import ipldstore
import pytest
from ipld_car import cids
from ipld_castore import MappingCAStore
from ipldstore import ConflictError, IPLDStore, IPLDStoreError, NodeError, Repository, RepositoryExistsError, push
from ipldstore._exchange.committing import put_node
from ipldstore._history.commit import encode_commit
from ipldstore._history.state import encode_state
from ipldstore._revisions.history import History

from ..support.repositories import commit, contents_of, make, text


@pytest.fixture
def repo() -> Repository:
    """A repository with a merge and a tag."""
    made = Repository.create({})
    commit(made, {"a": b"1", "large": bytes(3_000_000)})
    made.create_branch("exp")
    commit(made, {"b": b"1"}, "exp")
    commit(made, {"c": b"1"})
    made.merge("exp")
    made.create_tag("v1")
    return made


def test_through_an_archive_and_back_it_is_the_same_state(repo: Repository, tmp_path: Path) -> None:
    archive = tmp_path / "whole.car"
    with archive.open("wb") as stream:
        repo.to_car(stream)
    assert archive.read_bytes() == repo.to_car()
    with Repository.open(str(archive), read_only=True) as found:
        assert text(found.cid) == text(repo.cid)
        assert found.verify() == repo.verify() == 5
        assert found.graph() == repo.graph()
    copy = Repository.from_car(repo.to_car(), str(tmp_path / "folder"), fsync=False)
    assert text(copy.cid) == text(repo.cid)
    commit(copy, {"d": b"1"})
    with pytest.raises(RepositoryExistsError, match="head"):
        Repository.from_car(repo.to_car(), str(tmp_path / "folder"))
    store = IPLDStore(repo.castore, root=repo.lookup().data)
    with pytest.raises(IPLDStoreError, match="state"):
        Repository.from_car(store.to_car())


def test_an_archive_of_what_is_new(repo: Repository) -> None:
    old = repo.cid
    mirror = Repository.from_car(repo.to_car())
    commit(repo, {"d": b"1"})
    update = repo.to_car(since=old)
    assert len(update) < 10_000
    mirror.castore.import_car(update)
    mirror.pull(Repository.open(repo.cid, castore=mirror.castore))
    assert contents_of(mirror) == contents_of(repo)


def test_an_archive_of_several_commits_has_what_one_of_them_added_and_the_next_kept(repo: Repository) -> None:
    old = repo.cid
    mirror = Repository.from_car(repo.to_car())
    for number in range(3):
        commit(repo, {f"new/{number}": b"%d" % number * 100})
    repo.create_branch("late", "main~1")
    commit(repo, {"new/late": b"late" * 100}, "late")
    repo.merge("late")
    mirror.castore.import_car(repo.to_car(since=old))
    there = Repository.open(repo.cid, castore=mirror.castore)
    assert there.verify() == repo.verify()
    assert contents_of(there, "late") == contents_of(repo, "late")


def test_a_push_makes_the_same_state_and_sends_what_is_missing(repo: Repository, tmp_path: Path) -> None:
    where = str(tmp_path / "folder")
    sent = repo.push(where)
    assert sent.blocks > 10
    with Repository.open(where) as there:
        assert text(there.cid) == text(repo.cid)
    commit(repo, {"a": b"2"})
    repo.delete_branch("exp")
    again = repo.push(where)
    assert (again.blocks, again.overwritten) == (4, {}), "a chunk, a root, a commit, a state"
    assert repo.push(where).blocks == 0


def test_names_that_are_not_in_our_past_are_not_overwritten(repo: Repository) -> None:
    there = Repository.from_car(repo.to_car())
    commit(there, {"theirs": b"1"})
    theirs = there.branches["main"]
    commit(repo, {"ours": b"1"})
    with pytest.raises(ConflictError, match="'main' at bafy"):
        repo.push(there)
    with pytest.raises(ConflictError, match="'main' at bafy"):
        push(repo.cid, repo, there)
    assert there.branches["main"] == theirs
    done = repo.push(there, force=True)
    assert done.overwritten == {"main": theirs}
    assert text(there.cid) == text(repo.cid)


def test_pulling_first_makes_room_for_a_push(repo: Repository) -> None:
    there = Repository.from_car(repo.to_car())
    commit(there, {"theirs": b"1"}, "exp")
    there.create_branch("new")
    commit(repo, {"ours": b"1"})
    repo.pull(there)
    assert repo.branches["exp"] == there.branches["exp"]
    assert repo.branches["new"] == there.branches["new"]
    repo.push(there)
    assert text(there.cid) == text(repo.cid)
    there.delete_branch("new")
    there.pull(repo)
    assert "new" in there.branches


def test_branches_that_went_apart_are_merged_by_who_pulls(repo: Repository) -> None:
    there = Repository.from_car(repo.to_car())
    commit(there, {"theirs": b"1"})
    commit(repo, {"ours": b"1"})
    before = repo.cid
    with pytest.raises(ConflictError, match="'main' at bafy"):
        repo.pull(there)
    assert repo.cid == before
    repo.merge(there.lookup().cid)
    repo.push(there)
    assert contents_of(there).keys() >= {"theirs", "ours"}
    commit(there, {"x": b"1"})
    commit(repo, {"x": b"2"})
    overwritten = repo.branches["main"]
    assert repo.pull(there, force=True).overwritten == {"main": overwritten}
    assert contents_of(repo)["x"] == b"1"
    repo.undo()
    assert contents_of(repo)["x"] == b"2"


def test_the_functions_take_states_too(repo: Repository) -> None:
    there = MappingCAStore()
    push(repo.cid, repo, there)
    assert text(Repository.open(there).cid) == text(repo.cid)
    blocks = MappingCAStore()
    ipldstore.pull(repo.cid, repo, blocks)
    assert blocks.head is None
    assert contents_of(Repository.open(repo.cid, castore=blocks)) == contents_of(repo)


def test_a_plain_root_is_overwritten_on_demand_only(repo: Repository, tmp_path: Path) -> None:
    path = str(tmp_path / "folder")
    with ipldstore.open(path, "a", fsync=False) as store:
        store["a"] = b"1"
    with pytest.raises(ConflictError, match="HEAD"):
        repo.push(path)
    repo.push(path, force=True)
    with Repository.open(path) as there:
        assert text(there.cid) == text(repo.cid)


def lying(repo: Repository) -> Repository:
    """Return a repository with a commit whose jump leads to a commit of another line."""
    history = History(repo.castore)
    repo.create_branch("other", f"main~{repo.lookup().height}")
    for branch in ("other", "main"):
        for number in range(8):
            commit(repo, {branch: b"%d" % number}, branch)
    tip = cids.to_bytes(repo.branches["main"])
    while True:
        found = history.load(tip)
        wrong = found.jump and next(
            (
                cids.to_bytes(each.cid)
                for each in repo.log("other")
                if each.height == history.load(found.jump).height and cids.to_bytes(each.cid) != found.jump
            ),
            None,
        )
        if wrong:
            break
        tip = found.parents[0]
    lie = put_node(repo.castore, encode_commit(found._replace(jump=wrong)))
    state = repo._state._replace(branches={"main": lie})
    cid = put_node(repo.castore, encode_state(state, lambda names: put_node(repo.castore, names)))
    return Repository.open(cids.from_validated(cid), castore=repo.castore)


def test_a_jump_that_lies_is_found_by_pull_and_verify(repo: Repository) -> None:
    """A walk by jumps cannot see it."""
    here = Repository.from_car(repo.to_car())
    before = here.cid
    liar = lying(repo)
    with pytest.raises(NodeError, match="expected a jump to"):
        liar.verify()
    for _ in range(2):  # the blocks of the first try are there, and count for nothing
        with pytest.raises(NodeError, match="expected a jump to"):
            here.pull(liar, force=True)
        assert here.cid == before
    with pytest.raises(NodeError, match="expected a jump to"):
        ipldstore.pull(liar.cid, liar, MappingCAStore())
    with pytest.raises(NodeError, match="expected a jump to"):
        Repository.from_car(liar.to_car())


def test_a_repository_is_pushed_where_it_is_made(tmp_path: Path) -> None:
    repo = make(str(tmp_path / "air.car"))
    commit(repo, {"a": b"1"})
    repo.push(str(tmp_path / "other.car"))
    repo.close()
    with Repository.open(str(tmp_path / "other.car")) as there:
        assert contents_of(there) == {"a": b"1"}
