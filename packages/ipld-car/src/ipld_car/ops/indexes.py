"""CARv1 into CARv2 and back, and indexes in files of their own."""

from __future__ import annotations

from collections.abc import Iterator
from mmap import mmap
from typing import Final

from ipld_car import cids
from ipld_car._car.index import INDEX_SORTED, MULTIHASH_INDEX_SORTED, CarIndex, IndexEntry
from ipld_car._car.index_writer import IndexWriter
from ipld_car._car.reader import CarReader
from ipld_car._cli.exit_codes import FailedError
from ipld_car._cli.files import mapped_file, writing
from ipld_car._cli.progress import Progress
from ipld_car.errors import CarError

from .layout import Layout, read_layout
from .output import DATA_OFFSET, finish_v2

CODECS: Final = {
    "car-multihash-index-sorted": MULTIHASH_INDEX_SORTED,
    "car-index-sorted": INDEX_SORTED,
    "none": None,
}
_PIECE: Final = 1 << 20


def rewrite(source: str, output: str, *, version: int, codec: int | None, progress: Progress) -> int:
    """Write the CARv1 in an archive, byte for byte, as it is or as a CARv2; returns how many blocks it has.

    :param codec: of the index of a CARv2; None for none
    :raises CarError: if a block is bad; then nothing is written
    """
    with mapped_file(source) as (_, buffer), writing(output, seekable=version == 2) as stream:
        layout = read_layout(buffer)
        index = IndexWriter(MULTIHASH_INDEX_SORTED if codec is None else codec)
        blocks = _index(buffer, layout, index, progress)
        if version == 2:
            stream.write(bytes(DATA_OFFSET))
        for at in range(layout.start, layout.end, _PIECE):
            stream.write(buffer[at : min(at + _PIECE, layout.end)])
        if version == 2:
            finish_v2(stream, None if codec is None else index)
        return blocks


def create_index(source: str, output: str, *, codec: int, progress: Progress) -> int:
    """Write an index of an archive into a file of its own; returns how many blocks the archive has."""
    with mapped_file(source) as (_, buffer), writing(output) as stream:
        index = IndexWriter(codec)
        blocks = _index(buffer, read_layout(buffer), index, progress)
        index.write(stream)
        return blocks


def _index(buffer: mmap | bytes, layout: Layout, index: IndexWriter, progress: Progress) -> int:
    """Verify all blocks and note where they are; returns how many there are."""
    if isinstance(buffer, mmap):
        buffer.seek(0)
    count = 0
    for block in CarReader(buffer):
        location = block.location
        index.add(block.cid_bytes, location.offset - layout.start)
        progress.advance(location.size)
        count += 1
    return count


def detach_index(source: str, output: str) -> None:
    """Copy the index of a CARv2 into a file of its own.

    :raises CarError: if there is none, or none that can be read
    """
    with mapped_file(source) as (_, buffer), writing(output) as stream:
        header = read_layout(buffer).v2_header
        if header is None or not header.index_offset:
            raise FailedError("expected a CARv2 with an index, found none: `ipld-car index create` makes one")
        index = CarIndex(buffer, header.index_offset)
        for at in range(header.index_offset, index.end, _PIECE):
            stream.write(buffer[at : min(at + _PIECE, index.end)])


def entries_of(source: str) -> Iterator[IndexEntry]:
    """The entries of an index in a file of its own.

    :raises CarError: if it is none, or has more behind it
    """
    with mapped_file(source) as (_, buffer):
        index = CarIndex(buffer)
        if index.end != len(buffer):
            raise FailedError(f"expected the end of the index, found {len(buffer) - index.end} more bytes")
        yield from index


def multihash_text(entry: IndexEntry) -> str:
    """What go-car prints of an entry: the multihash, in hexadecimal, or the digest where no hash function is told."""
    if entry.hash_code is None:
        return entry.digest.hex()
    try:
        return cids.multihash_of(cids.make(cids.RAW, entry.digest, entry.hash_code)).hex()
    except (CarError, ValueError):  # a hash code that no CID has
        return entry.digest.hex()
