"""The head of a folder: a CID in a file that is replaced under a lock."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ipld_car import CarError, cids, fs
from multiformats import CID

from ipld_castore._core.heads import check_head
from ipld_castore.errors import BackendUnavailableError, CAStoreError

from . import flatfs
from .folder_lock import FolderLock, require_current

HEAD_FILE: Final = "HEAD"
"""Beside the shards, where flatfs passes over what is no folder."""
MAX_HEAD_BYTES: Final = 4096

_LOCK_FILE: Final = "HEAD.swap"


def parse_head(data: bytes) -> CID:
    """Return the CID that a head file holds as text.

    :raises ipld_car.CarError: if it holds none
    """
    return cids.from_bytes(cids.to_bytes(data[:MAX_HEAD_BYTES].decode("ascii", errors="replace").strip()))


def format_head(cid: CID) -> bytes:
    r"""Return what a head file holds.

    >>> from ipld_castore import MappingCAStore
    >>> format_head(MappingCAStore().put(b"hello"))
    b'bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq\n'
    """
    return f"{cids.to_text(cids.to_bytes(cid))}\n".encode()


class HeadFile:
    """The head of a folder, in its file ``HEAD``. Safe with threads and with other processes.

    :param folder: the folder
    :param make: make the folder when the head is set, if it is absent
    """

    def __init__(self, folder: Path, *, make: bool = False) -> None:
        self._folder = folder
        self._make = make

    def read(self) -> CID | None:
        """Return the head; None if there is none.

        :raises BackendUnavailableError: if the file cannot be read, or holds no CID
        """
        file = self._folder / HEAD_FILE
        try:
            with file.open("rb") as stream:
                return parse_head(stream.read(MAX_HEAD_BYTES))
        except FileNotFoundError:
            return None
        except (OSError, CarError) as error:
            raise BackendUnavailableError(f"cannot read the head in {file}: {error}") from error

    def swap(self, expected: CID | None, new: CID, writer: FolderLock | None = None) -> None:
        """Replace ``expected`` by ``new``; the file is replaced as a whole, and is on the disk.

        :param writer: the lock that the caller holds as the one writer of the folder, if it holds one
        :raises HeadMovedError: if the head is another
        :raises StoreReplacedError: if the folder is not the one in which ``writer`` was locked
        :raises BackendUnavailableError: if it cannot be read or written
        """
        if writer is not None:
            writer.require_current()
        try:
            if self._make:
                self._folder.mkdir(parents=True, exist_ok=True)
            lock = fs.wait_locked(self._folder / _LOCK_FILE)
        except OSError as error:
            raise BackendUnavailableError(f"cannot move the head in {self._folder}: {error}") from error
        try:
            if writer is not None:
                writer.require_current()
            check_head(self._folder, expected, self.read())
            require_current(self._folder, _LOCK_FILE, lock)
            with fs.atomic_write(self._folder / HEAD_FILE, temporary=flatfs.temporary_in(self._folder)) as stream:
                stream.write(format_head(new))
        except CAStoreError:
            raise
        except OSError as error:
            raise BackendUnavailableError(f"cannot write the head into {self._folder}: {error}") from error
        finally:
            fs.unlock(lock)  # also where a forked process has the handle
            lock.close()
