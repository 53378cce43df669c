"""Bytes of keys that no link names as they are, as other makers keep some."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from .byte_range import ByteRange

if TYPE_CHECKING:
    from .reader import Reader


class ForeignValue(ABC):
    """The bytes of a key that stand in a node, or with more than them in a block of their own."""

    @abstractmethod
    def read(self, reader: Reader, byte_range: ByteRange) -> bytes:
        """Return the bytes, or a range of them.

        :raises CAStoreError: if a block is missing, damaged or out of reach
        """

    @abstractmethod
    def size(self, reader: Reader) -> int:
        """Return the number of bytes. A block that has them is read.

        :raises CAStoreError: as :meth:`read`
        """
