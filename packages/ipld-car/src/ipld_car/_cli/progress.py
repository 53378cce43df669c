"""A bar for long work, where a person looks on."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_PATIENCE = 0.5
"""Seconds that work may take before a bar shows; most takes less, and then nothing is imported for it."""


_shown: list[Any] = []
"""The bars that stand on the terminal."""


class Progress:
    """How far a job has come, in bytes."""

    def __init__(self, what: str, total: int | None, *, visible: bool) -> None:
        self._what = what
        self._total = total
        self._visible = visible
        self._start = time.monotonic()
        self._done = 0
        self._bar: Any = None

    def advance(self, size: int) -> None:
        """Note that ``size`` more bytes are done. It costs little, but is not for every small block."""
        self._done += size
        if self._bar is not None:
            self._bar.update(size)
        elif self._visible and time.monotonic() - self._start > _PATIENCE:
            self._bar = _bar(self._what, self._total, self._done)
            _shown.append(self._bar)

    def reach(self, done: int) -> None:
        """Note that so many bytes are done in all."""
        self.advance(done - self._done)

    def close(self) -> None:
        """Take the bar away; none is shown any more."""
        self._visible = False
        if self._bar is not None:
            _shown.remove(self._bar)
            self._bar.close()
            self._bar = None


def make_room() -> None:
    """Take the bars away from where lines are going to be; they come again when there is more to show."""
    for bar in _shown:
        bar.clear()


def _bar(what: str, total: int | None, done: int) -> Any:
    from tqdm import tqdm

    tqdm.monitor_interval = 0  # no thread of its own: jobs are forked
    return tqdm(
        desc=what, total=total, initial=done, unit="B", unit_scale=True, unit_divisor=1024, leave=False, file=sys.stderr
    )


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Progress]:
    """Progress that shows as a bar, where standard error is a terminal and the work takes long.

    :param what: a word or two for the person
    :param total: bytes in all, if that is known
    """
    shown = Progress(what, total, visible=sys.stderr.isatty())
    try:
        yield shown
    finally:
        shown.close()
