"""Whole repositories in other places: the same state, names that move forward only, and each commit checked."""

from __future__ import annotations

from pathlib import Path

import ipldstore
import pytest
from ipld_car import cids, dagcbor
from ipld_castore import MappingCAStore
from ipldstore import ConflictError, IPLDStore, IPLDStoreError, NodeError, Repository, RepositoryExistsError, push
from ipldstore._exchange.committing import put_node
from ipldstore._history.ancestry import jump_of_next
from ipldstore._history.commit import CommitNode, encode_commit
from ipldstore._history.jumps import has_jump
from ipldstore._revisions.history import History

from ..support.repositories import commit, contents_of, make, state_over, text


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


def test_a_pull_reads_no_commit_that_tells_nothing_of_what_is_new() -> None:
    """A commit without a jump is checked against its parents; what these follow was read too, and may be lost."""
    source, blocks = Repository.create({}), dict[str, bytes]()
    for number in range(4):
        commit(source, {"a": b"%d" % number})
    here = Repository.create(blocks)
    here.pull(source)
    del blocks[str(source.lookup("main~1").cid)]
    commit(source, {"a": b"new"})
    here = Repository.open(blocks)
    here.pull(source)
    assert here.lookup().cid == source.lookup().cid


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
    assert there.branches == repo.branches


def test_a_push_that_overwrites_is_an_operation_there(repo: Repository) -> None:
    """Its log leads back to what was overwritten, also after pushes that overwrite nothing."""
    there = Repository.from_car(repo.to_car())
    commit(there, {"theirs": b"1"})
    there.create_branch("only-there")
    before, names = there.cid, there.branches
    commit(repo, {"ours": b"1"})
    done = repo.push(there, force=True)
    assert done.overwritten == {"main": names["main"], "only-there": names["only-there"]}
    assert [each.operation for each in there.operations()][:3] == ["push", "create branch only-there", "commit main"]
    assert repo.push(there).blocks == 0
    commit(repo, {"ours": b"2"})
    repo.delete_branch("exp")
    assert repo.push(there).overwritten == {}
    assert there.branches == repo.branches
    assert text(next(there.operations()).before.branches["main"]) != text(names["main"])  # type: ignore[union-attr]
    there.undo()
    there.undo()
    assert there.branches == names
    assert contents_of(there)["theirs"] == b"1"
    repo.push(there, force=True)
    there.restore(before)
    assert there.branches == names
    assert there.verify() == 6


def test_a_branch_that_a_push_deletes_comes_back_there(repo: Repository) -> None:
    there = Repository.from_car(repo.to_car())
    names = there.branches
    commit(repo, {"d": b"1"})
    repo.delete_branch("exp")
    assert repo.push(there).overwritten == {}
    assert there.branches == repo.branches
    there.undo()
    assert there.branches == names


def test_a_tag_that_was_made_again_does_not_move_without_force(repo: Repository) -> None:
    there = Repository.from_car(repo.to_car())
    commit(repo, {"d": b"1"})
    old = repo.tags["v1"]
    repo.delete_tag("v1")
    repo.create_tag("v1")
    state = there.cid
    with pytest.raises(ConflictError, match="a tag does not move: delete_tag"):
        repo.push(there)
    with pytest.raises(ConflictError, match="a tag does not move: delete_tag"):
        there.pull(repo)
    assert there.cid == state
    assert repo.push(there, force=True).overwritten == {"v1": old}
    assert there.tags == repo.tags
    repo.delete_tag("v1")
    repo.push(there)
    assert not there.tags, "a tag that is gone here goes there too"
    repo.create_tag("v1", "main~1")
    repo.push(there)
    repo.delete_tag("v1")
    repo.create_branch("v1")
    with pytest.raises(ConflictError, match="'v1'"):
        repo.push(there)


def test_tags_go_along_when_the_history_is_written_anew(repo: Repository) -> None:
    """The commit of the tag says the same as before."""
    there = Repository.from_car(repo.to_car())
    commit(repo, {"d": b"1"})
    old = repo.lookup("v1")
    repo.expire(repo.lookup().time)
    new = repo.lookup("v1")
    assert (old.cid, old.data) != (new.cid, old.data) == (new.cid, new.data)
    assert repo.push(there).overwritten == {}
    assert there.tags == repo.tags


def test_messages_say_what_to_do_in_that_direction(repo: Repository) -> None:
    there = Repository.from_car(repo.to_car())
    commit(there, {"theirs": b"1"})
    commit(repo, {"ours": b"1"})
    with pytest.raises(ConflictError, match=r"pull\(\) brings here what is there, to be merged; force=True overwrites"):
        repo.push(there)
    with pytest.raises(ConflictError) as caught:
        repo.pull(there)
    message = str(caught.value)
    assert "pull()" not in message
    tip = text(there.branches["main"])
    assert f"merge('{tip}', into='main') brings the two together" in message
    repo.merge(tip, into="main")
    repo.push(there)


def test_a_tag_there_may_replace_the_default_branch_here(repo: Repository) -> None:
    there = Repository.from_car(repo.to_car())
    there.create_branch("trunk")
    there.set_default("trunk")
    there.delete_branch("main")
    commit(there, {"theirs": b"1"}, "trunk")
    there.create_tag("main")
    with pytest.raises(ConflictError, match="the branch 'main'"):
        repo.pull(there)
    repo.pull(there, force=True)
    assert (repo.default_branch, sorted(repo.branches), sorted(repo.tags)) == (
        "trunk",
        ["exp", "trunk"],
        ["main", "v1"],
    )


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
    return state_over(repo, lie)


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


@pytest.mark.parametrize("wrong", ["commit", "state", "list", "no directory"])
def test_what_a_commit_has_as_data_must_be_a_root(repo: Repository, wrong: str) -> None:
    here, blocks = Repository.from_car(repo.to_car()), MappingCAStore()
    data = {
        "commit": cids.to_bytes(repo.lookup().cid),
        "state": cids.to_bytes(repo.cid),
        "list": put_node(repo.castore, dagcbor.encode([1])),
        "no directory": put_node(repo.castore, dagcbor.encode({"a": 1})),
    }[wrong]
    tip = repo.lookup()
    node = CommitNode(data, (cids.to_bytes(tip.cid),), tip.height + 1, None, 1 << 52, "", "", {})
    if has_jump(node.height):
        node = node._replace(jump=jump_of_next(History(repo.castore).load, node.parents[0]))
    lie = put_node(repo.castore, encode_commit(node))
    liar = state_over(repo, lie)
    before = here.cid
    for action in (
        liar.verify,
        lambda: here.pull(liar, force=True),
        lambda: ipldstore.pull(liar.cid, liar, blocks),
        lambda: ipldstore.pull(cids.to_text(lie), liar, blocks),
        lambda: Repository.from_car(liar.to_car()),
    ):
        with pytest.raises(NodeError, match="'data' to be the root") as caught:
            action()
        assert cids.to_text(lie) in str(caught.value)
        assert cids.to_text(data) in str(caught.value)
    assert here.cid == before


def test_a_repository_is_pushed_where_it_is_made(tmp_path: Path) -> None:
    repo = make(str(tmp_path / "air.car"))
    commit(repo, {"a": b"1"})
    repo.push(str(tmp_path / "other.car"))
    repo.close()
    with Repository.open(str(tmp_path / "other.car")) as there:
        assert contents_of(there) == {"a": b"1"}
