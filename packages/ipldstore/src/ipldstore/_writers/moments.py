"""Moments by two clocks: how long ago something was, also where a machine sleeps or its clock is set."""

from __future__ import annotations

import time
from typing import NamedTuple


class Moment(NamedTuple):
    """A moment, by two clocks: one of them stops while a machine sleeps, the other one can be set."""

    monotonic: float
    wall: float

    @classmethod
    def now(cls) -> Moment:
        """Return the present moment."""
        return cls(time.monotonic(), time.time())

    @property
    def age(self) -> float:
        """Seconds since the moment, by the clock that says more."""
        now = Moment.now()
        return max(now.monotonic - self.monotonic, abs(now.wall - self.wall))
