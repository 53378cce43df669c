"""Branches and tags: what each verb makes of the names of a state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ipld_car import cids
from ipld_car.messages import Message, Term
from multiformats import CID

from ipldstore._history.names import normalize_name
from ipldstore._history.state import Names, StateNode
from ipldstore._revisions.refspec import listed, spelling_in
from ipldstore.errors import ConflictError, IPLDStoreError, RefExistsError, RefNotFoundError


class RefMapping(Mapping[str, CID]):
    """Names and the CIDs of their commits, as they were when they were asked for; sorted by name.

    :param names: by name the binary CID of the commit
    """

    def __init__(self, names: Names) -> None:
        self._names = names

    def __getitem__(self, name: str) -> CID:
        return cids.from_validated(self._names[name])

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._names))

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"{{{', '.join(f'{name!r}: {self[name]}' for name in self)}}}"


def require_branch(state: StateNode, name: str) -> bytes:
    """Return the binary CID of the commit of a branch.

    :param name: its name, in any normal form of Unicode
    :raises RefNotFoundError: if there is no such branch
    """
    return state.branches[branch_name(state, name)]


def branch_name(state: StateNode, name: str) -> str:
    """Return the name of a branch as the state has it.

    :param name: its name, in any normal form of Unicode
    :raises RefNotFoundError: if there is no such branch
    """
    return _spelled("branch", state.branches, "tag", state.tags, name)


def tag_name(state: StateNode, name: str) -> str:
    """Return the name of a tag as the state has it.

    :param name: its name, in any normal form of Unicode
    :raises RefNotFoundError: if there is no such tag
    """
    return _spelled("tag", state.tags, "branch", state.branches, name)


def _spelled(kind: str, names: Mapping[str, bytes], other: str, others: Mapping[str, bytes], name: str) -> str:
    """Return a name as it is spelled among those of its kind."""
    found = spelling_in(names, name)
    if found is None:
        hint = f" ({name[:200]!r} is a {other})" if spelling_in(others, name) is not None else ""
        there = f"there are {listed(names)}" if names else "there are none"
        raise RefNotFoundError(f"expected a {kind}, found none named {name[:200]!r}{hint}: {there}")
    return found


def create_branch(state: StateNode, name: str, at: bytes) -> StateNode:
    """Return the names with one more branch."""
    return state._replace(branches=state.branches | {_new_name(state, name): at})


def create_tag(state: StateNode, name: str, at: bytes) -> StateNode:
    """Return the names with one more tag."""
    return state._replace(tags=state.tags | {_new_name(state, name): at})


def _new_name(state: StateNode, name: str) -> str:
    normal = normalize_name(name)
    for kind, names in (("branch", state.branches), ("tag", state.tags)):
        if normal in names:
            found = f"found the {kind} {normal!r} at {cids.to_text(names[normal])}"
            reset = Message(", or ", Term("reset_branch"), " moves it") if kind == "branch" else ""
            raise RefExistsError(Message(f"expected a new name, {found}: delete it first", reset))
    return normal


def move_branch(state: StateNode, name: str, to: bytes, expected: bytes | None = None) -> StateNode:
    """Return the names with a branch at another commit.

    :param expected: the commit where the branch must be; None for any
    :raises ConflictError: if the branch is at another
    """
    name = branch_name(state, name)
    found = state.branches[name]
    if expected is not None and found != expected:
        raise ConflictError(
            f"moving the branch {name!r}: expected it at {cids.to_text(expected)}, found it at {cids.to_text(found)}"
        )
    return state._replace(branches=state.branches | {name: to})


def delete_branch(state: StateNode, name: str) -> StateNode:
    """Return the names without a branch, which must not be the default."""
    name = branch_name(state, name)
    if name == state.default:
        raise IPLDStoreError(
            Message(
                f"expected a branch that is not the default, found {name!r}: ",
                Term("set_default(other)"),
                " first makes another one so",
            )
        )
    return state._replace(branches=_without(state.branches, name))


def delete_tag(state: StateNode, name: str) -> StateNode:
    """Return the names without a tag."""
    return state._replace(tags=_without(state.tags, tag_name(state, name)))


def rename_branch(state: StateNode, old: str, new: str) -> StateNode:
    """Return the names with a branch under another name; the default stays the same branch."""
    old = branch_name(state, old)
    renamed = create_branch(state, new, state.branches[old])
    default = normalize_name(new) if state.default == old else state.default
    return renamed._replace(branches=_without(renamed.branches, old), default=default)


def set_default(state: StateNode, name: str) -> StateNode:
    """Return the names with another default branch."""
    return state._replace(default=branch_name(state, name))


def _without(names: Names, name: str) -> Names:
    return {each: at for each, at in names.items() if each != name}
