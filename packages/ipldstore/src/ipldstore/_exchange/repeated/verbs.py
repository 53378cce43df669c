"""Verbs of repositories that are called again after they were interrupted."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from ipld_car import cids
from multiformats import CID

from ipldstore._exchange import refs
from ipldstore._exchange.exchange import Exchange
from ipldstore._exchange.expire import Expiry
from ipldstore._exchange.moves import Move
from ipldstore._history.state import StateNode
from ipldstore._revisions.refspec import spelling_in


class HasExchange(Protocol):
    """A repository, as this module knows it."""

    _exchange: Exchange


P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=HasExchange)


def always(*_: Any, **__: Any) -> bool:
    """Return True: what others have done since is behind the move."""
    return True


def recognised(
    result: Callable[..., R], holds: Callable[..., bool] = always
) -> Callable[[Callable[Concatenate[S, P], R]], Callable[Concatenate[S, P], R]]:
    """Recognise what an earlier call of a method with the same arguments has done, and failed before it knew.

    :param result: returns what the method returns, from the move of the head and the arguments of the method
    :param holds: returns whether the present state still has it, from the move, that state and the arguments
    """

    def decorated(verb: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
        @wraps(verb)
        def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
            what = (verb.__name__, args, kwargs)
            with self._exchange.asked(what, lambda made, state: holds(made, state, *args, **kwargs)) as made:
                return verb(self, *args, **kwargs) if made is None else result(made, *args, **kwargs)

        return call

    return decorated


def nothing(_: Move, *__: Any, **___: Any) -> None:
    """Return None: the method returns nothing."""


def commit_of(made: Move, name: str, *_: Any, **__: Any) -> CID:
    """Return the commit that has got a name."""
    names = made.state.branches | made.state.tags
    return cids.from_validated(names[spelling_in(names, name) or name])


def has_name(made: Move, state: StateNode, name: str, *_: Any, **__: Any) -> bool:
    """Return whether a new branch is there still, or a new tag as it was made; a branch may have moved."""
    new = made.state
    spelled = spelling_in(new.branches | new.tags, name) or name
    return spelled in state.branches if spelled in new.branches else state.tags.get(spelled) == new.tags[spelled]


def lacks_name(_: Move, state: StateNode, name: str) -> bool:
    """Return whether a name is gone still."""
    return spelling_in(state.branches | state.tags, name) is None


def has_renamed(made: Move, state: StateNode, old: str, new: str) -> bool:
    """Return whether a branch has its new name still, and not the old one."""
    return lacks_name(made, state, old) and has_name(made, state, new)


def tip_of(made: Move, commit: object = None, onto: str | None = None, **_: Any) -> CID:  # noqa: ARG001  # of the verb
    """Return the commit that a branch has come to."""
    state = made.state
    return cids.from_validated(state.branches[state.default if onto is None else refs.branch_name(state, onto)])


def state_of(made: Move) -> CID:
    """Return the state."""
    return cids.from_validated(made.cid)


def kept_by(made: Move, *_: Any, **__: Any) -> dict[CID, CID]:
    """Return what an expiry has kept."""
    assert isinstance(made.change, Expiry)  # noqa: S101  # what it moves the names by
    return made.change.kept
