"""Which folder a store was opened in: another one at the same path gets nothing."""

from __future__ import annotations

import os
from pathlib import Path

from ipld_castore.errors import BackendUnavailableError, StoreReplacedError

from . import flatfs

_Stamp = tuple[int, int]


class FolderIdentity:
    """The folder that is at a path when this is made, known by the file ``SHARDING`` that its maker wrote into it.

    The device and inode of that file tell a folder from one that was made later in its place. A file system may give
    the inode of a file that was removed to the next one. It does not where the folder is locked: the lock has the file
    open. The time of the file does not count, as users touch files to keep them from being purged.

    :param folder: the folder
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = f"{folder}/{flatfs.SHARDING_FILE}"
        self._stamp = self._look()

    def _look(self) -> _Stamp | None:
        try:
            status = os.stat(self._file)  # noqa: PTH116  # asked with each block: a Path costs more than the system
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise BackendUnavailableError(f"cannot look at {self._folder}: {error}") from error
        return status.st_dev, status.st_ino

    def is_current(self) -> bool:
        """Return whether the folder is still the one at its path.

        :raises BackendUnavailableError: if it cannot be looked at
        """
        found = self._look()
        return found is not None and found == self._stamp

    def require_current(self) -> None:
        """Require that the folder is still the one at its path.

        :raises StoreReplacedError: if it was removed or replaced
        :raises BackendUnavailableError: if it was not there in the first place, or it cannot be looked at
        """
        if self.is_current():
            return
        if self._stamp is None:
            raise BackendUnavailableError(
                f"expected a folder of blocks at {self._folder}, found none when it was opened"
            )
        raise StoreReplacedError(
            f"expected in {self._folder} the folder that was opened, found that it was removed or replaced since: "
            f"nothing is written to the one that is there now"
        )

    def __reduce__(self) -> tuple[object, ...]:
        return FolderIdentity, (self._folder,)  # on another machine the same folder has another device number
