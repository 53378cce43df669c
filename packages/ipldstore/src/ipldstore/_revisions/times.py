"""Times of commits: microseconds since 1970 in UTC in a block, and aware datetimes for users."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from ipldstore._history.commit import MAX_TIME

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def to_datetime(time: int) -> datetime:
    """Return the datetime of a time in a block.

    >>> to_datetime(1_700_000_000_000_000)
    datetime.datetime(2023, 11, 14, 22, 13, 20, tzinfo=datetime.timezone.utc)
    """
    return _EPOCH + _MICROSECOND * time


def to_micros(time: datetime) -> int:
    """Return the time for a block.

    :raises ValueError: if the datetime has no time zone, or is outside of what the format holds
    :raises TypeError: if it is no datetime
    """
    micros = _micros(time)
    if not 0 <= micros <= MAX_TIME:
        raise ValueError(f"expected a time from {to_datetime(0)} to {to_datetime(MAX_TIME)}, found {time}")
    return micros


def _micros(time: datetime) -> int:
    if not isinstance(time, datetime):
        raise TypeError(f"expected a datetime with a time zone, found {time!r}")
    if time.tzinfo is None:
        raise ValueError(f"expected a datetime with a time zone, found {time}: datetime.now(UTC) has one")
    return (time - _EPOCH) // _MICROSECOND


def _parse(text: str) -> datetime:
    """Return the datetime of a text in ISO 8601.

    :raises ValueError: if the text is no time, or has no time zone
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"expected an instant such as 2024-05-01T00:00Z, found {text!r}") from None
    if found.tzinfo is None:
        raise ValueError(f"expected an instant with a time zone, such as 2024-05-01T00:00Z, found {text!r}")
    return found


def instant(time: datetime | str) -> int:
    """Return the time by which a commit is looked up: that of a datetime, or of a text in ISO 8601.

    A time that is later than the format holds is the latest that it holds: no commit is between the two.

    :raises ValueError: if the text is no time, has no time zone, or is before 1970

    >>> instant("2024-05-01T00:00Z")
    1714521600000000
    """
    found = _parse(time) if isinstance(time, str) else time
    return MAX_TIME if _micros(found) > MAX_TIME else to_micros(found)


def check_older_than(older_than: timedelta | datetime) -> None:
    """Require that an argument ``older_than`` is an age or an instant.

    :raises ValueError: if an instant has no time zone
    :raises TypeError: if it is neither
    """
    if isinstance(older_than, timedelta):
        return
    if not isinstance(older_than, datetime):
        raise TypeError(f"expected an age (timedelta) or an instant with a time zone (datetime), found {older_than!r}")
    if older_than.utcoffset() is None:
        raise ValueError(f"expected an instant with a time zone, found {older_than}: datetime.now(UTC) has one")


def limit_of(older_than: timedelta | datetime) -> int:
    """Return the time, by the clock of this machine, before which commits are old; 0 if it is before 1970.

    :raises ValueError: see :func:`check_older_than`
    :raises TypeError: likewise
    """
    check_older_than(older_than)
    if isinstance(older_than, timedelta):
        since = datetime.now(UTC) - _EPOCH - older_than
    else:
        since = older_than - _EPOCH
    return max(0, since // _MICROSECOND)
