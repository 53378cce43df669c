"""Bars for work that takes long: a widget in a notebook, text on standard error elsewhere.

No other module of this package makes bars; the commands show bars of their own, see :mod:`ipld_car.terminal`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Final

Progress = Callable[[str, int, int | None], object]
"""Called as work goes on: with what is done, how much of it is done, and how much there is in all, if that is known."""

_PATIENCE: Final = 0.5
"""Seconds that work may take before a bar shows, as for the commands."""

AnyProgress = bool | Progress | None
"""Whether to show a bar, by default where a person sees it; or what to call instead."""


class Bar:
    """A bar, or none that is seen: a caller need not ask which.

    :param bar: the bar of tqdm; None for one that is not shown
    """

    def __init__(self, bar: Any = None) -> None:
        self._bar = bar

    @property
    def is_shown(self) -> bool:
        """Whether there is a bar."""
        return self._bar is not None

    def update(self, count: int = 1) -> None:
        """Note that so much more is done."""
        if self._bar is not None:
            self._bar.update(count)

    def set(self, done: int, total: int | None = None, note: str = "") -> None:
        """Note how much is done in all.

        :param total: how much there is, if that is known
        :param note: what stands behind the bar
        """
        if self._bar is None:
            return
        if total is not None:
            self._bar.total = total
        if note:
            self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(done - self._bar.n)

    def refresh(self) -> None:
        """Draw the bar now."""
        if self._bar is not None:
            self._bar.refresh()


@contextmanager
def open_bar(what: str, *, unit: str, total: int | None = None, progress: bool | None = None) -> Iterator[Bar]:
    """Yield a bar that ends with the block.

    :param what: what is done: "pushing"
    :param unit: what is counted: " blocks"; "B" is shown with prefixes
    :param progress: whether to show a bar; None where standard error is a terminal, and in notebooks
    """
    if not is_wanted(progress):
        yield Bar()
        return
    with _make(what, unit, total, progress) as bar:
        yield Bar(bar)


@contextmanager
def reporting(progress: AnyProgress) -> Iterator[Progress | None]:
    """Yield the function that long work calls as it goes on: that of the caller, or one that shows bars of bytes.

    None stands for no report.
    """
    if callable(progress):
        yield progress
        return
    if not is_wanted(progress):
        yield None
        return
    bars: dict[str, Any] = {}

    def show(what: str, done: int, total: int | None) -> None:
        if what not in bars:
            bars[what] = _make(what, "B", total, progress)
        bars[what].update(done - bars[what].n)

    try:
        yield show
    finally:
        for bar in bars.values():
            bar.close()


@contextmanager
def counting_tasks(what: str) -> Iterator[None]:
    """Show bars of the tasks that dask runs in this process meanwhile, if it is installed and a person looks on.

    A cluster has bars of its own.

    :param what: what is done: "writing"
    """
    if find_spec("dask") is None or not is_wanted(None):
        yield
        return
    from tqdm.dask import TqdmCallback

    with TqdmCallback(desc=what, unit=" tasks", **_manners(None)):
        yield


def is_wanted(progress: bool | None) -> bool:
    """Return whether to show a bar: as the caller says, else where standard error is a terminal, and in notebooks."""
    if progress is not None:
        return progress
    return _is_notebook() or sys.stderr.isatty()


def _is_notebook() -> bool:
    """Return whether a kernel of Jupyter runs this; IPython is not imported for it."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and "IPKernelApp" in shell.config


def _make(what: str, unit: str, total: int | None, progress: bool | None) -> Any:
    """Return a bar. One that was not asked for shows if the work takes long, and vanishes from a terminal then."""
    from tqdm.auto import tqdm  # a widget where that can be shown

    return tqdm(desc=what, unit=unit, unit_scale=unit == "B", total=total, **_manners(progress))


def _manners(progress: bool | None) -> dict[str, Any]:
    """Return how a bar behaves: after how long it shows, and whether it stays."""
    from tqdm import tqdm

    tqdm.monitor_interval = 0  # no thread of its own: processes are forked
    is_asked = progress is True
    return {
        "mininterval": 0.2,
        "delay": 0 if is_asked else _PATIENCE,
        "leave": is_asked or _is_notebook(),
    }
