"""A progress bar on the terminal, for work that takes long."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_PATIENCE: Final = 0.5
"""Seconds that work may take before a bar shows; most takes less, and then tqdm is not even imported."""

_shown: list[Any] = []
"""The bars that are on the terminal."""


class Progress:
    """Shows how far the work has come, as a :data:`ipld_car.ops.Progress` function.

    :param visible: show bars
    """

    def __init__(self, *, visible: bool) -> None:
        self._visible = visible
        self._what = ""
        self._start = 0.0
        self._bar: Any = None

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Show that ``done`` bytes are done of ``total``; another word than before begins another bar."""
        if what != self._what:
            self._remove_bar()
            self._what, self._start = what, time.monotonic()
        if self._bar is not None:
            self._bar.update(done - self._bar.n)
        elif self._visible and time.monotonic() - self._start > _PATIENCE:
            self._bar = _make_bar(what, total, done)
            _shown.append(self._bar)

    def close(self) -> None:
        """Remove the bar; none is shown any more."""
        self._visible = False
        self._remove_bar()

    def _remove_bar(self) -> None:
        if self._bar is not None:
            _shown.remove(self._bar)
            self._bar.close()
            self._bar = None


def clear_bars() -> None:
    """Clear the line of each bar, so that text can be written there; a bar shows again when there is more to show."""
    for bar in _shown:
        bar.clear()


def _make_bar(what: str, total: int | None, done: int) -> Any:
    from tqdm import tqdm

    tqdm.monitor_interval = 0  # no thread of its own: jobs are forked
    return tqdm(
        desc=what, total=total, initial=done, unit="B", unit_scale=True, unit_divisor=1024, leave=False, file=sys.stderr
    )


@contextmanager
def show_progress() -> Iterator[Progress]:
    """Yield a progress function that shows a bar, where standard error is a terminal and the work takes long."""
    shown = Progress(visible=sys.stderr.isatty())
    try:
        yield shown
    finally:
        shown.close()
