"""Opening a file for :class:`~ipld_car.CarFile`, and closing it: no handle and no lock outlives an error."""

from __future__ import annotations

import errno
import os
import stat
import warnings
from io import FileIO
from pathlib import Path

from ipld_car._car.header import V2Header, encode_header, encode_v2_header
from ipld_car.errors import CarError, CarWarning
from ipld_car.fs import is_current, open_locked, require_current, sync_folder, unlock

from .append import Appender
from .file_blocks import FileBlocks
from .layout import FIXED_SIZE, size_of, write_at
from .state import Access


def open_to_read(path: Path, access: Access) -> FileBlocks:
    """Open a file to read.

    :raises CarError: if it is no archive, or one without index that is damaged
    :raises OSError: if it cannot be opened
    """
    return _open_blocks(_open_regular(path), access)


def _open_regular(path: Path) -> FileIO:
    """Open a file to read at any place; a pipe would be waited for, and has no places.

    :raises OSError: if it cannot be opened, or is no regular file
    """
    file = FileIO(path, opener=lambda name, flags: os.open(name, flags | getattr(os, "O_NONBLOCK", 0)))
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(
            errno.EINVAL, "expected a regular file, found a pipe or device (CarReader reads these)", str(path)
        )
    return file


def _open_blocks(file: FileIO, access: Access) -> FileBlocks:
    try:
        return FileBlocks(file, access)
    except BaseException:
        file.close()
        raise


def open_to_write(
    path: Path, roots: list[bytes], access: Access, *, exclusive: bool, fsync: bool
) -> tuple[FileBlocks, Appender, bool]:
    """Open a file to read and append, as its only writer; make it if it is absent or empty.

    :param roots: the roots of a new file
    :param exclusive: refuse a file that is there
    :return: the blocks, the writing half, and whether there was no such file before
    :raises FileExistsError: if it is there and ``exclusive`` is true
    :raises BlockingIOError: if another writer has it open
    :raises OSError: if it cannot be opened or made
    :raises CarError: if it is no archive, or one without index that is damaged
    """
    file, is_new = open_locked(path, exclusive=exclusive)
    try:
        if not size_of(file):
            _begin(file, path, roots, fsync=fsync)
        # A handle of its own: a lock lasts as long as any copy of its handle, and a map keeps one.
        reading = FileIO(path)
        try:
            require_current(path, file)
        except BaseException:
            reading.close()
            raise
        blocks = _open_blocks(reading, access)
        return blocks, Appender(path, file, blocks, fsync=fsync), is_new
    except BaseException:
        try:
            if is_new and is_current(path, file):
                path.unlink(missing_ok=True)
        finally:
            unlock(file)
            file.close()
        raise


def close(blocks: FileBlocks, appender: Appender | None, *, finish: bool = True) -> None:
    """Close both handles, whatever happens.

    :param finish: see :meth:`Appender.close`
    """
    try:
        if appender is not None:
            appender.close(finish=finish)
    finally:
        blocks.close()


def close_dropped(path: Path, blocks: FileBlocks, appender: Appender | None) -> None:
    """Close a file that was dropped, where no caller can take an error."""
    try:
        close(blocks, appender)
    except (OSError, CarError) as error:
        warnings.warn(f"{path} was not closed, and cannot be finished: {error}", CarWarning, stacklevel=2)


def _begin(file: FileIO, path: Path, roots: list[bytes], *, fsync: bool) -> None:
    """Write the headers of a new archive."""
    header = encode_header(roots)
    try:
        write_at(file, 0, [encode_v2_header(V2Header(False, FIXED_SIZE, len(header), 0)) + header])
    except OSError:
        file.truncate(0)
        raise
    if fsync:
        os.fsync(file.fileno())
        sync_folder(path.parent)
