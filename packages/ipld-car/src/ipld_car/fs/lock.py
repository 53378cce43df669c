"""One writer to a file, by the operating system's locks: a lock ends with its process, however that ends."""

from __future__ import annotations

import errno
import os
import sys
import time
from io import FileIO
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    # A lock there keeps others from reading, so it is on a byte that no file has.
    _BYTE = (1 << 62) - 1

    def _lock(file: FileIO) -> None:
        file.seek(_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

    def unlock(file: FileIO) -> None:
        """Release the lock of a file that :func:`open_locked` opened."""
        file.seek(_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _lock(file: FileIO) -> None:
        # Not lockf: a process loses those locks when it closes any handle of the file, also one to read.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlock(file: FileIO) -> None:
        """Release the lock of a file that :func:`open_locked` opened, also where a forked process has the handle."""
        fcntl.flock(file, fcntl.LOCK_UN)


class FileReplacedError(OSError):
    """The file that is locked is no longer the one at its path."""


def open_locked(path: Path, *, exclusive: bool) -> tuple[FileIO, bool]:
    """Open a file to write, as its only writer; make it if it is absent.

    The lock holds until :func:`unlock`, or until no process has the handle any more. It does not prevent removing or
    replacing the file: ask :func:`is_current` before you publish what you wrote.

    :param path: the file
    :param exclusive: refuse a file that is there
    :return: the file, and whether it was made here
    :raises FileExistsError: if it is there and ``exclusive`` is true
    :raises BlockingIOError: if another writer has it locked
    :raises OSError: if it cannot be opened
    """
    if not exclusive:
        path = Path(os.path.realpath(path))  # a link to nothing can be neither opened nor made
    while True:
        made = False
        flags = os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        try:
            handle = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
            made = True
        except FileExistsError:
            if exclusive:
                raise
            try:
                handle = os.open(path, flags)
            except FileNotFoundError:
                continue  # removed since
        file = FileIO(handle, "r+b")
        try:
            _lock(file)
        except (BlockingIOError, PermissionError):  # the second is what Windows says
            file.close()
            raise BlockingIOError(
                f'expected no other writer of {path}, found one that has it locked (mode "r" reads beside it)'
            ) from None
        except BaseException:
            file.close()
            raise
        if is_current(path, file):
            return file, made
        file.close()  # replaced before the lock was taken: what is written to this file would be lost


def wait_locked(path: Path, *, seconds: float = 60.0) -> FileIO:
    """Open and lock a file that others lock for milliseconds only; wait while one of them does.

    :param path: the file; it is made if it is absent
    :param seconds: how long to wait
    :return: the file, locked: call :func:`unlock` and close it
    :raises BlockingIOError: if another holder keeps it all this time
    :raises OSError: if it cannot be opened
    """
    deadline, pause = time.monotonic() + seconds, 0.001
    while True:
        try:
            return open_locked(path, exclusive=False)[0]
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 0.05)


def is_current(path: Path, file: FileIO) -> bool:
    """Return whether an open file is the one that is at a path now.

    :raises OSError: if the path cannot be looked at
    """
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except (FileNotFoundError, NotADirectoryError):
        return False


def require_current(path: Path, file: FileIO) -> None:
    """Require that an open file is the one that is at a path now.

    :raises FileReplacedError: if it is not
    """
    if not is_current(path, file):
        raise FileReplacedError(
            errno.ESTALE,
            "expected the file that was opened here, found that it was removed or replaced since: nothing is written "
            "to the one that is there now",
            str(path),
        )
