"""Sessions: what a commit keeps, what a conflict leaves, and how the changes come onto a branch that has moved."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ipld_castore import CarCAStore, FileSystemCAStore
from ipldstore import (
    ConflictError,
    IPLDStore,
    IPLDStoreError,
    MergeConflictError,
    NoChangesError,
    RefNotFoundError,
    Repository,
    push,
)
from ipldstore._repository.merging import rebased_data

from ..support.repositories import KINDS, START, commit, contents_of, make, open_again, place_of, text


@pytest.fixture(params=KINDS)
def what(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return place_of(request.param, tmp_path)


def test_a_commit_is_there_when_the_repository_is_opened_again(what: Any) -> None:
    repo = make(what)
    session = repo.writable_session()
    session.store["a/0"] = b"zero"
    before = repo.cid
    root = session.store.freeze()
    assert repo.cid == before, "a freeze moves no head"
    cid = session.commit("first", "Ada", {"run": 7}, START)
    repo = open_again(repo, what)
    found = repo.lookup("main")
    assert (text(found.cid), text(found.data)) == (text(cid), text(root))
    assert (found.message, found.author, found.meta, found.time, found.height) == ("first", "Ada", {"run": 7}, START, 1)
    assert contents_of(repo) == {"a/0": b"zero"}
    repo.close()


def test_a_session_goes_on_from_its_commit() -> None:
    repo = Repository.create({})
    session = repo.writable_session("main")
    for number in range(3):
        session.store[f"a/{number}"] = b"%d" % number
        assert session.has_changes
        cid = session.commit(f"step {number}")
        assert text(session.base.cid) == text(cid)
        assert not session.has_changes
    assert [each.message for each in repo.log()] == ["step 2", "step 1", "step 0", ""]


def test_nothing_to_commit_is_an_error_unless_it_is_asked_for() -> None:
    repo = Repository.create({})
    session = repo.writable_session()
    with pytest.raises(NoChangesError, match="allow_empty=True"):
        session.commit("nothing")
    session.commit("nothing", allow_empty=True)
    assert repo.lookup().message == "nothing"


def test_the_author_is_told_or_of_the_environment_and_never_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    repo = Repository.create({})
    monkeypatch.delenv("IPLDSTORE_AUTHOR", raising=False)
    commit(repo, {"a": b"1"})
    assert repo.lookup().author == ""
    monkeypatch.setenv("IPLDSTORE_AUTHOR", "Ada")
    commit(repo, {"a": b"2"})
    assert repo.lookup().author == "Ada"
    commit(repo, {"a": b"3"}, author="Grace")
    assert repo.lookup().author == "Grace"


def test_times_go_up_and_a_parent_from_the_future_is_refused() -> None:
    """A wrong clock would push all commits that follow."""
    repo = Repository.create({})
    ahead = datetime.now(UTC) + timedelta(minutes=5)
    commit(repo, {"a": b"1"}, time=ahead)
    commit(repo, {"a": b"2"})
    assert repo.lookup().time == ahead.replace() + timedelta(microseconds=1)
    with pytest.raises(ValueError, match="after that of each parent"):
        commit(repo, {"a": b"3"}, time=START)
    with pytest.raises(ValueError, match="time zone"):
        commit(repo, {"a": b"3"}, time=datetime(2030, 1, 1))  # noqa: DTZ001  # what is refused
    far = datetime.now(UTC) + timedelta(minutes=11)
    commit(repo, {"a": b"3"}, time=far)
    with pytest.raises(IPLDStoreError, match="set the clock"):
        commit(repo, {"a": b"4"})
    commit(repo, {"a": b"4"}, time=far + timedelta(seconds=1))


def test_a_branch_that_has_moved_is_a_conflict_and_the_changes_stay(what: Any) -> None:
    repo = make(what)
    one, two = repo.writable_session(), repo.writable_session()
    one.store["a/0"], two.store["b/0"] = b"one", b"two"
    one.commit("one", "Ada")
    with pytest.raises(ConflictError, match=r"'one' by 'Ada'"):
        two.commit("two")
    assert two.store["b/0"] == b"two"
    assert text(two.rebase().cid) == text(repo.branches["main"])
    two.commit("two")
    assert contents_of(repo) == {"a/0": b"one", "b/0": b"two"}
    assert [each.message for each in repo.log()] == ["two", "one", ""]
    repo.close()


def test_other_names_that_move_are_no_conflict() -> None:
    repo = Repository.create({})
    session = repo.writable_session()
    session.store["a/0"] = b"one"
    repo.create_branch("exp")
    commit(repo, {"b/0": b"two"}, "exp")
    session.commit("one")
    assert contents_of(repo, "main") == {"a/0": b"one"}
    assert contents_of(repo, "exp") == {"b/0": b"two"}


def test_commit_with_rebase() -> None:
    repo = Repository.create({})
    one, two, three = (repo.writable_session() for _ in range(3))
    one.store["a/0"], two.store["b/0"], three.store["b/0"] = b"one", b"two", b"two"
    one.commit("one")
    two.commit("two", rebase=True)
    assert text(three.commit("the same again", rebase=True)) == text(repo.branches["main"]), "it is there already"
    assert [each.message for each in repo.log()] == ["two", "one", ""]


def test_a_conflict_of_contents_names_the_key_and_can_be_resolved() -> None:
    repo = Repository.create({})
    one, two = repo.writable_session(), repo.writable_session()
    one.store["a"], two.store["a"] = b"one", b"two"
    one.commit("one")
    with pytest.raises(MergeConflictError) as caught:
        two.commit("two", rebase=True)
    assert [each.path for each in caught.value.conflicts] == ["a"]  # type: ignore[attr-defined]  # a MergeConflictError
    assert two.store["a"] == b"two"
    two.rebase(resolve="ours")
    two.commit("two")
    assert contents_of(repo) == {"a": b"two"}
    assert "ours" in repo.lookup().message, "what was resolved stands in the message"


def test_a_branch_that_was_deleted_or_reset_takes_no_commit() -> None:
    repo = Repository.create({})
    commit(repo, {"a": b"1"})
    repo.create_branch("exp")
    session, other = repo.writable_session("exp"), repo.writable_session("main")
    session.store["b"], other.store["b"] = b"1", b"1"
    repo.delete_branch("exp")
    with pytest.raises(ConflictError, match="deleted"):
        session.commit("too late", rebase=True)
    repo.reset_branch("main", "main~1")
    with pytest.raises(IPLDStoreError, match="no ancestor"):
        other.commit("on what is gone", rebase=True)
    with pytest.raises(ConflictError, match="set_root") as caught:
        other.commit("on what is gone")
    assert "rebase" not in str(caught.value), "which would refuse"
    repo.create_branch("saved", other.base)
    saved = repo.writable_session("saved")
    saved.store.set_root(session.store.freeze())
    saved.commit("saved")
    assert contents_of(repo, "saved") == {"a": b"1", "b": b"1"}


def test_amend_writes_the_latest_commit_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    repo = Repository.create({})
    first = repo.writable_session()
    with pytest.raises(IPLDStoreError, match="first one"):
        first.amend("no")
    first.store["a"] = b"1"
    old = first.commit("wrogn", "Ada", meta={"run": 1})
    first.store["b"] = b"2"
    monkeypatch.delenv("IPLDSTORE_AUTHOR", raising=False)
    first.amend("right")
    assert repo.lookup().author == "Ada"
    assert [each.message for each in repo.log()] == ["right", ""]
    assert repo.lookup().meta == {"run": 1}
    assert contents_of(repo) == {"a": b"1", "b": b"2"}
    repo.undo()
    assert text(repo.branches["main"]) == text(old)


def test_discarding_and_status() -> None:
    repo = Repository.create({})
    commit(repo, {"a": b"1", "b": b"2"})
    session = repo.writable_session()
    assert not session.status()
    session.store["a"] = b"changed"
    del session.store["b"]
    assert [(each.key, each.change) for each in session.status().keys] == [("a", "changed"), ("b", "deleted")]
    session.discard_changes()
    assert dict(session.store.mapping) == {"a": b"1", "b": b"2"}
    assert not session.status()


def test_what_a_commit_cannot_hold_is_said_before_anything_is_written() -> None:
    repo = Repository.create({})
    session: Any = repo.writable_session()
    session.store["a"] = b"1"
    before = repo.cid
    for meta, problem in (
        ({"a": [1, {2}]}, r"found set at meta\['a'\]\[1\]"),
        ({"a": (1,)}, "tuple at"),
        ({1: 2}, "the name 1, which is no str"),
        ({"a": float("nan")}, "the number nan"),
        ({"a": -0.0}, "the number -0.0"),
        ({"a": 1 << 64}, "more than 64 bits"),
        ({"a": b"1"}, "bytes at"),
        ({"a": "x" * 40_000}, "at most 32768 bytes"),
    ):
        with pytest.raises(ValueError, match=problem):
            session.commit("x", meta=meta)
    endless: dict[str, Any] = {}
    endless["a"] = endless
    with pytest.raises(ValueError, match="deeper than 64"):
        session.commit("x", meta=endless)
    for arguments in ({"message": 5}, {"meta": [1]}, {"author": b"Ada"}, {"time": "2024-01-01"}, {"resolve": 5}):
        with pytest.raises(TypeError, match="expected"):
            session.commit(**{"message": "x"} | arguments)
    for resolve in ("our", {"a": "mine"}):
        with pytest.raises(ValueError, match="'ours' or 'theirs'"):
            session.commit("x", rebase=True, resolve=resolve)
    assert repo.cid == before


def test_moves_and_grafts_are_changes_of_a_session_as_all_others() -> None:
    """A commit of any history in the block store stands for its contents."""
    repo = Repository.create({})
    first = commit(repo, {"a/0": b"1"})
    session = repo.writable_session()
    session.move("a", "b")
    session.graft("old", first)
    session.graft("now", repo.cid)
    session.commit("moved")
    assert contents_of(repo) == {"b/0": b"1", "old/a/0": b"1", "now/a/0": b"1"}
    with pytest.raises(IPLDStoreError, match="only reads"):
        repo.readonly_session().move("a", "b")


def test_a_session_that_reads_changes_nothing() -> None:
    repo = Repository.create({})
    commit(repo, {"a": b"1"}, time=START)
    commit(repo, {"a": b"2"}, time=START + timedelta(days=1))
    repo.create_tag("v1", "main~1")
    for session in (
        repo.readonly_session(tag="v1"),
        repo.readonly_session(commit="main~1"),
        repo.readonly_session("main", as_of=START + timedelta(hours=1)),
        repo.readonly_session(as_of="2024-01-01T12:00Z"),
    ):
        assert session.store["a"] == b"1"
        with pytest.raises(ValueError, match="read-only"):
            session.store["a"] = b"3"
        with pytest.raises(IPLDStoreError, match="only reads"):
            session.commit("no")
    with pytest.raises(ValueError, match="one of"):
        repo.readonly_session("main", tag="v1")
    with pytest.raises(RefNotFoundError, match="'exp'"):
        repo.writable_session("exp")


def test_a_transaction_commits_all_or_nothing() -> None:
    repo = Repository.create({})
    with repo.transaction("main", message="both") as store:
        store["a"], store["b"] = b"1", b"2"
    with pytest.raises(KeyError), repo.transaction("main", message="half") as store:  # noqa: PT012  # the error ends the block
        store["a"] = b"half"
        raise KeyError("in the middle")
    assert contents_of(repo) == {"a": b"1", "b": b"2"}
    assert repo.lookup().message == "both"
    with pytest.raises(NoChangesError), repo.transaction(message="nothing"):
        pass


def test_what_other_threads_write_while_a_session_rebases_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The merge takes a while, and knows nothing of what is written meanwhile."""
    repo = Repository.create({})
    session = repo.writable_session()
    session.store["mine/0"] = b"0"
    commit(repo, {"theirs": b"1"})
    written = iter(range(1, 4))

    def merge(*arguments: Any, **options: Any) -> Any:
        merged = rebased_data(*arguments, **options)
        for number in written:  # as another thread does, before the session goes on from what was merged
            session.store[f"mine/{number}"] = b"%d" % number
            break
        return merged

    monkeypatch.setattr("ipldstore._repository.session.rebased_data", merge)
    session.rebase()
    assert sorted(session.store) == ["mine/0", "mine/1", "mine/2", "mine/3", "theirs"]
    session.commit("all")
    assert sorted(contents_of(repo)) == ["mine/0", "mine/1", "mine/2", "mine/3", "theirs"]


def test_a_session_where_others_write_all_the_time_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    repo = Repository.create({})
    session = repo.writable_session()
    session.store["mine"] = b"0"
    commit(repo, {"theirs": b"1"})
    base = session.base

    def merge(*arguments: Any, **options: Any) -> Any:
        merged = rebased_data(*arguments, **options)
        session.store["mine"] += b"0"
        return merged

    monkeypatch.setattr("ipldstore._repository.session.rebased_data", merge)
    with pytest.raises(ConflictError, match="other threads"):
        session.rebase()
    assert (session.base, len(session.store["mine"])) == (base, 101)


def test_forks_and_copies_write_one_commit(tmp_path: Path) -> None:
    """What workers on a cluster do: forks come back with results, and copies write through the journal."""
    repo = make(str(tmp_path / "blocks"))
    session = repo.writable_session()
    forks = [pickle.loads(pickle.dumps(session.fork())) for _ in range(2)]  # noqa: S301  # its own
    for number, fork in enumerate(forks):
        fork[f"a/{number}"] = b"%d" % number
    session.merge(*forks)
    session.commit("two workers")
    assert contents_of(repo) == {"a/0": b"0", "a/1": b"1"}
    assert isinstance(repo.castore, FileSystemCAStore)


def test_a_plain_root_never_replaces_a_repository(tmp_path: Path) -> None:
    path = str(tmp_path / "air.car")
    with make(path) as repo:
        commit(repo, {"a": b"1"})
        state = repo.cid
    with CarCAStore(path, fsync=False) as castore:
        store = IPLDStore(castore)
        assert store["a"] == b"1"
        store["a"] = b"2"
        with pytest.raises(IPLDStoreError, match="found the repository"):
            store.freeze()
        other = IPLDStore()
        other["b"] = b"3"
        with pytest.raises(ConflictError, match="force=True"):
            push(other.freeze(), other, castore)
    with Repository.open(path) as repo:
        assert repo.cid == state


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"message": "a\ud800"}, r"'message' without lone surrogates, found '\\ud800'"),
        ({"message": "a", "author": "\udcff"}, "'author' without lone surrogates"),
        ({"message": "a", "meta": {"b": [{"c": "\ud800"}]}}, r"a lone surrogate at meta\['b'\]\[0\]\['c'\]"),
        ({"message": "a", "meta": {"b": {"\ud800": 1}}}, r"a lone surrogate in the name .* at meta\['b'\]"),
    ],
)
@pytest.mark.parametrize("verb", ["commit", "amend"])
def test_lone_surrogates_are_refused_before_anything_moves(verb: str, arguments: Any, problem: str) -> None:
    repo = Repository.create({})
    commit(repo, {"a": b"1"})
    session = repo.writable_session()
    session.store["b"] = b"1"
    state = repo.cid
    with pytest.raises(ValueError, match=problem):
        getattr(session, verb)(**arguments)
    assert repo.cid == state
    session.commit("without them")
    assert contents_of(repo) == {"a": b"1", "b": b"1"}


def test_an_author_in_the_environment_that_is_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes in the environment that are no UTF-8 come as surrogates."""
    repo = Repository.create({})
    state = repo.cid
    monkeypatch.setenv("IPLDSTORE_AUTHOR", "\udcff")
    for action in (lambda: repo.create_branch("x"), lambda: commit(repo, {"a": b"1"}), repo.undo):
        with pytest.raises(ValueError, match="'author' without lone surrogates"):
            action()
    assert repo.cid == state
