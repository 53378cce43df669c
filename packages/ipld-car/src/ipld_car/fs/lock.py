"""One writer to a file, by the operating system's locks: they end with the process, however it ends."""

from __future__ import annotations

import os
import sys
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
        """Let others write."""
        file.seek(_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _lock(file: FileIO) -> None:
        # Not lockf: a process loses its locks when it closes any handle of the file, also one to read.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlock(file: FileIO) -> None:
        """Let others write; also where a forked process still has the handle."""
        fcntl.flock(file, fcntl.LOCK_UN)


def open_locked(path: Path, *, exclusive: bool) -> tuple[FileIO, bool]:
    """Open a file to write, alone, and make it if it is absent; returns it, and whether it was made here.

    :param exclusive: it must be absent
    :raises FileExistsError: if it is not
    :raises BlockingIOError: if another writer has it
    :raises OSError: if it cannot be opened
    """
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
        if _is_at(path, handle):
            return file, made
        file.close()  # replaced while we waited: what is written to this one, nobody would see


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
