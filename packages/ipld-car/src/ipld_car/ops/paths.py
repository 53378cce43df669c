"""UnixFS in an archive: the entry at a path, everything below a root, the bytes of a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from multiformats import CID

from ipld_car import cids, unixfs
from ipld_car.errors import CarError, LimitError
from ipld_car.unixfs import Kind, PBLink

from .archive import Archive, Source, missing_block, open_archive
from .errors import EntryNotFoundError, Meter, OperationError, Progress

MAX_DEPTH: Final = 256
"""Directories in each other."""
MISSING: Final = "missing"
"""The kind of an entry whose block is not in the archive."""
MISSING_SHARD: Final = "missing shard"
"""The kind of what stands for the entries of a directory that are in a block that is not in the archive."""


class PathEntry(NamedTuple):
    """A file, directory or link below a root, or what stands for entries that are not known."""

    path: str
    """Names joined by ``/``, without one in front; for a shard that is missing, the path of the directory."""
    cid_bytes: bytes
    """The binary CID."""
    kind: str
    """A :class:`~ipld_car.unixfs.Kind`, or ``missing``, or ``missing shard``."""

    @property
    def cid(self) -> CID:
        """The CID of the entry."""
        return cids.from_bytes(self.cid_bytes)


def split_path(path: str) -> list[str]:
    """Return the names in a path inside an archive, which may begin or end with a slash.

    :raises CarError: if one of them is no name
    """
    inside = path.strip("/")
    names = inside.split("/") if inside else []
    for name in names:
        unixfs.check_name(name)
    return names


def split_cid(path: str) -> tuple[bytes | None, str]:
    """Return the CID that a path begins with, if it does, and the rest of the path."""
    first, _, rest = path.removeprefix("/ipfs/").strip("/").partition("/")
    try:
        return cids.to_bytes(first), rest
    except CarError:
        return None, path


def find_path(archive: Archive, root: bytes, path: str) -> PBLink:
    """Return the entry at a path below a root; the root itself for no path.

    :raises EntryNotFoundError: if there is none
    :raises OperationError: if a block on the way is missing, so that it is not known
    """
    link = PBLink(root, "", None)
    for name in split_path(path):
        try:
            found = None
            if unixfs.kind_of(archive.get, link.cid) is Kind.DIRECTORY:
                found = unixfs.find_entry(archive.get, link.cid, name)
        except KeyError:
            raise missing_block(link.cid, f"on the way to {path!r}") from None
        if found is None:
            raise EntryNotFoundError(f"expected {path!r} below {cids.to_text(root)}, found no entry {name!r}")
        link = found
    return link


def walk_paths(archive: Archive, root: bytes) -> Iterator[PathEntry]:
    """Yield everything below a root of UnixFS, a directory before what is in it.

    :raises CarError: if a directory is bad
    """
    waiting = [iter([PBLink(root, "", None)])]
    paths = [""]
    shards: list[bytes] = []
    while waiting:
        link = next(waiting[-1], None)
        for shard in shards:  # that are missing between the entry before and this one
            yield PathEntry(paths[-1], shard, MISSING_SHARD)
        shards.clear()
        if link is None:
            waiting.pop()
            paths.pop()
            continue
        path = f"{paths[-1]}/{link.name}" if paths[-1] else link.name or ""
        if link.cid not in archive:
            if not path:
                raise missing_block(root, "as root")
            yield PathEntry(path, link.cid, MISSING)
            continue
        kind = unixfs.kind_of(archive.get, link.cid)
        if path or kind is not Kind.DIRECTORY:
            yield PathEntry(path, link.cid, kind)
        if kind is Kind.DIRECTORY:
            if len(paths) > MAX_DEPTH:
                raise LimitError(f"expected directories nested at most {MAX_DEPTH} deep, found more")
            waiting.append(unixfs.read_directory(archive.get, link.cid, missing=shards.append))
            paths.append(path)


def list_paths(
    source: Source, *, zero_length_section_as_eof: bool = False, progress: Progress | None = None
) -> Iterator[PathEntry]:
    """Yield the files, directories and links below the roots of an archive, a directory before what is in it.

    Entries whose blocks are missing are given too, and one entry for each missing shard of a directory. The archive is
    open until the iterator ends or is closed.

    :param source: path, bytes or stream
    :param zero_length_section_as_eof: see :func:`verify`
    :param progress: see :data:`Progress`
    :raises CarError: if the archive cannot be read, or its roots are no UnixFS
    :raises OSError: if the source cannot be read

    >>> import io
    >>> from ipld_car import ops
    >>> archive = io.BytesIO()
    >>> made = ops.create(archive, [ops.NamedFile("a.txt", b"one"), ops.NamedFile("b.txt", b"two")])
    >>> [(entry.path, str(entry.kind)) for entry in ops.list_paths(archive.getvalue())]
    [('a.txt', 'file'), ('b.txt', 'file')]
    """
    with open_archive(source, zero_length_section_as_eof=zero_length_section_as_eof, progress=progress) as archive:
        for root in archive.start():
            yield from walk_paths(archive, root)


def cat(
    source: Source,
    path: str = "",
    *,
    start: int = 0,
    stop: int | None = None,
    zero_length_section_as_eof: bool = False,
    progress: Progress | None = None,
) -> Iterator[bytes]:
    """Yield the bytes of a UnixFS file in an archive, piece by piece; only the blocks that have them are read.

    The archive is open until the iterator ends or is closed.

    :param source: path, bytes or stream
    :param path: names joined by ``/``, below the one root, or beginning with a CID; no path is the root itself
    :param start: the first byte
    :param stop: the position behind the last byte, by default the end of the file
    :param zero_length_section_as_eof: see :func:`verify`
    :param progress: see :data:`Progress`
    :raises OperationError: if there is no file, or a block of it is missing
    :raises CarError: if the archive or a block is bad
    :raises OSError: if the source cannot be read

    >>> import io
    >>> from ipld_car import ops
    >>> archive = io.BytesIO()
    >>> made = ops.create(archive, [ops.NamedFile("a.txt", b"one"), ops.NamedFile("b.txt", b"two")])
    >>> b"".join(ops.cat(archive.getvalue(), "b.txt", start=1))
    b'wo'
    """
    with open_archive(source, zero_length_section_as_eof=zero_length_section_as_eof, progress=progress) as archive:
        cid, inside = split_cid(path)
        (root,) = [cid] if cid else archive.start(single=True)
        meter = Meter(progress, "reading", None if stop is None else stop - start)
        for piece in read_file(archive, root, inside, start, stop):
            yield piece
            meter.advance(len(piece))


def read_file(archive: Archive, root: bytes, path: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """Yield the bytes of the file at a path below a root, piece by piece.

    :raises OperationError: if there is no file, or a block of it is missing
    """
    link = find_path(archive, root, path)
    wanted = link.cid

    def get(cid: bytes) -> bytes:
        nonlocal wanted
        wanted = cid
        return archive.get(cid)

    try:
        kind = unixfs.kind_of(get, link.cid)
        if kind is not Kind.FILE:
            raise OperationError(f"expected a file at {path or cids.to_text(root)!r}, found a {kind}")
        yield from unixfs.read(get, link.cid, start, stop)
    except KeyError:
        raise missing_block(wanted, "of the file") from None
