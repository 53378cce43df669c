"""A store that is open for writing, until it is closed."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from ipldstore.errors import store_errors

from .dataset import Dataset


class Opened:
    """What :func:`ipldstore.open` has opened, and ends when it is closed.

    A store that is dropped with changes that nobody froze warns of that. A file that nobody closed has lost nothing, so
    Python hides its ``ResourceWarning``; this is a ``RuntimeWarning``, which everybody sees. A copy in another process
    neither warns nor closes anything.

    :param data: the contents
    :param writable: whether to freeze them
    :param let_go: what else there is to do in the end, also in a forked process; once or more often
    """

    def __init__(self, data: Dataset, *, writable: bool, let_go: Callable[[], None]) -> None:
        self._data = data
        self._writable = writable
        self._let_go = let_go

    def close(self) -> None:
        """Freeze what has changed, flush and close the block store."""
        data = self._data
        if data.closed:
            return
        if not data.is_home:
            self._let_go()
            return
        if self._writable and (data.needs_persist or data.frozen_root is None):
            data.freeze()
        data.closed = True
        try:
            with store_errors("closing"):
                data.castore.close()
        finally:
            self._let_go()

    def __del__(self) -> None:
        data = self._data
        if data.closed:
            return
        try:
            if self._writable and data.is_home and data.needs_persist:
                message = f"a store over {data.castore!r} was dropped with changes that are not frozen: close it"
                warnings.warn(message, RuntimeWarning, stacklevel=2, source=self)
        finally:
            self._let_go()
