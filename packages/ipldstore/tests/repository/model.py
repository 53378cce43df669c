"""A repository as plain dicts: contents by key, parents by commit, names, what a merge and a pull make of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

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
