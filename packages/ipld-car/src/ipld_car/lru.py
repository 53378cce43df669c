"""A cache with a limit, in bytes or in entries. For all packages."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, TypeVar

__all__ = ["LRU"]

K = TypeVar("K")
V = TypeVar("V")


class LRU(Generic[K, V]):
    """A cache whose sizes have a limit in sum; the least recently used entries are dropped first.

    Sizes are bytes, or 1 where entries are counted. Not safe with threads: callers have a lock already, which covers
    more than the cache.

    :param limit: the most that the sizes of all entries may be; a single entry that is larger is kept until the next is
        put

    >>> cache = LRU(10)
    >>> cache.put("a", "first", 5), cache.put("b", "second", 5)
    ([], [])
    >>> cache.get("a")
    'first'
    >>> cache.put("c", "third", 5)  # "b" was not used for the longest time
    [('b', 'second')]
    >>> cache.size, list(cache)
    (10, ['a', 'c'])
    """

    __slots__ = ("_entries", "limit", "size")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        """The sum of the sizes of all entries."""
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """Return the value of a key, which counts as used now; None if it is not cached."""
        found = self._entries.get(key)
        if found is None:
            return None
        self._entries.move_to_end(key)
        return found[0]

    def peek(self, key: K) -> V | None:
        """Return the value of a key, which does not count as used; None if it is not cached."""
        found = self._entries.get(key)
        return None if found is None else found[0]

    def put(self, key: K, value: V, size: int = 1) -> list[tuple[K, V]]:
        """Cache a value in the place of an earlier one of the key; return the entries that were dropped for it.

        :param size: what the value counts
        """
        self.pop(key)
        self._entries[key] = value, size
        self.size += size
        dropped: list[tuple[K, V]] = []
        while self.size > self.limit and len(self._entries) > 1:
            oldest, (old, old_size) = self._entries.popitem(last=False)
            self.size -= old_size
            dropped.append((oldest, old))
        return dropped

    def pop(self, key: K) -> V | None:
        """Drop a key; return its value, or None if it was not cached."""
        found = self._entries.pop(key, None)
        if found is None:
            return None
        self.size -= found[1]
        return found[0]

    def clear(self) -> None:
        """Drop all entries."""
        self._entries.clear()
        self.size = 0

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[K]:
        """Return the keys, the least recently used first."""
        return iter(self._entries)
