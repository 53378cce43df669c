"""The indexes of a dataset that was made by reference: one for each commit, with the sources it took in."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from ipld_castore import MappingCAStore, ReferenceIndex, ReferenceIndexWriter, TieredCAStore
from multiformats import CID

from ipldstore._store.ipld_store import IPLDStore

from .folders import files_below
from .index_roots import IndexRoots

_STAMP: Final = struct.Struct(">QQ")
_SOURCE: Final = struct.Struct(">QQQ")
_OWNER: Final = "dataset"
"""The name of the file that says which dataset the indexes are of."""
_ROOTS: Final = "roots"
"""The name of the file of :class:`IndexRoots`."""
_IN_MEMORY: Final = "a dataset in the memory"
_RECORDS: Final = 1 << 16
"""Records that are copied at a time."""


class Done(NamedTuple):
    """A source that was taken in."""

    name: str
    stamp: bytes
    length: int
    """The length of the dataset along the dimension of concatenation after the source; 0 without a dimension."""


def stamp_of(name: str) -> bytes:
    """Return a stamp that differs between states of a file: size and time; of a folder those of all files in it.

    It is empty for a URL, and where nothing is.
    """
    try:
        status = Path(name).stat()
    except OSError:
        return b""
    return _stamp_of_folder(name) if stat.S_ISDIR(status.st_mode) else _STAMP.pack(status.st_size, status.st_mtime_ns)


def _stamp_of_folder(path: str) -> bytes:
    """Return 16 bytes that depend on the names, sizes and times of all files below a folder."""
    digest = hashlib.blake2b(digest_size=_STAMP.size)
    for folder, folders, files in os.walk(path):
        folders.sort()
        digest.update(f"{folder[len(path) :]}\0\0".encode(errors="surrogateescape"))
        linked = [name for name in folders if os.path.islink(f"{folder}/{name}")]  # noqa: PTH114  # as below
        below = [f"{name}/{rest}" for name in linked for rest in sorted(files_below(f"{folder}/{name}"))]
        for name in [*sorted(files), *below]:
            try:
                status = os.stat(f"{folder}/{name}")  # noqa: PTH116  # a fifth of the time, at each chunk
            except OSError:  # a link to nowhere, or removed by now
                continue
            digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode(errors="surrogateescape"))
    return digest.digest()


class IndexFiles:
    """The indexes of one dataset, in a folder.

    A commit writes an index, freezes, and notes the root. Where a process was killed before the freeze, or the dataset
    was made shorter since, the last sources of the indexes are not in the dataset, as its length tells. That they were
    taken in is forgotten when the next index is written. Their blocks stay: older versions, or another dataset with
    these indexes, may have them. Indexes of other roots than those that the dataset came of do not count, and stay as
    they are: its branches have one folder.

    :param folder: the folder
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stale: list[tuple[Path, set[str]]] = []
        self._owner: str | None = None
        self._roots = IndexRoots(folder / _ROOTS)
        self._own: set[str] = set()
        self._others: set[str] = set()

    def claim(self, store: IPLDStore) -> None:
        """Make the folder that of a dataset alone, from the next index on. A folder beside its dataset needs no claim.

        With indexes of two datasets, sources of one would count for the other, or be forgotten.

        :raises ValueError: if it is that of another dataset
        """
        owner, there = _owner_of(store), self._owner_there()
        are_in_memory = all(text.startswith(_IN_MEMORY) for text in (owner, there or owner))
        is_taken_over = are_in_memory and next(iter(store), None) is None
        if there is not None and there != owner and not is_taken_over:
            raise ValueError(
                f"expected an index folder of its own for {owner}, found that of {there}: {self._folder}. If it is "
                f"the same dataset, which was moved, delete {self._folder / _OWNER}"
            )
        self._owner = owner

    def _owner_there(self) -> str | None:
        beside = self._folder.with_suffix("") if self._folder.suffix == ".references" else self._folder.parent
        if (self._folder / _OWNER).exists():
            return (self._folder / _OWNER).read_text("utf-8") or None  # killed before it was written
        is_beside = beside.is_file() or (self._folder.name == "references" and (beside / "HEAD").is_file())
        return os.path.realpath(beside) if is_beside and self._paths() else None

    def find(self, store: IPLDStore, dimension: str | None) -> None:
        """Find which indexes are those of a dataset.

        :param dimension: the dimension of concatenation
        :raises IPLDStoreError: if a node of the dataset cannot be read
        """
        self._others = self._roots.others(store, dimension)

    def was_in(self, name: str) -> bool:
        """Return whether a source was taken in, and what the dataset has now did not come of that."""
        return any(
            done.name == name for path in self._paths() if path.name in self._others for done in _sources_in(path)
        )

    def note(self, root: CID) -> None:
        """Note the root that a commit gave, after :meth:`writer`."""
        self._roots.note(root, self._own)

    def done(self, length: int | None) -> list[Done]:
        """Return the sources that a dataset has taken in. Nothing is changed.

        :param length: how long the dataset is along the dimension of concatenation; None if that is not known, and all
            sources of the indexes are taken for taken in
        """
        found: list[Done] = []
        total = 0
        self._stale, self._own = [], set()
        for path in self._paths():
            if path.name in self._others:
                continue
            self._own.add(path.name)
            own = _sources_in(path)
            fitting = 0
            for done in own:
                if self._stale or (length is not None and total + done.length > length):
                    break  # neither it nor those behind it are in the dataset
                total += done.length
                fitting += 1
            found += own[:fitting]
            if own[fitting:]:
                self._stale.append((path, {done.name for done in own[fitting:]}))
        return found

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("*.index")) if self._folder.is_dir() else []

    def remove_if_empty(self) -> None:
        """Remove the folder, unless there is an index in it."""
        with suppress(OSError):
            if not self._paths():
                for name in (_OWNER, _ROOTS):
                    (self._folder / name).unlink(missing_ok=True)
            self._folder.rmdir()

    def writer(self) -> ReferenceIndexWriter:
        """Return a writer of the next index. Sources that the dataset lacks are forgotten."""
        while self._stale:
            _forget_sources(*self._stale.pop())
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._owner is not None:
            (self._folder / _OWNER).write_text(self._owner, "utf-8")
        paths = self._paths()
        number = int(paths[-1].stem) + 1 if paths else 1
        path = self._folder / f"{number:06}.index"
        self._own.add(path.name)
        return ReferenceIndexWriter(path)


def _owner_of(store: IPLDStore) -> str:
    """Return a text that identifies a dataset by its place."""
    castore = store.castore
    while isinstance(castore, TieredCAStore):
        castore = castore.far
    if isinstance(castore, MappingCAStore):
        return f"{_IN_MEMORY} of process {os.getpid()}, {castore.address}"
    return os.path.realpath(castore.address) if Path(castore.address).exists() else castore.address


def source_stamp(done: Done) -> bytes:
    """Return the stamp of a source in an index, which says that it was taken in."""
    size, time = _STAMP.unpack(done.stamp) if done.stamp else (0, 0)
    return _SOURCE.pack(size, time, done.length)


def _done(name: str, stamp: bytes) -> Done | None:
    if len(stamp) != _SOURCE.size:
        return None
    size, time, length = _SOURCE.unpack(stamp)
    return Done(name, _STAMP.pack(size, time) if size or time else b"", length)


def _sources_in(path: Path) -> list[Done]:
    return [done for file in ReferenceIndex(path).files() if (done := _done(file.name, file.stamp)) is not None]


def _forget_sources(path: Path, names: set[str]) -> None:
    """Write an index anew with the same blocks, and without the stamps of some sources."""
    index = ReferenceIndex(path)
    with ReferenceIndexWriter(path, made_here=index.made_here) as writer:
        for file in index.files():
            done = _done(file.name, file.stamp) if file.name in names else None
            writer.file(file.name, file.stamp if done is None else done.stamp)
        for start in range(0, len(index), _RECORDS):
            writer.add_records(index.raw_records(start, start + _RECORDS))
