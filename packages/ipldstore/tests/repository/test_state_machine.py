"""A repository beside a plain model, dicts of dicts, through any sequence of verbs, with several sessions at once."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from ipldstore import ConflictError, IPLDStoreError, MergeConflictError, NoChangesError, Repository

from ..support.repositories import KINDS, make, open_again, place_of, text
from .model import Contents, Logged, Names, Open, bases_of, behind, past_of, pulled, said, three_way

KEYS = st.sampled_from(["a", "b", "c/0", "c/1", "d/e"])
VALUES = st.one_of(st.none(), st.sampled_from([b"0", b"1", b"2"]))
BRANCHES = st.sampled_from(["main", "exp", "more"])


class RepositoryMachine(RuleBasedStateMachine):
    """The model: contents by commit, parents by commit, names, the operation log, and the names of another place."""

    kind = "dict"

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.what: Any = place_of(self.kind, Path(self.folder.name))
        self.repo = make(self.what)
        first = text(self.repo.branches["main"])
        self.contents: dict[str, Contents] = {first: {}}
        self.parents: dict[str, tuple[str, ...]] = {first: ()}
        self.names = Names({"main": first}, {})
        self.log = [Logged(text(self.repo.cid), self.names)]
        self.forgotten = 0
        """States of the log before this one may be gone."""
        self.is_new = True
        self.sessions: list[Open] = []
        self.other = Repository.create({})
        self.other_names = self.names

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.repo.close()
            self.folder.cleanup()

    # -- the model --

    def past(self, commit: str) -> set[str]:
        return past_of(self.parents, commit)

    def become(self, branches: dict[str, str], tags: dict[str, str] | None = None, undone: int | None = None) -> None:
        """Note an operation that has just been done; one that changes no name is none.

        :param undone: the state that an undo went back to
        """
        names = Names(dict(branches), dict(self.names.tags if tags is None else tags))
        state = text(self.repo.cid)
        assert (names != self.names) == (state != self.log[-1].state)
        if names != self.names:
            self.names, self.is_new = names, False
            self.log.append(Logged(state, names, undone))

    def move(self, branch: str, commit: str) -> None:
        self.become(self.names.branches | {branch: commit})

    def made(self, cid: Any, contents: Contents, *parents: str) -> str:
        name = text(cid)
        self.contents[name], self.parents[name] = dict(contents), parents
        return name

    def contents_now(self, commit: str) -> Contents:
        return dict(self.repo.readonly_session(commit=commit).store.mapping)

    # -- sessions --

    @precondition(lambda self: len(self.sessions) < 3)
    @rule(branch=BRANCHES)
    def open_session(self, branch: str) -> None:
        if branch in self.names.branches:
            base = self.names.branches[branch]
            self.sessions.append(Open(self.repo.writable_session(branch), branch, base, dict(self.contents[base])))

    @precondition(lambda self: self.sessions)
    @rule(pick=st.integers(0, 2), key=KEYS, value=VALUES)
    def write(self, pick: int, key: str, value: bytes | None) -> None:
        session, _, _, contents = self.sessions[pick % len(self.sessions)]
        if value is None:
            if key in contents:
                del session.store[key], contents[key]
        else:
            session.store[key] = contents[key] = value

    @precondition(lambda self: self.sessions)
    @rule(pick=st.integers(0, 2), rebase=st.booleans())
    def commit(self, pick: int, rebase: bool) -> None:
        at = pick % len(self.sessions)
        session, branch, base, contents = self.sessions[at]
        tip = self.names.branches.get(branch)
        try:
            cid = text(session.commit("commit", rebase=rebase))
        except NoChangesError:
            assert contents == self.contents[base]
            return
        except MergeConflictError:
            assert rebase
            assert tip is not None
            assert three_way(self.contents[base], contents, self.contents[tip]) is None
            return
        except ConflictError:
            assert tip != base
            assert not rebase or tip is None
            return
        except IPLDStoreError:
            assert rebase
            assert tip is not None
            assert base not in self.past(tip)
            return
        assert tip is not None
        merged = contents if tip == base else three_way(self.contents[base], contents, self.contents[tip])
        assert merged is not None
        if cid != tip:
            self.made(cid, merged, tip)
        self.move(branch, cid)
        self.sessions[at] = Open(session, branch, cid, dict(merged))
        assert dict(session.store.mapping) == merged

    @precondition(lambda self: self.sessions)
    @rule(pick=st.integers(0, 2))
    def amend(self, pick: int) -> None:
        at = pick % len(self.sessions)
        session, branch, base, contents = self.sessions[at]
        try:
            cid = text(session.amend("amended"))
        except ConflictError:
            assert self.names.branches.get(branch) != base
            return
        except IPLDStoreError:
            assert not self.parents[base]
            return
        self.made(cid, contents, *self.parents[base])
        self.move(branch, cid)
        self.sessions[at] = Open(session, branch, cid, contents)

    @precondition(lambda self: self.sessions)
    @rule(pick=st.integers(0, 2))
    def drop_session(self, pick: int) -> None:
        session, _, base, _ = self.sessions.pop(pick % len(self.sessions))
        session.discard_changes()
        assert dict(session.store.mapping) == self.contents[base]

    # -- names --

    @rule(name=BRANCHES, at=BRANCHES, down=st.integers(0, 2))
    def create_branch(self, name: str, at: str, down: int) -> None:
        if name in self.names.branches or at not in self.names.branches:
            return
        commit = self.names.branches[at]
        for _ in range(down):
            commit = self.parents[commit][0] if self.parents[commit] else commit
        self.repo.create_branch(name, commit)
        self.move(name, commit)

    @rule(name=BRANCHES)
    def delete_branch(self, name: str) -> None:
        if name in self.names.branches and name != "main":
            self.repo.delete_branch(name)
            self.become({each: at for each, at in self.names.branches.items() if each != name})

    @rule(name=BRANCHES, to=BRANCHES)
    def reset_branch(self, name: str, to: str) -> None:
        branches = self.names.branches
        if name in branches and to in branches:
            self.repo.reset_branch(name, to, expected=branches[name])
            self.move(name, branches[to])

    @rule(name=st.sampled_from(["v1", "v2"]), at=BRANCHES)
    def tag(self, name: str, at: str) -> None:
        branches, tags = self.names
        if name in tags:
            self.repo.delete_tag(name)
            self.become(branches, {each: commit for each, commit in tags.items() if each != name})
        elif at in branches:
            self.repo.create_tag(name, at)
            self.become(branches, tags | {name: branches[at]})

    # -- merges --

    @rule(ref=BRANCHES, into=BRANCHES, fast_forward=st.booleans())
    def merge(self, ref: str, into: str, fast_forward: bool) -> None:
        branches = self.names.branches
        if ref not in branches or into not in branches:
            return
        ours, theirs = branches[into], branches[ref]
        bases = bases_of(self.parents, ours, theirs)
        try:
            cid = text(self.repo.merge(ref, into, fast_forward=fast_forward, unrelated=True))
        except MergeConflictError:
            tried = {str(three_way(self.contents[base], self.contents[ours], self.contents[theirs])) for base in bases}
            assert "None" in tried or len(tried) > 1
            return
        if theirs in self.past(ours):
            assert cid == ours
        elif fast_forward and ours in self.past(theirs):
            assert cid == theirs
        else:
            merges = [three_way(self.contents[base], self.contents[ours], self.contents[theirs]) for base in bases]
            merged = self.contents_now(cid)
            assert len(bases) > 1 or merges == [merged]
            self.made(cid, merged, ours, theirs)
        self.move(into, cid)

    @rule(ref=BRANCHES, onto=BRANCHES, back=st.booleans())
    def pick_or_revert(self, ref: str, onto: str, back: bool) -> None:
        branches = self.names.branches
        if ref not in branches or onto not in branches:
            return
        ours, commit = branches[onto], branches[ref]
        verb = self.repo.revert if back else self.repo.cherry_pick
        if not self.parents[commit]:
            with pytest.raises(IPLDStoreError, match="first commit"):
                verb(ref, onto)
            return
        first = self.parents[commit][0]
        if not self.parents[first] and "__ipld_was__" in self.repo.lookup(ref).meta:
            with pytest.raises(IPLDStoreError, match="dropped the commit before it"):
                verb(ref, onto)
            return
        before, after = self.contents[first], self.contents[commit]
        base, theirs = (after, before) if back else (before, after)
        expected = three_way(base, self.contents[ours], theirs)
        try:
            cid = text(verb(ref, onto))
        except MergeConflictError:
            assert expected is None
            return
        assert expected is not None
        if expected == self.contents[ours]:
            assert cid == ours
        else:
            self.made(cid, expected, ours)
        self.move(onto, cid)

    # -- the operation log --

    def back(self, at: int, undone: int | None, action: Any) -> None:
        """Go to a state of the log; if it may be gone, either outcome is right."""
        try:
            action()
        except IPLDStoreError as error:
            assert "garbage collection" in str(error)  # noqa: PT017  # of two that are right
            assert at < self.forgotten
            return
        self.become(*self.log[at].names, undone=undone)

    @rule()
    def undo(self) -> None:
        at = len(self.log) - 1
        while (undone := self.log[at].undone) is not None:
            at = undone
        if at == 0:
            expected = "garbage collection|none that was not" if self.forgotten else "none that was not undone"
            with pytest.raises(IPLDStoreError, match=expected):
                self.repo.undo()
        else:
            self.back(at - 1, at - 1, self.repo.undo)

    @rule(pick=st.integers(0, 40))
    def restore(self, pick: int) -> None:
        at = pick % len(self.log)
        self.back(at, None, lambda: self.repo.restore(self.log[at].state))

    @rule()
    def reopen(self) -> None:
        self.sessions.clear()
        self.repo = open_again(self.repo, self.what)

    @rule()
    def collect(self) -> None:
        """With the log: nothing that an undo needs is gone. Without it: nothing that a name needs is gone."""
        self.repo.garbage_collect(timedelta(days=1))

    @rule()
    def collect_all(self) -> None:
        self.repo.garbage_collect(timedelta(0))
        self.forgotten = len(self.log) - 1
        self.sessions = [each for each in self.sessions if each.base in self.reachable()]

    @rule()
    def expire(self) -> None:
        written = {text(old): text(new) for old, new in self.repo.expire(timedelta(0)).items()}
        for old, new in written.items():
            found = self.repo.lookup(new)
            self.made(new, self.contents[old], *map(text, found.parents))
        branches, tags = ({name: written[at] for name, at in names.items()} for names in self.names)
        self.become(branches, tags)
        self.sessions.clear()

    # -- another place --

    @rule(key=KEYS, value=st.sampled_from([b"0", b"1", b"2"]), branch=BRANCHES)
    def commit_there(self, key: str, value: bytes, branch: str) -> None:
        tip = self.other_names.branches.get(branch)
        if tip is None or self.contents[tip].get(key) == value:
            return
        with self.other.transaction(branch, message="there") as store:
            store[key] = value
        cid = self.made(self.other.branches[branch], self.contents[tip] | {key: value}, tip)
        self.other_names = Names(self.other_names.branches | {branch: cid}, self.other_names.tags)

    @rule(force=st.booleans())
    def push(self, force: bool) -> None:
        there, here = self.other_names, self.names
        head, operation = text(self.other.cid), next(self.other.operations()).operation
        known = [number for number, each in enumerate(self.log) if each.state == head or each.names == there]
        is_forward = not behind(self.parents, there, here)
        now = here.branches | here.tags
        places = (self.repo, self.other)
        moved = {name for name, at in there.tags.items() if name in now and said(at, places) != said(now[name], places)}
        try:
            done = self.repo.push(self.other, force=force)
        except ConflictError:
            assert not force
            assert not is_forward
            assert moved or not known or known[-1] < self.forgotten
            return
        assert is_forward or (known and not moved) or done.overwritten
        assert moved <= done.overwritten.keys()
        self.other_names = here
        after = next(self.other.operations())
        if not is_forward or operation == "push":
            assert (after.operation, set(after.after.branches)) == ("push", set(here.branches)) or there == here
            assert head in {text(each.state) for each in self.other.operations()}
        else:
            assert text(self.other.cid) == text(self.repo.cid)

    @rule(force=st.booleans())
    def pull(self, force: bool) -> None:
        there, was_new = self.other_names, self.is_new
        wanted, overwritten = pulled(self.parents, self.names, there)
        try:
            done = self.repo.pull(self.other, force=force)
        except ConflictError:
            assert overwritten
            assert not force
            return
        assert done.overwritten.keys() == overwritten
        if was_new and there != self.names:  # the states between the first and that one are not here
            assert text(self.repo.cid) == text(self.other.cid)
            self.log.append(Logged(text(self.repo.cid), there))
            self.names, self.is_new, self.forgotten = there, False, 1
        else:
            self.become(*wanted)

    def reachable(self) -> set[str]:
        return set().union(*map(self.past, (*self.names.branches.values(), *self.names.tags.values())))

    # -- what always holds --

    @invariant()
    def names_and_contents_are_those_of_the_model(self) -> None:
        if not hasattr(self, "repo"):
            return
        assert {name: text(cid) for name, cid in self.repo.branches.items()} == self.names.branches
        assert {name: text(cid) for name, cid in self.repo.tags.items()} == self.names.tags
        for name, commit in (self.names.branches | self.names.tags).items():
            assert self.contents_now(name) == self.contents[commit]
            assert {text(each.cid) for each in self.repo.log(name)} == self.past(commit)

    @invariant()
    def the_history_is_what_the_format_says(self) -> None:
        if hasattr(self, "repo"):
            assert self.repo.verify() == len(self.reachable())


def _machine(kind: str) -> Any:
    return type(f"Machine_{kind}", (RepositoryMachine,), {"kind": kind})


SHARES = {"dict": 0.2, "file": 0.05, "folder": 0.05}
"""The part of a profile's examples that each kind gets; one example is up to 30 verbs, each checked in full."""


@pytest.mark.parametrize(
    ("kind", "share"),
    [*SHARES.items(), *(pytest.param(kind, 0.5, marks=pytest.mark.slow) for kind in KINDS)],
)
def test_any_sequence_of_verbs(kind: str, share: float) -> None:
    machine: Any = _machine(kind)
    machine.TestCase.settings = settings(
        max_examples=max(1, round(settings().max_examples * share)),
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    machine.TestCase().runTest()
