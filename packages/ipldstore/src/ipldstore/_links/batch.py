"""Keys that are set many at a time, while their blocks are put one by one."""

from __future__ import annotations

import threading
from typing import Final

from ipldstore._dataset.dataset import Dataset
from ipldstore._format import keys
from ipldstore._tree.lookup import KeyTarget

_MOST: Final = 1_000_000
"""Keys that are held until they are set: 250 MB at most."""


class LinkBatch:
    """Documents and links of keys, which are set together. Safe with threads.

    Until they are set, the dataset has not changed. In a session of several writers each is set and noted at once.

    :param data: the dataset
    """

    def __init__(self, data: Dataset) -> None:
        self._data = data
        self._lock = threading.Lock()
        self._changes: dict[str, KeyTarget | None] = {}

    def add(self, key: str, target: KeyTarget) -> None:
        """Set a key, at the latest when :meth:`flush` is called.

        :raises ValueError: if the format does not allow the key
        :raises IPLDStoreError: if nodes cannot be read or written
        """
        keys.split_key(key)
        if self._data.sharing is not None:
            self._data.own_changes += 1
            self._data.sharing.record(self._data, key, target)
            return
        with self._lock:
            self._changes[key] = target
            is_full = len(self._changes) >= _MOST
        if is_full:
            self.flush()

    def flush(self) -> None:
        """Set what was added.

        :raises IPLDStoreError: if nodes cannot be read or written; what was added is kept, and can be set again
        """
        self._data.check_home()
        with self._lock:
            self._data.own_changes += bool(self._changes)
            self._data.apply(self._changes)
            self._changes = {}
