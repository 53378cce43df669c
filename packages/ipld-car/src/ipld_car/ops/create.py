"""``ipld-car create``: files and folders as UnixFS in an archive.

Everything is read twice. First each file is hashed, which gives the root, and where the bytes of each leaf are is
noted; nodes are kept. Then the blocks are written, from the root on, and each leaf is read once more, and verified.
So an archive is written in the order in which its readers want it, even into a pipe, without a copy of the data.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple, Self

from ipld_car import cids, unixfs
from ipld_car._cli.exit_codes import RefusedError
from ipld_car._cli.files import STANDARD, on_disk
from ipld_car._cli.progress import Progress
from ipld_car._graph.walk import walk_binary
from ipld_car.errors import CarError, HashMismatchError
from ipld_car.hashes import verify_digest
from ipld_car.unixfs import PBLink, Tree


class Leaf(NamedTuple):
    """Where the bytes of a leaf are."""

    path: Path
    offset: int
    size: int


class Added(NamedTuple):
    """A file, folder or link that is in the archive."""

    path: str
    """In the archive."""
    tree: Tree


@dataclass
class Options:
    """How the archive is made."""

    chunk_size: int = unixfs.CHUNK_SIZE
    max_links: int = unixfs.MAX_LINKS
    wrap: bool = True
    hidden: bool = True
    stdin_name: str = "stdin"
    leave_out: os.stat_result | None = None
    """A file that is not added: the archive itself, by whatever path."""


@dataclass
class Plan:
    """What an archive will hold."""

    root: bytes = b""
    blocks: dict[bytes, Leaf | bytes] = field(default_factory=dict)

    def put(self, cid: bytes, data: bytes) -> None:
        """Keep a node."""
        self.blocks[cid] = data

    def write(self, write: Callable[[bytes, bytes], object], progress: Progress) -> None:
        """Give all blocks, depth first from the root, each once.

        :raises HashMismatchError: if a file has changed since it was planned
        """
        with _Leaves() as leaves:

            def get(cid: bytes) -> bytes:
                where = self.blocks[cid]
                return where if isinstance(where, bytes) else leaves.read(cid, where)

            for cid, data in walk_binary(get, self.root):
                write(cid, data)
                progress.advance(len(data))


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
def planned(sources: list[str], options: Options, tell: Callable[[Added], None], progress: Progress) -> Iterator[Plan]:
    """Hash files and folders; the plan holds while the context does.

    :param sources: paths; ``-`` is standard input
    :param tell: gets each file, folder and link when it is hashed
    :raises RefusedError: if something is neither file, folder nor link, or has a name that cannot be kept
    """
    plan = Plan()
    planner = _Planner(plan, options, tell, progress)
    with ExitStack() as stack:
        links = []
        for source in sources:
            if source == STANDARD:
                name = options.stdin_name
                tree = planner.file(stack.enter_context(on_disk(STANDARD)), name)
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
    def __init__(self, plan: Plan, options: Options, tell: Callable[[Added], None], progress: Progress) -> None:
        self._plan = plan
        self._options = options
        self._tell = tell
        self._progress = progress

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
            return self._told(inside, self._symlink(path))
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
            self._progress.advance(len(data))

        with path.open("rb") as stream:
            options = self._options
            tree = unixfs.build_stream(stream, put, chunk_size=options.chunk_size, max_links=options.max_links)
        return self._told(inside, tree)

    def directory(self, links: list[PBLink], inside: str) -> Tree:
        """Plan a directory."""
        try:
            tree = unixfs.build_directory(links, self._plan.put)
        except CarError as error:
            raise RefusedError(f"{inside or 'the archive'}: {error.message}") from None
        return self._told(inside, tree)

    def _told(self, inside: str, tree: Tree) -> Tree:
        self._tell(Added(inside, tree))
        return tree


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)
