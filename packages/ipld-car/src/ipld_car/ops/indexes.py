"""CARv1 into CARv2 and back, and indexes in files of their own."""

from __future__ import annotations

from collections.abc import Iterator
from mmap import mmap

from ipld_car._car.index import MULTIHASH_INDEX_SORTED, CarIndex, IndexEntry
from ipld_car._car.index_writer import IndexWriter
from ipld_car._car.reader import CarReader
from ipld_car._file.layout import Layout, read_layout

from .archive import PIECE, Source, open_buffer
from .errors import Meter, OperationError, Progress, naming
from .output import DATA_OFFSET, Target, check_not_input, finish_v2, open_output


def convert(
    source: Source,
    target: Target,
    *,
    version: int = 2,
    index_codec: int | None = MULTIHASH_INDEX_SORTED,
    zero_length_section_as_eof: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write the CARv1 in an archive, byte for byte, as it is or as a CARv2; return how many blocks it has.

    Zeros that pad it are left out.

    :param source: path, bytes or stream
    :param target: path or stream; the archive itself may be replaced
    :param version: 1 writes it as it is, 2 as a CARv2
    :param index_codec: of the index of a CARv2; None for none
    :param zero_length_section_as_eof: see :func:`verify`
    :param progress: see :data:`Progress`
    :raises CarError: if a block is bad; nothing is written
    :raises OSError: if something cannot be read or written
    """
    if version not in (1, 2):
        raise ValueError(f"expected version 1 or 2, found {version}")
    with (
        naming(source),
        open_buffer(source, progress) as (_, buffer),
        open_output(target, seekable=version == 2) as stream,
    ):
        layout = read_layout(buffer)
        index = IndexWriter(MULTIHASH_INDEX_SORTED if index_codec is None else index_codec)
        blocks, end = _index(buffer, layout, index, zero_length_section_as_eof, progress)
        if version == 2:
            stream.write(bytes(DATA_OFFSET))
        for at in range(layout.start, end, PIECE):
            stream.write(buffer[at : min(at + PIECE, end)])
        if version == 2:
            finish_v2(stream, None if index_codec is None else index)
        return blocks


def create_index(
    source: Source,
    target: Target,
    *,
    codec: int = MULTIHASH_INDEX_SORTED,
    zero_length_section_as_eof: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write an index of an archive alone; return how many blocks the archive has.

    :raises RefusedError: if the target is the archive
    :raises CarError: if a block is bad; nothing is written
    :raises OSError: if something cannot be read or written

    >>> import io
    >>> from ipld_car import ops
    >>> archive = io.BytesIO()
    >>> made = ops.create(archive, [ops.NamedFile("a.txt", b"one"), ops.NamedFile("b.txt", b"two")])
    >>> index = io.BytesIO()
    >>> ops.create_index(archive.getvalue(), index), len(list(ops.read_index(index.getvalue())))
    (3, 3)
    """
    check_not_input(target, source)
    with naming(source), open_buffer(source, progress) as (_, buffer), open_output(target) as stream:
        index = IndexWriter(codec)
        blocks, _ = _index(buffer, read_layout(buffer), index, zero_length_section_as_eof, progress)
        index.write(stream)
        return blocks


def _index(
    buffer: mmap | bytes, layout: Layout, index: IndexWriter, zero_is_end: bool, progress: Progress | None
) -> tuple[int, int]:
    """Verify all blocks and note where they are; return how many there are, and where the last one ends."""
    if isinstance(buffer, mmap):
        buffer.seek(0)
    meter = Meter(progress, "indexing", layout.end - layout.first)
    count, end = 0, layout.first
    for block in CarReader(buffer, zero_length_section_as_eof=zero_is_end):
        location = block.location
        index.add(block.cid_bytes, location.offset - layout.start)
        end = location.offset + location.size
        meter.advance(location.size)
        count += 1
    return count, end


def detach_index(source: Source, target: Target) -> None:
    """Copy the index of a CARv2 to a file or stream of its own.

    :raises RefusedError: if the target is the archive
    :raises CarError: if there is no index, or none that can be read
    :raises OSError: if something cannot be read or written

    >>> import io
    >>> from ipld_car import ops
    >>> archive = io.BytesIO()
    >>> made = ops.create(archive, [ops.NamedFile("a.txt", b"one"), ops.NamedFile("b.txt", b"two")])
    >>> index = io.BytesIO()
    >>> ops.detach_index(archive.getvalue(), index)
    >>> len(list(ops.read_index(index.getvalue())))
    3
    """
    check_not_input(target, source)
    with naming(source), open_buffer(source) as (_, buffer), open_output(target) as stream:
        start = read_layout(buffer).index_offset
        if not start:
            raise OperationError("expected a CARv2 with an index, found none: `ipld-car index create` makes one")
        index = CarIndex(buffer, start)
        for at in range(start, index.end, PIECE):
            stream.write(buffer[at : min(at + PIECE, index.end)])


def read_index(source: Source) -> Iterator[IndexEntry]:
    """Yield the entries of an index that stands alone.

    :raises CarError: if it is no index, or has more behind it
    :raises OSError: if the source cannot be read
    """
    with open_buffer(source) as (_, buffer):
        index = CarIndex(buffer)
        if index.end != len(buffer):
            raise OperationError(f"expected the end of the index, found {len(buffer) - index.end} more bytes")
        yield from index
