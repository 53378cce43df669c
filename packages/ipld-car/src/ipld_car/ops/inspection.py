"""Look into an archive: figures, blocks, roots, and single blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from mmap import mmap
from typing import Final, NamedTuple

from multiformats import CID

from ipld_car import cids
from ipld_car._car.header import PRAGMA
from ipld_car._car.index import INDEX_SORTED, MULTIHASH_INDEX_SORTED, CarIndex
from ipld_car._car.reader import CarReader
from ipld_car._file.layout import Layout
from ipld_car.errors import CarError, MalformedError

from .archive import Archive, Source, missing_block, open_archive, open_stream
from .errors import Meter, Progress

INDEX_NAMES: Final = {INDEX_SORTED: "car-index-sorted", MULTIHASH_INDEX_SORTED: "car-multihash-index-sorted"}


@dataclass
class Sizes:
    """Smallest, mean and largest of some lengths, in bytes."""

    count: int = 0
    total: int = 0
    least: int = 0
    most: int = 0

    def add(self, size: int) -> None:
        """Take one more into account."""
        self.least = size if not self.count else min(self.least, size)
        self.most = max(self.most, size)
        self.count += 1
        self.total += size

    @property
    def mean(self) -> int:
        """The mean, rounded down; 0 of none."""
        return self.total // max(self.count, 1)


@dataclass
class Inspection:
    """The result of :func:`inspect`."""

    layout: Layout
    characteristics: str = ""
    """Of a CARv2, in hexadecimal."""
    index: str | None = None
    """The name of the index's codec; None without an index."""
    roots_present: bool = False
    """Whether the archive has the blocks of all its roots."""
    block_sizes: Sizes = field(default_factory=Sizes)
    cid_sizes: Sizes = field(default_factory=Sizes)
    codecs: Counter[int] = field(default_factory=Counter)
    """Blocks by codec."""
    hashes: Counter[int] = field(default_factory=Counter)
    """Blocks by hash function."""

    @property
    def version(self) -> int:
        """1 or 2."""
        return self.layout.version

    @property
    def roots(self) -> list[CID]:
        """The CIDs that the header names."""
        return list(map(cids.from_bytes, self.layout.roots))


def inspect(
    source: Source, *, full: bool = False, zero_length_section_as_eof: bool = True, progress: Progress | None = None
) -> Inspection:
    """Collect figures about an archive.

    :param source: path, bytes or stream
    :param full: hash every block, too
    :param zero_length_section_as_eof: see :func:`verify`; as go-car does, these figures are taken of archives that are
        padded with zeros too, unless this is False
    :param progress: see :data:`Progress`
    :raises CarError: if something cannot be read, or with ``full`` a block is bad
    :raises OSError: if the source cannot be read

    >>> import io
    >>> from ipld_car import ops
    >>> archive = io.BytesIO()
    >>> made = ops.create(archive, [ops.NamedFile("a.txt", b"one"), ops.NamedFile("b.txt", b"two")])
    >>> found = ops.inspect(archive.getvalue())
    >>> found.version, found.block_sizes.count, found.roots == [made.root]
    (2, 3, True)
    """
    with open_archive(source, zero_length_section_as_eof=zero_length_section_as_eof, progress=progress) as archive:
        layout = archive.layout
        found = Inspection(layout)
        if layout.v2_header is not None:
            found.characteristics = layout.fixed[len(PRAGMA) : len(PRAGMA) + 16].hex()
            found.index = _index_name(archive)
        if full:
            meter = Meter(progress, "hashing", layout.end - layout.first)
            for block in CarReader(_from_start(archive.buffer), zero_length_section_as_eof=zero_length_section_as_eof):
                meter.advance(len(block.data))
        _count(archive, found)
        return found


def _count(archive: Archive, found: Inspection) -> None:
    lacking = set(archive.roots)
    forms: Counter[tuple[int, int]] = Counter()
    for _, cid, _, size in archive.sections():
        found.block_sizes.add(size)
        found.cid_sizes.add(len(cid))
        prefix = cids.prefix_of(cid)
        forms[prefix.codec, prefix.hash_code] += 1
        lacking.discard(cid)
    for (codec, hash_code), count in forms.items():
        found.codecs[codec] += count
        found.hashes[hash_code] += count
    found.roots_present = not lacking


def _from_start(buffer: mmap | bytes) -> mmap | bytes:
    if isinstance(buffer, mmap):
        buffer.seek(0)
    return buffer


def _index_name(archive: Archive) -> str | None:
    if not archive.layout.index_offset:
        return None
    try:
        return INDEX_NAMES[CarIndex(archive.buffer, archive.layout.index_offset).codec]
    except CarError as error:
        raise MalformedError(f"its index cannot be read: {error}") from error


class BlockEntry(NamedTuple):
    """Where a block is in an archive."""

    cid_bytes: bytes
    """The binary CID."""
    offset: int
    """Bytes from the start of the file to its section."""
    payload_offset: int
    """Bytes from the start of the file to the block itself."""
    size: int
    """Bytes of the block: what a byte range request at ``payload_offset`` needs."""

    @property
    def cid(self) -> CID:
        """The CID of the block."""
        return cids.from_validated(self.cid_bytes)


def list_blocks(
    source: Source, *, zero_length_section_as_eof: bool = False, progress: Progress | None = None
) -> Iterator[BlockEntry]:
    """Yield the blocks of an archive in their order; none is hashed, or even read.

    The archive is open until the iterator ends or is closed.

    :param source: path, bytes or stream
    :param zero_length_section_as_eof: see :func:`verify`
    :param progress: see :data:`Progress`
    :raises CarError: if something is no section
    :raises OSError: if the source cannot be read

    >>> from io import BytesIO
    >>> from ipld_car import CarWriter, ops
    >>> stream = BytesIO()
    >>> with CarWriter(stream, []) as writer:
    ...     location = writer.write("bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e", b"hello world")
    >>> [(str(block.cid)[:8], block.payload_offset, block.size) for block in ops.list_blocks(stream.getvalue())]
    [('bafkreif', 55, 11)]
    """
    with open_archive(source, zero_length_section_as_eof=zero_length_section_as_eof, progress=progress) as archive:
        for offset, cid, payload_offset, size in archive.sections():
            yield BlockEntry(cid, offset, payload_offset, size)


def get_roots(source: Source) -> list[CID]:
    """Return the CIDs that the header of an archive names; it need not have their blocks.

    :raises CarError: if the header cannot be read
    :raises OSError: if the source cannot be read

    >>> import io
    >>> from ipld_car import ops
    >>> archive = io.BytesIO()
    >>> made = ops.create(archive, [ops.NamedFile("a.txt", b"one"), ops.NamedFile("b.txt", b"two")])
    >>> ops.get_roots(archive.getvalue()) == [made.root]
    True
    """
    with open_stream(source) as stream:
        return CarReader(stream).roots


def find_implicit_roots(
    source: Source, *, zero_length_section_as_eof: bool = False, progress: Progress | None = None
) -> list[CID]:
    """Return the blocks that no other block of an archive links, whatever its header says.

    :raises CarError: if the archive or a block is bad
    :raises OSError: if the source cannot be read

    >>> import io
    >>> from ipld_car import ops
    >>> archive = io.BytesIO()
    >>> made = ops.create(archive, [ops.NamedFile("a.txt", b"one"), ops.NamedFile("b.txt", b"two")])
    >>> ops.find_implicit_roots(archive.getvalue()) == [made.root]
    True
    """
    with open_archive(source, zero_length_section_as_eof=zero_length_section_as_eof, progress=progress) as archive:
        return list(map(cids.from_bytes, archive.unlinked()))


def get_block(
    source: Source,
    cid: CID | str | bytes,
    *,
    zero_length_section_as_eof: bool = False,
    progress: Progress | None = None,
) -> bytes:
    """Return the bytes of one block of an archive, verified.

    A CID of another codec or version over the same bytes finds them too. A :class:`~ipld_car.CarFile` is for many.

    :raises OperationError: if the archive does not have it
    :raises CarError: if the archive or the block is bad
    :raises OSError: if the source cannot be read

    >>> import io
    >>> from ipld_car import ops
    >>> archive = io.BytesIO()
    >>> made = ops.create(archive, [ops.NamedFile("a.txt", b"one"), ops.NamedFile("b.txt", b"two")])
    >>> cids = {entry.path: entry.cid for entry in ops.list_paths(archive.getvalue())}
    >>> ops.get_block(archive.getvalue(), cids["a.txt"])
    b'one'
    """
    binary = cids.to_bytes(cid)
    with open_archive(source, zero_length_section_as_eof=zero_length_section_as_eof, progress=progress) as archive:
        try:
            return archive.get(binary)
        except KeyError:
            raise missing_block(binary, f"in {archive.path or 'the archive'}") from None
