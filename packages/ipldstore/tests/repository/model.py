"""A repository as plain dicts: contents by key, parents by commit, names, what a merge and a pull make of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ipld_car import cids
from ipldstore import Repository

Contents = dict[str, bytes]
Parents = Mapping[str, tuple[str, ...]]


class Names(NamedTuple):
    """The branches and tags at one time, each with its commit."""

    branches: dict[str, str]
    tags: dict[str, str]


class Logged(NamedTuple):
    """A state of the operation log."""

    state: str
    names: Names
    undone: int | None = None
    """Of an undo, the number of the state that it went back to."""


class Open(NamedTuple):
    """A session, and what the model knows of it."""

    session: Any
    branch: str
    base: str
    contents: Contents


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


def past_of(parents: Parents, commit: str) -> set[str]:
    """Return a commit and all its ancestors."""
    found, waiting = set(), [commit]
    while waiting:
        at = waiting.pop()
        if at not in found:
            found.add(at)
            waiting += parents[at]
    return found


def bases_of(parents: Parents, ours: str, theirs: str) -> set[str]:
    """Return the common ancestors that no other one descends from."""
    common = past_of(parents, ours) & past_of(parents, theirs)
    return {one for one in common if not any(one != other and one in past_of(parents, other) for other in common)}


def behind(parents: Parents, old: Names, new: Names) -> set[str]:
    """Return the old names that are not in the past of the new ones; a tag is at one commit only."""
    branches, tags = new
    return {
        name for name, at in old.branches.items() if name not in branches or at not in past_of(parents, branches[name])
    } | {name for name, at in old.tags.items() if tags.get(name) != at}


def pulled(parents: Parents, here: Names, there: Names) -> tuple[Names, set[str]]:
    """Return the names after a pull, and those that are overwritten. No branch has the name of a tag."""
    branches, tags = dict(here.branches), dict(here.tags)
    overwritten = set()
    for name, at in there.branches.items():
        old = branches.get(name)
        if old is not None and at in past_of(parents, old):
            continue
        if old is not None and old not in past_of(parents, at):
            overwritten.add(name)
        branches[name] = at
    for name, at in there.tags.items():
        if tags.get(name, at) != at:
            overwritten.add(name)
        tags[name] = at
    return Names(branches, tags), overwritten


def said(commit: str, repos: Iterable[Repository]) -> tuple[object, ...]:
    """Return what a commit says, which stays when its history is written anew."""
    cid = cids.from_validated(cids.to_bytes(commit))
    found = next(each.lookup(cid) for each in repos if cid in each.castore)
    return found.data, found.time, found.author, found.message
