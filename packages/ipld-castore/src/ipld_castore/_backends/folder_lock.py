"""The lock of the one writer of a folder."""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ipld_car import fs

from ipld_castore.concurrency import process_id
from ipld_castore.errors import BackendUnavailableError, StoreReplacedError

from . import flatfs

LOCK_FILE: Final = "HEAD.lock"
"""Beside the shards, where flatfs passes over what is no folder."""


class FolderLock:
    """The lock of the one writer of a folder: held from its making until :meth:`release`, or the end of the process.

    A forked child has no share in it: releasing it there leaves it to the parent.

    :param folder: the folder
    :raises BackendUnavailableError: if another writer has the lock, or the lock file cannot be made
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            self._rule = (folder / flatfs.SHARDING_FILE).open("rb")
            """Open, so that no other file has its inode while the lock is held; see :class:`.FolderIdentity`."""
            try:
                self._file, _ = fs.open_locked(folder / LOCK_FILE, exclusive=False)
            except BaseException:
                self._rule.close()
                raise
        except OSError as error:
            raise BackendUnavailableError(f"cannot write to {folder}: {error}") from error
        self._process = process_id()

    @property
    def held(self) -> bool:
        """Whether this process holds the lock."""
        return not self._file.closed and self._process == process_id()

    def require_current(self) -> None:
        """Require that the folder is still the one that was locked.

        :raises StoreReplacedError: if it was removed or replaced since
        :raises BackendUnavailableError: if it cannot be looked at
        """
        require_current(self._folder, LOCK_FILE, self._file)

    def release(self) -> None:
        """Release the lock; releasing it again changes nothing."""
        self._rule.close()
        if not self._file.closed:
            if self.held:
                fs.unlock(self._file)
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def require_current(folder: Path, name: str, lock: FileIO) -> None:
    """Require that a locked file is still the one at its name in a folder.

    :raises StoreReplacedError: if it was removed or replaced since
    :raises BackendUnavailableError: if it cannot be looked at
    """
    try:
        fs.require_current(folder / name, lock)
    except fs.FileReplacedError as error:
        raise StoreReplacedError(
            f"expected in {folder} the folder that was opened, found that it was removed or replaced since: nothing "
            f"was written to the head of the one that is there now ({os.fspath(folder / name)} is another file)"
        ) from error
    except OSError as error:
        raise BackendUnavailableError(f"cannot look at {folder / name}: {error}") from error
