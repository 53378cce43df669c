"""An archive in a file: random access to its blocks, and appending."""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Iterable, Iterator
from io import UnsupportedOperation
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from multiformats import CID

from ipld_car import cids, varint
from ipld_car._car.block import BlockLocation
from ipld_car.errors import BlockAbsentError, CarError, HashMismatchError
from ipld_car.hashes import sha2_256, verify_digest

from .append import Appender
from .block_table import SectionRef, key_of
from .file_blocks import FileBlocks
from .handles import close, close_dropped, open_to_read, open_to_write
from .scan import Section, is_identity
from .state import Access

Mode = Literal["r", "x", "a"]

EMPTY_MAP: Final = cids.make(cids.DAG_CBOR, sha2_256(b"\xa0"))
"""The root of a new file: the CID of the empty map in DAG-CBOR."""


class CarFile:
    """An archive in a file, CARv1 or CARv2: read any of its blocks, put more at its end.

    Blocks are found by multihash, so a CID of another codec or version over the same bytes finds them too. The index of
    a CARv2 is searched in the file, so opening takes no time or memory to speak of, however many blocks there are.
    A CARv1, or a CARv2 without index, is scanned when it is opened, from section to section; so is a file whose
    index turns out to be wrong, with a :class:`CarWarning`. :attr:`scan_reason` says why.

    A new file is a CARv2 whose header has one root, the CID of the empty map in DAG-CBOR unless others are given;
    :attr:`roots` may be set to any other CID of that length. What was put is safe when :meth:`flush` returns: if the
    process, or with ``fsync`` the machine, stops at any instant, opening the file again gives all blocks and the
    roots as they were flushed, or some later blocks too. :meth:`close` writes the index. A CARv1 that is appended to
    stays a CARv1, and has none.

    Threads: any number may use one object at once, but for :meth:`close`. Processes: one may have a file open for
    writing, any number may read it meanwhile, and see what was flushed before they opened it, or more. After a fork the
    child only reads. A file that is dropped without :meth:`close`, or open when Python ends, is closed; an error
    becomes a :class:`CarWarning`.

    A file that is removed or replaced while it is open for writing is noticed: :meth:`flush` raises, and what was put
    can still be read from this object; :meth:`close` finishes the file that was opened, wherever it is now, and raises.
    Nothing is written to the file that has taken its place.

    Use :meth:`open` to make one.

    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/hello.car"
    >>> cid = cids.make(cids.RAW, hashes.sha2_256(b"hello world"))
    >>> with CarFile.open(path, "x") as file:
    ...     file.put(cid, b"hello world")
    ...     file.roots = [cid]
    True
    >>> with CarFile.open(path) as file:
    ...     print(file.roots[0], file.get(cid), len(file))
    bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e b'hello world' 1
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        mode: Mode = "r",
        *,
        fsync: bool = True,
        roots: Iterable[CID | str | bytes] = (EMPTY_MAP,),
        zero_length_section_as_eof: bool = False,
        allow_truncated: bool = False,
    ) -> None:
        if mode not in ("r", "x", "a"):
            raise ValueError(f'expected the mode "r", "x" or "a", found {mode!r}')
        self._path = Path(path)
        self._appender: Appender | None = None
        self._is_made = False
        """Whether there was no such file before."""
        self._closed = True  # until it is open
        access = Access(mode != "r", zero_length_section_as_eof, allow_truncated)
        binary = [cids.to_bytes(root) for root in roots]
        try:
            if mode == "r":
                self._blocks = open_to_read(self._path, access)
            else:
                self._blocks, self._appender, self._is_made = open_to_write(
                    self._path, binary, access, exclusive=mode == "x", fsync=fsync
                )
        except CarError as error:
            error.of_file(self._path)
            raise
        # Not a method of this object, which would never be dropped then.
        self._finalizer = weakref.finalize(self, close_dropped, self._path, self._blocks, self._appender)
        self._closed = False

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        mode: Mode = "r",
        *,
        fsync: bool = True,
        roots: Iterable[CID | str | bytes] = (EMPTY_MAP,),
        zero_length_section_as_eof: bool = False,
        allow_truncated: bool = False,
    ) -> Self:
        """Open the archive at a path.

        :param mode: "r" reads; "x" makes a new file; "a" reads and appends, and makes the file if it is absent or empty
        :param fsync: wait for the disk at :meth:`flush` and :meth:`close`; without, a machine that stops may lose
            what was flushed, or damage the file
        :param roots: the roots of a new file; others can be set later in their place
        :param zero_length_section_as_eof: take a section of length zero for the end of the archive, as archives that
            are padded with zeros need it. It is for reading: the zeros behind a CARv1 that is appended to are cut off,
            and a CARv2 with zeros in its data is not appended to
        :param allow_truncated: take the whole sections of a CARv2 that was cut off, or whose end is zeros, as those of
            a CARv1 always are; and those behind damage, of an archive whose sections are scanned. A
            :class:`CarWarning` says which bytes are lost. What is put goes behind them, or into damage of its length,
            and :meth:`close` makes a CARv2 an archive again
        :raises FileExistsError: if there is a file and the mode is "x"
        :raises BlockingIOError: if another writer has the file open
        :raises OSError: if it cannot be opened or made
        :raises CarError: if it is no archive, or has no index and is damaged before its last section; it is not changed
        """
        return cls(
            path,
            mode,
            fsync=fsync,
            roots=roots,
            zero_length_section_as_eof=zero_length_section_as_eof,
            allow_truncated=allow_truncated,
        )

    # -- what it is --

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def version(self) -> int:
        """1 or 2."""
        return self._blocks.table.layout.version

    @property
    def writable(self) -> bool:
        """Whether blocks can be put: the file is open for writing, in the process that opened it."""
        return self._appender is not None and not self._appender.closed

    @property
    def closed(self) -> bool:
        """Whether the file was closed."""
        return self._closed

    @property
    def is_current(self) -> bool:
        """Whether the file that is open for writing is still the one at :attr:`path`.

        Ask before you do anything with what is at the path. A file that is open for reading holds no claim to its
        path: for it this is true as long as it is open.

        :raises OSError: if the path cannot be looked at
        """
        return not self._closed and (self._appender is None or self._appender.is_current)

    @property
    def scan_reason(self) -> str | None:
        """Why the blocks were looked for without an index; None if the file's own index is used."""
        return self._blocks.table.scan_reason

    @property
    def lost(self) -> list[tuple[int, int]]:
        """The ranges of bytes between sections that are damaged, each with the position behind it; see :meth:`open`."""
        return list(self._blocks.table.lost)

    @property
    def roots(self) -> list[CID]:
        """The CIDs that the header names, or will name at the next flush.

        They can be set to as many CIDs, of the same length.

        :raises CarError: if there are more or fewer, or they have another length
        :raises io.UnsupportedOperation: if the file is open for reading
        """
        binary = self._blocks.table.layout.roots if self._appender is None else self._appender.roots
        return [cids.from_bytes(root) for root in binary]

    @roots.setter
    def roots(self, roots: Iterable[CID | str | bytes]) -> None:
        self._writer().set_roots([cids.to_bytes(root) for root in roots])

    def check_roots(self, roots: Iterable[CID | str | bytes]) -> None:
        """Require that :attr:`roots` can be set to these; change nothing.

        :raises CarError: if they have not the length of the old ones, or the header has more in it than roots
        :raises io.UnsupportedOperation: if the file is open for reading
        """
        self._writer().check_roots([cids.to_bytes(root) for root in roots])

    # -- reading --

    def get(self, cid: CID | str | bytes, *, verify: bool = True) -> bytes:
        """Return the bytes of a block, verified.

        :param verify: False returns what is in the file
        :raises BlockAbsentError: if the file has no such block; a KeyError too
        :raises HashMismatchError: if its bytes in the file are others
        :raises CarError: if the file is found to be damaged
        """
        binary = cids.to_bytes(cid)
        usual = cids.is_cidv1_sha256(binary)
        if not usual and is_identity(binary):
            return binary[cids.prefix_of(binary).size :]
        key = binary[2:] if usual else key_of(binary)
        blocks = self._open_blocks()
        data = blocks.read_sequential(key) if usual else None
        if data is not None and (not verify or sha2_256(data) == binary[4:]):
            return data
        while True:
            generation = blocks.table.generation
            damaged: HashMismatchError | None = None
            for section in blocks.find(key):
                data = blocks.read(section)
                if not verify or (usual and sha2_256(data) == binary[4:]):
                    return data
                try:
                    verify_digest(binary, data)
                except HashMismatchError as error:
                    damaged = damaged or error.at(section.location.payload_offset).of_file(self._path)
                else:
                    return data
            if not blocks.revalidate(generation):  # the index may have only one of two sections
                try:
                    raise damaged or self._absent(binary)
                finally:
                    del damaged  # an error that its own frame holds is not freed before the garbage collector runs

    def _find(self, binary: bytes) -> SectionRef | None:
        """Return the section of a block, the newest one under the same CID if there is one."""
        key = key_of(binary)
        blocks = self._open_blocks()
        while True:
            generation = blocks.table.generation
            every = blocks.find(key)
            if every:
                return next((section for section in every if section.cid == binary), every[0])
            if not blocks.revalidate(generation):
                return None

    def location(self, cid: CID | str | bytes) -> BlockLocation:
        """Return where in the file a block is; its bytes are there after the next flush at the latest.

        :raises BlockAbsentError: if the file has no such block; a KeyError too
        """
        binary = cids.to_bytes(cid)
        found = None if is_identity(binary) else self._find(binary)
        if found is None:
            raise self._absent(binary)
        return found.location

    def __contains__(self, cid: CID | str | bytes) -> bool:
        binary = cids.to_bytes(cid)
        return is_identity(binary) or self._find(binary) is not None

    def __len__(self) -> int:
        """Return how many blocks there are; identity CIDs, which hold their bytes themselves, do not count."""
        blocks = self._open_blocks()
        blocks.audit()
        index = blocks.table.index
        return len(index) - index.inline + blocks.added.count

    def __iter__(self) -> Iterator[tuple[CID, BlockLocation]]:
        """CID and location of each block, in the order of the file, as they are now; no block is read."""
        blocks = self._open_blocks()
        inside, held = (blocks.sections(), []) if self._appender is None else self._appender.snapshot()
        return _locations(inside, held)

    def _open_blocks(self) -> FileBlocks:
        if self._closed:
            raise ValueError(f"expected an open CarFile, found a closed one: {self._path}")
        return self._blocks

    def _absent(self, cid: bytes) -> BlockAbsentError:
        return BlockAbsentError(f"expected the block {cids.to_text(cid)} in {self._path}, found none")

    # -- writing --

    def _writer(self) -> Appender:
        if self._appender is None:
            self._open_blocks()
            raise UnsupportedOperation(f'expected a file that is open for writing, found mode "r": {self._path}')
        return self._appender

    def put(self, cid: CID | str | bytes, data: bytes, *, verify: bool = True) -> bool:
        """Add a block, unless the file has it under this CID; return whether it was added.

        A block that is there with damaged bytes is written again where it is, also where its length or CID is damaged
        and the index tells its place. A block with an identity CID is not added.

        :param verify: False leaves out the hash, for a block that was verified before
        :raises HashMismatchError: if these are not the bytes that the CID names; nothing is put
        :raises LimitError: if the section would be over 8 MiB, which readers refuse
        :raises OSError: if it cannot be written; nothing is put, and what was put before is still held
        :raises io.UnsupportedOperation: if the file is open for reading
        """
        binary = cids.to_bytes(cid)
        if not isinstance(data, bytes):
            data = bytes(memoryview(data))
        writer = self._writer()
        if verify and not (cids.is_cidv1_sha256(binary) and sha2_256(data) == binary[4:]):
            verify_digest(binary, data)
        return not is_identity(binary) and writer.put(binary, data)

    def flush(self) -> None:
        """Write all that was put, and the roots, to the file, and with ``fsync`` wait for the disk.

        :raises ipld_car.fs.FileReplacedError: if the file was removed or replaced; nothing is written, and what was put
            is still held
        :raises OSError: if something cannot be written; what was put is still held
        """
        self._open_blocks()
        if self._appender is not None:
            self._appender.flush()

    def close(self) -> None:
        """Flush, write the index, close the file and release the lock; closing again does nothing.

        :raises ipld_car.fs.FileReplacedError: if the file was removed or replaced; the one that was opened is finished
        :raises OSError: if something cannot be written; the file is closed, with all that was flushed before
        """
        self._closed = True
        if self._finalizer.detach() is not None:
            close(self._blocks, self._appender)

    def abandon(self) -> None:
        """Close the file as it is: drop what was not flushed, and leave a torn end where it is.

        If opening the file has made it, and nothing was flushed, it is removed. For a file that is open for reading
        this is :meth:`close`.
        """
        self._closed = True
        if self._finalizer.detach() is None:
            return
        appender = self._appender
        removed = self._is_made and appender is not None and not appender.closed and appender.is_as_opened
        try:
            if removed and appender is not None and sys.platform != "win32":  # before another writer can lock it
                appender.remove()
        finally:
            close(self._blocks, appender, finish=False)
        if removed and sys.platform == "win32":  # which removes no file that is open
            self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "writing" if self.writable else "reading"
        return f"<{type(self).__name__} {self._path}: CARv{self.version}, {state}>"


def _locations(
    inside: Iterator[Section], held: list[tuple[int, tuple[bytes, bytes]]]
) -> Iterator[tuple[CID, BlockLocation]]:
    for offset, cid, begin, size in inside:
        if not is_identity(cid):
            yield cids.from_validated(cid), BlockLocation(offset, begin - offset - len(cid), len(cid), size)
    for offset, (cid, data) in held:
        varint_size = len(varint.encode(len(cid) + len(data)))
        yield cids.from_validated(cid), BlockLocation(offset, varint_size, len(cid), len(data))
