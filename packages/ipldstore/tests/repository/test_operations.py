"""The operation log: what was done, the way back, and that it stays at home."""

from __future__ import annotations

from datetime import timedelta

import pytest
from ipldstore import IPLDStoreError, Repository

from ..support.repositories import commit, contents_of, text


def test_the_log_says_who_did_what_and_what_the_names_were(monkeypatch: pytest.MonkeyPatch) -> None:
    repo = Repository.create({})
    monkeypatch.setenv("IPLDSTORE_AUTHOR", "Ada")
    commit(repo, {"a": b"1"})
    repo.create_branch("exp")
    repo.delete_branch("exp")
    done = list(repo.operations())
    assert [each.operation for each in done] == ["delete branch exp", "create branch exp", "commit main", ""]
    assert [each.author for each in done] == ["Ada", "Ada", "Ada", ""]
    assert text(done[0].state) == text(repo.cid)
    assert done[0].before is not None
    assert (list(done[0].before.branches), list(done[0].after.branches)) == (["exp", "main"], ["main"])
    assert done[-1].before is None
    assert done[1].time >= done[2].time


def test_undo_brings_back_and_restore_goes_anywhere() -> None:
    repo = Repository.create({})
    commit(repo, {"a": b"1"})
    repo.create_branch("exp")
    commit(repo, {"b": b"1"}, "exp")
    lost = repo.branches["exp"]
    repo.delete_branch("exp")
    deleted = repo.cid
    repo.undo()
    assert repo.branches["exp"] == lost
    repo.undo()
    assert repo.branches["exp"] == repo.branches["main"]
    repo.undo()
    assert list(repo.branches) == ["main"]
    repo.restore(deleted)
    assert list(repo.branches) == ["main"]
    repo.undo()
    assert list(repo.branches) == ["main"]
    while True:
        try:
            repo.undo()
        except IPLDStoreError as error:
            assert "not undone" in str(error)  # noqa: PT017  # after any number of times
            break
    assert contents_of(repo) == {}
    repo.reset_branch("main", lost)
    assert contents_of(repo) == {"a": b"1", "b": b"1"}


def test_what_garbage_collection_has_taken_does_not_come_back() -> None:
    repo = Repository.create({})
    commit(repo, {"a": b"1"})
    repo.create_branch("exp")
    commit(repo, {"b": b"1"}, "exp")
    before = repo.cid
    repo.delete_branch("exp")
    repo.garbage_collect(timedelta(days=1))
    repo.undo()
    assert contents_of(repo, "exp") == {"a": b"1", "b": b"1"}
    repo.delete_branch("exp")
    assert repo.garbage_collect(timedelta(0)).freed_blocks > 0
    for action in (repo.undo, lambda: repo.restore(before)):
        with pytest.raises(IPLDStoreError, match="garbage collection"):
            action()
    assert [each.before for each in repo.operations()] == [None]


def test_an_undo_of_an_undo_whose_state_is_gone_says_so() -> None:
    repo = Repository.create({})
    commit(repo, {"a": b"1"})
    commit(repo, {"a": b"2"})
    repo.undo()
    repo.garbage_collect(timedelta(0))
    with pytest.raises(IPLDStoreError, match="garbage collection has taken"):
        repo.undo()
    assert contents_of(repo) == {"a": b"1"}


def test_the_log_does_not_leave_with_a_copy() -> None:
    repo = Repository.create({})
    commit(repo, {"secret": b"1"})
    repo.reset_branch("main", "main~1")
    copy = Repository.from_car(repo.to_car())
    assert text(copy.cid) == text(repo.cid)
    assert len(list(copy.operations())) == 1
    assert all(b"secret" not in copy.castore.get_raw(cid) for cid, _ in copy.castore.get_dag(copy.cid))
    assert copy.verify() == 1
