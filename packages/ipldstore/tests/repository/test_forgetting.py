"""Expiry and garbage: what is kept is kept whole, what is freed is gone, and roots stay what they were."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ipldstore
import pytest
from ipld_castore import FileSystemCAStore
from ipldstore import IPLDStoreError, Repository
from multiformats import CID

from ..support.repositories import KINDS, START, commit, contents_of, make, open_again, place_of, text


@pytest.fixture(params=KINDS)
def what(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return place_of(request.param, tmp_path)


def days(repo: Repository, count: int, branch: str | None = None) -> None:
    for number in range(1, count + 1):
        commit(repo, {"a": b"%d" % number}, branch, message=f"day {number}", time=START + timedelta(days=number))


def test_expiry_writes_the_kept_commits_anew(what: Any) -> None:
    repo = make(what)
    days(repo, 6)
    repo.create_tag("old", "main~4")
    repo.create_tag("new", "main~1")
    before = {each.message: each for each in repo.log()}
    written = repo.expire(START + timedelta(days=5))
    after = {each.message: each for each in repo.log()}
    assert list(after) == ["day 6", "day 5", "day 2", ""]
    for message, commit_before in before.items():
        if message in after:
            assert written[commit_before.cid] == after[message].cid
            assert after[message].data == commit_before.data
            assert after[message].time == commit_before.time
    assert after["day 6"].meta == {"__ipld_was__": text(before["day 6"].cid)}
    assert [after[message].height for message in ("day 2", "day 5", "day 6")] == [1, 2, 3]
    assert repo.lookup("new") == after["day 5"]
    assert repo.lookup("old") == after["day 2"]
    repo.expire(START + timedelta(days=6), keep_tags=False)
    assert (list(repo.tags), [each.message for each in repo.log()]) == ([], ["day 6", ""])
    assert contents_of(repo) == {"a": b"6"}
    state = repo.cid
    assert repo.expire(START + timedelta(days=5)) == {each.cid: each.cid for each in repo.log()}
    assert repo.cid == state, "nothing was older"
    repo.garbage_collect(timedelta(0))
    repo = open_again(repo, what)
    assert repo.verify() == 2
    repo.close()


def test_an_old_clone_does_not_come_back_after_expiry() -> None:
    repo = Repository.create({})
    days(repo, 3)
    clone = Repository.from_car(repo.to_car())
    session = repo.writable_session()
    session.store["b"] = b"1"
    repo.expire(datetime.now(UTC))
    with pytest.raises(IPLDStoreError, match="no ancestor"):
        session.commit("from before", rebase=True)
    commit(clone, {"a": b"from the clone"})
    with pytest.raises(IPLDStoreError, match="expected names that are in our past"):
        clone.push(repo)
    clone.push({})


def test_garbage_is_what_no_name_reaches(what: Any) -> None:
    repo = make(what)
    commit(repo, {"a": b"1"})
    repo.create_branch("exp")
    commit(repo, {"large": bytes(2_000_000)}, "exp")
    kept = repo.garbage_collect(timedelta(days=1), dry_run=True)
    assert kept.freed_blocks == 0
    repo.delete_branch("exp")
    told = repo.garbage_collect(timedelta(0), dry_run=True)
    done = repo.garbage_collect(timedelta(0))
    assert told[:2] == done[:2]
    assert done.freed_blocks > 4
    assert min(told.freed_bytes, done.freed_bytes) > 1000
    assert repo.garbage_collect(timedelta(0)).freed_blocks == 0
    assert contents_of(repo) == {"a": b"1"}
    repo = open_again(repo, what)
    assert repo.verify() == 2
    commit(repo, {"b": b"2"})
    assert contents_of(repo) == {"a": b"1", "b": b"2"}
    repo.close()


def test_a_session_that_is_open_keeps_its_blocks(what: Any) -> None:
    repo = make(what)
    session = repo.writable_session()
    fork = session.fork()
    session.store["a/0"], fork["b/0"] = b"not committed", b"in a fork"
    commit(repo, {"c": b"1"})
    repo.garbage_collect(timedelta(0))
    session.merge(fork)
    session.commit("late", rebase=True)
    assert contents_of(repo) == {"a/0": b"not committed", "b/0": b"in a fork", "c": b"1"}
    assert repo.verify() == 3
    repo.close()


def test_ages_are_by_the_clock_of_the_store_and_young_blocks_keep_what_they_link(tmp_path: Path) -> None:
    folder = tmp_path / "blocks"
    repo = make(str(folder))
    commit(repo, {f"a/{number}": b"%d" % number * 9 for number in range(3)})
    root = repo.lookup().data
    repo.reset_branch("main", "main~1")
    old = time.time() - 3600
    for file in folder.rglob("*.data"):
        os.utime(file, (old, old))
    session = repo.writable_session()
    castore = session.store.castore
    pointer = castore.put({"see": root})
    assert repo.garbage_collect(timedelta(minutes=30)).freed_blocks >= 1
    assert castore.get(pointer) == {"see": root}
    assert ipldstore.IPLDStore(castore, root=root)["a/1"] == b"1" * 9
    assert isinstance(castore, FileSystemCAStore)
    castore.delete_block(pointer)
    assert repo.garbage_collect(timedelta(minutes=30)).freed_blocks >= 3


class Killed(BaseException):
    """Ends a collection in the middle, as a signal does."""


def test_a_collection_that_is_killed_leaves_no_way_back_to_what_is_half_gone(tmp_path: Path) -> None:
    """Else an undo would lead to a branch that has lost blocks, and nothing would copy or collect it any more."""
    is_killed = True
    for count in range(100):
        if not is_killed:
            break
        where = str(tmp_path / str(count))
        repo = make(where)
        commit(repo, {"a": b"1"})
        repo.create_branch("exp")
        commit(repo, {"b/0": b"1" * 9, "b/1": b"2" * 9}, "exp")
        repo.delete_branch("exp")
        states = [each.state for each in repo.operations()]
        left = iter(range(count))
        freed = FileSystemCAStore.delete_old

        def delete_old(self: Any, garbage: Any, before: float, left: Any = left, freed: Any = freed) -> Any:
            for cid in garbage:
                if next(left, None) is None:
                    raise Killed
                yield from freed(self, [cid], before)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FileSystemCAStore, "delete_old", delete_old)
            try:
                repo.garbage_collect(timedelta(0))
                is_killed = False
            except Killed:
                pass
        for state in states:
            try:
                repo.restore(state)
            except IPLDStoreError as error:
                assert "garbage collection has taken" in str(error)  # noqa: PT017  # either is right, at each point
            assert repo.verify() >= 1
    assert not is_killed
    assert count > 5


def test_ages_that_are_none(what: Any) -> None:
    repo = make(what)
    commit(repo, {"a": b"1"})
    state = repo.cid
    verbs: Any = repo.expire, repo.garbage_collect
    for verb in verbs:
        with pytest.raises(TypeError, match="expected an age"):
            verb("7d")
        with pytest.raises(ValueError, match="time zone"):
            verb(datetime(2024, 1, 1))  # noqa: DTZ001  # what is refused
    repo.expire(timedelta(days=1_000_000))
    assert repo.cid == state, "nothing is that old"
    repo.close()


def test_compact_keeps_the_operation_log(what: Any) -> None:
    repo = make(what)
    commit(repo, {"a": b"1"})
    repo.create_branch("exp")
    commit(repo, {"b": b"1"}, "exp")
    repo.delete_branch("exp")
    if isinstance(what, dict):
        return
    repo.close()
    ipldstore.compact(what)
    repo = Repository.open(what, fsync=False)
    repo.undo()
    assert contents_of(repo, "exp") == {"a": b"1", "b": b"1"}
    repo.undo()
    repo.delete_branch("exp")
    repo.close()
    done = ipldstore.compact(what, older_than=timedelta(0))
    assert done.freed_blocks > 0
    with Repository.open(what, fsync=False) as repo:
        assert contents_of(repo) == {"a": b"1"}


def test_a_file_that_is_rewritten_has_what_other_threads_put_meanwhile(tmp_path: Path) -> None:
    repo = make(str(tmp_path / "air.car"))
    commit(repo, {"a": b"1"})
    castore = repo.castore
    late: list[CID] = []

    def blocks() -> Any:
        for cid, data in castore.get_dag(repo.cid):
            late.append(castore.put_raw(b"late %d" % len(late)))
            yield cid, data

    assert isinstance(castore, ipldstore.CarCAStore)
    castore.rewrite(blocks())
    assert [castore.get(cid) for cid in late] == [b"late %d" % number for number in range(len(late))]
    assert repo.verify() == 2
    repo.close()


def test_a_folder_is_freed_beside_a_coordinator(tmp_path: Path) -> None:
    """The notes of a session keep what they name, and its root too."""
    folder = str(tmp_path / "blocks")
    repo = make(folder)
    session = repo.writable_session()
    session.store["a/0"] = b"zero"
    session.store.__reduce_ex__(2)  # as dask does: a session of writers begins
    assert isinstance(repo.castore, FileSystemCAStore)
    repo.garbage_collect(timedelta(0))
    session.commit("written by many")
    assert contents_of(repo) == {"a/0": b"zero"}


@pytest.mark.parametrize("way", ["rebased", "frozen"])
def test_what_a_session_has_frozen_is_kept_until_it_is_committed(what: Any, way: str) -> None:
    """No head has its root yet, and the store has no changes that no root has."""
    repo = make(what)
    commit(repo, {"a/1": b"1" * 900})
    session = repo.writable_session()
    session.store["b/1"] = b"2" * 900
    if way == "rebased":
        commit(repo, {"c/1": b"3" * 900})
        session.rebase()
    else:
        session.store.freeze()
    repo.garbage_collect(timedelta(0))
    session.commit("kept")
    assert repo.verify() >= 3
    assert contents_of(repo)["b/1"] == b"2" * 900


@pytest.mark.parametrize("verb", ["cherry_pick", "revert"])
def test_a_commit_that_was_collected_is_not_picked(verb: str) -> None:
    """The cache has it still; its data is gone."""
    repo = Repository.create({})
    with repo.transaction(message="base") as store:
        store["a/1"] = b"1" * 400
    repo.create_branch("gone")
    with repo.transaction("gone", message="gone") as store:
        store["b/1"] = b"2" * 400
    commit = repo.branches["gone"]
    repo.delete_branch("gone")
    repo.garbage_collect(timedelta(0))
    with pytest.raises(IPLDStoreError, match=str(commit)):
        getattr(repo, verb)(commit)
    assert repo.verify() >= 2
