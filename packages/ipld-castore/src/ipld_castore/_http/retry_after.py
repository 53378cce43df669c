"""How long a busy server asks to be left alone: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

_MAX_SECONDS: Final = 10**6


def seconds_of(text: str | None) -> float | None:
    """The seconds of a Retry-After, which gives seconds or a date; None if it gives neither.

    >>> seconds_of("7"), seconds_of("Sun, 06 Nov 1994 08:49:37 GMT"), seconds_of("soon")
    (7.0, 0.0, None)
    """
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(min(int(text[:10]), _MAX_SECONDS))
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the second of numbers that no machine has
        return None
    if date.tzinfo is None:  # "-0000" says that nothing is known of the place; HTTP dates are all in UTC
        date = date.replace(tzinfo=UTC)
    return max((date - datetime.now(UTC)).total_seconds(), 0.0)
