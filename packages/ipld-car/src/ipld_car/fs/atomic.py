"""Files that appear whole, or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from .sync import sync_folder

_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


@contextmanager
def atomic_write(
    path: Path,
    *,
    fsync: bool = True,
    temporary: Path | None = None,
    keep_mode: bool = False,
    exclusive: bool = False,
) -> Iterator[IO[bytes]]:
    """Write a file that gets its name when it is whole, by default in place of a file that is there.

    An exception, a signal that raises one included, removes the temporary file and leaves what was there. A process
    that is killed leaves the temporary file behind.

    :param path: the name; a symbolic link is replaced, not followed
    :param fsync: wait until the bytes, and then the name, are on the disk
    :param temporary: the name until then, in the same folder; by default hidden, random and ending in ``.unfinished``
    :param keep_mode: take over the permissions of the file that is replaced
    :param exclusive: leave a file that is there, also one that another process makes meanwhile; where the file system
        has no hard links, one that comes in the last moment is replaced
    :raises FileExistsError: if ``exclusive`` is true and a file is there
    :raises OSError: if something cannot be written; :attr:`~OSError.filename` may be the temporary name

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "name")
    >>> with atomic_write(path) as stream:
    ...     _ = stream.write(b"all of it")
    ...     path.exists()
    False
    >>> path.read_bytes()
    b'all of it'
    """
    if temporary is None:
        temporary = path.with_name(f".{os.getpid()}-{os.urandom(4).hex()}.unfinished")
    try:
        with temporary.open("xb") as stream:
            yield stream
            if fsync:
                stream.flush()
                os.fsync(stream.fileno())
        if keep_mode and path.exists():
            shutil.copymode(path, temporary)
        if exclusive:
            _name_exclusively(temporary, path)
        else:
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if fsync:
        sync_folder(path.parent)


def write_whole(path: str, data: bytes, *, temporary: str, fsync: bool = True) -> None:
    """Write bytes to a file as :func:`atomic_write` does, with the fewest system calls: blocks are small and many.

    :param path: the name; a file or symbolic link that is there is replaced
    :param temporary: the name until the file is whole, in the same folder
    :param fsync: wait until the bytes, and then the name, are on the disk
    :raises FileExistsError: if there is a file with the temporary name
    :raises OSError: if something cannot be written
    """
    handle = os.open(temporary, _NEW_FILE, 0o666)
    try:
        try:
            written = os.write(handle, data)
            while written < len(data):  # a disk that is nearly full, or more than 2 GiB
                written += os.write(handle, memoryview(data)[written:])
            if fsync:
                os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, path)  # noqa: PTH105  # a Path costs as much as the system call
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)  # noqa: PTH108  # as above
        raise
    if fsync:
        sync_folder(os.path.dirname(path))  # noqa: PTH120  # as above


def _name_exclusively(temporary: Path, path: Path) -> None:
    """Give a file its final name, if no file has it."""
    if sys.platform == "win32":
        temporary.rename(path)  # refuses a name that is taken
        return
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:  # no hard links here
        if path.exists():
            raise FileExistsError(errno.EEXIST, "expected no file of this name, found one", str(path)) from None
        temporary.replace(path)
    else:
        temporary.unlink()
