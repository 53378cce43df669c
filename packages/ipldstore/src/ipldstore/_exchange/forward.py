"""Which names a push or a pull would overwrite: names move forward only, and tags not at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from ipld_car import cids
from ipld_car.messages import Message, Term
from ipld_castore import ContentAddressableStore
from multiformats import CID

from ipldstore._history.ancestry import is_ancestor
from ipldstore._history.state import Names, StateNode
from ipldstore._revisions.history import History
from ipldstore.errors import BlockMissingError, ConflictError

from .exchange import Known
from .operations import states_in_log

Kind = Literal["branch", "tag", "commit", "root"]
"""What is at a name; for a head without names, what the head is."""


class Lost(NamedTuple):
    """A name at the destination that a push or a pull would overwrite."""

    kind: Kind
    name: str
    """"HEAD" for a head without names."""
    at: bytes
    """Binary CID of its commit there."""
    new: bytes | None
    """Binary CID of the commit that the name has at the source; None if it has none there."""

    def shown(self, source: str) -> str:
        """Return the name and its commits as a text.

        :param source: where the source is, as seen by the reader of the text: "here" or "there"
        """
        if self.kind in ("commit", "root"):
            return f"the {self.kind} {self.name!r} at {cids.to_text(self.at)}"
        other = f"not {source}" if self.new is None else f"{source} at {cids.to_text(self.new)}"
        return f"the {self.kind} {self.name!r} at {cids.to_text(self.at)} ({other})"


def overwritten(lost: Iterable[Lost]) -> dict[str, CID]:
    """Return by name the commits that were overwritten."""
    return {each.name: cids.from_validated(each.at) for each in lost}


def is_past(history: History, commit: bytes, tip: bytes) -> bool:
    """Return whether a commit is another or one of its ancestors; False if its block is not there."""
    try:
        return is_ancestor(history.load, commit, tip)
    except BlockMissingError:
        return False


# -- push --


def left_behind(history: History, there: StateNode, state: StateNode) -> list[Lost]:
    """Return the names of another repository whose commits are not in the past of those of a state.

    :param history: of the state
    """
    lost = [
        Lost("branch", name, at, _at(state, name))
        for name, at in there.branches.items()
        if name not in state.branches or not is_past(history, at, state.branches[name])
    ]
    return lost + [
        Lost("tag", name, at, _at(state, name)) for name, at in there.tags.items() if state.tags.get(name) != at
    ]


def lost_by_push(behind: list[Lost], ours: History, state: Known, theirs: History, there: Known) -> list[Lost]:
    """Return which of the names of another repository that are left behind a push may not overwrite.

    Names that the source has had itself, by its operation log, may be moved and deleted as they were there.
    A tag that was deleted and made again is another tag, even so.
    """
    if not behind or not _had(ours, state, there):
        return behind
    moved = (each for each in behind if each.kind == "tag" and each.new is not None)
    return [each for each in moved if not _is_written_anew(theirs, ours, each)]


def _at(state: StateNode, name: str) -> bytes | None:
    return state.branches.get(name, state.tags.get(name))


def _had(history: History, state: Known, there: Known) -> bool:
    """Return whether a repository has had the names of another itself, by its operation log."""
    return any(each.cid == there.cid or each.state[:3] == there.state[:3] for each in states_in_log(history, state))


def _is_written_anew(theirs: History, ours: History, moved: Lost) -> bool:
    """Return whether expire has moved a tag: to a commit that says the same, over other parents."""
    if moved.new is None:
        return False
    old, new = theirs.load(moved.at), ours.load(moved.new)
    return (old.data, old.time, old.author, old.message) == (new.data, new.time, new.author, new.message)


def refused_push(lost: list[Lost], to: ContentAddressableStore) -> ConflictError:
    """Return the error for a push that would overwrite names."""
    kinds = {each.kind for each in lost}
    if kinds & {"root", "commit"}:
        advice = Message("it is no repository there")
    elif kinds == {"tag"}:
        advice = Message("a tag does not move: ", Term("delete_tag"), " there makes room for another")
    else:
        advice = Message(Term("pull()"), " brings here what is there, to be merged")
    return ConflictError(
        Message(
            f"pushing to {to!r}: expected names that are in our past, found there {_listed(lost, 'here')}: ",
            advice,
            "; ",
            Term("force=True"),
            " overwrites what is there",
        )
    )


# -- pull --


def lost_by_pull(history: History, ours: StateNode, theirs: StateNode) -> list[Lost]:
    """Return the names of a state that would be overwritten by those of another repository."""
    lost = [
        Lost("tag" if name in ours.tags else "branch", name, here, at)
        for name, at in theirs.branches.items()
        if (here := _at(ours, name)) is not None
        and (name in ours.tags or not (is_past(history, at, here) or is_past(history, here, at)))
    ]
    for name, at in theirs.tags.items():
        here = _at(ours, name)
        if here is not None and ours.tags.get(name) != at:
            lost.append(Lost("tag" if name in ours.tags else "branch", name, here, at))
    return lost


def pulled(history: History, ours: StateNode, theirs: StateNode) -> StateNode:
    """Return the names of a state with those of another repository. Branches that are further on here stay."""
    branches: Names = {name: at for name, at in ours.branches.items() if name not in theirs.tags}
    tags: Names = {name: at for name, at in ours.tags.items() if name not in theirs.branches} | theirs.tags
    for name, at in theirs.branches.items():
        here = branches.get(name)
        if here is None or not is_past(history, at, here):
            branches[name] = at
    default = ours.default if ours.default in branches else theirs.default
    return ours._replace(branches=branches, tags=tags, default=default)


def refused_pull(lost: list[Lost]) -> ConflictError:
    """Return the error for a pull that would overwrite names. The commits of the source are here by now."""
    branch = next((each for each in lost if each.kind == "branch" and each.new is not None), None)
    if branch is not None and branch.new is not None:
        new = cids.to_text(branch.new)
        merge = Term("merge()", f"merge({new!r}, into={branch.name!r})", ref=new, branch=branch.name)
        advice = Message(merge, " brings the two together")
    else:
        advice = Message("a tag does not move: ", Term("delete_tag"), " here makes room for theirs")
    return ConflictError(
        Message(
            f"pulling: expected names that are in the past of those of the source, found here "
            f"{_listed(lost, 'there')}: ",
            advice,
            "; ",
            Term("force=True"),
            " overwrites what is here",
        )
    )


def _listed(lost: list[Lost], source: str) -> str:
    return ", ".join(each.shown(source) for each in sorted(lost))
