"""Archives that operations read: a file, a stream or bytes, whole and at any place."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Final

from multiformats import CID

from ipld_car import cids
from ipld_car._file.block_table import BlockTable, key_of
from ipld_car._file.layout import Layout, read_layout
from ipld_car._file.scan import Section, index_of, is_identity, sections
from ipld_car._graph.walk import binary_links
from ipld_car.errors import BlockAbsentError, HashMismatchError
from ipld_car.hashes import verify_digest
from ipld_car.streams import Source as BytesOrStream

from .errors import REPORT_BYTES, Meter, OperationError, Progress, naming

Source = str | os.PathLike[str] | BytesOrStream
"""An archive: the path of a file or pipe, its bytes, or a stream that gives them."""

PIECE: Final = 1 << 20


class Archive:
    """An archive that is read from start to end, and asked for any of its blocks.

    Nothing of it is trusted before it was hashed: an index that it brings is not used, its blocks are found by reading
    the lengths of all sections, when the first block is asked for. One thread at a time may use it.

    :param buffer: its bytes
    :param path: the file that has them, if there is one
    :param name: what errors call the archive: the path that the caller gave; None for a stream
    :param zero_is_end: take a section of length zero for the end
    :raises CarError: if its headers cannot be read
    """

    def __init__(
        self,
        buffer: mmap | bytes,
        path: Path | None = None,
        *,
        name: str | None = None,
        zero_is_end: bool = False,
        progress: Progress | None = None,
    ) -> None:
        self.buffer = buffer
        self.path = path
        self._name = name
        with naming(self._name):
            self.layout: Layout = read_layout(buffer)
        self._zero_is_end = zero_is_end
        self._progress = progress
        self._table: BlockTable | None = None
        self._next_offset = 0

    @property
    def roots(self) -> list[bytes]:
        """The roots that the header names."""
        return self.layout.roots

    def sections(self) -> Iterator[Section]:
        """Yield the sections in their order: offset, binary CID, offset of the block, bytes of the block.

        :raises CarError: if something is no section
        """
        first, end = self.layout.first, self.layout.end
        with naming(self._name):
            found = sections(self.buffer, first, end, zero_is_end=self._zero_is_end)
            if self._progress is not None:
                found = _metered(found, Meter(self._progress, "reading", end - first), first)
            yield from found

    @property
    def table(self) -> BlockTable:
        """Where each block is.

        :raises CarError: if the archive cannot be read to its end
        """
        if self._table is None:
            index, end, complete = index_of(self.sections(), self.layout.start, self.layout.first)
            self._table = BlockTable(self.layout, self.buffer, index, end, complete)
        return self._table

    def __contains__(self, cid: bytes) -> bool:
        """Return whether the archive has a block, damaged or not."""
        return is_identity(cid) or bool(self.table.index.find(key_of(cid)))

    def get(self, cid: bytes) -> bytes:
        """Return the bytes of a block, verified; those of an identity CID are in it.

        :raises BlockAbsentError: if it is not there; a KeyError too
        :raises HashMismatchError: if it is damaged
        """
        if is_identity(cid):
            return cid[cids.prefix_of(cid).size :]
        table, key = self.table, key_of(cid)
        found = table.read_at(self._next_offset, key)  # archives are often in the order in which they are walked
        if found is not None:
            data, behind = found
            try:
                verify_digest(cid, data)
            except HashMismatchError:
                pass  # another section may have it
            else:
                self._next_offset = behind
                return data
        every = table.find(key)
        for section in reversed(every):
            data = table.read(section)
            try:
                verify_digest(cid, data)
            except HashMismatchError as error:
                if section is every[0]:
                    with naming(self._name):
                        raise error.at(section.location.payload_offset) from None
            else:
                self._next_offset = section.offset + section.location.size
                return data
        raise BlockAbsentError(f"expected the block {cids.to_text(cid)} in the archive, found none", path=self._name)

    def unlinked(self) -> list[bytes]:
        """Return the blocks that no other block links, each once, in the order of the archive.

        :raises CarError: if a block is damaged
        """
        linked: set[bytes] = set()
        every: dict[bytes, bytes] = {}
        for _, cid, _, _ in self.sections():
            if every.setdefault(cids.multihash_of(cid), cid) is cid:
                linked.update(map(cids.multihash_of, binary_links(cid, self.get(cid))))
        return [cid for key, cid in every.items() if key not in linked]

    def start(self, *, single: bool = False) -> list[bytes]:
        """Return where to begin: the roots, or where the header names none, what no block links.

        :param single: there must be one
        :raises OperationError: if there are more
        """
        roots = list(dict.fromkeys(self.roots)) or self.unlinked()
        if single and len(roots) != 1:
            raise OperationError(f"expected an archive with one root, found {len(roots)}: say at which CID to begin")
        return roots


def _metered(found: Iterator[Section], meter: Meter, first: int) -> Iterator[Section]:
    """Yield sections, and report how many bytes are behind the caller.

    :param first: where the first section begins
    """
    due = first
    for section in found:
        yield section
        _, _, begin, size = section
        end = begin + size
        if end >= due:  # a call of the meter takes as long as a section
            meter.reach(end - first)
            due = end + REPORT_BYTES


def missing_block(cid: bytes, where: str) -> OperationError:
    """Return the error on a block that is not in the archive."""
    return OperationError(f"expected block {cids.to_text(cid)} {where}: the archive does not have it")


@contextmanager
def open_archive(
    source: Source, *, zero_length_section_as_eof: bool = False, progress: Progress | None = None
) -> Iterator[Archive]:
    """Open an archive to read any of its blocks; what comes through a pipe is kept in a temporary file meanwhile.

    :raises CarError: if its headers cannot be read
    :raises OSError: if it cannot be read
    """
    with open_buffer(source, progress) as (path, buffer):
        name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else None
        yield Archive(buffer, path, name=name, zero_is_end=zero_length_section_as_eof, progress=progress)


@contextmanager
def open_buffer(source: Source, progress: Progress | None = None) -> Iterator[tuple[Path | None, mmap | bytes]]:
    """Yield the bytes of a source, which are read on demand, and the file that has them."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield None, bytes(source)
        return
    with on_disk(source, progress) as path, path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:  # which cannot be mapped
            yield path, b""
            return
        with mmap(file.fileno(), 0, access=ACCESS_READ) as view:
            yield path, view


@contextmanager
def open_stream(source: Source) -> Iterator[BytesOrStream]:
    """Yield a source as :class:`CarReader` reads it, once from start to end."""
    if isinstance(source, (str, os.PathLike)):
        with Path(source).open("rb") as file, naming(source):
            yield file
    else:
        yield source


@contextmanager
def on_disk(source: Source, progress: Progress | None = None) -> Iterator[Path]:
    """Yield a file that can be read at any place: other sources are kept in a temporary file meanwhile."""
    if isinstance(source, (str, os.PathLike)) and not is_pipe(Path(source)):
        yield Path(source)
        return
    with tempfile.TemporaryDirectory(prefix="ipld-car-") as folder:
        kept = Path(folder, "input")
        meter = Meter(progress, "reading")
        with open_stream(source) as stream, kept.open("xb") as file:
            for piece in _pieces(stream):
                file.write(piece)
                meter.advance(len(piece))
        yield kept


def _pieces(stream: BytesOrStream) -> Iterator[bytes | bytearray | memoryview]:
    if isinstance(stream, (bytes, bytearray, memoryview)):
        yield stream
        return
    while piece := stream.read(PIECE):
        yield piece


def is_pipe(path: Path) -> bool:
    """Return whether there is a pipe or a device at a path."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def binary_or_none(cid: CID | str | bytes | None) -> bytes | None:
    """Return a CID as bytes."""
    return None if cid is None else cids.to_bytes(cid)
