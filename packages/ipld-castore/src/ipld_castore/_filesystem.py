"""Blocks as files in a folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ipld_car import cids
from multiformats import CID

from . import _flatfs
from ._base import ContentAddressableStore
from ._errors import BackendUnavailableError, BlockNotFoundError, CAStoreError


class FileSystemCAStore(ContentAddressableStore):
    """Blocks as files, in the layout of Kubo's flatfs.

    The ``blocks`` folder of a Kubo repo can be read as it is; write to it only while no daemon runs.

    Files are keyed by multihash, so the codec of a CID is not kept: listing gives raw CIDs. A file appears whole
    or not at all, and with ``fsync`` a block that was put survives a crash of the machine. Threads and processes
    may share a folder. Two stores are equal if they are over the same folder.

    :param path: the folder; it is made if it is absent
    :param fsync: wait for the disk with each block; False leaves this to the system
    :param hash: see :class:`ContentAddressableStore`
    :raises CAStoreError: if the folder has other files and no ``SHARDING`` file, or one of another layout

    >>> import tempfile
    >>> store = FileSystemCAStore(tempfile.mkdtemp(), fsync=False)
    >>> store.get(store.put(b"hello"))
    b'hello'
    """

    def __init__(self, path: str | os.PathLike[str], *, fsync: bool = True, hash: str = "sha2-256") -> None:  # noqa: A002
        super().__init__(hash=hash)
        self._path = Path(path).absolute()
        self._fsync = fsync
        self._sharding = self._open()

    @property
    def path(self) -> Path:
        """The folder."""
        return self._path

    def _open(self) -> _flatfs.Sharding:
        """The sharding rule of the folder; an empty folder gets the usual one."""
        rule = self._path / _flatfs.SHARDING_FILE
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            if rule.exists():
                return _flatfs.Sharding.parse(rule.read_text("utf-8", errors="replace"))
            if any(not name.startswith(_flatfs.TEMPORARY) for name in os.listdir(self._path)):  # noqa: PTH208  # names are all it needs
                raise CAStoreError(f"expected an empty folder or one with a SHARDING file, found neither: {self._path}")
            self._write(rule, f"{_flatfs.DEFAULT}\n".encode())
        except OSError as error:
            raise BackendUnavailableError(f"cannot open {self._path}: {error}") from error
        return _flatfs.DEFAULT

    def _file(self, cid: CID) -> Path:
        key = _flatfs.key_of(cids.to_bytes(cid))
        return self._path / self._sharding.shard(key) / (key + _flatfs.EXTENSION)

    def get_block(self, cid: CID) -> bytes:
        """See :meth:`ContentAddressableStore.get_block`."""
        file = self._file(cid)
        try:
            return file.read_bytes()
        except FileNotFoundError:
            raise BlockNotFoundError(f"no block {cid} in {self._path}") from None
        except OSError as error:
            raise BackendUnavailableError(f"cannot read block {cid}: {error}") from error

    def put_block(self, cid: CID, data: bytes) -> None:
        """See :meth:`ContentAddressableStore.put_block`; a damaged file of this block is replaced."""
        file = self._file(cid)
        try:
            if self._holds(file, data):
                return
            if not file.parent.is_dir():
                file.parent.mkdir(exist_ok=True)
                self._sync_folder(self._path)
            self._write(file, data)
        except OSError as error:
            raise BackendUnavailableError(f"cannot write block {cid}: {error}") from error

    @staticmethod
    def _holds(file: Path, data: bytes) -> bool:
        try:
            return file.stat().st_size == len(data) and file.read_bytes() == data
        except FileNotFoundError:
            return False

    def _write(self, file: Path, data: bytes) -> None:
        """Have ``file`` with these bytes, whole or not at all."""
        handle, temporary = tempfile.mkstemp(prefix=_flatfs.TEMPORARY, dir=file.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                if self._fsync:
                    stream.flush()
                    os.fsync(stream.fileno())
            Path(temporary).replace(file)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        self._sync_folder(file.parent)

    def _sync_folder(self, folder: Path) -> None:
        """Make new names in a folder durable; where a folder cannot be opened (Windows) the system does it."""
        if not self._fsync or os.name == "nt":
            return
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def has_block(self, cid: CID) -> bool:
        """See :meth:`ContentAddressableStore.has_block`."""
        return self._file(cid).is_file()

    def block_size(self, cid: CID) -> int:
        """See :meth:`ContentAddressableStore.block_size`."""
        try:
            return self._file(cid).stat().st_size
        except FileNotFoundError:
            raise BlockNotFoundError(f"no block {cid} in {self._path}") from None

    def delete_block(self, cid: CID) -> None:
        """See :meth:`ContentAddressableStore.delete_block`."""
        try:
            self._file(cid).unlink(missing_ok=True)
        except OSError as error:
            raise BackendUnavailableError(f"cannot delete block {cid}: {error}") from error

    def __iter__(self) -> Iterator[CID]:
        """Raw CIDs of all blocks; files that are no block are somebody else's."""
        for folder in sorted(entry.path for entry in os.scandir(self._path) if entry.is_dir()):
            for entry in os.scandir(folder):
                name = entry.name
                cid = _flatfs.cid_of(name.removesuffix(_flatfs.EXTENSION)) if name.endswith(_flatfs.EXTENSION) else None
                if cid is not None:
                    yield cids.from_checked(cid)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FileSystemCAStore):
            return NotImplemented
        return self._path == other._path

    def __hash__(self) -> int:
        return hash(self._path)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._path}>"
