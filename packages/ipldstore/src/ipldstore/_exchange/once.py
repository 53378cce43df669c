"""Verbs of a repository that are called again after they failed or were interrupted: nothing is done twice."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from ipld_car import cids
from multiformats import CID

from ipldstore._revisions.refspec import spelling_in

from . import refs
from .exchange import Exchange
from .expire import Expiry
from .moves import Move


class HasExchange(Protocol):
    """A repository, as this module knows it."""

    _exchange: Exchange


P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=HasExchange)


def once(
    result: Callable[..., R],
) -> Callable[[Callable[Concatenate[S, P], R]], Callable[Concatenate[S, P], R]]:
    """Recognise what an earlier call of a method with the same arguments has done, and failed before it knew.

    :param result: returns what the method returns, from the move of the head and the arguments of the method
    """

    def decorated(verb: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
        @wraps(verb)
        def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
            with self._exchange.asked((verb.__name__, args, kwargs)) as made:
                return verb(self, *args, **kwargs) if made is None else result(made, *args, **kwargs)

        return call

    return decorated


def nothing(_: Move, *__: Any, **___: Any) -> None:
    """Return None: the method returns nothing."""


def commit_of(made: Move, name: str, *_: Any, **__: Any) -> CID:
    """Return the commit that has got a name."""
    names = made.state.branches | made.state.tags
    return cids.from_validated(names[spelling_in(names, name) or name])


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
