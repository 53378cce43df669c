"""Write the indexes of CARv2."""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from ipld_car import cids, varint
from ipld_car.streams import Writable

from .index import INDEX_SORTED, MULTIHASH_INDEX_SORTED, OFFSET_BYTES, Bucket, CarIndex

_PIECE: Final = 1 << 20
_PARTS: Final = 256


class _Group:
    """The new entries of one bucket, divided by their first byte into parts, each of which is sorted by itself.

    A part is one bytearray of entries, so the memory is that of the written index.
    """

    def __init__(self) -> None:
        self.parts = [bytearray() for _ in range(_PARTS)]

    @property
    def size(self) -> int:
        return sum(map(len, self.parts))


class IndexWriter:
    """Collects the offsets of blocks and writes the index of a CARv2, for an archive or a detached file.

    It takes as much memory as the index has bytes, 40 for a block with sha2-256, and a little more while it writes. The
    index does not depend on the order in which blocks are added. One thread at a time may use the writer.

    :param codec: 0x0401, MultihashIndexSorted, or 0x0400, IndexSorted
    :param base: an index of the same codec whose entries are written too; they are read from its buffer then
    :raises ValueError: if the codec is another one, or ``base`` has another one

    >>> from io import BytesIO
    >>> writer, stream = IndexWriter(), BytesIO()
    >>> writer.add(cids.make(cids.RAW, bytes(32)), 59)
    >>> writer.write(stream), stream.getvalue()[:2].hex()
    (70, '8108')
    """

    def __init__(self, codec: int = MULTIHASH_INDEX_SORTED, base: CarIndex | None = None) -> None:
        if codec not in (INDEX_SORTED, MULTIHASH_INDEX_SORTED):
            raise ValueError(f"expected an index of codec 0x400 or 0x401, found 0x{codec:x}")
        if base is not None and base.codec != codec:
            raise ValueError(f"expected a base of codec 0x{codec:x}, found 0x{base.codec:x}")
        self._codec = codec
        self._base = base
        self._base_entries = b"" if base is None else base.buffer
        self._groups: dict[tuple[int | None, int], _Group] = {}

    def add(self, cid: bytes, offset: int) -> None:
        """Add a block.

        A block with an identity CID is left out, as in go-car: the CID holds the block.

        :param cid: the binary CID
        :param offset: bytes from the start of the CARv1 (in a CARv2: of its data) to the section
        :raises CarError: if these bytes are no CID
        """
        prefix = cids.prefix_of(cid)
        if prefix.hash_code != cids.IDENTITY:
            self.add_digest(prefix.hash_code, cid[prefix.size :], offset)

    def add_digest(self, hash_code: int, digest: bytes, offset: int) -> None:
        """Add a block by multihash code and digest, as :meth:`add` does by its CID."""
        key = (hash_code if self._codec == MULTIHASH_INDEX_SORTED else None), len(digest)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group()
        entry = digest + offset.to_bytes(OFFSET_BYTES, "little")
        group.parts[entry[0]] += entry

    def write(self, stream: Writable) -> int:
        """Write the index and return its length in bytes.

        :param stream: a stream whose ``write`` takes all bytes that it is given, such as a buffered file
        """
        size, held, held_size = 0, [], 0
        for piece in self._pieces():
            held.append(piece)
            held_size += len(piece)
            if held_size >= _PIECE:
                stream.write(b"".join(held))
                size, held, held_size = size + held_size, [], 0
        stream.write(b"".join(held))
        return size + held_size

    def _pieces(self) -> Iterator[bytes]:
        buckets = {} if self._base is None else self._base.buckets
        codes: dict[int | None, list[int]] = {}
        for code, size in sorted({*self._groups, *buckets}, key=lambda key: (key[0] or 0, key[1])):
            codes.setdefault(code, []).append(size)
        yield varint.encode(self._codec)
        if self._codec == MULTIHASH_INDEX_SORTED:
            yield struct.pack("<i", len(codes))
        elif not codes:
            yield struct.pack("<i", 0)
        for code, sizes in codes.items():
            if code is not None:
                yield struct.pack("<Q", code)
            yield struct.pack("<i", len(sizes))
            for size in sizes:
                yield from self._bucket(self._groups.get((code, size)), buckets.get((code, size)), size + OFFSET_BYTES)

    def _bucket(self, group: _Group | None, bucket: Bucket | None, width: int) -> Iterator[bytes]:
        group = group or _Group()
        bucket = bucket or Bucket(0, 0, width)
        yield struct.pack("<Iq", width, group.size + bucket.entries * width)
        first = 0
        for number, part in enumerate(group.parts):
            behind = self._part_end(bucket, number, first)
            old = range(bucket.start + first * width, bucket.start + behind * width, width)
            if not part:
                yield from self._copy(old.start, old.stop)
            else:
                entries = [self._base_slice(at, at + width) for at in old]
                entries += [bytes(part[at : at + width]) for at in range(0, len(part), width)]
                entries.sort()  # fast: the entries of the base are a sorted run
                yield b"".join(entries)
            first = behind

    def _part_end(self, bucket: Bucket, number: int, first: int) -> int:
        """Return the number of the first entry of the base that begins with a larger byte."""
        if number == _PARTS - 1:
            return bucket.entries

        def first_byte(entry: int) -> int:
            at = bucket.start + entry * bucket.width
            return self._base_slice(at, at + 1)[0]

        # The search begins where the last part ended, so each entry is written once even if the base is not sorted.
        return bisect_left(range(bucket.entries), number + 1, lo=first, key=first_byte)

    def _base_slice(self, start: int, stop: int) -> bytes:
        return self._base_entries[start:stop]

    def _copy(self, start: int, stop: int) -> Iterator[bytes]:
        for at in range(start, stop, _PIECE):
            yield self._base_slice(at, min(at + _PIECE, stop))
