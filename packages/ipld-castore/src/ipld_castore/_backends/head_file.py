"""The head of a folder: a CID in a file that is replaced under a lock."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ipld_car import CarError, cids, fs
from multiformats import CID

from ipld_castore._core.heads import check_head
from ipld_castore.errors import BackendUnavailableError

from . import flatfs

HEAD_FILE: Final = "HEAD"
"""Beside the shards, where flatfs passes over what is no folder."""
MAX_HEAD_BYTES: Final = 4096

_LOCK_FILE: Final = "HEAD.swap"
_LOCK_SECONDS: Final = 60.0
_LOCK_PAUSE: Final = 0.002


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

    :param folder: the folder; it is made when the head is set
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

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

    def swap(self, expected: CID | None, new: CID) -> None:
        """Replace ``expected`` by ``new``; the file is replaced as a whole, and is on the disk.

        :raises HeadMovedError: if the head is another
        :raises BackendUnavailableError: if it cannot be read or written
        """
        with self._locked():
            check_head(self._folder, expected, self.read())
            temporary = self._folder / f"{flatfs.TEMPORARY}{secrets.token_hex(flatfs.RANDOM_BYTES)}"
            try:
                with fs.atomic_write(self._folder / HEAD_FILE, temporary=temporary) as stream:
                    stream.write(format_head(new))
            except OSError as error:
                raise BackendUnavailableError(f"cannot write the head into {self._folder}: {error}") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep others from moving the head, by a lock on a file beside it."""
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                file, _ = fs.open_locked(self._folder / _LOCK_FILE, exclusive=False)
                break
            except BlockingIOError as error:  # another thread or process is swapping, which takes milliseconds
                if time.monotonic() > deadline:
                    raise BackendUnavailableError(f"cannot move the head in {self._folder}: {error}") from error
                time.sleep(_LOCK_PAUSE)
            except OSError as error:
                raise BackendUnavailableError(f"cannot move the head in {self._folder}: {error}") from error
        try:
            yield
        finally:
            fs.unlock(file)  # also where a forked process has the handle
            file.close()
