"""The contents of keys when they were read: a later write may depend on them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from .notes import Content

_MAX_READS: Final = 1 << 20
"""Keys of which it is known what was read; beyond, those that were read first are forgotten."""


class Reads:
    """The contents of keys when they were read, until they are written. The caller holds a lock."""

    def __init__(self) -> None:
        self._reads: OrderedDict[str, Content] = OrderedDict()

    def remember(self, key: str, content: Content) -> None:
        """Keep what a key had when it was read."""
        self._reads[key] = content
        self._reads.move_to_end(key)
        if len(self._reads) > _MAX_READS:
            self._reads.popitem(last=False)

    def __contains__(self, key: str) -> bool:
        return key in self._reads

    def __getitem__(self, key: str) -> Content:
        return self._reads[key]

    def forget(self, key: str) -> None:
        """Forget what a key had: it has been written."""
        self._reads.pop(key, None)

    def clear(self) -> None:
        """Forget what all keys had."""
        self._reads.clear()
