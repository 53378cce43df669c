"""Expiry and merges: what is forgotten changes no merge of what is kept."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import timedelta
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ipld_car import cids
from ipld_castore import MappingCAStore
from ipldstore import IPLDStoreError, Repository
from ipldstore._exchange.committing import Signature, put_commit
from ipldstore._history.ancestry import is_ancestor, merge_bases
from ipldstore._revisions.history import History
from ipldstore._revisions.times import to_micros
from multiformats import CID

from ..support.repositories import START, commit, contents_of, text


def at(day: int) -> int:
    return to_micros(START + timedelta(days=day))


def random_history(repo: Repository, choose: random.Random, count: int, most_parents: int) -> list[bytes]:
    """Write commits, one a day, each over some of those before; return them, the oldest first."""
    history = History(repo.castore)
    data = cids.to_bytes(repo.lookup().data)
    line = [cids.to_bytes(repo.lookup().cid)]
    for day in range(1, count + 1):
        recent = line[-min(len(line), 12) :]
        parents = choose.sample(recent, min(len(recent), choose.choice((1, 1, 1, 2, 2, most_parents))))
        line.append(put_commit(history, data, parents, f"day {day}", None, Signature("", at(day))))
    return line


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1 << 32), limit=st.integers(0, 40), tags=st.integers(0, 6))
def test_the_bases_of_what_is_kept_are_what_they_were(seed: int, limit: int, tags: int) -> None:
    choose = random.Random(seed)  # no secret
    repo = Repository.create({})
    line = random_history(repo, choose, 40, choose.choice((2, 3, 16)))
    repo.reset_branch("main", cids.from_validated(line[-1]))
    for number, tip in enumerate(choose.sample(line, tags + 1)):
        verb = repo.create_tag if number % 2 else repo.create_branch
        verb(f"name{number}", cids.from_validated(tip))
    found = repo.expire(START + timedelta(days=limit))
    kept = {cids.to_bytes(old): cids.to_bytes(new) for old, new in found.items()}
    load = History(repo.castore).load
    for one, other in combinations(kept, 2):
        bases = {kept[each] for each in merge_bases(load, one, other)}
        assert bases == set(merge_bases(load, kept[one], kept[other]))
        assert is_ancestor(load, one, other) == is_ancestor(load, kept[one], kept[other])
    assert repo.verify() == len(kept)
    state = repo.cid
    assert repo.expire(START + timedelta(days=limit)).keys() == set(found.values())
    assert repo.cid == state, "nothing more is older"


def forked(repo: Repository) -> None:
    """Two branches that share more than the first commit, and have each changed something since."""
    commit(repo, {"a": b"1", "b": b"1"}, message="before", time=START + timedelta(days=1))
    commit(repo, {"c": b"1"}, message="base", time=START + timedelta(days=2))
    repo.create_branch("exp")
    commit(repo, {"a": None}, message="on main", time=START + timedelta(days=3))
    commit(repo, {"b": b"2"}, "exp", message="on exp", time=START + timedelta(days=4))


def test_two_branches_merge_after_expiry_as_before() -> None:
    """Without the base, the histories were unrelated, and a merge would bring back what one side has deleted."""
    repo = Repository.create({})
    forked(repo)
    clone = Repository.from_car(repo.to_car())
    clone.merge("exp")
    repo.expire(START + timedelta(days=30))
    assert [each.message for each in repo.log()] == ["on main", "base", ""]
    repo.merge("exp")
    assert contents_of(repo) == contents_of(clone) == {"b": b"2", "c": b"1"}
    assert repo.lookup().data == clone.lookup().data


def test_a_branch_that_was_merged_stays_merged_when_the_merge_is_forgotten() -> None:
    """The commit after the merge follows what was merged: else merging the branch once more would undo a revert."""
    repo = Repository.create({})
    forked(repo)
    repo.merge("exp", message="merge", time=START + timedelta(days=5))
    commit(repo, {"b": b"1"}, message="b as it was", time=START + timedelta(days=6))
    commit(repo, {"d": b"1"}, message="tip", time=START + timedelta(days=7))
    commit(repo, {"e": b"1"}, "exp", message="on exp again", time=START + timedelta(days=8))
    repo.create_tag("v1", "exp~1")
    repo.expire(START + timedelta(days=7))
    assert [each.message for each in repo.log()] == ["tip", "on exp", ""]
    repo.merge("exp")
    assert contents_of(repo) == {"b": b"1", "c": b"1", "d": b"1", "e": b"1"}


def test_more_is_kept_where_a_commit_would_follow_too_many() -> None:
    repo = Repository.create({})
    commit(repo, {"base": b"1"}, message="base", time=START)
    for number in range(20):
        repo.create_branch(f"side{number}", "main" if number == 0 else "side0~1")
        when = START + timedelta(hours=1 + number)
        commit(repo, {f"side/{number}": b"1"}, f"side{number}", message=f"side {number}", time=when)
    for number in range(20):
        repo.merge(f"side{number}", message=f"merge {number}", time=START + timedelta(days=1 + number))
    commit(repo, {"tip": b"1"}, message="tip", time=START + timedelta(days=30))
    before = contents_of(repo)
    kept = repo.expire(START + timedelta(days=30))
    assert contents_of(repo) == before
    assert all(len(each.parents) <= 16 for each in repo.log())
    sides = {repo.branches[f"side{number}"] for number in range(20)}
    assert sides <= {each.cid for each in repo.log()}
    assert repo.verify() == len(kept) < 3 + 20 + 5
    state = repo.cid
    repo.expire(START + timedelta(days=30))
    assert repo.cid == state


def test_what_a_commit_changed_is_not_known_when_its_parent_is_forgotten() -> None:
    """Reverting it would delete all that was there before."""
    repo = Repository.create({})
    commit(repo, {"a": b"1"}, message="old", time=START)
    commit(repo, {"b": b"1"}, message="oldest that is kept", time=START + timedelta(days=1))
    commit(repo, {"c": b"1"}, message="tip", time=START + timedelta(days=2))
    repo.expire(START + timedelta(days=1))
    for verb in (repo.revert, repo.cherry_pick):
        with pytest.raises(IPLDStoreError, match="has dropped the commit before it"):
            verb("main~1")
    repo.revert("main")
    assert contents_of(repo) == {"a": b"1", "b": b"1"}


def test_an_amended_commit_was_not_written_anew_by_expiry() -> None:
    """What the author keeps stays, and what the format notes is about the commit that was."""
    repo = Repository.create({})
    commit(repo, {"a": b"1"}, message="old", time=START)
    commit(repo, {"b": b"1"}, message="tip", time=START + timedelta(days=1), meta={"run": 7})
    before = repo.lookup()
    repo.expire(START + timedelta(days=1))
    assert repo.lookup().meta == {"run": 7, "__ipld_was__": text(before.cid)}
    repo.writable_session().amend("another message")
    assert repo.lookup().meta == {"run": 7}


class BusyCAStore(MappingCAStore):
    """A store where somebody else commits whenever a try to move the head takes many blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.other: Repository | None = None
        self.puts = 0
        self.meddle: Callable[[Repository], object] = lambda other: commit(other, {"b": os.urandom(9)}, "side")

    def put_block(self, cid: CID, data: bytes) -> None:
        self.puts += 1
        super().put_block(cid, data)

    def swap_head(self, expected: CID | None, new: CID) -> None:
        took, self.puts = self.puts, 0
        if self.other is not None and took > 10:
            self.meddle(self.other)
            self.puts = 0
        super().swap_head(expected, new)


@pytest.mark.parametrize("is_old", [False, True], ids=["goes on", "from what was dropped"])
def test_expiry_ends_beside_others_who_commit_all_the_time(is_old: bool) -> None:
    """Of a long history all would be written again each time: others would always be faster."""
    castore = BusyCAStore()
    repo = Repository.create(castore)
    for day in range(40):
        commit(repo, {"a": b"%d" % day}, time=START + timedelta(days=day))
    repo.create_branch("side", "main~30" if is_old else "main")
    castore.other = Repository.open(castore)
    repo.expire(START + timedelta(days=15))
    castore.other = None
    assert repo.lookup("side").message == "set b"
    assert len(list(repo.log())) == 40 - 15 + 1 + is_old
    assert repo.verify() == 40 - 15 + 1 + 1 + is_old


def test_expiry_starts_again_where_a_commit_follows_what_was_dropped() -> None:
    castore = BusyCAStore()
    repo = Repository.create(castore)
    for day in range(40):
        commit(repo, {"a": b"%d" % day}, time=START + timedelta(days=day))
    old = repo.lookup("main~35").cid

    def meddle(other: Repository) -> None:
        castore.other = None
        other.create_branch("late", old)
        commit(other, {"b": b"1"}, "late", message="late")

    castore.meddle = meddle
    castore.other = Repository.open(castore)
    repo.expire(START + timedelta(days=15))
    assert [each.message for each in repo.log("late")] == ["late", "set a", ""]
    assert contents_of(repo, "late") == {"a": b"4", "b": b"1"}
    assert repo.verify() == 40 - 15 + 1 + 2


def test_expiry_costs_in_proportion_to_the_history_whatever_its_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each commit of it has 16 parents: comparing any two of them takes hours if there are many."""
    repo = Repository.create({})
    choose, count = random.Random(0), 150
    line = [cids.to_bytes(repo.lookup().cid)]
    history, data = History(repo.castore), cids.to_bytes(repo.lookup().data)
    for day in range(1, count + 1):
        parents = choose.sample(line[-60:], min(len(line), 16))
        line.append(put_commit(history, data, parents, "", None, Signature("", at(day))))
    repo.reset_branch("main", cids.from_validated(line[-1]))
    for number, tip in enumerate(line[::10]):
        repo.create_tag(f"v{number}", cids.from_validated(tip))
    loads, load = [0], History.load

    def counted(self: History, cid: bytes) -> Any:
        loads[0] += 1
        return load(self, cid)

    monkeypatch.setattr(History, "load", counted)
    found = repo.expire(START + timedelta(days=count - 20))
    assert loads[0] < 60 * count
    assert repo.verify() == len(found) > 35
