"""Writing at the end of a file so that it is an archive at every instant.

A new CARv2 is pragma, header and the header of the CARv1, with one root whose place will hold another of its length.
From there the file goes through these states; each is a valid archive, and a step that is not finished leaves the one
before:

1. *Closed.* The header tells where the data end and where the index is, which goes on to the end of the file.
2. *Open.* The data go on where the index begins, so before the first of them the header has to say that there is no
   index (and the index is read into memory, to be written again). What stands behind the end of the data, the rest of
   an index or sections still to come, is nothing to any reader.
3. *Flushed.* The sections are written and synced; then one write of the first bytes of the file moves the end of
   the data and sets the root, and is synced too. So a root never is there without its blocks.
4. *Closed* again: sections, the index behind them, and the end of the file are written and synced, then the header.

A process that is killed leaves 1, or 2 with the data of the last 3. Its successor takes the sections behind the end
that are whole, which it finds by hashing them, and writes on behind the last; the rest is cut off at the end. A
machine that stops leaves the same if ``fsync`` is on, as no write is begun before those it builds on are on the disk.
The first bytes lie in one sector and are written at once, so they are old or new.

Readers need no lock: the data they know of are never changed, and the file is never cut off before the end of an index
or of data that any header has told of. Only the index they have mapped may be overwritten. As the header has said so
before, a reader that misses a block looks at the header, and reads the index or the data anew.

A CARv1 has no header to say where it ends: a section that is not whole at its end is cut off before it is continued,
and a root that is set in place is written when the sections have been synced.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator
from io import FileIO
from threading import RLock
from typing import Final

from ipld_car import cids, varint
from ipld_car._car.header import V2Header, encode_header, encode_v2_header
from ipld_car._car.index import MULTIHASH_INDEX_SORTED
from ipld_car._car.index_writer import IndexWriter
from ipld_car._car.limits import MAX_SECTION_BYTES
from ipld_car.errors import CarError, LimitError
from ipld_car.fs import unlock

from .block_table import Blocks, key_of
from .layout import FIXED_SIZE, read_at, size_of, write_at
from .scan import Section

_SPILL_BYTES: Final = 1 << 20
"""Bytes of sections that are held before they are written."""
_RAW: Final = bytes((1, cids.RAW))
"""What makes a multihash a CID."""

_appenders: weakref.WeakSet[Appender] = weakref.WeakSet()


class _Stream:
    """Writes one piece behind the other."""

    def __init__(self, write: Callable[[int, list[bytes]], None], position: int) -> None:
        self._write = write
        self._position = position

    def write(self, data: bytes, /) -> None:
        self._write(self._position, [data])
        self._position += len(data)


class Appender:
    """The writing half of an open file; see the module for what it does in which order.

    Any number of threads may put and flush.

    :param file: the file, opened to write and locked
    :param blocks: what is in it
    """

    def __init__(self, file: FileIO, blocks: Blocks, *, fsync: bool) -> None:
        self._file = file
        self._blocks = blocks
        self._fsync = fsync
        self._lock = RLock()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._end = blocks.end
        """Where the next section goes."""
        self._told_end = blocks.layout.end
        """The end of the data, as the header has it."""
        self._has_index = bool(blocks.layout.index_offset)
        self._roots = blocks.layout.roots
        self._told_roots = self._roots
        self._least_size = size_of(file)
        """Readers may have mapped so much."""
        self._is_synced = True
        self._failure: OSError | None = None
        self.closed = False
        _appenders.add(self)

    # -- putting --

    def put(self, cid: bytes, data: bytes) -> bool:
        """Add a verified block; False if it is there already."""
        size = len(cid) + len(data)
        if size > MAX_SECTION_BYTES:
            raise LimitError(f"expected a section of at most {MAX_SECTION_BYTES} bytes, found {size}")
        key = key_of(cid)
        head = varint.encode(size) + cid
        with self._lock:
            blocks = self._blocks
            if (key in blocks.added or len(blocks.index)) and self._has(key, cid, data):
                return False
            self._check()
            if self._pending_bytes > _SPILL_BYTES:
                self._spill()
            offset = self._end
            self._pending += (head, data)
            self._pending_bytes += len(head) + len(data)
            self._end = offset + len(head) + len(data)
            blocks.held[offset] = cid, data
            blocks.add(key, offset)
        return True

    def _has(self, key: bytes, cid: bytes, data: bytes) -> bool:
        """Whether the file has the block under this very CID; one of the same length that is damaged is mended."""
        for found in self._blocks.find(key):
            if found.cid == cid:
                if self._blocks.read(found) == data:
                    return True
                if found.data is None and found.size == len(data):
                    self._check()
                    self._write(found.location.payload_offset, [data])
                    return True
        return False

    def _check(self) -> None:
        if self.closed:
            raise ValueError("expected an open CarFile, found a closed one, or a writer's copy in a forked process")
        if self._failure is not None:
            raise OSError(f"the file could not be synced, so what is in it nobody knows: {self._failure}")

    def _write(self, position: int, pieces: list[bytes]) -> None:
        self._is_synced = False
        write_at(self._file, position, pieces)

    def _sync(self) -> None:
        if self._fsync and not self._is_synced:
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                self._failure = error  # the system forgets what it could not write, so another try would say nothing
                raise
        self._is_synced = True

    def _spill(self) -> None:
        """Write what is held; if that fails, it still is."""
        if not self._pending:
            return
        blocks, layout = self._blocks, self._blocks.layout
        start = self._end - self._pending_bytes
        if layout.version == 1 and size_of(self._file) > start:
            self._file.truncate(start)
        if self._has_index:
            self._leave_index()
        self._write(start, self._pending)
        blocks.end = self._end
        self._pending, self._pending_bytes, blocks.held = [], 0, {}

    def _leave_index(self) -> None:
        """From state 1 to 2: the index is going to be overwritten."""
        blocks = self._blocks
        blocks.audit()  # what it lacks, the one that is written at the end would lack too
        blocks.hold_index()
        self._write_fixed(self._told_end, 0)
        self._sync()
        self._has_index = False

    def _write_fixed(self, end: int, index_offset: int, more: bytes = b"") -> None:
        layout = self._blocks.layout
        is_full = self._blocks.is_complete and bool(index_offset)
        header = encode_v2_header(V2Header(is_full, layout.start, end - layout.start, index_offset))
        self._write(0, [header + more])

    def snapshot(self) -> tuple[Iterator[Section], list[tuple[int, tuple[bytes, bytes]]]]:
        """What is in the file now, and what is to come behind it: offset, CID and bytes."""
        with self._lock:
            return self._blocks.sections(), sorted(self._blocks.held.items())

    # -- roots --

    @property
    def roots(self) -> list[bytes]:
        """The roots as they were set last."""
        return self._roots

    def check_roots(self, roots: list[bytes]) -> None:
        """Refuse roots that cannot take the place of those in the header."""
        layout = self._blocks.layout
        size, header = layout.first - layout.start, encode_header(roots)
        with self._lock:
            self._check()
            if read_at(self._file, layout.start, size) != encode_header(self._told_roots):
                raise CarError("the header of this archive has another form or more in it than roots: rewrite the file")
            if len(header) != size:
                raise CarError(
                    f"expected roots that take the place of the old, a header of {size} bytes; found {len(header)} "
                    f"bytes: to have more or longer roots the file must be rewritten, by a CarWriter with these"
                )

    def set_roots(self, roots: list[bytes]) -> None:
        """Have other roots in the header, from the next flush on."""
        with self._lock:
            self.check_roots(roots)
            self._roots = roots

    # -- flushing --

    def flush(self) -> None:
        """From state 2 to 3."""
        with self._lock:
            self._check()
            self._spill()
            self._sync()
            self._tell(self._end, 0)

    def _tell(self, end: int, index_offset: int) -> None:
        """Have the end of the data and the roots in the header, if they are not."""
        layout = self._blocks.layout
        header = encode_header(self._roots) if self._roots != self._told_roots else b""
        is_moved = layout.version == 2 and (end != self._told_end or bool(index_offset) or not layout.finished)
        if is_moved and not self._has_index:
            together = layout.start == FIXED_SIZE
            self._write_fixed(end, index_offset, header if together else b"")
            self._sync()
            self._told_end = end
            header = b"" if together else header
        if header:
            self._write(layout.start, [header])
            self._sync()
        self._told_roots = self._roots

    @property
    def is_as_opened(self) -> bool:
        """Whether nothing was ever flushed that a reader would see."""
        layout = self._blocks.layout
        return self._told_end == layout.end and self._told_roots == layout.roots

    def close(self, *, finish: bool = True) -> None:
        """From any state to 1; the file is let go whatever happens.

        :param finish: False leaves the file in the state that it is in, without what is not in it yet
        """
        with self._lock:
            if self.closed:
                return
            try:
                if finish:
                    self._check()
                    self._finish()
            finally:
                self.closed = True
                self._pending, self._pending_bytes = [], 0
                try:
                    unlock(self._file)
                finally:
                    self._file.close()

    def _finish(self) -> None:
        self._spill()
        layout = self._blocks.layout
        if self._has_index and self._blocks.scan_reason is not None:  # it was found to be wrong
            self._leave_index()
        if layout.version == 1:
            if size_of(self._file) > self._end:
                self._file.truncate(self._end)
                self._is_synced = False
        elif not self._has_index:
            try:
                size = self._write_index()
            except OSError:
                # A disk that is full: without index the archive is one all the same.
                self._file.truncate(max(self._end, self._least_size))
                self._sync()
                self._tell(self._end, 0)
                raise
            self._file.truncate(max(self._end + size, self._least_size))
            self._sync()
            self._tell(self._end, self._end)
            return
        self._sync()
        self._tell(self._end, 0)

    def _write_index(self) -> int:
        blocks = self._blocks
        if blocks.index.codec != MULTIHASH_INDEX_SORTED:
            blocks.hold_index()
        writer = IndexWriter(base=blocks.index)
        start = blocks.layout.start
        for key, offsets in blocks.added.items():
            for offset in (offsets,) if isinstance(offsets, int) else offsets:
                writer.add(_RAW + key, offset - start)
        return writer.write(_Stream(self._write, self._end))

    def leave_fork(self) -> None:
        """In a forked process: the file is the parent's."""
        self._lock = RLock()
        self._blocks.leave_fork()
        self.closed = True
        self._file.close()  # the lock is the parent's, and goes with it


def _leave_fork() -> None:
    for appender in tuple(_appenders):
        appender.leave_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_fork)
