"""Files and folders as UnixFS in an archive.

Everything is read twice. First each file is hashed, which gives the root; where the bytes of each leaf are is noted,
and nodes are kept. Then the blocks are written, from the root on, and each leaf is read once more, and verified. So an
archive is written in the order in which its readers want it, even into a pipe, without a copy of the data.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple, Self

from multiformats import CID

from ipld_car import cids, unixfs
from ipld_car._graph.walk import walk_binary
from ipld_car.errors import CarError, HashMismatchError
from ipld_car.hashes import verify_digest
from ipld_car.streams import Source as BytesOrStream
from ipld_car.unixfs import PBLink, Tree

from .archive import on_disk
from .errors import Meter, Progress, RefusedError
from .output import Target, check_not_input, stat_of, write_archive


class NamedFile(NamedTuple):
    """A file that :func:`create` takes from memory or a stream."""

    name: str
    """Its name in the archive."""
    data: BytesOrStream


class Added(NamedTuple):
    """A file, folder or link that is in the archive."""

    path: str
    """In the archive; empty for the directory around all."""
    cid: CID
    size: int
    """Bytes of a file; 0 of anything else."""

    def __repr__(self) -> str:
        return cids.record_repr(self)


class Created(NamedTuple):
    """An archive that :func:`create` made."""

    root: CID
    blocks: int

    def __repr__(self) -> str:
        return cids.record_repr(self)


def create(  # noqa: PLR0913  # each is of use alone
    target: Target,
    sources: Iterable[str | os.PathLike[str] | NamedFile],
    *,
    version: int = 2,
    wrap: bool = True,
    hidden: bool = True,
    chunk_size: int = unixfs.CHUNK_SIZE,
    max_links: int = unixfs.MAX_LINKS,
    on_added: Callable[[Added], object] | None = None,
    progress: Progress | None = None,
) -> Created:
    """Make an archive of files and folders as UnixFS, with the CIDs that IPFS gives them.

    Neither modes nor times are kept: the same contents have the same CID.

    :param target: path or stream; what is there is left out if it is in one of the folders
    :param sources: paths of files, folders and symbolic links; a :class:`NamedFile` is a file from memory or a stream
    :param version: of the archive that is written
    :param wrap: make a directory that names the sources the root; False makes the one source the root
    :param hidden: take what begins with a dot, too
    :param chunk_size: bytes of a leaf
    :param max_links: links in a node of a file
    :param on_added: called with each file, folder and link when it is hashed
    :param progress: see :data:`Progress`
    :raises RefusedError: if the target is a source, a source is neither file, folder nor link, or has a name that
        cannot be kept, or a file changes while it is read; nothing is written
    :raises OSError: if something cannot be read or written

    >>> import tempfile
    >>> from ipld_car import ops
    >>> path = tempfile.mkdtemp() + "/hello.car"
    >>> made = ops.create(path, [ops.NamedFile("hello.txt", b"hello world")])
    >>> made.blocks, made.root == ops.get_roots(path)[0]
    (2, True)
    >>> b"".join(ops.cat(path, "hello.txt"))
    b'hello world'
    """
    every = list(sources)
    if not wrap and len(every) != 1:
        raise ValueError(f"expected one source to be the root, found {len(every)}: several need a directory")
    check_not_input(target, *(each for each in every if not isinstance(each, NamedFile)))
    options = _Options(chunk_size, max_links, wrap, hidden, stat_of(target))
    with plan_archive(every, options, on_added or (lambda _: None), Meter(progress, "hashing")) as plan:
        meter = Meter(progress, "writing")
        with write_archive(target, [plan.root], version) as out:
            plan.write(out.append, meter)
    return Created(cids.from_bytes(plan.root), out.blocks)


class Leaf(NamedTuple):
    """Where the bytes of a leaf are."""

    path: Path
    offset: int
    size: int


@dataclass
class _Options:
    """How the archive is made."""

    chunk_size: int = unixfs.CHUNK_SIZE
    max_links: int = unixfs.MAX_LINKS
    wrap: bool = True
    hidden: bool = True
    leave_out: os.stat_result | None = None
    """A file that is not added: the archive itself, by whatever path."""


@dataclass
class Plan:
    """The contents of an archive that is to be written."""

    root: bytes = b""
    blocks: dict[bytes, Leaf | bytes] = field(default_factory=dict)

    def put(self, cid: bytes, data: bytes) -> None:
        """Keep a node."""
        self.blocks[cid] = data

    def write(self, write: Callable[[bytes, bytes], object], meter: Meter) -> None:
        """Write all blocks, depth first from the root, each once.

        :raises RefusedError: if a file has changed since it was planned
        """
        with _Leaves() as leaves:

            def get(cid: bytes) -> bytes:
                where = self.blocks[cid]
                return where if isinstance(where, bytes) else leaves.read(cid, where)

            for cid, data in walk_binary(get, self.root):
                write(cid, data)
                meter.advance(len(data))


class _Leaves:
    """Reads leaves out of their files, of which one at a time is open."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def read(self, cid: bytes, leaf: Leaf) -> bytes:
        if self._file is None or self._path != leaf.path:
            if self._file is not None:
                self._file.close()
            self._file, self._path = leaf.path.open("rb"), leaf.path
        self._file.seek(leaf.offset)
        data = self._file.read(leaf.size)
        try:
            verify_digest(cid, data)
        except HashMismatchError:
            raise RefusedError(f"{leaf.path} has changed while it was read: nothing is written, try again") from None
        return data


@contextmanager
def plan_archive(
    sources: Iterable[str | os.PathLike[str] | NamedFile],
    options: _Options,
    on_added: Callable[[Added], object],
    meter: Meter,
) -> Iterator[Plan]:
    """Hash files and folders; the plan holds while the context does.

    :raises RefusedError: if something is neither file, folder nor link, or has a name that cannot be kept
    """
    plan = Plan()
    planner = _Planner(plan, options, on_added, meter)
    with ExitStack() as stack:
        links = []
        for source in sources:
            if isinstance(source, NamedFile):
                name = source.name
                tree = planner.file(stack.enter_context(on_disk(source.data)), name)
            else:
                name = Path(os.path.abspath(source)).name  # noqa: PTH100 - resolve() would follow a link
                tree = planner.tree(Path(source), name)
            links.append(PBLink(tree.cid, name, tree.graph_size))
        if options.wrap:
            plan.root = planner.directory(links, "").cid
        else:
            (link,) = links
            plan.root = link.cid
        yield plan


class _Folder(NamedTuple):
    """A folder that is being read."""

    path: Path
    inside: str
    """Its path in the archive."""
    entries: Iterator[Path]
    links: list[PBLink]


class _Planner:
    def __init__(self, plan: Plan, options: _Options, on_added: Callable[[Added], object], meter: Meter) -> None:
        self._plan = plan
        self._options = options
        self._on_added = on_added
        self._meter = meter

    def tree(self, path: Path, inside: str) -> Tree:
        """Plan a file, a link, or a folder with all below it."""
        if not _is_folder(path):
            return self._entry(path, inside)
        folders = [self._folder(path, inside)]
        while True:
            folder = folders[-1]
            below = next(folder.entries, None)
            if below is None:
                folders.pop()
                tree = self.directory(folder.links, folder.inside)
                if not folders:
                    return tree
                folders[-1].links.append(PBLink(tree.cid, folder.path.name, tree.graph_size))
            elif _is_folder(below):
                folders.append(self._folder(below, f"{folder.inside}/{below.name}"))
            else:
                tree = self._entry(below, f"{folder.inside}/{below.name}")
                folder.links.append(PBLink(tree.cid, below.name, tree.graph_size))

    def _folder(self, path: Path, inside: str) -> _Folder:
        return _Folder(path, inside, iter(sorted(filter(self._is_wanted, path.iterdir()))), [])

    def _is_wanted(self, path: Path) -> bool:
        if path.name.startswith(".") and not self._options.hidden:
            return False
        itself = self._options.leave_out
        return itself is None or not os.path.samestat(path.lstat(), itself)

    def _entry(self, path: Path, inside: str) -> Tree:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return self._added(inside, self._symlink(path))
        if not stat.S_ISREG(mode):
            raise RefusedError(f"{path}: expected a file, a folder or a symbolic link")
        return self.file(path, inside)

    def _symlink(self, path: Path) -> Tree:
        target = os.readlink(path)  # noqa: PTH115 - a Path would not keep it as it is
        try:
            return unixfs.build_symlink(target, self._plan.put)
        except UnicodeEncodeError:
            raise RefusedError(f"{path}: expected a link to a path in UTF-8, found {target!r}") from None

    def file(self, path: Path, inside: str) -> Tree:
        """Plan a file."""
        position = 0

        def put(cid: bytes, data: bytes) -> None:
            nonlocal position
            if cids.codec_of(cid) != cids.RAW:
                self._plan.put(cid, data)
                return
            self._plan.blocks.setdefault(cid, Leaf(path, position, len(data)))
            position += len(data)
            self._meter.advance(len(data))

        with path.open("rb") as stream:
            options = self._options
            tree = unixfs.build_stream(stream, put, chunk_size=options.chunk_size, max_links=options.max_links)
        return self._added(inside, tree)

    def directory(self, links: list[PBLink], inside: str) -> Tree:
        """Plan a directory."""
        try:
            tree = unixfs.build_directory(links, self._plan.put)
        except CarError as error:
            raise RefusedError(f"{inside or 'the archive'}: {error.message}") from None
        return self._added(inside, tree)

    def _added(self, inside: str, tree: Tree) -> Tree:
        self._on_added(Added(inside, cids.from_bytes(tree.cid), tree.file_size))
        return tree


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)
