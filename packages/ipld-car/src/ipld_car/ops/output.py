"""Archives that operations write: CARv1, or CARv2 with an index, to a file or a stream."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import IOBase
from pathlib import Path
from typing import IO, Final, NamedTuple

from multiformats import CID

from ipld_car import cids
from ipld_car._car.header import PRAGMA, V2_HEADER_SIZE, V2Header, encode_v2_header
from ipld_car._car.index import MULTIHASH_INDEX_SORTED
from ipld_car._car.index_writer import IndexWriter
from ipld_car._car.writer import CarWriter
from ipld_car.fs import atomic_write
from ipld_car.streams import Writable

from .archive import PIECE, Source, is_pipe
from .errors import RefusedError

Target = str | os.PathLike[str] | Writable
"""Where an archive goes: the path of a file or pipe, or a stream."""

DATA_OFFSET: Final = len(PRAGMA) + V2_HEADER_SIZE
_NO_ROOM: Final = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
"""What only writing fails with."""


class Written(NamedTuple):
    """An archive that was written."""

    roots: list[CID]
    blocks: int
    size: int
    """Bytes of all sections."""

    def __repr__(self) -> str:
        return cids.record_repr(self)


class ArchiveWriter:
    """Writes the blocks of one archive. The caller has verified them."""

    def __init__(self, writer: CarWriter, roots: list[bytes], index: IndexWriter | None) -> None:
        self._writer = writer
        self._roots = roots
        self._index = index
        self._written: set[bytes] = set()
        self.blocks = 0
        self.size = 0
        """Bytes of all sections."""

    def write(self, cid: bytes, data: bytes) -> bool:
        """Write a block unless it is there; return whether it was written."""
        if cid in self._written:
            return False
        self._written.add(cid)
        self.append(cid, data)
        return True

    def append(self, cid: bytes, data: bytes) -> None:
        """Write a block, whether the archive has it or not."""
        location = self._writer.write(cid, data)
        if self._index is not None:
            self._index.add(cid, location.offset)
        self.blocks += 1
        self.size += location.size

    @property
    def written(self) -> Written:
        """The roots, and the number of blocks and bytes that were written so far."""
        return Written([cids.from_bytes(root) for root in self._roots], self.blocks, self.size)


@contextmanager
def write_archive(
    target: Target, roots: Iterable[bytes], version: int = 1, *, index_codec: int | None = MULTIHASH_INDEX_SORTED
) -> Iterator[ArchiveWriter]:
    """Write an archive; a file gets its name when the archive is whole, not before.

    :param version: 1, or 2 with an index behind the blocks
    :param index_codec: which index; None for none
    """
    if version not in (1, 2):
        raise ValueError(f"expected version 1 or 2, found {version}")
    named = list(roots)
    with open_output(target, seekable=version == 2) as stream:
        if version == 1:
            with CarWriter(stream, named, verify=False) as writer:
                yield ArchiveWriter(writer, named, None)
            return
        stream.write(bytes(DATA_OFFSET))
        index = None if index_codec is None else IndexWriter(index_codec)
        with CarWriter(stream, named, verify=False) as writer:
            yield ArchiveWriter(writer, named, index)
        finish_v2(stream, index)


def finish_v2(stream: IO[bytes], index: IndexWriter | None) -> None:
    """Write the index behind the data, which end here, and the header before them."""
    end = stream.tell()
    if index is not None:
        index.write(stream)
    stream.seek(0)
    header = V2Header(False, DATA_OFFSET, end - DATA_OFFSET, 0 if index is None else end)
    stream.write(encode_v2_header(header))
    stream.seek(0, 2)


@contextmanager
def open_output(target: Target, *, seekable: bool = False) -> Iterator[IO[bytes]]:
    """Yield a file to write, which gets its name when it is whole; or the stream.

    :param seekable: the caller goes back in it: what goes to a stream is kept in a temporary file until it is whole
    :raises OSError: with the name that the caller knows
    """
    if not isinstance(target, (str, os.PathLike)) or is_pipe(Path(target)):
        with _open_stream(target) as stream:
            if not seekable:
                yield stream
            else:
                with tempfile.TemporaryFile(prefix="ipld-car-") as file:
                    yield file
                    file.seek(0)
                    shutil.copyfileobj(file, stream, PIECE)
            if isinstance(stream, IOBase):
                stream.flush()
        return
    path = Path(os.path.realpath(target))  # a link stays, and what it names is replaced
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(target))
    try:
        with atomic_write(path, fsync=False, keep_mode=True) as file:
            yield file
    except OSError as error:
        name = os.fsdecode(error.filename) if error.filename else ""
        if name.endswith(".unfinished") or error.errno in _NO_ROOM:  # the name that people know
            error.filename, error.filename2 = os.fspath(target), None
        raise


@contextmanager
def _open_stream(target: Target) -> Iterator[IO[bytes]]:
    if isinstance(target, (str, os.PathLike)):
        with Path(target).open("wb") as file:
            yield file
    else:
        yield target  # type: ignore[misc]  # only write() is called, and flush() where there is one


def stat_of(target: Target) -> os.stat_result | None:
    """Return the status of the file that an output goes to; None if there is none."""
    if isinstance(target, (str, os.PathLike)):
        try:
            return Path(target).stat()
        except FileNotFoundError:
            return None
    try:
        return os.fstat(target.fileno())  # type: ignore[attr-defined]  # AttributeError where there is none
    except (AttributeError, OSError):
        return None


def check_not_input(target: Target | str, *sources: Source) -> None:
    """Refuse to write what does not hold all of an input over it; archives of archives may take their places.

    :raises RefusedError: if the target is one of the sources, by whatever name
    """
    there = stat_of(target) if isinstance(target, (str, os.PathLike)) else None
    for source in sources:
        if there and isinstance(source, (str, os.PathLike)) and os.path.samestat(Path(source).stat(), there):
            raise RefusedError(f"{target} is read, so nothing is written over it: name another output")
