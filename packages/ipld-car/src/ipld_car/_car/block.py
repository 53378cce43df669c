"""Blocks of an archive, and their locations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from multiformats import CID

from ipld_car import cids


class BlockLocation(NamedTuple):
    """Where the section of a block is in an archive.

    The block itself is ``payload_size`` bytes at ``payload_offset``, so it can be read by byte range.

    >>> location = BlockLocation(offset=18, varint_size=1, cid_size=36, payload_size=24)
    >>> location.payload_offset, location.size
    (55, 61)
    """

    offset: int
    """Bytes from the start of the file to the length varint of the section."""
    varint_size: int
    """Bytes of the length varint."""
    cid_size: int
    """Bytes of the CID."""
    payload_size: int
    """Bytes of the block itself."""

    @property
    def payload_offset(self) -> int:
        """Bytes from the start of the file to the block itself."""
        return self.offset + self.varint_size + self.cid_size

    @property
    def size(self) -> int:
        """Bytes of the whole section: varint, CID and block."""
        return self.varint_size + self.cid_size + self.payload_size


class Block:
    """A block of an archive. It unpacks to ``cid``, ``data`` and ``location``.

    ``cid`` and ``location`` are made at each access; ``cid_bytes`` and ``data`` are stored.
    """

    __slots__ = ("_offset", "_varint_size", "cid_bytes", "data")

    def __init__(self, cid_bytes: bytes, data: bytes, offset: int, varint_size: int) -> None:
        self.cid_bytes = cid_bytes
        """The binary CID."""
        self.data = data
        """The bytes of the block."""
        self._offset = offset
        self._varint_size = varint_size

    @property
    def cid(self) -> CID:
        """Return the CID of the block."""
        return cids.from_validated(self.cid_bytes)

    @property
    def location(self) -> BlockLocation:
        """Return the location of the block in the archive."""
        return BlockLocation(self._offset, self._varint_size, len(self.cid_bytes), len(self.data))

    def __iter__(self) -> Iterator[Any]:
        return iter((self.cid, self.data, self.location))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Block):
            return NotImplemented
        return (self.cid_bytes, self.data, self.location) == (other.cid_bytes, other.data, other.location)

    def __hash__(self) -> int:
        return hash((self.cid_bytes, self._offset))

    def __repr__(self) -> str:
        return f"<Block {cids.to_text(self.cid_bytes)}: {len(self.data)} bytes at {self.location.payload_offset}>"
