"""Blocks in one CAR file."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self, TypeVar, cast

from ipld_car import BlockAbsentError, BlockLocation, CarError, CarFile, HashMismatchError, cids, dagcbor, fs, hashes
from ipld_car.messages import Message, Term
from multiformats import CID

from ipld_castore._core.backend import AnyCID, text_of
from ipld_castore._core.heads import check_head, is_head
from ipld_castore._core.store import ContentAddressableStore
from ipld_castore.errors import (
    BackendUnavailableError,
    BlockCorruptError,
    BlockNotFoundError,
    CAStoreError,
    HeadRefusedError,
    ReadOnlyStoreError,
    StoreReplacedError,
)

from .car_copies import join, register, replace_file
from .put_times import hand_over, times_of

T = TypeVar("T")

_EMPTY_MAP: Final = cids.make(cids.DAG_CBOR, hashes.sha2_256(dagcbor.encode({})))


class CarCAStore(ContentAddressableStore):
    """Blocks in one file, which is an archive that any tool for CAR files reads: see :class:`ipld_car.CarFile`.

    What was put is safe from :meth:`flush` on, and the index is written by :meth:`close`. The head is the one root of
    the file. Any number of threads may use a store at once. One process may have the file open for writing, others
    read what was flushed. A pickle is the same file in the process it came from, and elsewhere one that is open for
    reading; it has what was put before it was made. Blocks are keyed by multihash, and listed with the CIDs they were
    put with; :meth:`rewrite` leaves blocks out.

    Two stores are equal if they are over the same path.

    **A URL.** With ``https://host/x.car``, or ``s3://bucket/x.car`` and the like (extra ``object``), the store reads by
    ranges, through the index of the archive where it lies: a block costs at most two requests, its neighbours none.
    Every block is verified. An archive without an index is read once from start to end. A server that ignores ranges,
    or has another file there later, is a :class:`BackendUnavailableError`. Nothing can be put. Such a store asks for
    what it reads when it is read, in any process; its pickle holds the credentials in the URL and options.

    :param path: the file, CARv1 or CARv2; or its URL
    :param mode: "r" reads; "x" makes a new file; "a" reads and appends, and makes the file if it is absent or empty
    :param fsync: wait for the disk at :meth:`flush` and :meth:`close`
    :param hash: see :class:`ContentAddressableStore`
    :param zero_length_section_as_eof: see :meth:`ipld_car.CarFile.open`; for archives that are padded with zeros
    :param allow_truncated: likewise; for a file whose end is lost, or that is damaged
    :param storage_options: of a URL: ``timeout`` in seconds, ``retries`` and a bearer ``token`` for ``http`` and
        ``https``; for buckets the options of :meth:`ObjectCAStore.from_url`
    :raises BackendUnavailableError: if the file cannot be opened or made, or another writer has it
    :raises ValueError: if a mode other than "r" is asked for with a URL, or options are given that it has not
    :raises ipld_car.CarError: if it is no archive, or has no index and is damaged

    >>> import tempfile
    >>> with CarCAStore(tempfile.mkdtemp() + "/hello.car") as store:
    ...     cid = store.put(b"hello")
    ...     store.get(cid)
    b'hello'
    """

    _kinds: ClassVar[dict[str, type[CarCAStore]]] = {}
    """The classes of archives at URLs, by scheme."""

    blocking = False  # but for a page that is not in memory, and a write now and then, there is nothing to wait for
    persist_moves_head = True

    def __init_subclass__(cls, *, schemes: Iterable[str] = (), **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        CarCAStore._kinds.update(dict.fromkeys(schemes, cls))

    def __new__(cls, path: str | os.PathLike[str] = "", *_: Any, **__: Any) -> Self:
        """Return a store of the class for the scheme of the URL, as :class:`pathlib.Path` does for the system."""
        if cls is CarCAStore and isinstance(path, str) and "://" in path:
            if not cls._kinds:
                import_module("ipld_castore._remote.car_store")  # a room above, which no import of this class loads
            return cast(Self, super().__new__(cls._kinds.get(path.partition(":")[0].lower(), cls)))
        return super().__new__(cls)

    def __init__(
        self,
        path: str | os.PathLike[str],
        mode: Literal["r", "x", "a"] = "a",
        *,
        fsync: bool = True,
        hash: str = "sha2-256",  # noqa: A002  # the name users know
        zero_length_section_as_eof: bool = False,
        allow_truncated: bool = False,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        if storage_options:
            raise ValueError(
                Message(
                    "expected ", Term("storage_options"), f" with a URL, found them with the path {os.fspath(path)!r}"
                )
            )
        super().__init__(hash=hash)
        self._path = Path(os.path.realpath(path))
        self._hash = hash
        try:
            self._file = CarFile.open(
                self._path,
                mode,
                fsync=fsync,
                zero_length_section_as_eof=zero_length_section_as_eof,
                allow_truncated=allow_truncated,
            )
        except OSError as error:
            raise BackendUnavailableError(f"cannot open {self._path}: {error}") from error
        self._zeros_end = zero_length_section_as_eof
        self._allows_truncated = allow_truncated
        self._is_copy = False
        self._fsync = fsync
        self._times = times_of(self._file)
        self._name = "" if mode == "r" else secrets.token_hex(16)
        """The name by which copies find the file in this process."""
        if self._name:
            register(self, self._name)

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def address(self) -> str:
        """See :attr:`ContentAddressableStore.address`."""
        return str(self._path)

    @property
    def roots(self) -> list[CID]:
        """The roots in the header of the file, as they are or will be after the next flush."""
        return self._file.roots

    @property
    def lost(self) -> list[tuple[int, int]]:
        """See :attr:`ipld_car.CarFile.lost`. :meth:`rewrite` leaves these ranges out."""
        return self._file.lost

    @property
    def writable(self) -> bool:
        """Whether blocks can be put."""
        return self._file.writable

    def _not_read(self, error: Exception, what: str) -> Exception:
        """Return what callers of a store expect, for an error of the file."""
        if self._file.closed:
            return BackendUnavailableError(f"cannot read {what}: expected an open store, found a closed one: {self!r}")
        if isinstance(error, BlockAbsentError):
            return BlockNotFoundError(f"no block {what} in {self._path}")
        if isinstance(error, CarError):
            return BlockCorruptError(f"cannot read {what}: {error.of_file(self._path)}")
        return BackendUnavailableError(f"cannot read {what}: {error}")

    def _not_written(self, error: Exception, what: str) -> Exception:
        if isinstance(error, fs.FileReplacedError):
            return StoreReplacedError(f"cannot write {what} to {self._path}: {error}")
        if self._file.closed:
            return BackendUnavailableError(f"cannot write {what}: expected an open store, found a closed one: {self!r}")
        if self._file.writable:
            return BackendUnavailableError(f"cannot write {what} to {self._path}: {error}")
        why = "it is a copy in another process" if self._name else "it was opened so"
        return ReadOnlyStoreError(f"cannot write {what}: {self!r} only reads, as {why}")

    def get_block(self, cid: CID) -> bytes:
        """See :meth:`ContentAddressableStore.get_block`."""
        file = self._file
        try:
            return file.get(cid, verify=False)
        except (OSError, ValueError) as error:
            if file is not self._file:  # another thread has just rewritten it
                return self.get_block(cid)
            raise self._not_read(error, str(cid)) from error

    def _read(self, read: Callable[[CarFile], T], cid: AnyCID) -> T:
        file = self._file
        try:
            return read(file)
        except (OSError, ValueError) as error:
            if file is not self._file:  # as above
                return self._read(read, cid)
            raise self._not_read(error, text_of(cid)) from error

    def get_replica(self, cid: CID) -> bytes | None:
        """See :meth:`ContentAddressableStore.get_replica`: an archive may have a block twice."""

        def get(file: CarFile) -> bytes | None:
            try:
                return file.get(cid)
            except HashMismatchError:
                return None

        return self._read(get, cid)

    def put_block(self, cid: CID, data: bytes) -> None:
        """See :meth:`ContentAddressableStore.put_block`; it is in the file after the next flush.

        :raises ReadOnlyStoreError: if the file is open for reading
        """
        try:
            with self._times.lock.value:
                is_new = self._file.put(cid, data, verify=False)
                self._times.note(self._file, cid, is_new=is_new)
        except (OSError, ValueError) as error:
            raise self._not_written(error, f"block {cid}") from error

    def has_block(self, cid: CID) -> bool:
        """See :meth:`ContentAddressableStore.has_block`."""
        try:
            return cid in self._file
        except (OSError, ValueError):
            return self._read(lambda file: cid in file, cid)  # which says what is wrong

    def block_size(self, cid: CID) -> int:
        """See :meth:`ContentAddressableStore.block_size`."""
        return self._read(lambda file: file.location(cid).payload_size, cid)

    def location(self, cid: AnyCID) -> BlockLocation:
        """Return where in the archive a block is, so that others can read it as a range of bytes.

        :raises BlockNotFoundError: if the archive lacks the block
        """
        return self._read(lambda file: file.location(cid), cid)

    def __iter__(self) -> Iterator[CID]:
        """Return the CIDs that blocks were put with, in the order of the file."""
        try:
            for cid, location in self._file:
                if self._file.location(cid) == location:  # an archive may have a block twice
                    yield cid
        except (OSError, ValueError) as error:
            raise self._not_read(error, "the CIDs") from error

    @property
    def head(self) -> CID | None:
        """The root of the file; None if it has none or several, or that of a new file."""
        roots = self.roots
        if len(roots) != 1 or (bytes(roots[0]) == _EMPTY_MAP and not self.has_block(roots[0])):
            return None
        return roots[0]

    def swap_head(self, expected: CID | None, new: CID) -> None:
        """See :meth:`SupportsHead.swap_head`; blocks and head are flushed, and if that fails the head is the old one.

        Safe with threads and with copies of the store in this process; no other process can write the file.
        """
        with self._times.swapping.value:
            self.check_head(new)
            check_head(self._path, expected, self.head)
            before = self._file.roots
            try:
                self._file.roots = [new]
                self._file.flush()
            except (OSError, ValueError) as error:
                with suppress(OSError, ValueError):  # a file that could not be synced takes nothing any more
                    self._file.roots = before
                raise self._not_written(error, f"root {new}") from error

    def check_head(self, cid: CID) -> None:
        """Require that the header has room for ``cid``, so that :meth:`swap_head` can put it there; change nothing.

        :raises HeadRefusedError: if the header has no room
        :raises ReadOnlyStoreError: if the file is open for reading
        """
        try:
            self._file.check_roots([cid])
        except CarError as error:
            raise HeadRefusedError(f"cannot have {cid} as the root of {self._path}: {error}") from error
        except (OSError, ValueError) as error:
            raise self._not_written(error, f"root {cid}") from error

    def persist(self, root: CID, previous: CID | None = None) -> None:
        """See :meth:`ContentAddressableStore.persist`; moves the head only with :attr:`persist_moves_head`."""
        if not self.persist_moves_head or is_head(root, self.head):  # as it is when an earlier call failed late
            self.flush()
        else:
            self.swap_head(previous, root)

    def flush(self) -> None:
        """See :meth:`ContentAddressableStore.flush`: the blocks first, then the head."""
        if not self._file.writable:
            return
        with self._times.lock.value:  # it is not replaced meanwhile
            try:
                self._file.flush()
            except (OSError, ValueError) as error:
                raise self._not_written(error, "blocks") from error

    def close(self) -> None:
        """Flush, write the index and close the file; a store out of a pickle only flushes."""
        if self._is_copy:
            self.flush()
            return
        try:
            self._file.close()
        except OSError as error:
            kind = StoreReplacedError if isinstance(error, fs.FileReplacedError) else BackendUnavailableError
            raise kind(f"cannot finish {self._path}: {error}") from error

    def now(self) -> float:
        """See :meth:`SupportsRecent.now`."""
        with self._times.lock.value:
            return self._times.now()

    def recent(self, since: float) -> Iterator[CID]:
        """See :meth:`SupportsRecent.recent`."""
        return (cid for cid, _ in self._times.recent(self._file, since))

    def rewrite(self, blocks: Iterable[tuple[CID, bytes]], since: float | None = None) -> tuple[int, int]:
        """Write the file anew, with the same head, these blocks and recent ones, and go on with it.

        The new file takes the place of the old one when all of it is on the disk; stopped before, the old one is there
        as it was. Copies of the store in this process go on with it; those in others read what the old one had.

        :param blocks: verified blocks in the order of the new file; they are taken while the head cannot move
        :param since: keep the :meth:`recent` blocks since then too; by default those that are put from now on
        :returns: how many blocks the new file has, and by how many bytes it is shorter
        :raises StoreReplacedError: if the file was removed or replaced since it was opened
        :raises ReadOnlyStoreError: if the file is open for reading
        :raises BackendUnavailableError: if the new file cannot be written
        """
        if not self.writable:
            raise self._not_written(ValueError("read only"), "a new file")
        since = self.now() if since is None else since
        fresh = self._path.with_name(f".{self._path.name}.rewriting")
        with self._times.swapping.value:  # held while the new file is there: other threads write it too
            try:
                fresh.unlink(missing_ok=True)  # of one that was stopped
                with CarFile.open(fresh, "x", roots=self.roots, fsync=self._fsync) as new:
                    old = self._file
                    for cid, data in blocks:
                        new.put(cid, data, verify=False)
                    _copy(self.recent(since), old, new)
                    with self._times.lock.value:
                        old.flush()
                        size = self._path.stat().st_size
                        recent = list(self._times.recent(old, since))
                        _copy((cid for cid, _ in recent), old, new)  # those that were put since
                        kept = len(new)
                        new.close()
                        self._replace(old, fresh)
                        self._times.restart(recent)
            except CAStoreError:  # of a block that is read
                raise
            except (OSError, ValueError) as error:
                raise self._not_written(error, "a new file") from error
            finally:
                fresh.unlink(missing_ok=True)
        return kept, size - self._path.stat().st_size

    def _replace(self, old: CarFile, fresh: Path) -> None:
        """Put a new file in the place of the one that is open, and open it."""
        if not old.is_current:
            raise fs.FileReplacedError(errno.ESTALE, "expected the file that was opened", str(self._path))
        shutil.copymode(self._path, fresh)
        if os.name == "nt":
            old.abandon()  # what is open is not replaced there
        fresh.replace(self._path)
        fs.sync_folder(self._path.parent)
        new = CarFile.open(self._path, "a", fsync=self._fsync, zero_length_section_as_eof=self._zeros_end)
        hand_over(old, new)
        replace_file(self._name, old, new)
        old.abandon()

    def abandon(self) -> None:
        """Close the file as it is, and drop what was not flushed; a store out of a pickle does nothing."""
        if not self._is_copy:
            self._file.abandon()

    def __getstate__(self) -> tuple[str, str, str, bool, bool]:
        self.flush()
        return str(self._path), self._hash, self._name, self._zeros_end, self._allows_truncated

    def __setstate__(self, state: tuple[str, str, str, bool, bool]) -> None:
        path, hash_name, self._name, self._zeros_end, self._allows_truncated = state
        super().__init__(hash=hash_name)
        self._path, self._hash, self._is_copy = Path(path), hash_name, True
        self._fsync = True
        join(self, self._name, self._path, zeros_end=self._zeros_end, allow_truncated=self._allows_truncated)
        self._times = times_of(self._file)


def _copy(blocks: Iterable[CID], old: CarFile, new: CarFile) -> None:
    for cid in blocks:
        if cid not in new:
            new.put(cid, old.get(cid), verify=False)
