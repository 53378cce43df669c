"""Blocks as files in a folder."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ipld_car import cids, fs
from multiformats import CID

from ipld_castore._core.capabilities import BlockStatus
from ipld_castore._core.heads import is_head
from ipld_castore._core.store import ContentAddressableStore
from ipld_castore.errors import BackendUnavailableError, BlockNotFoundError

from . import flatfs
from .folder_identity import FolderIdentity
from .folder_journal import FOLDER, FolderJournal, clock_of, delete_orphans, session_folders
from .folder_lock import FolderLock
from .head_file import HeadFile

_WRITERS: Final = 8
"""Threads of ``put_blocks``; file systems make one write to the disk of syncs that come at once."""
_HELD_BYTES: Final = 8 << 20
"""Bytes of blocks that may wait for them."""


def _sync_file(file: str) -> None:
    """Make the bytes of a file durable."""
    with Path(file).open("rb+" if os.name == "nt" else "rb") as stream:  # Windows wants to write what it syncs
        os.fsync(stream.fileno())


def _renew(file: str) -> bool:
    """Set the time of a file to now, so that no collection takes it for old; return whether that was possible."""
    try:
        os.utime(file)
    except (FileNotFoundError, PermissionError):  # it was just collected, or is another user's: write another one
        return False
    return True


def _holds(file: str, data: bytes) -> bool:
    """Return whether a file is there and has these bytes."""
    try:
        return os.stat(file).st_size == len(data) and Path(file).read_bytes() == data  # noqa: PTH116  # see _file
    except FileNotFoundError:
        return False


class FileSystemCAStore(ContentAddressableStore):
    """Blocks as files, in the layout of Kubo's flatfs.

    The ``blocks`` folder of a Kubo repo can be read as it is; write to it only while no daemon runs.

    Files are keyed by multihash, so the codec of a CID is not kept: listing gives raw CIDs. A file appears whole
    or not at all. With ``fsync``, a block is on the disk when the verb that put it returns, whichever process
    wrote its file first. Without ``fsync``, a crash of the machine may leave blocks missing, empty or damaged; reading
    finds that, and putting the blocks again repairs it. Threads and processes may share a folder. Two stores are equal
    if they are over the same folder.

    The head is the file ``HEAD``. :meth:`swap_head` moves it. A dataset over this store does so only where
    ``ipldstore.open`` has made the store, or :attr:`persist_moves_head` is set: any number of datasets may share a
    folder, each known by the CID of its root.

    :param path: the folder; it is made if it is absent
    :param fsync: wait for the disk with each block
    :param hash: see :class:`ContentAddressableStore`
    :raises BackendUnavailableError: if the folder cannot be made or read, or has other files and no ``SHARDING``
        file of flatfs

    >>> import tempfile
    >>> store = FileSystemCAStore(tempfile.mkdtemp(), fsync=False)
    >>> store.get(store.put(b"hello"))
    b'hello'
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fsync: bool = True,
        hash: str = "sha2-256",  # noqa: A002  # the name users know
    ) -> None:
        super().__init__(hash=hash)
        self._path = Path(os.path.realpath(path))
        self._prefix = f"{self._path}/"  # that of the paths of blocks
        self._head = HeadFile(self._path)
        self._fsync = fsync
        self._writer: FolderLock | None = None
        self._shards: set[str] = set()
        """With ``fsync``, paths of shard folders that are durable."""
        try:
            self._sharding = self._open()
        except (OSError, ValueError) as error:
            raise BackendUnavailableError(f"cannot keep blocks in {self._path}: {error}") from error
        self._identity = FolderIdentity(self._path)

    @property
    def path(self) -> Path:
        """The folder."""
        return self._path

    @property
    def is_current(self) -> bool:
        """Whether the folder at the path is still the one that was opened: it was neither removed nor replaced."""
        return self._identity.is_current()

    @property
    def address(self) -> str:
        """See :attr:`ContentAddressableStore.address`."""
        return str(self._path)

    def _open(self) -> flatfs.Sharding:
        """Return the sharding rule of the folder; an empty folder gets the default of flatfs."""
        rule = self._path / flatfs.SHARDING_FILE
        self._make_folder(self._path)
        if not rule.exists():
            foreign = [name for name in os.listdir(self._path) if not name.startswith(flatfs.TEMPORARY)]  # noqa: PTH208  # names are all that is needed
            if not foreign:
                with suppress(FileExistsError):  # another process has just begun this store
                    temporary = flatfs.temporary_in(self._path)
                    with fs.atomic_write(rule, temporary=temporary, exclusive=True) as stream:
                        stream.write(f"{flatfs.DEFAULT}\n".encode())
            elif not rule.exists():  # another process may have begun this store since the first look
                raise ValueError(f"expected an empty folder or one with a SHARDING file, found {min(foreign)!r}")
        return flatfs.Sharding.parse(rule.read_text("utf-8", errors="replace"))

    def _make_folder(self, folder: Path) -> None:
        """Make a folder and the folders above it, durably.

        Without ``fsync`` too, as the sharding rule is: a crash should cost no more than the blocks of the last moments.
        """
        if not folder.is_dir():
            self._make_folder(folder.parent)
            folder.mkdir(exist_ok=True)
            fs.sync_folder(folder.parent)

    def _file(self, cid: CID) -> str:
        """Return the path of a block. Making a ``Path`` of it takes longer than looking at the file."""
        return self._prefix + flatfs.file_of(cids.to_bytes(cid), self._sharding)

    def get_block(self, cid: CID) -> bytes:
        """See :meth:`ContentAddressableStore.get_block`."""
        file = self._file(cid)
        try:
            return Path(file).read_bytes()
        except FileNotFoundError:
            raise BlockNotFoundError(f"no block {cid} in {self._path}") from None
        except OSError as error:
            raise BackendUnavailableError(f"cannot read block {cid}: {error}") from error

    def put_block(self, cid: CID, data: bytes) -> None:
        """See :meth:`ContentAddressableStore.put_block`; a damaged file of this block is replaced.

        :raises StoreReplacedError: if the folder was removed or replaced since it was opened
        """
        file = self._file(cid)
        self._identity.require_current()
        try:
            try:
                self._put(file, data)
            except FileNotFoundError:  # its shard is not there yet, or was removed since it was made
                self._make_shard(os.path.dirname(file))  # noqa: PTH120  # see _file
                self._put(file, data)
        except OSError as error:
            self._identity.require_current()
            raise BackendUnavailableError(f"cannot write block {cid}: {error}") from error

    def _put(self, file: str, data: bytes) -> None:
        shard = os.path.dirname(file)  # noqa: PTH120  # see _file
        if self._fsync and shard not in self._shards:
            self._make_shard(shard)
        if not _holds(file, data) or not _renew(file):
            fs.write_whole(file, data, temporary=f"{shard}/{flatfs.temporary_name()}", fsync=self._fsync)
        elif self._fsync:  # its writer may have been stopped before it synced, or have had fsync off
            _sync_file(file)
            fs.sync_folder(shard)

    def put_blocks(self, pairs: Iterable[tuple[CID, bytes]]) -> None:
        """See :meth:`ContentAddressableStore.put_blocks`; where each waits for the disk, several wait at once."""
        if not self._fsync:
            super().put_blocks(pairs)
            return
        with ThreadPoolExecutor(_WRITERS) as pool:
            pending: deque[tuple[Future[None], int]] = deque()
            held = 0
            try:
                for cid, data in pairs:
                    pending.append((pool.submit(self.put_block, cid, data), len(data)))
                    held += len(data)
                    while len(pending) > 2 * _WRITERS or held > _HELD_BYTES:
                        held -= pending[0][1]
                        pending.popleft()[0].result()
            finally:
                # Also after an error of the source: blocks before it are put, or their own error is raised.
                while pending:
                    pending.popleft()[0].result()

    def _make_shard(self, shard: str) -> None:
        """Make the folder of a shard; with ``fsync`` it is durable."""
        with suppress(FileExistsError):
            os.mkdir(shard)  # noqa: PTH102  # see _file
        if self._fsync:
            # One sync makes all names safe, also those that others wrote: in an old folder the first is the last.
            safe = {shard} if self._shards else {shard, *(self._prefix + name for name in os.listdir(self._path))}  # noqa: PTH208  # names are all that is needed
            fs.sync_folder(self._path)
            self._shards.update(safe)

    @property
    def head(self) -> CID | None:
        """See :attr:`SupportsHead.head`; it is in the file ``HEAD`` of the folder.

        :raises BackendUnavailableError: if the file cannot be read, or holds no CID
        """
        return self._head.read()

    def swap_head(self, expected: CID | None, new: CID) -> None:
        """See :meth:`SupportsHead.swap_head`; safe with threads and with other processes, by a lock on a file.

        :raises StoreReplacedError: if the folder was removed or replaced since it was opened, or since :meth:`lock`
        """
        self._identity.require_current()
        writer = self._writer
        self._head.swap(expected, new, writer if writer is not None and writer.held else None)

    def lock(self) -> FolderLock:
        """Become the one writer of this folder, until :meth:`FolderLock.release`.

        It keeps out those that ask for the lock too; others may put blocks and move the head. While this store holds
        the lock, it moves the head only if the folder is still the one that was locked.

        :raises BackendUnavailableError: if another writer has the lock
        :raises StoreReplacedError: if the folder was removed or replaced since it was opened
        """
        self._identity.require_current()
        self._writer = FolderLock(self._path)
        return self._writer

    def persist(self, root: CID, previous: CID | None = None) -> None:
        """See :meth:`ContentAddressableStore.persist`; moves the head only with :attr:`persist_moves_head`."""
        self.flush()
        if self.persist_moves_head and not is_head(root, self.head):  # as it is when an earlier call failed late
            self.swap_head(previous, root)

    def _stat(self, cid: CID) -> os.stat_result | None:
        """Return the status of a block's file; None if there is none. ``Path.is_file`` takes any error for absence."""
        try:
            return os.stat(self._file(cid))  # noqa: PTH116  # see _file
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BackendUnavailableError(f"cannot look for block {cid}: {error}") from error

    def has_block(self, cid: CID) -> bool:
        """See :meth:`ContentAddressableStore.has_block`."""
        return self._stat(cid) is not None

    def block_size(self, cid: CID) -> int:
        """See :meth:`ContentAddressableStore.block_size`."""
        status = self._stat(cid)
        if status is None:
            raise BlockNotFoundError(f"no block {cid} in {self._path}")
        return status.st_size

    def delete_block(self, cid: CID) -> None:
        """See :meth:`SupportsDelete.delete_block`."""
        try:
            Path(self._file(cid)).unlink(missing_ok=True)
        except OSError as error:
            raise BackendUnavailableError(f"cannot delete block {cid}: {error}") from error

    def now(self) -> float:
        """See :meth:`SupportsAge.now`: the time of a file just written, as a file server has a clock of its own."""
        try:
            return clock_of(flatfs.temporary_in(self._path))
        except OSError as error:
            raise BackendUnavailableError(f"cannot write to {self._path}: {error}") from error

    def block_statuses(self) -> Iterator[BlockStatus]:
        """See :meth:`SupportsAge.block_statuses`."""
        for cid in self:
            status = self._stat(cid)
            if status is not None:
                yield BlockStatus(cid, status.st_size, status.st_mtime)

    def delete_old(self, cids: Iterable[CID], before: float) -> Iterator[CID]:
        """See :meth:`SupportsAge.delete_old`.

        A block is moved aside first: a writer that then puts it writes another file, and one that has just put it has
        given it another time, by which it is moved back.
        """
        for cid in cids:
            file = Path(self._file(cid))
            aside = flatfs.temporary_in(file.parent)
            try:
                if file.stat().st_mtime >= before:
                    continue
                file.rename(aside)
                if aside.stat().st_mtime >= before:
                    aside.replace(file)
                    continue
                aside.unlink()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise BackendUnavailableError(f"cannot delete block {cid}: {error}") from error
            yield cid

    def delete_leftovers(self, before: float = math.inf) -> int:
        """Delete the unfinished files that killed writers have left; return their size in bytes.

        Without a time, only the one writer of a folder may call this: it deletes the unfinished files of running
        writers too, whose puts then fail.

        :param before: delete files that were written before this time, in seconds by the clock of the file system

        :raises BackendUnavailableError: if it cannot be deleted
        """
        freed = 0
        for folder in (self._path, *(self._path / name for name in self._names(self._path))):
            if not folder.is_dir():
                continue
            for name in self._names(folder):
                if flatfs.LEFTOVER.fullmatch(name):
                    try:
                        status = (folder / name).stat()
                        if status.st_mtime >= before:
                            continue
                        (folder / name).unlink()
                    except FileNotFoundError:  # its writer has finished it
                        continue
                    except OSError as error:
                        raise BackendUnavailableError(f"cannot delete {folder / name}: {error}") from error
                    freed += status.st_size
        delete_orphans(self._path, before)
        return freed

    def __iter__(self) -> Iterator[CID]:
        """Return the raw CIDs of all blocks, in the order of their files; other files are passed over."""
        for shard in self._names(self._path):
            folder = self._path / shard
            if folder.is_dir():
                for name in self._names(folder):
                    binary = flatfs.cid_of_file(shard, name, self._sharding)
                    if binary is not None:
                        yield cids.from_validated(binary)

    @staticmethod
    def _names(folder: Path) -> list[str]:
        try:
            return sorted(os.listdir(folder))  # noqa: PTH208  # names are all it needs
        except FileNotFoundError:  # removed since it was listed
            return []
        except OSError as error:
            raise BackendUnavailableError(f"cannot list blocks: {error}") from error

    def journal(self, session: str) -> FolderJournal:
        """See :meth:`SupportsJournal.journal`."""
        return FolderJournal(self._path / FOLDER / session, fsync=self._fsync, identity=self._identity)

    def sessions(self) -> Iterator[str]:
        """See :meth:`SupportsJournal.sessions`."""
        return session_folders(self._path)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_writer": None}  # the lock is this object's
