"""Ranges of one state of a file, whose size the first range tells."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from .version import FileVersion

_FIRST_BYTES: Final = 128 << 10
"""Bytes that the first request asks for, as :class:`ipld_car.CarRangeReader` does."""


class VersionedSource(ABC):
    """A file far away as a :class:`ipld_car.RangeSource`. Threads may share it.

    :param version: what is known of the file; None asks for its first bytes when the version is needed
    """

    def __init__(self, version: FileVersion | None) -> None:
        self._version = version
        self._first: bytes | None = None
        """The bytes that came with the size, until they are read."""

    @property
    def size(self) -> int:
        """Bytes of the file.

        :raises BackendUnavailableError: if the size cannot be found out
        """
        if self._version is None:
            self._first = self._read(0, _FIRST_BYTES)
        assert self._version is not None  # noqa: S101  # set by the request
        return self._version.size

    def read(self, offset: int, size: int, /) -> bytes:
        """Return ``size`` bytes from ``offset`` on.

        :raises BackendUnavailableError: if they cannot be read, or another file is there now
        """
        first = self._first
        if first is not None and offset == 0:
            self._first = None
            if len(first) == size:
                return first
        return self._read(offset, size)

    @abstractmethod
    def _read(self, offset: int, size: int) -> bytes:
        """Request a range, and set the version, or compare the answer with it."""
