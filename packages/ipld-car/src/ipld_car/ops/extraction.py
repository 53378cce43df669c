"""UnixFS files, folders and links out of an archive, into a folder and nowhere else.

All is written into a new folder beside its place, and moved there when the archive has turned out to be good. Links
are made last, so no file is written through one.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from multiformats import CID

from ipld_car import cids, unixfs
from ipld_car.errors import LimitError, MalformedError
from ipld_car.messages import Message, Term
from ipld_car.unixfs import Kind, PBLink

from .archive import Archive, Source, open_archive
from .comparison import MAX_ENTRIES
from .errors import EntryNotFoundError, Meter, OperationError, Progress
from .paths import find_path, split_cid, split_path

MAX_DEPTH: Final = 256
"""Folders in each other."""


class ExtractedEntry(NamedTuple):
    """A file or link that was written, or was not."""

    path: str
    """In the archive, with a slash in front."""
    cid: CID
    size: int
    """Bytes of a file; 0 of a link."""
    missing: bool = False
    """Whether it was left out, as blocks of it are not in the archive."""
    unsafe_target: str | None = None
    """Where a link leads that was left out, as it leads out of the folder."""

    def __repr__(self) -> str:
        return cids.record_repr(self)


class Extracted(NamedTuple):
    """The result of :func:`extract`."""

    files: int
    """Files and links that were written."""
    missing: int
    """Entries that were left out, as their blocks are not in the archive."""
    missing_shards: int
    """Blocks of sharded directories that are not in the archive, with any number of entries."""
    unsafe_links: int
    """Links that were left out, as they lead out of the folder."""


def extract(  # noqa: PLR0913  # each is of use alone
    source: Source,
    folder: str | os.PathLike[str],
    paths: Iterable[str] = (),
    *,
    force: bool = False,
    skip_unsafe_links: bool = False,
    max_entries: int = MAX_ENTRIES,
    on_entry: Callable[[ExtractedEntry], object] | None = None,
    zero_length_section_as_eof: bool = False,
    progress: Progress | None = None,
) -> Extracted:
    """Write the files, folders and links of an archive of UnixFS into a folder.

    Every block is verified. Entries of which blocks are missing are left out and counted.

    :param source: path, bytes or stream
    :param folder: need not be there
    :param paths: names joined by ``/``, below one of the roots at least, or beginning with a CID; none for all there is
    :param force: replace files that are there
    :param skip_unsafe_links: leave out symbolic links that are absolute or lead out of the folder, instead of writing
        nothing
    :param max_entries: refuse archives with more files, folders and links: a few blocks can stand for any number
    :param on_entry: called with each file and link that is written, or left out
    :param zero_length_section_as_eof: see :func:`verify`
    :param progress: see :data:`Progress`
    :raises CarError: if the archive is bad, or names a place outside the folder; nothing is written
    :raises FileExistsError: if a file is there and ``force`` is false; nothing is written
    :raises OSError: if something cannot be read or written

    >>> import io, pathlib, tempfile
    >>> from ipld_car import ops
    >>> archive, folder = io.BytesIO(), pathlib.Path(tempfile.mkdtemp())
    >>> _ = ops.create(archive, [ops.NamedFile("a.txt", b"one"), ops.NamedFile("b.txt", b"two")])
    >>> _ = ops.extract(archive.getvalue(), folder, ["b.txt"])
    >>> [(path.name, path.read_bytes()) for path in folder.iterdir()]
    [('b.txt', b'two')]
    """
    with open_archive(source, zero_length_section_as_eof=zero_length_section_as_eof, progress=progress) as archive:
        roots = archive.start()
        output = Path(os.path.realpath(folder))
        beside = output if output.is_dir() else output.parent
        with tempfile.TemporaryDirectory(prefix=".ipld-car-", dir=beside) as stage:
            tree = Path(stage, "tree")
            tree.mkdir()
            meter = Meter(progress, "extracting")
            writer = _Writer(archive, tree, on_entry or (lambda _: None), meter, max_entries, skip_unsafe_links)
            for path in list(paths) or [""]:
                start, inside = split_cid(path)
                for link in _find(archive, roots if start is None else [start], inside):
                    writer.write(link, inside)
            writer.make_links()
            done = writer.result
            if not done.files and done.missing + done.missing_shards:
                raise OperationError("no files extracted: the archive has none of their blocks")
            _move(tree, output, force=force)
            return done


def _find(archive: Archive, roots: list[bytes], path: str) -> list[PBLink]:
    """Return what is at a path below the roots, or some of them.

    :raises EntryNotFoundError: if there is nothing
    """
    found: list[PBLink] = []
    nothing: str | None = None
    for root in roots:
        try:
            found.append(find_path(archive, root, path))
        except EntryNotFoundError as error:
            nothing = nothing or error.message
    if nothing is not None and not found:
        raise EntryNotFoundError(nothing)
    return found


class _Folder(NamedTuple):
    """A folder that is being written."""

    names: tuple[str, ...]
    """Its path."""
    entries: Iterator[PBLink]


class _Writer:
    """Writes into a folder of its own."""

    def __init__(
        self,
        archive: Archive,
        tree: Path,
        on_entry: Callable[[ExtractedEntry], object],
        meter: Meter,
        max_entries: int,
        skip_unsafe_links: bool,
    ) -> None:
        self._archive = archive
        self._get = archive.get
        self._tree = tree
        self._on_entry = on_entry
        self._meter = meter
        self._max_entries = max_entries
        self._skip_unsafe_links = skip_unsafe_links
        self._links: list[tuple[tuple[str, ...], bytes, str]] = []
        self._entries = 0
        self._seen: set[bytes] = set()
        self.result = Extracted(0, 0, 0, 0)

    def _count(self, entry: ExtractedEntry) -> None:
        done = self.result
        if entry.missing:
            self.result = done._replace(missing=done.missing + 1)
        elif entry.unsafe_target is not None:
            self.result = done._replace(unsafe_links=done.unsafe_links + 1)
        else:
            self.result = done._replace(files=done.files + 1)
        self._on_entry(entry)

    def write(self, link: PBLink, path: str) -> None:
        """Write what was found at a path.

        What was written at that place already, below another root or of another path, is not written again.
        """
        names = tuple(split_path(path))
        for name in names:
            _check_system_name(name)
        if not names and not self._is_folder(link.cid):
            names = (cids.to_text(link.cid),)  # it has no other name
        self._make_folder(names[:-1], names)
        folders: list[_Folder] = []
        self._entry(link, names, folders)
        while folders:
            folder = folders[-1]
            entry = next(folder.entries, None)
            if entry is None:
                folders.pop()
            else:
                self._entry(entry, (*folder.names, entry.name or ""), folders)

    def _place(self, names: tuple[str, ...]) -> Path:
        return self._tree.joinpath(*names)

    def _entry(self, link: PBLink, names: tuple[str, ...], folders: list[_Folder]) -> None:
        """Write one entry; a folder is added to those that are being written."""
        self._entries += 1
        if self._entries > self._max_entries:
            raise LimitError(
                Message(
                    f"expected at most {self._max_entries} entries, found more: ", Term("max_entries"), " raises it"
                )
            )
        if names:
            _check_system_name(names[-1])
        seen = _digest(link.cid, names)
        if seen in self._seen:
            return
        self._seen.add(seen)
        kind = self._kind(link.cid, names)
        if kind is None:
            return
        if kind is Kind.DIRECTORY:
            if len(names) > MAX_DEPTH:
                raise LimitError(f"expected folders nested at most {MAX_DEPTH} deep, found more")
            self._make_folder(names, names)
            folders.append(_Folder(names, unixfs.read_directory(self._get, link.cid, missing=self._unknown_shard)))
        elif kind is Kind.SYMLINK:
            self._symlink(link.cid, names)
        else:
            self._file(link.cid, names)

    def _symlink(self, cid: bytes, names: tuple[str, ...]) -> None:
        target = unixfs.read_symlink(self._get, cid)
        if is_safe_link(names, target):
            self._links.append((names, cid, target))
        elif self._skip_unsafe_links:
            self._count(ExtractedEntry(_shown(names), cids.from_bytes(cid), 0, unsafe_target=target))
        else:
            raise MalformedError(
                Message(
                    f"expected a symbolic link that stays in the folder, found {_shown(names)} -> {target[:200]!r}: ",
                    Term("skip_unsafe_links=True"),
                    " leaves such links out",
                )
            )

    def _kind(self, cid: bytes, names: tuple[str, ...]) -> Kind | None:
        """Return the kind of an entry; None if its block is missing, which is counted."""
        try:
            return unixfs.kind_of(self._get, cid)
        except KeyError:
            self._missing(cid, names)
            return None

    def _is_folder(self, cid: bytes) -> bool:
        return cid in self._archive and unixfs.kind_of(self._get, cid) is Kind.DIRECTORY

    def _make_folder(self, folder: tuple[str, ...], names: tuple[str, ...]) -> None:
        try:
            self._place(folder).mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):  # a file is in its place, or above it
            raise _again(names) from None

    def _missing(self, cid: bytes, names: tuple[str, ...]) -> None:
        self._count(ExtractedEntry(_shown(names), cids.from_bytes(cid), 0, missing=True))

    def _unknown_shard(self, _: bytes) -> None:
        self.result = self.result._replace(missing_shards=self.result.missing_shards + 1)

    def _file(self, cid: bytes, names: tuple[str, ...]) -> None:
        place = self._place(names)
        size = 0
        try:
            self._check_room(cid, names)
            with place.open("xb") as file:
                for piece in unixfs.read(self._get, cid):
                    file.write(piece)
                    size += len(piece)
                    self._meter.advance(len(piece))
        except KeyError:
            place.unlink(missing_ok=True)
            self._missing(cid, names)
        except FileExistsError:
            raise _again(names) from None
        else:
            self._count(ExtractedEntry(_shown(names), cids.from_bytes(cid), size))

    def _check_room(self, cid: bytes, names: tuple[str, ...]) -> None:
        size = unixfs.size_of(self._get, cid)
        free = shutil.disk_usage(self._tree).free
        if size > free:
            raise OSError(errno.ENOSPC, f"expected room for {size} bytes, found {free}", "/".join(names))

    def make_links(self) -> None:
        """Make the links, now that nothing more is written."""
        for names, cid, target in self._links:
            try:
                self._place(names).symlink_to(target)
            except FileExistsError:
                raise _again(names) from None
            self._count(ExtractedEntry(_shown(names), cids.from_bytes(cid), 0))


def _shown(names: tuple[str, ...]) -> str:
    return "/" + "/".join(names)


def _digest(cid: bytes, names: tuple[str, ...]) -> bytes:
    """Return what is held of each entry, as paths may be long."""
    return hashlib.blake2b(b"\0".join([*map(str.encode, names), cid]), digest_size=16).digest()


def _again(names: tuple[str, ...]) -> MalformedError:
    return MalformedError(
        f"expected each path once, found {_shown(names)} again with another CID, or one that is the same on this "
        "system: of several roots, say at which CID to begin, with a PATH of CID, or CID/NAME"
    )


def _check_system_name(name: str) -> None:
    """Refuse a name that means more than a name to this system."""
    if os.sep in name or (os.altsep and os.altsep in name) or (os.name == "nt" and (":" in name or name[-1] in " .")):
        raise MalformedError(f"expected a name that this system can hold, found {name[:100]!r}")


def is_safe_link(names: tuple[str, ...], target: str) -> bool:
    """Return whether a symbolic link cannot lead out of the folder.

    What is safe is ``../`` as often as there are folders above the link, and then a path without ``..``: these
    folders are no links, and where the rest leads over other links, these were checked likewise.

    :param names: the path of the link
    :param target: where it leads
    """
    parts = [part for part in target.split("/") if part not in ("", ".")]
    above = 0
    while above < len(parts) and parts[above] == "..":
        above += 1
    leaves = not target or "\0" in target or target.startswith("/") or above > len(names) - 1 or ".." in parts[above:]
    return not leaves and not (os.name == "nt" and ("\\" in target or ":" in target))


# -- into place --------------------------------------------------------------------------------------


def _move(tree: Path, output: Path, *, force: bool) -> None:
    """Move the contents of a folder into another one, which may be there and have other contents."""
    if not os.path.lexists(output):
        tree.rename(output)
        return
    moves = list(_moves(tree, output, force=force))
    for source, target in moves:
        source.replace(target)


def _moves(tree: Path, output: Path, *, force: bool) -> Iterator[tuple[Path, Path]]:
    """Yield what to move where; folders that are there already are kept, and filled.

    :raises FileExistsError: if something else is there
    """
    waiting = [(tree, output)]
    while waiting:
        source, target = waiting.pop()
        if not os.path.lexists(target):
            yield source, target
        elif _is_folder(source) and _is_folder(target):
            waiting += [(below, target / below.name) for below in sorted(source.iterdir(), reverse=True)]
        elif not force or _is_folder(source) or _is_folder(target):
            hint = "" if force else Message(" (", Term("force=True"), " replaces files)")
            raise FileExistsError(errno.EEXIST, Message("is there already: nothing is written", hint), str(target))
        else:
            yield source, target


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
