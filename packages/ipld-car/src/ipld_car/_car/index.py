"""The indexes of CARv2, as go-car writes them: where in an archive the blocks of a digest are.

Two codecs: 0x0400, entries by digest alone, and 0x0401, grouped by hash function first. An entry is a digest and
the offset of its section, counted from the start of the CARv1. Entries of one length are a bucket, sorted by digest,
so a bucket can be searched where it lies. Source: https://ipld.io/specs/transport/car/carv2/#format-0x0400-indexsorted,
whose text on 0x0401 is wrong (https://github.com/ipld/ipld/issues/366): what go-car 2 writes is what holds.

An index is a hint that anybody may have written: look at the CID that stands at an offset before you trust it.
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
_WINDOW: Final = 48
"""Entries that are looked at together."""
# Archives have a handful; each is remembered, so that an index of nothing but buckets must not fill the memory.
_MAX_BUCKETS: Final = 4096

Buffer = bytes | memoryview | mmap


class _Copies:
    """A memoryview whose slices are bytes, which have an order, as those of bytes and maps are."""

    def __init__(self, view: memoryview) -> None:
        self._view = view.cast("B")

    def __getitem__(self, part: slice) -> bytes:
        return bytes(self._view[part])

    def __len__(self) -> int:
        return len(self._view)


class IndexEntry(NamedTuple):
    """Where the section of a block begins."""

    hash_code: int | None
    """Multihash code of the hash function; None where the index does not say, with codec 0x0400."""
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
    r"""An index of a CARv2, or one in a file of its own, read where it lies.

    Making it reads the heads of the buckets and no entry, so a mapped index of any size costs nothing; looking for
    a digest is a bisection. It holds ``buffer`` as long as it lives, and copies nothing of it. Any number of
    threads may use it.

    :param buffer: bytes, a memoryview or a mapped file
    :param start: where in the buffer the index begins
    :param stop: what may not be read, by default the end of the buffer
    :raises CarError: if it is no index, or says that it has more than there is, with the offset in the buffer

    >>> index = CarIndex(bytes.fromhex("8008 01000000 0a000000 0a00000000000000 abcd 3b00000000000000"))
    >>> hex(index.codec), len(index), list(index)
    ('0x400', 1, [IndexEntry(hash_code=None, digest=b'\xab\xcd', offset=59)])
    """

    codec: int
    """0x0400 or 0x0401."""
    end: int
    """The position in the buffer behind the index."""

    def __init__(self, buffer: Buffer, start: int = 0, stop: int | None = None) -> None:
        self.buffer = _Copies(buffer) if isinstance(buffer, memoryview) else buffer
        self.start = start
        self._stop = len(buffer) if stop is None else min(stop, len(buffer))
        self.buckets: dict[tuple[int | None, int], Bucket] = {}
        """The buckets by hash code (None with codec 0x0400) and bytes of the digest, in their order."""
        self._position = start
        try:
            self._read_heads()
        except CarError as error:
            raise error.at(self._position) from None
        self.end = self._position
        self._count = sum(bucket.entries for bucket in self.buckets.values())
        self.inline = sum(bucket.entries for (code, _), bucket in self.buckets.items() if code == cids.IDENTITY)
        """Entries of identity CIDs, which hold their bytes themselves; some writers index them."""
        self._usual = self.buckets.get((cids.SHA2_256 if self.codec == MULTIHASH_INDEX_SORTED else None, 32))

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
        """A count of items of at least so many bytes, compared with the bytes there are."""
        count = self._number("<i")
        if not 0 <= count <= (self._stop - self._position) // least:
            raise MalformedError(
                f"expected a count of parts that the {self._stop - self._position} bytes of the index can hold, "
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
        """How many entries there are."""
        return self._count

    def find(self, multihash: bytes) -> list[int]:
        """The offsets of the blocks with a multihash, in the order of the index; a digest may repeat.

        With codec 0x0400 all that have the digest, whatever their hash function.

        :param multihash: as :func:`ipld_car.cids.multihash_of` gives it
        """
        bucket, digest = self._bucket_of(multihash)
        if bucket is None:
            return []
        size, width = len(digest), bucket.width
        low, high = 0, bucket.entries
        if size >= 8 and high > _WINDOW:
            found = self._look(bucket, digest)
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
        """The bucket that has a multihash if any has, and the digest."""
        if multihash.startswith(_SHA2_256):  # as nearly all do
            return self._usual, multihash[2:]
        code, size, position = multihash[0], multihash[1], 2
        if code > 0x7F or size > 0x7F:
            code, position = varint.decode(multihash)
            size, position = varint.decode(multihash, position)
        return self.buckets.get((code if self.codec == MULTIHASH_INDEX_SORTED else None, size)), multihash[position:]

    def _digest_at(self, bucket: Bucket, number: int) -> bytes:
        at = bucket.start + number * bucket.width
        return self.buffer[at : at + bucket.width - OFFSET_BYTES]

    def _look(self, bucket: Bucket, digest: bytes) -> int | tuple[int, int]:
        """The offset of a digest, if it is there once and about where it should be; else between which entries it is.

        Digests are spread evenly, so this one is about where its first bytes say, and one look there tells by how much
        that is wrong. Where they are not, and at the edges, there is the bisection.
        """
        buffer, (start, entries, width) = self.buffer, bucket
        value = int.from_bytes(digest[:8])
        guess = value * entries >> 64
        low, high = 0, entries
        for _ in range(3):
            at = start + guess * width
            guess += (value - int.from_bytes(buffer[at : at + 8])) * entries >> 64
            first = min(max(guess - _WINDOW // 2, low), high - _WINDOW)
            at = start + first * width
            window = buffer[at : at + _WINDOW * width]
            position = window.find(digest)
            after = position + width
            # With an entry before it and one behind it the window shows that it is the only one.
            if position > 0 and not position % width and after < len(window) and not window.startswith(digest, after):
                return int.from_bytes(window[after - OFFSET_BYTES : after], "little")
            if digest <= window[: width - OFFSET_BYTES]:
                high = first + 1
            elif digest > window[-width:-OFFSET_BYTES]:
                low = first + _WINDOW
            else:
                return first + 1, first + _WINDOW
            if high - low < _WINDOW:
                break
            guess = min(max(guess, low), high - 1)
        return low, high

    def __iter__(self) -> Iterator[IndexEntry]:
        """The entries, in the order of the index."""
        buffer = self.buffer
        for (hash_code, size), bucket in self.buckets.items():
            for at in range(bucket.start, bucket.end, bucket.width):
                split = at + size
                offset = int.from_bytes(buffer[split : split + OFFSET_BYTES], "little")
                yield IndexEntry(hash_code, buffer[at:split], offset)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} 0x{self.codec:x}: {len(self)} entries>"
