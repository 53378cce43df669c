"""Classes of stores whose capabilities depend on the instance.

A class of its own for each combination of capabilities, made when it is first needed, so that ``isinstance`` tells the
truth about each store.
"""

from __future__ import annotations

from functools import cache
from typing import TypeVar

C = TypeVar("C", bound=type)
T = TypeVar("T")


def composed(base: C, parts: tuple[type, ...]) -> C:
    """Return the subclass of a store that has the verbs of these classes beside its own.

    :param base: the class that users know, or one that this function has made of it
    """
    made: C = _subclass(base_of(base), parts)
    return made


def base_of(made: C) -> C:
    """Return the class that users know, of a class that :func:`composed` has made."""
    base: C = made.__dict__.get("_made_of", made)
    return base


def blank(base: type[T]) -> T:
    """Return a store without a state, for the state of a pickle: pickles name the class that users know."""
    return object.__new__(base)


@cache
def _subclass(base: C, parts: tuple[type, ...]) -> C:
    names = {name: getattr(base, name) for name in ("__module__", "__qualname__", "__doc__")} | {"_made_of": base}
    made: C = type(base)(base.__name__, (base, *parts), names)
    return made
