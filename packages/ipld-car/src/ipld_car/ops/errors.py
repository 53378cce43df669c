"""Errors of operations beside those of a bad archive, and the progress of an operation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from ipld_car.errors import CarError

REPORT_BYTES: Final = 1 << 18


class OperationError(CarError):
    """The archive does not have what was asked for."""


class EntryNotFoundError(OperationError):
    """A directory on the way has no entry of that name."""


class RefusedError(CarError):
    """The request cannot be fulfilled, whatever is in the archive. Nothing was written."""


@contextmanager
def naming(source: object) -> Iterator[None]:
    """Name the archive in the errors that are raised meanwhile.

    :param source: the path or another name of the archive; anything that is no text gives errors no name
    """
    try:
        yield
    except CarError as error:
        if isinstance(source, (str, os.PathLike)):
            error.of_file(source)
        raise


Progress = Callable[[str, int, int | None], object]
"""Is told what is being done (a word), the bytes that are done, and of how many, or None where that is not known."""


class Meter:
    """Counts bytes, and calls a progress function now and then.

    :param progress: the function, or None
    :param what: the word for it
    :param total: bytes in all, if that is known
    """

    def __init__(self, progress: Progress | None, what: str, total: int | None = None) -> None:
        self._progress = progress
        self._what = what
        self._total = total
        self._done = 0
        self._next = 0

    def advance(self, size: int) -> None:
        """Note that ``size`` more bytes are done."""
        self.reach(self._done + size)

    def reach(self, done: int) -> None:
        """Note that ``done`` bytes are done in all."""
        self._done = done
        if self._progress is not None and done >= self._next:
            self._next = done + REPORT_BYTES
            self._progress(self._what, done, self._total)
