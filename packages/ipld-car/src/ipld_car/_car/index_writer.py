"""Writing the indexes of CARv2."""

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
    """The entries of one bucket that is written, apart by their first byte: each part is sorted by itself.

    What is kept of an entry is its bytes, in one array for a part, so memory is what the index takes.
    """

    def __init__(self) -> None:
        self.parts = [bytearray() for _ in range(_PARTS)]

    @property
    def size(self) -> int:
        return sum(map(len, self.parts))


class IndexWriter:
    """Collects where blocks are and writes the index that a CARv2 has behind its data, or a file has alone.

    It holds the bytes of the entries, 40 for a block with sha2-256, and a little more while it writes. Entries may
    come in any order; the index is the same. One thread at a time may use it.

    :param codec: 0x0401, MultihashIndexSorted, or 0x0400, IndexSorted
    :param base: an index of the same codec whose entries are to be written too; they stay where they lie until then
    :raises ValueError: if the codec is another, or that of ``base`` is

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
        self._old_entries = b"" if base is None else base.buffer
        self._groups: dict[tuple[int | None, int], _Group] = {}

    def add(self, cid: bytes, offset: int) -> None:
        """Note a block.

        Blocks with identity CIDs are left out, as go-car does: they hold their bytes themselves.

        :param cid: the binary CID
        :param offset: bytes from the start of the CARv1 (in a CARv2: of its data) to the section
        :raises CarError: if these bytes are no CID
        """
        prefix = cids.prefix_of(cid)
        if prefix.hash_code != cids.IDENTITY:
            self.add_digest(prefix.hash_code, cid[prefix.size :], offset)

    def add_digest(self, hash_code: int, digest: bytes, offset: int) -> None:
        """Note a block by multihash code and digest; see :meth:`add`."""
        key = (hash_code if self._codec == MULTIHASH_INDEX_SORTED else None), len(digest)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group()
        entry = digest + offset.to_bytes(OFFSET_BYTES, "little")
        group.parts[entry[0]] += entry

    def write(self, stream: Writable) -> int:
        """Write the index; returns how many bytes it has.

        :param stream: anything whose ``write`` takes all it is given, such as a buffered file
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
                entries = [self._old(at, at + width) for at in old]
                entries += [bytes(part[at : at + width]) for at in range(0, len(part), width)]
                entries.sort()  # two runs, of which the first is in order already
                yield b"".join(entries)
            first = behind

    def _part_end(self, bucket: Bucket, number: int, first: int) -> int:
        """The number of the first entry of the base that begins with a larger byte."""
        if number == _PARTS - 1:
            return bucket.entries

        def first_byte(entry: int) -> int:
            at = bucket.start + entry * bucket.width
            return self._old(at, at + 1)[0]

        # Entries before the last part's end are not looked at: each is written once, also if the base is not in order.
        return bisect_left(range(bucket.entries), number + 1, lo=first, key=first_byte)

    def _old(self, start: int, stop: int) -> bytes:
        return self._old_entries[start:stop]

    def _copy(self, start: int, stop: int) -> Iterator[bytes]:
        for at in range(start, stop, _PIECE):
            yield self._old(at, min(at + _PIECE, stop))
