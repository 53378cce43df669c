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
from ipldstore import ConflictError, IPLDStoreError, MergeConflictError, NoChangesError

from ..support.repositories import KINDS, make, open_again, place_of, text

Contents = dict[str, bytes]

KEYS = st.sampled_from(["a", "b", "c/0", "c/1", "d/e"])
VALUES = st.one_of(st.none(), st.sampled_from([b"0", b"1", b"2"]))
BRANCHES = st.sampled_from(["main", "exp", "more"])


def three_way(base: Contents, ours: Contents, theirs: Contents) -> Contents | None:
    """Merge plain contents by key; None where both have changed one, each in its own way."""
    merged = {}
    for key in base.keys() | ours.keys() | theirs.keys():
        before, one, two = (each.get(key) for each in (base, ours, theirs))
        if one != before and two != before and one != two:
            return None
        value = two if one == before else one
        if value is not None:
            merged[key] = value
    return merged


class RepositoryMachine(RuleBasedStateMachine):
    """The model: contents by commit, parents by commit, names, and the names before each operation."""

    kind = "dict"

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.what: Any = place_of(self.kind, Path(self.folder.name))
        self.repo = make(self.what)
        first = text(self.repo.branches["main"])
        self.contents: dict[str, Contents] = {first: {}}
        self.parents: dict[str, tuple[str, ...]] = {first: ()}
        self.branches: dict[str, str] = {"main": first}
        self.tags: dict[str, str] = {}
        self.log: list[tuple[dict[str, str], dict[str, str]]] = []
        self.sessions: list[tuple[Any, str, str, Contents]] = []
        """Each with its branch, its base, and its contents."""

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.repo.close()
            self.folder.cleanup()

    # -- the model --

    def ancestors(self, commit: str) -> set[str]:
        found, waiting = set(), [commit]
        while waiting:
            at = waiting.pop()
            if at not in found:
                found.add(at)
                waiting += self.parents[at]
        return found

    def did(self) -> None:
        """Note the names that the operation that follows changes."""
        self.log.append((dict(self.branches), dict(self.tags)))

    def made(self, cid: Any, contents: Contents, *parents: str) -> str:
        name = text(cid)
        self.contents[name], self.parents[name] = dict(contents), parents
        return name

    # -- verbs --

    @precondition(lambda self: len(self.sessions) < 3)
    @rule(branch=BRANCHES)
    def open_session(self, branch: str) -> None:
        if branch in self.branches:
            base = self.branches[branch]
            self.sessions.append((self.repo.writable_session(branch), branch, base, dict(self.contents[base])))

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
        tip = self.branches.get(branch)
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
            assert base not in self.ancestors(tip)
            return
        assert tip is not None
        merged = contents if tip == base else three_way(self.contents[base], contents, self.contents[tip])
        assert merged is not None
        if cid != tip:
            self.did()
            self.made(cid, merged, tip)
            self.branches[branch] = cid
        self.sessions[at] = (session, branch, cid, dict(merged))
        assert dict(session.store.mapping) == merged

    @precondition(lambda self: self.sessions)
    @rule(pick=st.integers(0, 2))
    def drop_session(self, pick: int) -> None:
        session, _, base, _ = self.sessions.pop(pick % len(self.sessions))
        session.discard_changes()
        assert dict(session.store.mapping) == self.contents[base]

    @rule(name=BRANCHES, at=BRANCHES, down=st.integers(0, 2))
    def create_branch(self, name: str, at: str, down: int) -> None:
        if name in self.branches or at not in self.branches:
            return
        commit = self.branches[at]
        for _ in range(down):
            commit = self.parents[commit][0] if self.parents[commit] else commit
        self.did()
        self.repo.create_branch(name, commit)
        self.branches[name] = commit

    @rule(name=BRANCHES)
    def delete_branch(self, name: str) -> None:
        if name in self.branches and name != "main":
            self.did()
            self.repo.delete_branch(name)
            del self.branches[name]

    @rule(name=BRANCHES, to=BRANCHES)
    def reset_branch(self, name: str, to: str) -> None:
        if name in self.branches and to in self.branches and self.branches[name] != self.branches[to]:
            self.did()
            self.repo.reset_branch(name, to, expected=self.branches[name])
            self.branches[name] = self.branches[to]

    @rule(name=st.sampled_from(["v1", "v2"]), at=BRANCHES)
    def tag(self, name: str, at: str) -> None:
        if name in self.tags:
            self.did()
            self.repo.delete_tag(name)
            del self.tags[name]
        elif at in self.branches:
            self.did()
            self.repo.create_tag(name, at)
            self.tags[name] = self.branches[at]

    @rule(ref=BRANCHES, into=BRANCHES, fast_forward=st.booleans())
    def merge(self, ref: str, into: str, fast_forward: bool) -> None:
        if ref not in self.branches or into not in self.branches:
            return
        ours, theirs = self.branches[into], self.branches[ref]
        common = self.ancestors(ours) & self.ancestors(theirs)
        bases = {one for one in common if not any(one != other and one in self.ancestors(other) for other in common)}
        try:
            cid = text(self.repo.merge(ref, into, fast_forward=fast_forward, unrelated=True))
        except MergeConflictError:
            tried = {str(three_way(self.contents[base], self.contents[ours], self.contents[theirs])) for base in bases}
            assert "None" in tried or len(tried) > 1
            return
        if theirs in self.ancestors(ours):
            assert cid == ours
            return
        self.did()
        if fast_forward and ours in self.ancestors(theirs):
            assert cid == theirs
        else:
            merges = [three_way(self.contents[base], self.contents[ours], self.contents[theirs]) for base in bases]
            merged = dict(self.repo.readonly_session(commit=cid).store.mapping)
            assert len(bases) > 1 or merges == [merged]
            self.made(cid, merged, ours, theirs)
        self.branches[into] = cid

    @precondition(lambda self: self.log)
    @rule()
    def undo(self) -> None:
        self.repo.undo()
        self.branches, self.tags = self.log.pop()
        self.log = []  # an undo of an undo goes further back, and the model does not

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
        self.log = []
        self.sessions = [each for each in self.sessions if each[2] in self.reachable()]

    @rule()
    def expire(self) -> None:
        written = {text(old): text(new) for old, new in self.repo.expire(timedelta(0)).items()}
        if any(old != new for old, new in written.items()):
            self.log = []
        for old, new in written.items():
            found = self.repo.lookup(new)
            self.made(new, self.contents[old], *map(text, found.parents))
        self.branches = {name: written[at] for name, at in self.branches.items()}
        self.tags = {name: written[at] for name, at in self.tags.items()}
        self.sessions.clear()

    def reachable(self) -> set[str]:
        return set().union(*map(self.ancestors, (*self.branches.values(), *self.tags.values())))

    # -- what always holds --

    @invariant()
    def names_and_contents_are_those_of_the_model(self) -> None:
        if not hasattr(self, "repo"):
            return
        assert {name: text(cid) for name, cid in self.repo.branches.items()} == self.branches
        assert {name: text(cid) for name, cid in self.repo.tags.items()} == self.tags
        for name, commit in (self.branches | self.tags).items():
            assert dict(self.repo.readonly_session(commit=name).store.mapping) == self.contents[commit]
            assert {text(each.cid) for each in self.repo.log(name)} == self.ancestors(commit)

    @invariant()
    def the_history_is_what_the_format_says(self) -> None:
        if hasattr(self, "repo"):
            assert self.repo.verify() == len(self.reachable())


def _machine(kind: str) -> Any:
    return type(f"Machine_{kind}", (RepositoryMachine,), {"kind": kind})


@pytest.mark.parametrize(
    ("kind", "examples"),
    [("dict", 25), ("file", 5), ("folder", 5), *(pytest.param(kind, 60, marks=pytest.mark.slow) for kind in KINDS)],
)
def test_any_sequence_of_verbs(kind: str, examples: int) -> None:
    machine: Any = _machine(kind)
    machine.TestCase.settings = settings(
        max_examples=examples,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    machine.TestCase().runTest()
