"""The tree of a dataset while it changes: a frozen root, and over it the directories along changed paths."""

from __future__ import annotations

from ipld_car import cids

from . import _keys, _lookup
from ._checks import MAX_BELOW_ROOT
from ._directory import FULL, Directory, Frozen
from ._errors import NodeError
from ._freeze import freeze
from ._limits import LIMITS, Limits
from ._nodes import Folder, NodeStore, as_root
from ._plain import drop_plain, prune, put_plain

EMPTY_MAP = b"\xa0"


class Tree:
    """Keys with their documents and links. Whoever calls sees to it that one thread at a time does.

    :param nodes: where nodes are read and written
    :param root: binary CID of a root; None for an empty dataset
    """

    _recent: tuple[list[str], Directory] | None = None
    """Path and directory of the array that got the last chunk, and likely gets the next; nothing else changed since."""

    def __init__(self, nodes: NodeStore, root: bytes | None = None, limits: Limits = LIMITS) -> None:
        self._nodes = nodes
        self._limits = limits
        self._frozen: bytes | None = root
        self._top: _lookup.AnyDirectory = Frozen({}) if root is None else Frozen(self._load_root(root))

    def _load_root(self, root: bytes) -> dict[str, object]:
        folder: Folder = self._nodes.load(root, as_root)
        if folder.depth > MAX_BELOW_ROOT:
            raise NodeError(
                f"node {cids.to_text(root)}: expected directories at most {MAX_BELOW_ROOT} parts below the root, "
                f"found one at {folder.depth}"
            )
        return folder.map

    @property
    def root(self) -> bytes | None:
        """Binary CID of the root; None while there are changes that no root has."""
        return self._frozen

    @property
    def top(self) -> _lookup.AnyDirectory:
        """The root directory as it is now."""
        return self._top

    @property
    def changed(self) -> bool:
        """Whether there are changes that no root has."""
        return isinstance(self._top, Directory)

    def snapshot(self) -> _lookup.AnyDirectory:
        """The root directory as it is now; later changes do not reach it."""
        return self._top.snapshot() if isinstance(self._top, Directory) else self._top

    # -- changing --

    def _change(self) -> Directory:
        """The root directory, ready to change."""
        if isinstance(self._top, Frozen):
            self._top = Directory.over(self._top.map, self._nodes.load)
        self._frozen = None
        self._recent = None
        return self._top

    def put(self, parts: list[str], found: _lookup.Found) -> None:
        """Give a key its document or link."""
        name = parts[-1]
        if name in _keys.DOCUMENTS:
            self._make(parts[:-1]).put_document(name, found)
            return
        assert isinstance(found, bytes)  # noqa: S101  # only a document is data itself
        if self._put_next_chunk(parts, found):
            return
        visited = self._visit(parts)
        holder = self._holder(parts, visited)
        if holder is None:
            self._put_plain(parts, found)
        elif len(visited) == len(parts) and visited[-1].entry(name, self._nodes.load) is not None:
            self._drop_plain(parts)
        for at, directory in enumerate(visited):
            rest = "/".join(parts[at:])
            if directory is holder:
                directory.put_chunk(rest, found)
            elif directory.has_chunks and _keys.is_chunk_key(rest):
                directory.drop_chunk(rest, self._nodes.load)
        if visited[-1] is holder and not any(directory.has_chunks for directory in visited[:-1]):
            self._recent = (parts[: len(visited) - 1], holder)

    def _put_next_chunk(self, parts: list[str], link: bytes) -> bool:
        """The short way for a chunk of the same array as the one before, if that is all there is to it."""
        if self._recent is None:
            return False
        path, holder = self._recent
        start = len(path)
        if (
            parts[:start] != path
            or holder.name_base is not None
            or start == len(parts)
            or parts[start] in holder.entries
        ):
            return False
        rest = "/".join(parts[start:])
        if not _keys.is_chunk_key(rest) or not (holder.owner(self._nodes.load) == FULL or rest.startswith("c")):
            return False
        holder.put_chunk(rest, link)
        return True

    def _visit(self, parts: list[str]) -> list[Directory]:
        """The directories on the way of a key, ready to change, as far as there are any."""
        visited = [self._change()]
        for name in parts[:-1]:
            directory = visited[-1].open(name, self._nodes.load)
            if directory is None:
                break
            visited.append(directory)
        return visited

    def _holder(self, parts: list[str], visited: list[Directory]) -> Directory | None:
        """The directory among those visited whose chunk key this is: the nearest that owns chunks, if the form fits."""
        for at in range(len(visited) - 1, -1, -1):
            owner = visited[at].owner(self._nodes.load)
            if owner is not None:
                rest = "/".join(parts[at:])
                fits = _keys.is_chunk_key(rest) and (owner == FULL or rest.startswith("c"))
                return visited[at] if fits else None
        return None

    def _make(self, parts: list[str]) -> Directory:
        directory = self._change()
        for name in parts:
            directory = directory.make(name, self._nodes.load)
        return directory

    def _put_plain(self, parts: list[str], link: bytes) -> None:
        put_plain(self._make(parts[:-1]), parts[-1], link, self._nodes.load)

    def _drop_plain(self, parts: list[str]) -> None:
        """Have no entry for a key, and no empty directory that it leaves."""
        drop_plain(self._change(), parts, self._nodes.load)

    def drop(self, parts: list[str]) -> None:
        """Have no such key; the caller knows that there is one."""
        name = parts[-1]
        if name in _keys.DOCUMENTS:
            visited = self._visit(parts)
            visited[-1].put_document(name, None)
            prune(visited, parts, self._nodes.load)
            return
        for at, directory in enumerate(self._visit(parts)):
            rest = "/".join(parts[at:])
            if directory.has_chunks and _keys.is_chunk_key(rest):
                directory.drop_chunk(rest, self._nodes.load)
        self._drop_plain(parts)

    def drop_below(self, parts: list[str]) -> None:
        """Have no keys below a path. Indexes below it are not read."""
        if not parts:
            self._top, self._frozen, self._recent = Directory(), None, None
            return
        above_it, directory = _lookup.path_to(self._top, parts, self._nodes.load)
        if directory is None and not above_it:
            return
        path = "/".join(parts)
        visited = self._visit([*parts, ""])
        start = 0
        for at, directory in enumerate(visited[: len(parts)]):
            prefix = path[start:] + "/"
            if directory.has_chunks:
                for key in [key for key, _ in _lookup.chunks_of(directory, self._nodes.load) if key.startswith(prefix)]:
                    directory.drop_chunk(key, self._nodes.load)
            start += len(parts[at]) + 1
        if len(visited) > len(parts):
            above, below = visited[len(parts) - 1], visited[len(parts)]
            above.put_entry(parts[-1], below.value, self._nodes.load)
            del visited[len(parts) :]
        prune(visited, parts, self._nodes.load)

    def clear(self) -> None:
        """Have no keys."""
        self.drop_below([])

    # -- freezing --

    def freeze(self) -> bytes:
        """Write what has changed; returns the binary CID of the root, from which the tree goes on.

        If it fails nothing is lost: the changes are still there.
        """
        if self._frozen is None:
            if isinstance(self._top, Frozen):  # nothing was ever set
                block = EMPTY_MAP
            else:
                block = freeze(self._top, self._nodes, self._limits)
            root = self._nodes.put_encoded(block)
            self._top = Frozen(self._nodes.adopt(root, block, as_root).map)
            self._frozen, self._recent = root, None
        return self._frozen
