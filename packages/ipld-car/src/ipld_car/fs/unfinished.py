"""Folders for what is written before it gets its name."""

from __future__ import annotations

import glob
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from .lock import open_locked, unlock

_SUFFIX = ".unfinished"
_LOCK = "lock"


@contextmanager
def unfinished_beside(path: Path) -> Iterator[Path]:
    """Yield a new hidden folder beside a path, for what is renamed to the path when it is whole.

    The folder is removed at the end. So are those for the same path whose processes were killed; those of running
    processes are locked, and stay.

    :param path: the name of the file or folder that is written
    :raises OSError: if the folder cannot be made

    >>> path = Path(tempfile.mkdtemp(), "name")
    >>> with unfinished_beside(path) as folder:
    ...     _ = (folder / "name").write_bytes(b"all of it")
    ...     _ = (folder / "name").rename(path)
    >>> [each.name for each in path.parent.iterdir()]
    ['name']
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}-*{_SUFFIX}"):
        _remove_left(left)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}-", suffix=_SUFFIX, dir=path.parent))
    lock, _ = open_locked(folder / _LOCK, exclusive=True)
    try:
        yield folder
    finally:
        _release(lock)
        shutil.rmtree(folder, ignore_errors=True)


def _remove_left(folder: Path) -> None:
    """Remove a folder if the process that made it has ended. One without a lock is being made."""
    if not (folder / _LOCK).exists():
        return
    with suppress(OSError):  # locked, or removed by another process
        _release(open_locked(folder / _LOCK, exclusive=False)[0])
        shutil.rmtree(folder, ignore_errors=True)


def _release(lock: FileIO) -> None:
    unlock(lock)
    lock.close()
