"""The tree of a dataset while it changes: a frozen root, and over it the directories along changed paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ipld_car import cids, hashes

from ipldstore._format import index_tree, keys
from ipldstore._format.limits import LIMITS, Limits
from ipldstore._format.nodes import Folder, Load, NodeStore, as_root
from ipldstore._format.validate import MAX_BELOW_ROOT
from ipldstore.errors import NodeError

from . import lookup
from .directory import FULL, Directory, Frozen
from .freeze import freeze
from .inline import drop_plain, prune, put_plain

EMPTY_MAP: Final = b"\xa0"
EMPTY_ROOT: Final = cids.make(cids.DAG_CBOR, hashes.sha2_256(EMPTY_MAP))

Recent = tuple[str, Directory, str]
"""An array: what its keys begin with, its directory, and what its chunk keys begin with."""

NextChunk = tuple[Recent, str]
"""An array, and a chunk key relative to it."""


class Tree:
    """Keys with their documents and links. Whoever calls sees to it that one thread at a time does.

    :param nodes: where nodes are read and written
    :param root: binary CID of a root; None for an empty dataset
    """

    _recent: Recent | None = None
    """The array that got the last chunk, and likely gets the next; nothing else changed since."""

    def __init__(self, nodes: NodeStore, root: bytes | None = None, limits: Limits = LIMITS) -> None:
        self._nodes = nodes
        self._limits = limits
        self._frozen: bytes | None = root
        self._changed = False
        self._top: lookup.AnyDirectory = Frozen({}) if root is None else Frozen(self._load_root(root))

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
        return None if self._changed else self._frozen

    @property
    def frozen(self) -> bytes | None:
        """Binary CID of the root that the changes are made to; None if there is none."""
        return self._frozen

    @property
    def top(self) -> lookup.AnyDirectory:
        """The root directory as it is now."""
        return self._top

    @property
    def changed(self) -> bool:
        """Whether there are changes that no root has."""
        return self._changed

    def snapshot(self) -> lookup.AnyDirectory:
        """The root directory as it is now; later changes do not reach it."""
        return self._top.snapshot() if isinstance(self._top, Directory) else self._top

    # -- changing --

    # In each, what may fail comes first: whatever is read later has been read before, by the same ``load``.

    def _open_top(self, load: Load) -> Directory:
        """The root directory, ready to change."""
        if isinstance(self._top, Frozen):
            self._top = Directory.over(self._top.map, load)
        return self._top

    def _note_change(self) -> None:
        self._changed, self._recent = True, None

    def put(self, parts: list[str], found: lookup.Found) -> None:
        """Give a key its document or link. If it fails nothing has changed."""
        if parts[-1] in keys.DOCUMENTS:
            self._put_document(parts, found)
            return
        assert isinstance(found, bytes)  # noqa: S101  # only a document is data itself
        load = self._nodes.remembering()
        visited = self._visit(parts, load)
        holder = self._holder(parts, visited, load)
        elsewhere = _kept_apart([None if directory is holder else directory for directory in visited], parts, load)
        if holder is None:
            put_plain(visited[0], parts, found, load)
        else:
            has_entry = _has_entry(visited, parts, load)
        self._note_change()
        for directory, rest in elsewhere:
            directory.drop_chunk(rest, load)
        if holder is not None:
            if has_entry or elsewhere:
                drop_plain(visited[0], parts, load)
            at = visited.index(holder)
            holder.put_chunk("/".join(parts[at:]), found)
            alone = holder is visited[-1] and not any(directory.has_chunks for directory in visited[:-1])
            if alone and holder.name_base is None:
                prefix = "".join(f"{part}/" for part in parts[:at])
                self._recent = prefix, holder, "" if holder.owner(load) == FULL else "c"

    def _put_document(self, parts: list[str], found: lookup.Found) -> None:
        load = self._nodes.remembering()
        directory = self._open_top(load)
        for name in parts[:-1]:
            directory = directory.make(name, load)
        self._note_change()
        directory.put_document(parts[-1], found)

    def next_chunk(self, key: str) -> NextChunk | None:
        """Where a chunk goes that is of the same array as the one before, if that is all there is to it.

        Putting it reads no node then, and the key is one that the format allows. Any thread may ask at any time, as
        :meth:`put_next` looks again.
        """
        recent = self._recent
        if recent is None or not key.startswith(recent[0]):
            return None
        prefix, holder, begin = recent
        rest = key[len(prefix) :]
        if not rest.startswith(begin) or not keys.is_chunk_key(rest) or key.count("/") >= keys.MAX_PARTS:
            return None
        if holder.entries and rest.partition("/")[0] in holder.entries:
            return None
        return recent, rest

    def put_next(self, place: NextChunk, found: lookup.Found) -> bool:
        """Give a chunk its link where :meth:`next_chunk` has said; returns whether that is still its place."""
        recent, rest = place
        if recent is not self._recent or not isinstance(found, bytes):
            return False
        recent[1].put_chunk(rest, found)
        return True

    def _visit(self, parts: list[str], load: Load) -> list[Directory]:
        """The directories on the way of a key, ready to change, as far as there are any."""
        visited = [self._open_top(load)]
        for name in parts[:-1]:
            directory = visited[-1].open(name, load)
            if directory is None:
                break
            visited.append(directory)
        return visited

    def _holder(self, parts: list[str], visited: list[Directory], load: Load) -> Directory | None:
        """The directory among those visited whose chunk key this is: the nearest that owns chunks, if the form fits."""
        for at in range(len(visited) - 1, -1, -1):
            owner = visited[at].owner(load)
            if owner is not None:
                rest = "/".join(parts[at:])
                fits = keys.is_chunk_key(rest) and (owner == FULL or rest.startswith("c"))
                return visited[at] if fits else None
        return None

    def drop(self, parts: list[str]) -> None:
        """Have no such key; the caller knows that there is one. If it fails nothing has changed."""
        load = self._nodes.remembering()
        visited = self._visit(parts, load)
        if parts[-1] in keys.DOCUMENTS:
            self._note_change()
            visited[-1].put_document(parts[-1], None)
            prune(visited, parts)
            return
        apart = _kept_apart(visited, parts, load)
        _has_entry(visited, parts, load)
        self._note_change()
        for directory, rest in apart:
            directory.drop_chunk(rest, load)
        drop_plain(visited[0], parts, load)

    def drop_below(self, parts: list[str]) -> None:
        """Have no keys below a path. Indexes below it are not read. If it fails nothing has changed."""
        if not parts:
            self._top = Directory()
            self._note_change()
            return
        load = self._nodes.remembering()
        above_it, directory = lookup.path_to(self._top, parts, load)
        if directory is None and not above_it:
            return
        visited = self._visit([*parts, ""], load)
        apart = [
            (directory, _chunks_below(directory, "/".join(parts[at:]) + "/", load))
            for at, directory in enumerate(visited[: len(parts)])
            if directory.has_chunks
        ]
        if len(visited) <= len(parts) and not any(new or in_base for _, (new, in_base) in apart):
            return
        self._note_change()
        for directory, (new, in_base) in apart:
            directory.drop_chunks(in_base, load)
            for key in new:
                del directory.chunk_new[key]
        if len(visited) > len(parts):
            below = visited.pop()
            visited[-1].put_entry(parts[-1], below.value, load)
        prune(visited, parts)

    def clear(self) -> None:
        """Have no keys."""
        self.drop_below([])

    # -- freezing --

    def freeze(self) -> bytes:
        """Write what has changed; returns the binary CID of the root, from which the tree goes on.

        If it fails nothing is lost: the changes are still there.
        """
        if self._changed or self._frozen is None:
            if isinstance(self._top, Frozen):  # nothing was ever set
                block = EMPTY_MAP
            else:
                block = freeze(self._top, self._nodes, self._limits)
            root = self._nodes.put_encoded(block)
            self._top = Frozen(self._nodes.adopt(root, block, as_root).map)
            self._frozen, self._changed, self._recent = root, False, None
        return self._frozen


def _has_entry(visited: list[Directory], parts: list[str], load: Load) -> bool:
    """Whether there is an entry for a key, ready to change."""
    if len(visited) < len(parts):
        return False
    visited[-1].open(parts[-1], load)
    return visited[-1].entry(parts[-1], load) is not None


def _kept_apart(visited: Sequence[Directory | None], parts: list[str], load: Load) -> list[tuple[Directory, str]]:
    """The directories on the way of a key that have it apart from their entries, and the key relative to them."""
    found = []
    for at, directory in enumerate(visited):
        if directory is not None and directory.has_chunks:
            rest = "/".join(parts[at:])
            if keys.is_chunk_key(rest) and (directory.has_in_base(rest, load) or rest in directory.chunk_new):
                found.append((directory, rest))
    return found


def _chunks_below(directory: Directory, prefix: str, load: Load) -> tuple[list[str], list[str]]:
    """The chunk keys that begin with a prefix: those that are new, and those that the index of the node has."""
    new = [key for key in directory.chunk_new if key.startswith(prefix)]
    in_base = index_tree.items(index_tree.CHUNKS, directory.chunk_base, load)
    return new, [key for key, _ in in_base if key.startswith(prefix)]
