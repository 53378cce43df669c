"""The blocks of an archive by their multihashes: an index, and the bytes that it points into."""

from __future__ import annotations

from dataclasses import dataclass
from mmap import mmap
from typing import Final, NamedTuple

from ipld_car import cids, varint
from ipld_car._car.block import BlockLocation
from ipld_car._car.index import CarIndex
from ipld_car.errors import CarError

from .layout import Layout, Lost

_HEAD: Final = 2 * varint.MAX_BYTES + 1
"""Bytes before the multihash of a section at most: length, CID version and codec."""


class SectionRef(NamedTuple):
    """A section with the multihash that was looked for."""

    offset: int
    varint_size: int
    cid: bytes
    size: int
    """Bytes of the block."""
    data: bytes | None = None
    """The block, if it is not in the file yet."""

    @property
    def location(self) -> BlockLocation:
        """Where it is in the file."""
        return BlockLocation(self.offset, self.varint_size, len(self.cid), self.size)


class WrongIndexError(Exception):
    """An index says that a block is where it is not."""


def key_of(cid: bytes) -> bytes:
    """Return what a block is found by: the multihash of its CID."""
    return cid[2:] if cids.is_cidv1_sha256(cid) else cids.multihash_of(cid)


@dataclass(frozen=True, slots=True)
class BlockTable:
    """An archive as its headers, and its index or a scan of all sections, show it.

    Nothing in it changes, so any number of threads may use it, and a reference to it is all that they have to share.
    """

    layout: Layout
    buffer: mmap | bytes
    """The archive, up to ``end`` at least."""
    index: CarIndex
    end: int
    """Behind the last section."""
    is_complete: bool
    """Whether the index has every section, as far as is known."""
    scan_reason: str | None = None
    """Why the index is not the file's own."""
    is_checked: bool = False
    """Whether the index was compared with the sections, or made of them."""
    generation: int = 0
    """Counts the indexes of one file."""
    lost: tuple[Lost, ...] = ()
    """Ranges of bytes between the sections in which there is none, as they are damaged."""

    def find(self, key: bytes) -> list[SectionRef]:
        """Return the sections with a multihash, the last one in the archive first.

        :raises WrongIndexError: if the index points to something else
        """
        start = self.layout.start
        offsets = self.index.find(key)
        if len(offsets) == 1:
            return [self.section_at(start + offsets[0], key)]
        return [self.section_at(start + offset, key) for offset in sorted(offsets, reverse=True)]

    def section_at(self, offset: int, key: bytes) -> SectionRef:
        """Return the section at an offset, which must have this multihash.

        :raises WrongIndexError: if it has another, or none is there
        """
        if not self.layout.start <= offset < self.end:
            raise WrongIndexError(f"nothing can be at offset {offset}")
        head = self.buffer[offset : offset + _HEAD + len(key)]
        try:
            size, begin = _length(head)
            # A CID of version 1 whose codec has one byte, as nearly all have.
            if head.startswith(key, begin + 2) and head[begin] == 1 and head[begin + 1] < 0x80:
                cid_size = len(key) + 2
                cid = head[begin : begin + cid_size]
            else:
                cid_size = cids.prefix_of(head, begin, min(begin + size, len(head))).cid_size
                cid = head[begin : begin + cid_size]
                if key_of(cid) != key:
                    raise WrongIndexError(f"another block is at offset {offset}")
        except CarError as error:
            raise WrongIndexError(f"no section of this block is at offset {offset}: {error.message}") from None
        if cid_size > size or offset + begin + size > self.end:
            raise WrongIndexError(f"another block is at offset {offset}")
        return SectionRef(offset, begin, cid, size - cid_size)

    def read(self, section: SectionRef) -> bytes:
        """Return the bytes of a block, unverified."""
        if section.data is not None:
            return section.data
        start = section.offset + section.varint_size + len(section.cid)
        return self.buffer[start : start + section.size]

    def read_at(self, offset: int, key: bytes) -> tuple[bytes, int] | None:
        """Return the bytes, unverified, of the section at an offset, and the offset behind it; the short way.

        None says nothing about the block: its section may be elsewhere, or have a CID of another form.

        :param key: the multihash that the section must have
        """
        head = self.buffer[offset : offset + _HEAD + len(key)]
        try:
            size, begin = _length(head)
        except CarError:
            return None
        stop = offset + begin + size
        begin += 2  # a CID of version 1 whose codec has one byte, as nearly all have
        if not head.startswith(key, begin) or head[begin - 2] != 1 or head[begin - 1] > 0x7F:
            return None
        begin += offset + len(key)
        if not begin <= stop <= min(self.end, len(self.buffer)):
            return None
        return self.buffer[begin:stop], stop


def _length(head: bytes) -> tuple[int, int]:
    """Return the length that a section begins with, and the position behind it."""
    if len(head) > 2 and (first := head[0]) > 0x7F > (second := head[1]) > 0:  # two bytes, as most are
        return first & 0x7F | second << 7, 2
    return varint.decode(head)
