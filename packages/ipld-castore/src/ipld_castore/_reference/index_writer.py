"""Writing an index file: records in any order, sorted in bounded memory."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Final, Self

from ipld_car import cids, fs

from ipld_castore._core.backend import AnyCID
from ipld_castore.errors import BackendUnavailableError

from .index import ReferenceIndex, register
from .layout import HEADER, MAGIC, MAX_LENGTH, RECORD, ReferencedFile, encode_names

_RUN_RECORDS: Final = 1 << 20
"""Records that are sorted in memory; more are written as sorted runs, which are merged at the end."""
_BATCH: Final = 1 << 14
_SHA256_MULTIHASH: Final = b"\x12\x20"


class ReferenceIndexWriter:
    """Write an index of blocks that are ranges of files. The file appears whole, when :meth:`close` returns.

    In a ``with`` statement the index is written at its end, and nothing is written after an error. Memory: 100 MB for
    any number of records, and the names of the files. One thread at a time may call.

    :param path: the file; one that is there is replaced
    :param fsync: wait for the disk
    :param made_here: whether the ranges are this process's own finding, so that a :class:`ReferenceCAStore` of this
        process reads them without being allowed to. False where they come from others.

    >>> import hashlib, pathlib, tempfile
    >>> from ipld_car import cids
    >>> from ipld_castore import ReferenceCAStore
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "air.nc").write_bytes(b"header, then a chunk")
    >>> cid = cids.from_bytes(cids.make(cids.RAW, hashlib.sha256(b"a chunk").digest()))
    >>> with ReferenceIndexWriter(folder / "air.index") as writer:
    ...     writer.add(cid, writer.file(str(folder / "air.nc")), 13, 7)
    >>> ReferenceCAStore(folder / "air.index").get(cid)
    b'a chunk'
    """

    def __init__(self, path: str | os.PathLike[str], *, fsync: bool = True, made_here: bool = True) -> None:
        self._path = Path(path)
        self._fsync = fsync
        self._made_here = made_here
        self._files: list[ReferencedFile] = []
        self._numbers: dict[str, int] = {}
        self._buffer: list[bytes] = []
        self._runs: list[IO[bytes]] = []

    def file(self, name: str, stamp: bytes = b"") -> int:
        """Return the number of a file; a name that is given again keeps its number and first stamp.

        :param name: an absolute path, a path relative to the folder of the index, or a URL without credentials
        :param stamp: what tells one state of the file from the next, at most 255 bytes
        """
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self._files)
            self._files.append(ReferencedFile(name, stamp))
        return number

    def add(self, cid: AnyCID, file: int, offset: int, length: int) -> None:
        """Add a block.

        :param cid: its CID, with a whole sha2-256 digest
        :param file: the number of its file, as :meth:`file` gives it
        :param offset: position of its first byte in the file
        :param length: its size in bytes, at most 2 MiB
        :raises ValueError: if one of them is out of bounds
        """
        multihash = cids.multihash_of(cids.to_bytes(cid))
        if multihash[:2] != _SHA256_MULTIHASH or len(multihash) != 34:
            raise ValueError(f"expected a CID with sha2-256 of 32 bytes, found {cids.to_text(cids.to_bytes(cid))}")
        if not 0 <= file < len(self._files):
            raise ValueError(f"expected the number of a file, as file() gives it; found {file}")
        if not (0 <= offset < 1 << 63 and 0 <= length <= MAX_LENGTH):
            raise ValueError(f"expected at most {MAX_LENGTH} bytes from 0 on, found {length} bytes at {offset}")
        self._buffer.append(RECORD.pack(multihash[2:], file, offset, length))
        if len(self._buffer) >= _RUN_RECORDS:
            self._spill()

    def add_records(self, records: bytes) -> None:
        """Add many blocks as they stand in the file: see :mod:`ipld_castore._reference.layout`.

        :param records: 48 bytes for each block, in any order; the caller has checked the bounds
        :raises ValueError: if these are no whole records
        """
        if len(records) % RECORD.size:
            raise ValueError(f"expected records of {RECORD.size} bytes, found {len(records)} bytes")
        size = RECORD.size
        self._buffer.extend([records[start : start + size] for start in range(0, len(records), size)])
        if len(self._buffer) >= _RUN_RECORDS:
            self._spill()

    def _spill(self) -> None:
        """Write the records in memory as a sorted run."""
        try:
            run = TemporaryFile(dir=self._path.parent)  # noqa: SIM115  # closed by _discard
            self._runs.append(run)
            self._buffer.sort()
            run.write(b"".join(self._buffer))
        except OSError as error:
            raise self._error(error) from error
        self._buffer = []

    def _sorted(self) -> Iterator[bytes]:
        """Yield all records in order, each once."""
        self._buffer.sort()
        parts: list[Iterable[bytes]] = [_read_run(run) for run in self._runs]
        before = None
        for record in heapq.merge(*parts, self._buffer) if parts else self._buffer:
            if record != before:
                yield record
            before = record

    def close(self) -> ReferenceIndex:
        """Write the index file, and return it opened.

        :raises BackendUnavailableError: if it cannot be written
        """
        starts, names = encode_names(self._files)
        try:
            with fs.atomic_write(self._path, fsync=self._fsync) as stream:
                stream.write(bytes(HEADER.size))
                count, records = 0, self._sorted()
                while batch := list(islice(records, _BATCH)):
                    stream.write(b"".join(batch))
                    count += len(batch)
                stream.write(starts)
                stream.write(names)
                stream.seek(0)
                stream.write(HEADER.pack(MAGIC, count, len(self._files), len(names)))
            if self._made_here:
                register(self._path)
        except OSError as error:
            raise self._error(error) from error
        finally:
            self.discard()
        return ReferenceIndex(self._path)

    def discard(self) -> None:
        """Forget all records; nothing is written."""
        self._buffer = []
        while self._runs:
            self._runs.pop().close()

    def _error(self, error: OSError) -> BackendUnavailableError:
        return BackendUnavailableError(f"cannot write the index {self._path}: {error}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


def _read_run(run: IO[bytes]) -> Iterator[bytes]:
    """Yield the records of a run, of which a small piece is in memory."""
    run.seek(0)
    size = RECORD.size
    while piece := run.read(size * _BATCH):
        for start in range(0, len(piece), size):
            yield piece[start : start + size]
