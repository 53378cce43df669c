"""How long to wait before a server is asked again."""

from __future__ import annotations

import random
from typing import Final

FIRST_PAUSE: Final = 0.1
"""Seconds before a second try where the server names none. Each further pause is twice as long."""

MAX_PAUSE: Final = 60.0
"""The most seconds that a server may ask for before another try."""


def pause_before_retry(tries: int, asked: float | None = None) -> float:
    """Return the seconds to wait before another try.

    :param tries: how often the server was asked again before
    :param asked: the seconds that the server asks for; None if it asks for none

    >>> pause_before_retry(0, 7.0), pause_before_retry(0, 1e9)
    (7.0, 60.0)
    >>> 0.3 <= pause_before_retry(2) <= 0.5
    True
    """
    if asked is None:  # many threads may have failed at once, and should not come back at once
        asked = FIRST_PAUSE * 2**tries * random.uniform(0.75, 1.25)  # noqa: S311  # no secret
    return min(max(asked, 0.0), MAX_PAUSE)
