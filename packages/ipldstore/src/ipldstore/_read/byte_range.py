"""The bytes of a value that are wanted: all of them, or one range."""

from __future__ import annotations

from typing import Final, NamedTuple

from ipld_car import cids
from ipld_castore import ContentAddressableStore


class ByteRange(NamedTuple):
    """A range of the bytes of a value."""

    start: int = 0
    """Offset of the first byte."""
    stop: int | None = None
    """Offset behind the last byte; None is the end of the value."""
    suffix: int | None = None
    """Number of bytes at the end of the value; it replaces ``start`` and ``stop``."""

    def slice(self, data: bytes) -> bytes:
        """Return the range of a whole value.

        >>> ByteRange(1, 3).slice(b"value"), ByteRange(suffix=2).slice(b"value")
        (b'al', b'ue')
        """
        start, stop, suffix = self
        return data[start:stop] if suffix is None else data[max(len(data) - suffix, 0) :]


WHOLE: Final = ByteRange()


def read_range(castore: ContentAddressableStore, link: bytes, byte_range: ByteRange) -> bytes:
    """Return a range of the value that a link names, verified.

    :raises CAStoreError: if a block is missing, damaged or out of reach
    """
    start, stop, suffix = byte_range
    if suffix is not None:
        if cids.codec_of(link) == cids.RAW:  # a size that a backend tells is not verified, so it takes no part
            return byte_range.slice(castore.get_raw(link))
        start, stop = max(castore.size(link) - suffix, 0), None
    return castore.get_range(link, start, stop)
