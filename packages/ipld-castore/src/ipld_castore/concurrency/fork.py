"""Values of one process: after a fork the child starts with locks, pools and identifiers of its own.

The threads of the parent are not in the child. A lock that one of them held is never released there, a call that one
of them ran never ends, and a connection that both processes use mixes up their answers.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from typing import Any, Generic, TypeVar
from weakref import WeakMethod, WeakSet

T = TypeVar("T")

_locals: WeakSet[ForkLocal[Any]] = WeakSet()
_renewals: set[WeakMethod[Callable[[], object]]] = set()
_process_id = uuid.uuid4().hex


class ForkLocal(Generic[T]):
    """A value of which each process has its own: a lock, a table of running calls, a pool that is made when needed.

    Reading :attr:`value` costs an attribute: the value is replaced when a process forks, not when it is read. A pickle
    carries how the value is made, not the value.

    :param make: makes the value, here and in each forked child; without side effects, as it runs in every child

    >>> import threading
    >>> lock = ForkLocal(threading.Lock)
    >>> with lock.value:
    ...     pass
    """

    __slots__ = ("__weakref__", "_make", "value")

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self.value = make()
        """The value of this process."""
        _locals.add(self)

    def renew(self) -> None:
        """Make a new value."""
        self.value = self._make()

    def __reduce__(self) -> tuple[object, ...]:
        return ForkLocal, (self._make,)


def renew_after_fork(renew: Callable[[], object]) -> None:
    """Call a bound method in each forked child, as long as its object lives.

    For what is more than a value; :class:`ForkLocal` is for values. New values have been made when it is called.

    :param renew: a bound method without arguments
    """
    _renewals.add(WeakMethod(renew, _renewals.discard))


def process_id() -> str:
    """Return 32 hexadecimal digits that no other process has, a forked child neither.

    The number that the system has for a process is given again to later ones.
    """
    return _process_id


def _in_child() -> None:
    global _process_id  # noqa: PLW0603  # it is what the whole process is
    _process_id = uuid.uuid4().hex
    for each in list(_locals):
        each.renew()
    for reference in list(_renewals):
        renew = reference()
        if renew is not None:
            renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
