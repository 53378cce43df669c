"""Verbs that are interrupted after they have moved the head: called again, they find what they have done."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from ipld_castore import BackendUnavailableError, MappingCAStore
from ipldstore import ConflictError, IPLDStoreError, NoChangesError, RefExistsError, Repository
from multiformats import CID

from ..support.repositories import START, commit, contents_of, text


class InterruptedCAStore(MappingCAStore):
    """A store whose next exchange of the head, once it is armed, is interrupted.

    The exchange is done before, or where it is late, just before the exchange after it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.armed: type[BaseException] | None = None
        self.is_late = False
        self.then: Callable[[], object] = lambda: None
        """What others do before the caller hears of it."""
        self._late: Callable[[], object] = lambda: None

    def swap_head(self, expected: CID | None, new: CID) -> None:
        late, self._late = self._late, lambda: None
        late()
        error, self.armed = self.armed, None
        if error is not None and self.is_late:
            self._late = lambda: super(InterruptedCAStore, self).swap_head(expected, new)
        else:
            super().swap_head(expected, new)
        if error is not None:
            self.then()
            raise error


@pytest.fixture
def castore() -> InterruptedCAStore:
    return InterruptedCAStore()


@pytest.fixture
def repo(castore: InterruptedCAStore) -> Repository:
    return made_in(castore)


def made_in(castore: MappingCAStore) -> Repository:
    """Return a new repository of three commits on main, of which exp has two."""
    made = Repository.create(castore)
    for number in range(3):
        commit(made, {f"a/{number}": b"%d" % number}, time=START + timedelta(days=number))
    made.create_branch("exp", "main~1")
    made.create_tag("v1", "main~1")
    return made


def names(repo: Repository) -> tuple[object, ...]:
    return dict(repo.branches), dict(repo.tags), repo.default_branch


# -- commits of sessions --


@pytest.mark.parametrize("error", [KeyboardInterrupt, BackendUnavailableError])
@pytest.mark.parametrize("others", [False, True])
def test_a_commit_finds_itself(
    castore: InterruptedCAStore, repo: Repository, error: type[BaseException], others: bool
) -> None:
    """It was told as a conflict with itself."""
    session = repo.writable_session()
    session.store["b"] = b"1"
    castore.armed = error
    if others:
        castore.then = lambda: commit(Repository.open(castore), {"theirs": b"1"}, message="theirs")
    made = None
    try:
        made = session.commit("mine")
    except (KeyboardInterrupt, IPLDStoreError):
        made = session.commit("mine")
    mine = repo.lookup("main~1" if others else None)
    assert (text(made), mine.message) == (text(mine.cid), "mine")
    assert [each.message for each in repo.log()].count("mine") == 1
    assert session.base.cid == mine.cid
    with pytest.raises(NoChangesError):
        session.commit("mine")
    session.store["b"] = b"2"
    session.commit("again", rebase=True)
    assert contents_of(repo)["b"] == b"2"
    assert ("theirs" in contents_of(repo)) is others


def test_what_was_changed_since_is_a_commit_of_its_own(castore: InterruptedCAStore, repo: Repository) -> None:
    session = repo.writable_session()
    session.store["b"] = b"1"
    castore.armed = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        session.commit("mine")
    session.store["c"] = b"1"
    session.commit("more")
    assert [each.message for each in repo.log()][:3] == ["more", "mine", "set a/2"]
    assert contents_of(repo, "main~1").keys() == {"a/0", "a/1", "a/2", "b"}


@pytest.mark.parametrize("rebase", [False, True])
def test_an_exchange_that_arrives_late_is_found_too(
    castore: InterruptedCAStore, repo: Repository, rebase: bool
) -> None:
    """A request that was interrupted may be on its way still."""
    session = repo.writable_session()
    session.store["b"] = b"1"
    castore.armed, castore.is_late = KeyboardInterrupt, True
    with pytest.raises(KeyboardInterrupt):
        session.commit("mine")
    assert repo.lookup().message == "set a/2"
    made = session.commit("mine", rebase=rebase)
    assert text(repo.lookup().cid) == text(made)
    assert [each.message for each in repo.log()][:2] == ["mine", "set a/2"]


def test_an_empty_commit_is_made_once(castore: InterruptedCAStore, repo: Repository) -> None:
    session = repo.writable_session()
    castore.armed = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        session.commit("tick", allow_empty=True)
    assert text(session.commit("tick", allow_empty=True)) == text(repo.lookup().cid)
    session.commit("tick", allow_empty=True)
    assert [each.message for each in repo.log()][:3] == ["tick", "tick", "set a/2"]


def test_an_amended_commit_is_amended_once(castore: InterruptedCAStore, repo: Repository) -> None:
    session = repo.writable_session()
    session.store["b"] = b"1"
    castore.armed = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        session.amend("better")
    state = repo.cid
    assert text(session.amend("better")) == text(repo.lookup().cid)
    assert repo.cid == state
    session.amend("best")
    assert [each.message for each in repo.log()][:2] == ["best", "set a/1"]
    assert contents_of(repo)["b"] == b"1"


def test_a_commit_is_amended_after_it_was_interrupted(castore: InterruptedCAStore, repo: Repository) -> None:
    session = repo.writable_session()
    session.store["b"] = b"1"
    castore.armed = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        session.commit("wrogn")
    session.amend("right")
    assert [each.message for each in repo.log()][:2] == ["right", "set a/2"]


def test_changes_that_are_discarded_take_nothing_back(castore: InterruptedCAStore, repo: Repository) -> None:
    """The contents are then those from before the commit: to commit them over it would delete what it has."""
    session = repo.writable_session()
    session.store["b"] = b"1"
    castore.armed = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        session.commit("mine")
    session.discard_changes()
    session.store["c"] = b"1"
    with pytest.raises(ConflictError, match="'mine'"):
        session.commit("other")
    session.commit("other", rebase=True)
    assert contents_of(repo).keys() == {"a/0", "a/1", "a/2", "b", "c"}


def test_a_rebase_knows_the_own_commit(castore: InterruptedCAStore, repo: Repository) -> None:
    session = repo.writable_session()
    session.store["b"] = b"1"
    castore.armed = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        session.commit("mine")
    session.store["b"] = b"2"
    assert session.rebase().message == "mine"
    session.commit("more")
    assert contents_of(repo)["b"] == b"2"


def test_a_commit_that_was_not_made_is_made(castore: InterruptedCAStore, repo: Repository) -> None:
    session = repo.writable_session()
    session.store["b"] = b"1"
    castore.armed, castore.is_late = KeyboardInterrupt, True
    with pytest.raises(KeyboardInterrupt):
        session.commit("mine")
    castore._late = lambda: None
    session.commit("mine")
    assert [each.message for each in repo.log()][:2] == ["mine", "set a/2"]


# -- names --

Verb = Callable[[Repository], Any]

VERBS: dict[str, Verb] = {
    "create branch": lambda repo: repo.create_branch("new", "main~1"),
    "create tag": lambda repo: repo.create_tag("new"),
    "delete branch": lambda repo: repo.delete_branch("exp"),
    "delete tag": lambda repo: repo.delete_tag("v1"),
    "rename branch": lambda repo: repo.rename_branch("exp", "new"),
    "reset branch": lambda repo: repo.reset_branch("main", "main~1", expected="main"),
    "set default": lambda repo: repo.set_default("exp"),
    "cherry-pick": lambda repo: repo.cherry_pick("main", "exp", time=START + timedelta(days=9)),
    "revert": lambda repo: repo.revert("main", time=START + timedelta(days=9)),
    "undo": lambda repo: repo.undo(),
    "expire": lambda repo: repo.expire(START + timedelta(days=1)),
    "pull": lambda repo: repo.pull(_elsewhere(repo), force=True),
}


def _elsewhere(repo: Repository) -> Repository:
    other = Repository.from_car(repo.to_car())
    other.delete_tag("v1")
    other.create_tag("v1", "exp~1")
    return other


@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize("verb", list(VERBS))
def test_a_verb_is_done_once(castore: InterruptedCAStore, repo: Repository, verb: str, others: bool) -> None:
    """Called again, it changes nothing, and returns what it would have returned."""
    act, other = VERBS[verb], made_in(MappingCAStore())
    expected = act(other)
    castore.armed = KeyboardInterrupt
    if others:
        other.create_branch("theirs")
        castore.then = lambda: Repository.open(castore).create_branch("theirs")
    with pytest.raises(KeyboardInterrupt):
        act(repo)
    state = repo.cid
    found = act(repo)
    assert repo.cid == state
    assert names(repo) == names(other)
    if verb not in ("undo", "pull"):  # the one returns a state, which has a time, the other what it has sent
        assert found == expected


def test_a_verb_that_was_not_interrupted_refuses_as_ever(castore: InterruptedCAStore, repo: Repository) -> None:
    castore.armed = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        repo.create_tag("new")
    repo.create_tag("new")
    with pytest.raises(RefExistsError):
        repo.create_tag("new")
    castore.armed = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        repo.create_tag("newer", "main")
    with pytest.raises(RefExistsError):
        repo.create_tag("newer", "main~1")


def test_what_was_done_before_is_done_again_once_the_thread_has_gone_on(
    castore: InterruptedCAStore, repo: Repository
) -> None:
    """An undo that was interrupted, and seen to be done, is not the one that is asked for after another commit."""
    repo.create_tag("v2")
    repo.delete_tag("v2")
    castore.armed = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        repo.undo()
    commit(repo, {"b": b"1"})
    repo.undo()
    assert repo.lookup().message == "set a/2"


UNDONE: dict[str, Verb] = {
    "create branch": lambda repo: repo.delete_branch("new"),
    "create tag": lambda repo: repo.delete_tag("new"),
    "delete branch": lambda repo: repo.create_branch("exp", "main"),
    "delete tag": lambda repo: repo.create_tag("v1", "main"),
    "rename branch": lambda repo: repo.rename_branch("new", "exp"),
}
"""What takes each verb back."""


@pytest.mark.parametrize("verb", list(UNDONE))
def test_names_that_others_have_changed_since_are_changed_anew(
    castore: InterruptedCAStore, repo: Repository, verb: str
) -> None:
    """The names of a repository are what its verbs say, not what they were before somebody else took it back."""
    castore.armed = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        VERBS[verb](repo)
    UNDONE[verb](Repository.open(castore))
    before = names(repo)
    VERBS[verb](repo)
    assert names(repo) != before
    with pytest.raises(IPLDStoreError):
        VERBS[verb](repo)
