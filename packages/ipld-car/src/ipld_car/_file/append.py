"""Writing at the end of a file so that it is an archive at every instant.

A new CARv2 is pragma, header and the header of the CARv1, with one root that another CID of its length can replace.
From there the file goes through these states. Each is a valid archive, and a step that is not finished leaves the
state before it:

1. *Closed.* The header says where the data end and where the index is; the index goes on to the end of the file.
2. *Open.* New data overwrite the index, so the header says first that there is none (and the index is read into
   memory, to be written again). Readers do not look at what follows the end of the data: the rest of an index, or
   sections that are not flushed.
3. *Flushed.* The sections are written and synced. Then one write of the first bytes of the file moves the end of the
   data and sets the root, and is synced too. So a root is never there without its blocks.
4. *Closed* again: sections, the index behind them, and the end of the file are written and synced, then the header.

A process that is killed leaves 1, or 2 with the data of the last 3. The next writer takes the whole sections behind the
end of the data, which it finds by hashing them, and goes on behind the last; the rest is cut off when it closes. A
machine that stops leaves the same if ``fsync`` is on, as each write waits until those that it builds on are on the
disk. The first bytes lie in one sector and are written at once, so a disk has the old ones or the new ones.

Readers need no lock. The data that a header has told of never change, and the file is never cut off before the end of
an index or of data that any header has told of. Only an index that a reader has mapped may be overwritten. The header
says so before, so a reader that misses a block looks at the header, and reads the index or the data again.

A CARv1 has no header to say where it ends. A section that is not whole at its end is cut off before others follow, and
a root is replaced when the sections have been synced.

A lock does not keep the file in its place. So :meth:`Appender.flush` publishes nothing if another file, or none, is at
the path by then; what was put is still held.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from threading import RLock
from typing import Final

from ipld_car import cids, varint
from ipld_car._car.header import V2Header, encode_header, encode_v2_header
from ipld_car._car.index import MULTIHASH_INDEX_SORTED
from ipld_car._car.index_writer import IndexWriter
from ipld_car._car.limits import MAX_SECTION_BYTES
from ipld_car.errors import CarError, LimitError
from ipld_car.fs import is_current, require_current, unlock

from .block_table import key_of
from .damaged_head import offsets_of, place_of
from .file_blocks import FileBlocks
from .layout import FIXED_SIZE, read_at, size_of, write_at
from .scan import Section

_SPILL_BYTES: Final = 1 << 20
"""Bytes of sections that are held before they are written."""
_RAW: Final = bytes((1, cids.RAW))
"""What stands before the multihash in a CID of version 1."""

_appenders: weakref.WeakSet[Appender] = weakref.WeakSet()


class _Stream:
    """A file from a position on, as :class:`IndexWriter` writes to it."""

    def __init__(self, write: Callable[[int, list[bytes]], None], position: int) -> None:
        self._write = write
        self._position = position

    def write(self, data: bytes, /) -> None:
        self._write(self._position, [data])
        self._position += len(data)


class Appender:
    """The writing half of an open file; the module says what it does in which order.

    Any number of threads may put and flush.

    :param path: where the file was opened
    :param file: the file, opened to write and locked
    :param blocks: what is in it
    :param fsync: wait for the disk
    """

    def __init__(self, path: Path, file: FileIO, blocks: FileBlocks, *, fsync: bool) -> None:
        self._path = path
        self._file = file
        self._blocks = blocks
        self._fsync = fsync
        self._lock = RLock()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._opened = blocks.table
        self._layout = blocks.table.layout
        """As the file was opened; where the CARv1 and its first section begin never changes."""
        self._end = blocks.table.end
        """Where the next section goes."""
        self._header_end = self._layout.end
        """The end of the data, as the header has it."""
        self._has_index = bool(self._layout.index_offset) or self._layout.is_cut
        """Whether the header tells of more than the data, or of an index."""
        self._roots = self._layout.roots
        self._header_roots = self._roots
        """The roots, as the header has them."""
        self._least_size = size_of(file)
        """Readers may have mapped so much."""
        self._index_offsets: list[int] | None = None
        self._is_synced = True
        self._sync_failure: str | None = None
        self.closed = False
        self._is_forked = False
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
            if (key in blocks.added.offsets or len(blocks.table.index)) and self._has(key, cid, data):
                return False
            self._check()
            for lost in blocks.table.lost:
                if lost[1] - lost[0] == len(head) + len(data):  # what is lost is likely to be this block
                    self._write(lost[0], [head, data])
                    blocks.fill(lost)
                    blocks.added.add(key, lost[0])
                    return True
            if self._pending_bytes > _SPILL_BYTES:
                self._spill()
            offset = self._end
            self._pending += (head, data)
            self._pending_bytes += len(head) + len(data)
            self._end = offset + len(head) + len(data)
            blocks.held[offset] = cid, data
            blocks.added.add(key, offset)
        return True

    def _has(self, key: bytes, cid: bytes, data: bytes) -> bool:
        """Return whether the file has the block under the same CID; repair a damaged block where it is."""
        try:
            every = self._blocks.find(key)
        except CarError:
            if self._repair_section(key, cid, data):
                return True
            raise
        for found in every:
            if found.cid == cid:
                if self._blocks.read(found) == data:
                    return True
                if found.data is None and found.size == len(data):
                    self._check()
                    self._write(found.location.payload_offset, [data])
                    return True
        # Without damage the table is still the one that was opened, and has what the index has.
        is_as_opened = not every and self._blocks.table.scan_reason is None
        return not is_as_opened and self._repair_section(key, cid, data)

    def _repair_section(self, key: bytes, cid: bytes, data: bytes) -> bool:
        """Write a whole section where the index has it, and its length or CID are damaged; return whether it was."""
        table = self._opened
        if not self._has_index or table.scan_reason is not None or not table.index.find(key):
            return False
        if self._index_offsets is None:
            self._index_offsets = offsets_of(table)
        head = varint.encode(len(cid) + len(data)) + cid
        offset = place_of(table, self._index_offsets, key, len(head) + len(data))
        if offset is None:
            return False
        self._check()
        self._write(offset, [head, data])
        self._blocks.restore(table)  # it may be right again
        return True

    def _check(self) -> None:
        if self.closed:
            what = "the copy of its writer in a forked process" if self._is_forked else "a closed one"
            raise ValueError(f"expected an open CarFile, found {what}: open {self._path} again")
        if self._sync_failure is not None:
            raise OSError(f"a sync of this file has failed, so what is on the disk is not known: {self._sync_failure}")

    def _write(self, position: int, pieces: list[bytes]) -> None:
        self._is_synced = False
        write_at(self._file, position, pieces)

    def _sync(self) -> None:
        if self._fsync and not self._is_synced:
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                # The system forgets what it could not write, so another try would say nothing.
                self._sync_failure = str(error)
                raise
        self._is_synced = True

    def _spill(self) -> None:
        """Write what is held; if that fails, it still is held."""
        if not self._pending:
            return
        blocks, layout = self._blocks, self._layout
        start = self._end - self._pending_bytes
        if layout.version == 1 and size_of(self._file) > start:
            self._file.truncate(start)
        if self._has_index:
            self._leave_index()
        self._write(start, self._pending)
        blocks.grow(self._end)
        self._pending, self._pending_bytes, blocks.held = [], 0, {}

    def _leave_index(self) -> None:
        """Go from state 1 to 2: the index is going to be overwritten, or a header that told of more than there is."""
        blocks = self._blocks
        blocks.audit()  # a block that it lacks would be lacking in the index that is written at the end, too
        blocks.hold_index()
        self._write_fixed(self._header_end, 0)
        self._sync()
        self._has_index = False

    def _write_fixed(self, end: int, index_offset: int, more: bytes = b"") -> None:
        layout = self._layout
        is_full = self._blocks.table.is_complete and bool(index_offset)
        header = encode_v2_header(V2Header(is_full, layout.start, end - layout.start, index_offset))
        self._write(0, [header + more])

    def snapshot(self) -> tuple[Iterator[Section], list[tuple[int, tuple[bytes, bytes]]]]:
        """Return the sections in the file, and the blocks that will follow them: offset, CID and bytes."""
        with self._lock:
            return self._blocks.sections(), sorted(self._blocks.held.items())

    # -- roots --

    @property
    def roots(self) -> list[bytes]:
        """The roots as they were set last."""
        return self._roots

    def check_roots(self, roots: list[bytes]) -> None:
        """Refuse roots that cannot take the place of those in the header."""
        layout = self._layout
        size, header = layout.first - layout.start, encode_header(roots)
        with self._lock:
            self._check()
            if read_at(self._file, layout.start, size) != encode_header(self._header_roots):
                raise CarError("the header of this archive has another form or more in it than roots: rewrite the file")
            if len(header) != size:
                raise CarError(
                    f"expected roots that take the place of the old, a header of {size} bytes; found {len(header)} "
                    f"bytes: to have more or longer roots the file must be rewritten, by a CarWriter with these"
                )

    def set_roots(self, roots: list[bytes]) -> None:
        """Put other roots into the header with the next flush."""
        with self._lock:
            self.check_roots(roots)
            self._roots = roots

    # -- flushing --

    def flush(self) -> None:
        """Go from state 2 to 3.

        :raises FileReplacedError: if the file is no longer the one at its path; nothing is written
        """
        with self._lock:
            self._check()
            require_current(self._path, self._file)
            self._spill()
            self._sync()
            self._publish(self._end, 0)

    def _publish(self, end: int, index_offset: int) -> None:
        """Write the end of the data and the roots into the header, if they are not there."""
        layout = self._layout
        header = encode_header(self._roots) if self._roots != self._header_roots else b""
        is_moved = layout.version == 2 and (end != self._header_end or bool(index_offset) or not layout.finished)
        if is_moved and not self._has_index:
            together = layout.start == FIXED_SIZE
            self._write_fixed(end, index_offset, header if together else b"")
            self._sync()
            self._header_end = end
            header = b"" if together else header
        if header:
            self._write(layout.start, [header])
            self._sync()
        self._header_roots = self._roots

    @property
    def is_current(self) -> bool:
        """Whether the file is still the one at its path."""
        with self._lock:
            return not self.closed and is_current(self._path, self._file)

    @property
    def is_as_opened(self) -> bool:
        """Whether a reader sees nothing else than when the file was opened."""
        layout = self._layout
        return self._header_end == layout.end and self._header_roots == layout.roots

    def close(self, *, finish: bool = True) -> None:
        """Go from any state to 1; unlock and close the file whatever happens.

        A file that is no longer at its path is finished all the same, as it may have another name now.

        :param finish: False leaves the file in the state that it is in, without what is not in it yet
        :raises FileReplacedError: if the file is no longer the one at its path
        """
        with self._lock:
            if self.closed:
                return
            try:
                if finish:
                    self._check()
                    is_changed = self._end != self._layout.end or self._roots != self._layout.roots
                    self._finish()
                    if is_changed:
                        require_current(self._path, self._file)
            finally:
                self.closed = True
                self._pending, self._pending_bytes = [], 0
                try:
                    unlock(self._file)
                finally:
                    self._file.close()

    def remove(self) -> None:
        """Remove the file from its path, unless another one is there by now."""
        with self._lock:
            if is_current(self._path, self._file):
                self._path.unlink(missing_ok=True)

    def _finish(self) -> None:
        self._spill()
        layout = self._layout
        if self._has_index and self._blocks.table.scan_reason is not None:  # it was found to be wrong
            self._leave_index()
        if layout.version == 1:
            if size_of(self._file) > self._end:
                self._file.truncate(self._end)
                self._is_synced = False
        elif not self._has_index:
            try:
                size = self._write_index()
            except OSError:
                # The disk is full: an archive needs no index.
                self._file.truncate(max(self._end, self._least_size))
                self._sync()
                self._publish(self._end, 0)
                raise
            self._file.truncate(max(self._end + size, self._least_size))
            self._sync()
            self._publish(self._end, self._end)
            return
        self._sync()
        self._publish(self._end, 0)

    def _write_index(self) -> int:
        blocks = self._blocks
        if blocks.table.index.codec != MULTIHASH_INDEX_SORTED:
            blocks.hold_index()
        writer = IndexWriter(base=blocks.table.index)
        start = self._layout.start
        for key, offsets in blocks.added.offsets.items():
            for offset in (offsets,) if isinstance(offsets, int) else offsets:
                writer.add(_RAW + key, offset - start)
        return writer.write(_Stream(self._write, self._end))

    def leave_fork(self) -> None:
        """Close the file in a forked process: it is the parent's."""
        self._lock = RLock()
        self._blocks.leave_fork()
        self.closed = self._is_forked = True
        self._file.close()  # the lock is the parent's, and goes with it


def _leave_fork() -> None:
    for appender in tuple(_appenders):
        appender.leave_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_fork)
