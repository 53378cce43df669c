"""A cache with a limit in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class ByteLRU(Generic[K, V]):
    """A cache within a limit of bytes; the least recently used entries are dropped first.

    Used for the near blocks of :class:`ipld_castore.TieredCAStore`, and by ipldstore for prefetched blocks and for
    decoded nodes. Not safe with threads: callers have a lock already, which covers more than the cache.

    :param max_bytes: the most bytes of all entries; a single entry that is larger is kept until the next is put

    >>> cache = ByteLRU(10)
    >>> cache.put("a", "first", 5), cache.put("b", "second", 5)
    ([], [])
    >>> cache.get("a")
    'first'
    >>> cache.put("c", "third", 5)  # "b" was not used for the longest time
    [('b', 'second')]
    >>> cache.bytes, list(cache)
    (10, ['a', 'c'])
    """

    __slots__ = ("_entries", "bytes", "max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
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

    def put(self, key: K, value: V, size: int) -> list[tuple[K, V]]:
        """Cache a value in the place of an earlier one of the key; return the entries that were dropped for it.

        :param size: bytes of the value
        """
        self.pop(key)
        self._entries[key] = value, size
        self.bytes += size
        dropped: list[tuple[K, V]] = []
        while self.bytes > self.max_bytes and len(self._entries) > 1:
            oldest, (old, old_size) = self._entries.popitem(last=False)
            self.bytes -= old_size
            dropped.append((oldest, old))
        return dropped

    def pop(self, key: K) -> V | None:
        """Drop a key; return its value, or None if it was not cached."""
        found = self._entries.pop(key, None)
        if found is None:
            return None
        self.bytes -= found[1]
        return found[0]

    def clear(self) -> None:
        """Drop all entries."""
        self._entries.clear()
        self.bytes = 0

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[K]:
        """Return the keys, the least recently used first."""
        return iter(self._entries)
