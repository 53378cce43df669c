"""``ipld-car extract``: UnixFS files, folders and links out of an archive, into a folder and nowhere else.

All is written into a new folder beside its place, and moved there when the archive has turned out to be good. Links
are made last, so no file is written through one.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from ipld_car import cids, unixfs
from ipld_car._cli.exit_codes import FailedError, NoEntryError, RefusedError
from ipld_car._cli.progress import Progress
from ipld_car.errors import LimitError, MalformedError
from ipld_car.unixfs import Kind, PBLink

from .blocks import Blocks, find_path, split_cid, split_path

MAX_DEPTH: Final = 256
"""Folders in each other."""


class Extracted(NamedTuple):
    """A file or link that was written, or could not be."""

    path: str
    """In the archive, with a slash in front."""
    cid: bytes
    size: int
    missing: bool


@dataclass
class Result:
    """What came of it."""

    files: int = 0
    """Files and links."""
    skipped: int = 0
    """Entries whose blocks are not in the archive."""
    unknown: int = 0
    """Shards of directories that are not in the archive, with nobody knows how many entries."""


@dataclass
class Extraction:
    """One run.

    :param blocks: the archive
    :param tell: gets each file and link that is written, and each that lacks a block
    """

    blocks: Blocks
    tell: Callable[[Extracted], None]
    progress: Progress
    max_entries: int
    """Files, folders and links in all: a few blocks that link each other can stand for more than any disk holds."""
    result: Result = field(default_factory=Result)

    def to_folder(self, roots: list[bytes], paths: list[str], output: Path, *, force: bool) -> None:
        """Write what is at the paths below the roots into a folder, which need not be there.

        :param paths: of files and folders, below any of the roots, or a CID that they begin with; no path is all
            there is
        :param force: replace files that are there
        :raises CarError: if the archive is bad, or names a place outside the folder; nothing is written
        :raises RefusedError: if something is there already; nothing is written
        """
        output = Path(os.path.realpath(output))
        beside = output if output.is_dir() else output.parent
        with tempfile.TemporaryDirectory(prefix=".ipld-car-", dir=beside) as stage:
            tree = Path(stage, "tree")
            tree.mkdir()
            writer = _Writer(self, tree)
            for path in paths or [""]:
                start, inside = split_cid(path)
                for link in self._find(roots if start is None else [start], inside):
                    writer.write(link, inside)
            writer.make_links()
            if not self.result.files and self.result.skipped + self.result.unknown:
                raise FailedError("no files extracted: the archive has none of their blocks")
            _move(tree, output, force=force)

    def _find(self, roots: list[bytes], path: str) -> list[PBLink]:
        """What is at a path below the roots, or some of them.

        :raises NoEntryError: if there is nothing
        """
        found: list[PBLink] = []
        nothing: NoEntryError | None = None
        for root in roots:
            try:
                found.append(find_path(self.blocks, root, path))
            except NoEntryError as error:
                nothing = nothing or error
        if nothing is not None and not found:
            raise nothing
        return found


class _Folder(NamedTuple):
    """A folder that is being written."""

    names: tuple[str, ...]
    """Its path."""
    entries: Iterator[PBLink]


class _Writer:
    """Writes into a folder that nobody else knows."""

    def __init__(self, run: Extraction, tree: Path) -> None:
        self._run = run
        self._get = run.blocks.get
        self._tree = tree
        self._links: list[tuple[tuple[str, ...], bytes, str]] = []
        self._entries = 0
        self._seen: set[bytes] = set()

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
        if self._entries > self._run.max_entries:
            raise LimitError(f"expected at most {self._run.max_entries} entries, found more: --max-entries raises it")
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
            target = unixfs.read_symlink(self._get, link.cid)
            check_link(names, target)
            self._links.append((names, link.cid, target))
        else:
            self._file(link.cid, names)

    def _kind(self, cid: bytes, names: tuple[str, ...]) -> Kind | None:
        """What an entry is; None if its block is missing, which is told."""
        try:
            return unixfs.kind_of(self._get, cid)
        except KeyError:
            self._missing(cid, names)
            return None

    def _is_folder(self, cid: bytes) -> bool:
        return cid in self._run.blocks and unixfs.kind_of(self._get, cid) is Kind.DIRECTORY

    def _make_folder(self, folder: tuple[str, ...], names: tuple[str, ...]) -> None:
        try:
            self._place(folder).mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):  # a file is in its place, or above it
            raise _again(names) from None

    def _missing(self, cid: bytes, names: tuple[str, ...]) -> None:
        self._run.result.skipped += 1
        self._run.tell(Extracted("/" + "/".join(names), cid, 0, missing=True))

    def _unknown_shard(self, _: bytes) -> None:
        self._run.result.unknown += 1

    def _file(self, cid: bytes, names: tuple[str, ...]) -> None:
        place = self._place(names)
        size = 0
        try:
            self._check_room(cid, names)
            with place.open("xb") as file:
                for piece in unixfs.read(self._get, cid):
                    file.write(piece)
                    size += len(piece)
                    self._run.progress.advance(len(piece))
        except KeyError:
            place.unlink(missing_ok=True)
            self._missing(cid, names)
        except FileExistsError:
            raise _again(names) from None
        else:
            self._run.result.files += 1
            self._run.tell(Extracted("/" + "/".join(names), cid, size, missing=False))

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
            self._run.result.files += 1
            self._run.tell(Extracted("/" + "/".join(names), cid, 0, missing=False))


def _digest(cid: bytes, names: tuple[str, ...]) -> bytes:
    """What stands for an entry where all of them are held: paths may be long."""
    return hashlib.blake2b(b"\0".join([*map(str.encode, names), cid]), digest_size=16).digest()


def _again(names: tuple[str, ...]) -> MalformedError:
    return MalformedError(
        f"expected each path once, found /{'/'.join(names)} again with another CID, or one that is the same on this "
        "system: of several roots, say at which CID to begin, with a PATH of CID, or CID/NAME"
    )


def _check_system_name(name: str) -> None:
    """Refuse a name that means more than a name to this system."""
    if os.sep in name or (os.altsep and os.altsep in name) or (os.name == "nt" and (":" in name or name[-1] in " .")):
        raise MalformedError(f"expected a name that this system can hold, found {name[:100]!r}")


def check_link(names: tuple[str, ...], target: str) -> None:
    """Refuse a symbolic link that could lead out of the folder.

    What is good is ``../`` as often as there are folders above the link, and then a path without ``..``: these
    folders are no links, and where the rest leads over other links, these were checked likewise.

    :param names: the path of the link
    :raises MalformedError: if it is absolute, or goes up further than that, or later on
    """
    parts = [part for part in target.split("/") if part not in ("", ".")]
    above = 0
    while above < len(parts) and parts[above] == "..":
        above += 1
    leaves = not target or "\0" in target or target.startswith("/") or above > len(names) - 1 or ".." in parts[above:]
    if leaves or (os.name == "nt" and ("\\" in target or ":" in target)):
        raise MalformedError(
            f"expected a symbolic link that stays in the folder, found /{'/'.join(names)} -> {target[:200]!r}"
        )


# -- into place --------------------------------------------------------------------------------------


def _move(tree: Path, output: Path, *, force: bool) -> None:
    """Move what is in a folder into another one, which may be there, with other things in it."""
    if not os.path.lexists(output):
        tree.rename(output)
        return
    moves = list(_moves(tree, output, force=force))
    for source, target in moves:
        source.replace(target)


def _moves(tree: Path, output: Path, *, force: bool) -> Iterator[tuple[Path, Path]]:
    """What to move where; folders that are there already are kept, and filled.

    :raises RefusedError: if something else is there
    """
    waiting = [(tree, output)]
    while waiting:
        source, target = waiting.pop()
        if not os.path.lexists(target):
            yield source, target
        elif _is_folder(source) and _is_folder(target):
            waiting += [(below, target / below.name) for below in sorted(source.iterdir(), reverse=True)]
        elif not force or _is_folder(source) or _is_folder(target):
            raise RefusedError(f"{target} is there already: nothing is written{'' if force else ' (--force replaces)'}")
        else:
            yield source, target


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
