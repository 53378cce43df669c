"""The contents of a store as a mapping."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping

from ipldstore._dataset.dataset import Dataset
from ipldstore._read.byte_range import ByteRange

from .determinism import warn_if_blosc_has_threads


def as_bytes(value: bytes) -> bytes:
    """Return a value as immutable bytes; ``bytes()`` alone would take a number for a length."""
    return value if type(value) is bytes else bytes(memoryview(value))


class StoreMapping(MutableMapping[str, bytes]):
    """Keys and their bytes, as ``MutableMapping[str, bytes]``: ``store.mapping``.

    A view: it shows the changes of its store, and makes them. Iteration goes over the keys as they were when it
    began. An absent key is a KeyError; one whose blocks are lost is an
    :class:`~ipldstore.IPLDStoreError`, never absent.

    :param check_writable: raises where nothing may be written
    :param prefix: what all keys begin with in the dataset, and not here: the path of a group and a slash
    """

    def __init__(self, data: Dataset, check_writable: Callable[[], None], prefix: str = "") -> None:
        self._data = data
        self._check_writable = check_writable
        self._prefix = prefix

    def __getitem__(self, key: str) -> bytes:
        data = self._data.read(self._prefix + key)
        if data is None:
            raise KeyError(key)
        return data

    def __setitem__(self, key: str, value: bytes) -> None:
        self._check_writable()
        warn_if_blosc_has_threads()
        self._data.write(self._prefix + key, as_bytes(value))

    def __delitem__(self, key: str) -> None:
        self._check_writable()
        if not self._data.delete(self._prefix + key):
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._data.find(self._prefix + key) is not None

    def __iter__(self) -> Iterator[str]:
        return (key.removeprefix(self._prefix) for key in self._data.keys(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def names(self, directory: str = "") -> Iterator[str]:
        """Return the names directly below a directory, each once; by default those at the top. Reads no chunk index."""
        return self._data.names((self._prefix + directory).rstrip("/"))

    def keys_below(self, directory: str) -> Iterator[str]:
        """Yield the keys below a directory; "" is the top."""
        prefix = self._prefix + (f"{directory}/" if directory else "")
        return (key.removeprefix(self._prefix) for key in self._data.keys(prefix))

    def read(self, key: str, wanted: ByteRange) -> bytes:
        """Return a range of the bytes of a key.

        :raises KeyError: if the key is absent
        """
        data = self._data.read(self._prefix + key, wanted)
        if data is None:
            raise KeyError(key)
        return data

    def size(self, key: str) -> int:
        """Return how many bytes a key has; of a chunk none is read.

        :raises KeyError: if the key is absent
        """
        size = self._data.size(self._prefix + key)
        if size is None:
            raise KeyError(key)
        return size

    def clear(self) -> None:
        """Delete all keys."""
        self._check_writable()
        self._data.delete_below(self._prefix.rstrip("/"))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self._data.castore!r}>"
