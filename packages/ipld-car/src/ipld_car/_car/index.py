"""Read the indexes of CARv2, which map digests to offsets of sections.

There are two codecs: 0x0400 has entries by digest alone, 0x0401 groups them by hash function first. An entry is a
digest and the offset of its section from the start of the CARv1. The entries of one length are a bucket, sorted by
digest, so a bucket is searched in place.

Source: https://ipld.io/specs/transport/car/carv2/#format-0x0400-indexsorted. Its text on 0x0401 is wrong
(https://github.com/ipld/ipld/issues/366); this module follows what go-car 2 writes.

An index is untrusted: compare the CID at an offset before using the offset.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator
from functools import partial
from mmap import mmap
from typing import Final, NamedTuple

from ipld_car import cids, varint
from ipld_car.errors import CarError, LimitError, MalformedError, TruncatedError

INDEX_SORTED: Final = 0x0400
MULTIHASH_INDEX_SORTED: Final = 0x0401

OFFSET_BYTES: Final = 8
_MAX_WIDTH: Final = cids.MAX_CID_BYTES + OFFSET_BYTES
_SHA2_256: Final = bytes((cids.SHA2_256, 32))
_PROBE: Final = 48
"""Entries that an interpolation step reads at once."""
# Archives have a handful. Each takes memory, so an index of many empty buckets is refused.
_MAX_BUCKETS: Final = 4096

Buffer = bytes | memoryview | mmap


class _ByteSlices:
    """A memoryview whose slices are ``bytes``, which can be ordered, as the slices of bytes and mmap are."""

    def __init__(self, view: memoryview) -> None:
        self._view = view.cast("B")

    def __getitem__(self, part: slice) -> bytes:
        return bytes(self._view[part])

    def __len__(self) -> int:
        return len(self._view)


class IndexEntry(NamedTuple):
    """An entry of an index: where the section of a block begins."""

    hash_code: int | None
    """Multihash code of the hash function; None with codec 0x0400, which does not store it."""
    digest: bytes
    """The digest of the block."""
    offset: int
    """Bytes from the start of the CARv1 (in a CARv2: of its data) to the length varint of the section."""


class Bucket(NamedTuple):
    """Entries of one length and hash function, sorted by digest."""

    start: int
    """Bytes from the start of the buffer."""
    entries: int
    width: int
    """Bytes of an entry: digest and offset."""

    @property
    def end(self) -> int:
        return self.start + self.entries * self.width


class CarIndex:
    r"""An index of a CARv2, inside an archive or in a detached file, read in place.

    The constructor reads the heads of the buckets and no entry, so a mapped index of any size opens at once. A digest
    is found by interpolation and bisection. The index keeps a reference to ``buffer`` and copies nothing. Any number
    of threads may use it.

    :param buffer: bytes, a memoryview or a mapped file
    :param start: where in the buffer the index begins
    :param stop: the end of what may be read, by default the end of the buffer
    :raises CarError: with the offset in the buffer, if there is no index, or it claims more than there is

    >>> index = CarIndex(bytes.fromhex("8008 01000000 0a000000 0a00000000000000 abcd 3b00000000000000"))
    >>> hex(index.codec), len(index), list(index)
    ('0x400', 1, [IndexEntry(hash_code=None, digest=b'\xab\xcd', offset=59)])
    """

    codec: int
    """0x0400 or 0x0401."""
    end: int
    """The position in the buffer after the index."""

    def __init__(self, buffer: Buffer, start: int = 0, stop: int | None = None) -> None:
        self.buffer = _ByteSlices(buffer) if isinstance(buffer, memoryview) else buffer
        self.start = start
        self._stop = len(buffer) if stop is None else min(stop, len(buffer))
        self.buckets: dict[tuple[int | None, int], Bucket] = {}
        """The buckets by hash code (None with codec 0x0400) and bytes of the digest, in the order of the index."""
        self._position = start
        try:
            self._read_heads()
        except CarError as error:
            raise error.at(self._position) from None
        self.end = self._position
        self._count = sum(bucket.entries for bucket in self.buckets.values())
        self.inline = sum(bucket.entries for (code, _), bucket in self.buckets.items() if code == cids.IDENTITY)
        """Number of entries for identity CIDs, which hold their block themselves; some writers index them."""
        self._sha2_256 = self.buckets.get((cids.SHA2_256 if self.codec == MULTIHASH_INDEX_SORTED else None, 32))

    def _read_heads(self) -> None:
        head = self.buffer[self.start : min(self.start + varint.MAX_BYTES, self._stop)]
        self.codec, size = varint.decode(head)
        if self.codec not in (INDEX_SORTED, MULTIHASH_INDEX_SORTED):
            raise MalformedError(f"expected an index of codec 0x400 or 0x401, found 0x{self.codec:x}")
        self._position += size
        if self.codec == INDEX_SORTED:
            self._read_buckets(None)
            return
        for _ in range(self._count_of(12)):
            self._read_buckets(self._number("<Q"))

    def _number(self, form: str) -> int:
        end = self._position + struct.calcsize(form)
        if end > self._stop:
            raise TruncatedError("expected the head of a bucket of the index, found the end")
        (number,) = struct.unpack(form, self.buffer[self._position : end])
        self._position = end
        return int(number)

    def _count_of(self, least: int) -> int:
        """Read a count of items of at least ``least`` bytes each, and compare it with the bytes that are left."""
        count = self._number("<i")
        if not 0 <= count <= (self._stop - self._position) // least:
            raise MalformedError(
                f"expected a count of buckets that the {self._stop - self._position} bytes of the index can hold, "
                f"found {count}"
            )
        return count

    def _read_buckets(self, hash_code: int | None) -> None:
        for _ in range(self._count_of(12)):
            width, size = self._number("<I"), self._number("<q")
            if not OFFSET_BYTES <= width <= _MAX_WIDTH:
                raise MalformedError(f"expected index entries of {OFFSET_BYTES} to {_MAX_WIDTH} bytes, found {width}")
            if size < 0 or size % width:
                raise MalformedError(f"expected a bucket of whole entries of {width} bytes, found {size} bytes")
            if size > self._stop - self._position:
                raise TruncatedError(f"expected a bucket of {size} bytes, found {self._stop - self._position}")
            key = hash_code, width - OFFSET_BYTES
            if key in self.buckets:
                raise MalformedError(f"expected one bucket for digests of {key[1]} bytes, found a second")
            if len(self.buckets) == _MAX_BUCKETS:
                raise LimitError(f"expected at most {_MAX_BUCKETS} buckets in an index, found more")
            self.buckets[key] = Bucket(self._position, size // width, width)
            self._position += size

    def __len__(self) -> int:
        """Return the number of entries."""
        return self._count

    def find(self, multihash: bytes) -> list[int]:
        """Return the offsets of the sections whose block has a multihash, in the order of the index.

        With codec 0x0400 these are all entries with the digest, whatever their hash function.

        :param multihash: as :func:`ipld_car.cids.multihash_of` returns it
        :returns: offsets from the start of the CARv1; several if the digest repeats, none if it is absent
        """
        bucket, digest = self._bucket_of(multihash)
        if bucket is None:
            return []
        size, width = len(digest), bucket.width
        low, high = 0, bucket.entries
        if size >= 8 and high > _PROBE:
            found = self._interpolate(bucket, digest)
            if isinstance(found, int):
                return [found]
            low, high = found
        first = bisect_left(range(bucket.entries), digest, low, high, key=partial(self._digest_at, bucket))
        offsets = []
        for at in range(bucket.start + first * width, bucket.end, width):
            entry = self.buffer[at : at + width]
            if not entry.startswith(digest):
                break
            offsets.append(int.from_bytes(entry[size:], "little"))
        return offsets

    def _bucket_of(self, multihash: bytes) -> tuple[Bucket | None, bytes]:
        """Return the bucket where a multihash would be, None if there is none, and the digest."""
        if multihash.startswith(_SHA2_256):  # as nearly all multihashes do
            return self._sha2_256, multihash[2:]
        code, size, position = multihash[0], multihash[1], 2
        if code > 0x7F or size > 0x7F:
            code, position = varint.decode(multihash)
            size, position = varint.decode(multihash, position)
        return self.buckets.get((code if self.codec == MULTIHASH_INDEX_SORTED else None, size)), multihash[position:]

    def _digest_at(self, bucket: Bucket, number: int) -> bytes:
        at = bucket.start + number * bucket.width
        return self.buffer[at : at + bucket.width - OFFSET_BYTES]

    def _interpolate(self, bucket: Bucket, digest: bytes) -> int | tuple[int, int]:
        """Return the offset of a digest that is found once; else the numbers of the entries between which to bisect.

        Digests are spread evenly, so the first bytes of a digest say about where its entry is, and the entry that is
        there says how far that is off. Where digests are not spread evenly, and at the edges, bisection finds them.
        """
        buffer, (start, entries, width) = self.buffer, bucket
        value = int.from_bytes(digest[:8])
        guess = value * entries >> 64
        low, high = 0, entries
        for _ in range(3):
            at = start + guess * width
            guess += (value - int.from_bytes(buffer[at : at + 8])) * entries >> 64
            first = min(max(guess - _PROBE // 2, low), high - _PROBE)
            at = start + first * width
            probe = buffer[at : at + _PROBE * width]
            position = probe.find(digest)
            after = position + width
            # An entry before it and one after it show that the digest does not repeat.
            if position > 0 and not position % width and after < len(probe) and not probe.startswith(digest, after):
                return int.from_bytes(probe[after - OFFSET_BYTES : after], "little")
            if digest <= probe[: width - OFFSET_BYTES]:
                high = first + 1
            elif digest > probe[-width:-OFFSET_BYTES]:
                low = first + _PROBE
            else:
                return first + 1, first + _PROBE
            if high - low < _PROBE:
                break
            guess = min(max(guess, low), high - 1)
        return low, high

    def __iter__(self) -> Iterator[IndexEntry]:
        """Iterate over the entries, in the order of the index."""
        buffer = self.buffer
        for (hash_code, size), bucket in self.buckets.items():
            for at in range(bucket.start, bucket.end, bucket.width):
                split = at + size
                offset = int.from_bytes(buffer[split : split + OFFSET_BYTES], "little")
                yield IndexEntry(hash_code, buffer[at:split], offset)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} 0x{self.codec:x}: {len(self)} entries>"
