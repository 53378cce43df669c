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
    """
    if time.tzinfo is None:
        raise ValueError(f"expected a datetime with a time zone, found {time}: datetime.now(UTC) has one")
    micros = (time - _EPOCH) // _MICROSECOND
    if not 0 <= micros <= MAX_TIME:
        raise ValueError(f"expected a time from {to_datetime(0)} to {to_datetime(MAX_TIME)}, found {time}")
    return micros


def parse_instant(text: str) -> int:
    """Return the time of a text in ISO 8601, for a block.

    :raises ValueError: if it is none, or has no time zone

    >>> parse_instant("2024-05-01T00:00Z")
    1714521600000000
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"expected an instant such as 2024-05-01T00:00Z, found {text!r}") from None
    if found.tzinfo is None:
        raise ValueError(f"expected an instant with a time zone, such as 2024-05-01T00:00Z, found {text!r}")
    return to_micros(found)


def instant(time: datetime | str) -> int:
    """Return the time of a datetime, or of a text in ISO 8601, for a block.

    :raises ValueError: see :func:`to_micros` and :func:`parse_instant`
    """
    return parse_instant(time) if isinstance(time, str) else to_micros(time)
