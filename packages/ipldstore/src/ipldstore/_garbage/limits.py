"""Which blocks are young: by an age or an instant, and by the running operations of this process."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from ipld_castore import ContentAddressableStore, SupportsLeftovers

from ipldstore._dataset.in_flight import longest
from ipldstore._revisions.times import check_older_than
from ipldstore.errors import store_errors

OlderThan = timedelta | datetime | None

GRACE: Final = timedelta(hours=1)
"""How long blocks are young where the caller does not say."""
_GRAIN: Final = 2.0
"""Seconds by which the time of a block may be before it was put: a bucket tells whole seconds."""


def limit_of(castore: SupportsLeftovers, older_than: timedelta | datetime) -> float:
    """Return the time, by the clock of the store, before which blocks are old; see :func:`instant`."""
    now = 0.0
    if isinstance(older_than, timedelta):
        with store_errors("asking for the time"):
            now = castore.now()
    return instant(older_than, now)


def instant(older_than: timedelta | datetime, now: float) -> float:
    """Return an instant in seconds since 1970 in UTC.

    :raises ValueError: if an instant has no time zone
    :raises TypeError: if the argument is neither an age nor an instant
    """
    check_older_than(older_than)
    return now - older_than.total_seconds() if isinstance(older_than, timedelta) else older_than.timestamp()


def begin_of_operations(castore: ContentAddressableStore, now: Callable[[], float]) -> float:
    """Return since when operations of this process have been running, by the clock of the store; infinity without any.

    Call it before the head is read: an operation that has ended by then is in the head.

    :param now: returns the time by that clock
    """
    seconds = longest(castore)
    return math.inf if seconds is None else now() - seconds - _GRAIN
