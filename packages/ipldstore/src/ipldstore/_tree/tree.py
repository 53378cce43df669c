"""The tree of a dataset: a frozen root, and over it the directories along changed paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ipld_car import cids, dagcbor, hashes

from ipldstore._format import index_tree, keys
from ipldstore._format.bulk.index import LinkArrays
from ipldstore._format.chunk_form import ChunkForm
from ipldstore._format.limits import LIMITS, Limits
from ipldstore._format.nodes import DirectoryNode, Load, NodeStore, decode_directory, decode_root
from ipldstore._format.validate import MAX_BELOW_ROOT
from ipldstore.errors import NodeError

from . import lookup
from .bulk import put_links
from .directory import ChunkOwnership, Directory, Frozen
from .freeze import freeze
from .inline import drop_inline, prune, set_inline

EMPTY_MAP: Final = b"\xa0"
EMPTY_ROOT: Final = cids.make(cids.DAG_CBOR, hashes.sha2_256(EMPTY_MAP))

Recent = tuple[str, Directory, str]
"""An array: the beginning of its keys, its directory, and the beginning of its chunk keys, relative to it."""

NextChunk = tuple[Recent, str]
"""An array, and a chunk key relative to it."""


class Tree:
    """The keys of a dataset with their documents and links. Not safe with threads: the caller holds a lock.

    A change that fails has changed nothing: all that may fail comes first, and what is read later was read before, by
    the same pinning ``load``.

    :param nodes: where nodes are read and written
    :param root: binary CID of a root; None for an empty dataset
    """

    _recent: Recent | None = None
    """The array of the chunk that was put last, if nothing else has changed since."""

    def __init__(self, nodes: NodeStore, root: bytes | None = None, limits: Limits = LIMITS) -> None:
        self._nodes = nodes
        self._limits = limits
        self._frozen: bytes | None = root
        self._changed = False
        self._top: lookup.AnyDirectory = Frozen({}) if root is None else Frozen(self._load_root(root))

    def _load_root(self, root: bytes) -> dict[str, object]:
        node: DirectoryNode = self._nodes.load(root, decode_root)
        if node.depth > MAX_BELOW_ROOT:
            raise NodeError(
                f"node {cids.to_text(root)}: expected directories at most {MAX_BELOW_ROOT} parts below the root, "
                f"found one at {node.depth}"
            )
        return node.map

    @property
    def root(self) -> bytes | None:
        """Binary CID of the root; None while there are changes that are not frozen."""
        return None if self._changed else self._frozen

    @property
    def frozen(self) -> bytes | None:
        """Binary CID of the root that changes are made to; None before the first freeze of an empty dataset."""
        return self._frozen

    @property
    def top(self) -> lookup.AnyDirectory:
        """The root directory as it is now."""
        return self._top

    @property
    def changed(self) -> bool:
        """Whether there are changes that are not frozen."""
        return self._changed

    def snapshot(self) -> lookup.AnyDirectory:
        """Return the root directory as it is now; later changes do not reach it."""
        return self._top.snapshot() if isinstance(self._top, Directory) else self._top

    # -- changing --

    def _open_top(self, load: Load) -> Directory:
        """Return the root directory with the means to change it."""
        if isinstance(self._top, Frozen):
            self._top = Directory.over(self._top.map, load)
        return self._top

    def _note_change(self) -> None:
        self._changed, self._recent = True, None

    def put(self, parts: list[str], target: lookup.KeyTarget) -> None:
        """Set the document or link of a key."""
        if parts[-1] in keys.DOCUMENTS:
            self._put_document(parts, target)
            return
        assert isinstance(target, bytes)  # noqa: S101  # only a document is data itself
        load = self._nodes.pinning_load()
        visited = self._visit(parts, load)
        owner = self._owner(parts, visited, load)
        others = _indexed_in(visited, parts, load, besides=owner)
        if owner is None:
            set_inline(visited[0], parts, target, load)
        else:
            has_entry = _has_entry(visited, parts, load)
        self._note_change()
        for directory, rest in others:
            directory.drop_chunk(rest, load)
        if owner is not None:
            if has_entry or others:
                drop_inline(visited[0], parts, load)
            at = visited.index(owner)
            owner.put_chunk("/".join(parts[at:]), target)
            is_only_index = owner is visited[-1] and not any(directory.has_chunks for directory in visited[:-1])
            if is_only_index and owner.name_base is None:
                prefix = "".join(f"{part}/" for part in parts[:at])
                self._recent = prefix, owner, "" if owner.ownership(load) is ChunkOwnership.ALL else "c"

    def _put_document(self, parts: list[str], target: lookup.KeyTarget) -> None:
        load = self._nodes.pinning_load()
        directory = self._open_top(load)
        for name in parts[:-1]:
            directory = directory.make(name, load)
        self._note_change()
        directory.put_document(parts[-1], target)

    def next_chunk(self, key: str) -> NextChunk | None:
        """Return where to put a chunk of the array that got the last one; None where :meth:`put` has to find out.

        Putting it there reads no node, and the format allows the key. Any thread may call this at any time, as
        :meth:`put_next` checks the place again.
        """
        recent = self._recent
        if recent is None or not key.startswith(recent[0]):
            return None
        prefix, owner, begin = recent
        rest = key[len(prefix) :]
        if not rest.startswith(begin) or not keys.is_chunk_key(rest) or key.count("/") >= keys.MAX_PARTS:
            return None
        if owner.entries and rest.partition("/")[0] in owner.entries:
            return None
        return recent, rest

    def put_next(self, place: NextChunk, target: lookup.KeyTarget) -> bool:
        """Set the link of a chunk where :meth:`next_chunk` has said; return whether that is still its place."""
        recent, rest = place
        if recent is not self._recent or not isinstance(target, bytes):
            return False
        recent[1].put_chunk(rest, target)
        return True

    def put_links(self, parts: list[str], form: ChunkForm, new: LinkArrays) -> bool:
        """Set many links of an array; return False, with nothing changed, where :meth:`put` has to set each.

        :param parts: the path of the array
        """
        load = self._nodes.pinning_load()
        visited = self._visit([*parts, ""], load)
        if len(visited) <= len(parts) or not put_links(visited, form, new, self._nodes, self._limits, load):
            return False
        self._note_change()
        return True

    def _visit(self, parts: list[str], load: Load) -> list[Directory]:
        """Return the directories on the path of a key, as far as there are any, with the means to change them."""
        visited = [self._open_top(load)]
        for name in parts[:-1]:
            directory = visited[-1].open(name, load)
            if directory is None:
                break
            visited.append(directory)
        return visited

    def _owner(self, parts: list[str], visited: list[Directory], load: Load) -> Directory | None:
        """Return the directory that owns a key as its chunk key: the nearest that owns chunks, if the form fits."""
        for at in range(len(visited) - 1, -1, -1):
            ownership = visited[at].ownership(load)
            if ownership is not ChunkOwnership.NONE:
                rest = "/".join(parts[at:])
                fits = keys.is_chunk_key(rest) and (ownership is ChunkOwnership.ALL or rest.startswith("c"))
                return visited[at] if fits else None
        return None

    def drop(self, parts: list[str]) -> None:
        """Delete a key, which the caller knows to be there."""
        load = self._nodes.pinning_load()
        visited = self._visit(parts, load)
        if parts[-1] in keys.DOCUMENTS:
            self._note_change()
            visited[-1].put_document(parts[-1], None)
            prune(visited, parts)
            return
        indexed = _indexed_in(visited, parts, load)
        _has_entry(visited, parts, load)
        self._note_change()
        for directory, rest in indexed:
            directory.drop_chunk(rest, load)
        drop_inline(visited[0], parts, load)

    def drop_below(self, parts: list[str]) -> None:
        """Delete all keys below a path. Indexes below it are not read."""
        if not parts:
            self._top = Directory()
            self._note_change()
            return
        load = self._nodes.pinning_load()
        indexed_above, directory = lookup.path_to(self._top, parts, load)
        if directory is None and not indexed_above:
            return
        visited = self._visit([*parts, ""], load)
        indexed = [
            (directory, _chunks_below(directory, "/".join(parts[at:]) + "/", load))
            for at, directory in enumerate(visited[: len(parts)])
            if directory.has_chunks
        ]
        if len(visited) <= len(parts) and not any(new or in_base for _, (new, in_base) in indexed):
            return
        self._note_change()
        for directory, (new, in_base) in indexed:
            directory.drop_chunks(in_base, load)
            for key in new:
                del directory.chunk_new[key]
        if len(visited) > len(parts):
            below = visited.pop()
            visited[-1].put_entry(parts[-1], below.value, load)
        prune(visited, parts)

    def clear(self) -> None:
        """Delete all keys."""
        self.drop_below([])

    # -- whole directories --

    def graft(self, parts: list[str], directory: dict[str, Any]) -> None:
        """Set all keys below a path, where there are none, to those of a directory, of which no node below is read.

        :param directory: the checked map of a root or directory; its ``__ipld_value__`` is not taken
        """
        load = self._nodes.pinning_load()
        below = Directory.over(directory, load)
        below.value = None
        self._place(parts, below, load)

    def take_below(self, parts: list[str], source: Frozen) -> None:
        """Replace all keys below a path by those that another tree has there.

        :param source: the root directory of the other tree
        """
        load = self._nodes.pinning_load()
        above, directory = lookup.path_to(source, parts, load)
        self.drop_below(parts)
        if above:  # keys below the path may be in their indexes
            for key, target in lookup.items(source, self._nodes.load, "".join(f"{part}/" for part in parts)):
                self.put(key.split("/"), target)
        elif isinstance(directory, Frozen):
            self.graft(parts, directory.map)

    def move(self, old: list[str], new: list[str]) -> None:
        """Rename all keys below a path to names below another path, where there are none. No chunk index is read.

        :param old: the path, which has keys below it
        :param new: the other path, which is not at or below the first
        """
        load = self._nodes.pinning_load()
        above, _ = lookup.path_to(self._top, old, load)
        prefix = "".join(f"{part}/" for part in old)
        indexed = [
            (key, link)
            for start, owner in above
            for rest, link in lookup.chunks_of(owner, load)
            if (key := prefix[:start] + rest).startswith(prefix)
        ]
        visited = self._visit([*old, ""], load)
        below = visited[len(old)] if len(visited) > len(old) else None
        _has_entry(self._visit(new, load), new, load)
        self.drop_below(old)
        if below is not None:
            below.value = None
            self._place(new, below, load)
        for key, link in indexed:
            self.put([*new, *key[len(prefix) :].split("/")], link)

    def _place(self, parts: list[str], below: Directory, load: Load) -> None:
        """Set a directory at a path."""
        if below.is_empty():
            return
        directory = self._open_top(load)
        self._note_change()
        if not parts:
            self._top = below
            return
        for name in parts[:-1]:
            directory = directory.make(name, load)
        below.value = lookup.value_of(directory.entry(parts[-1], load), len(parts), load)
        directory.put_entry(parts[-1], below, load)

    def subtree(self, parts: list[str]) -> bytes | None:
        """Return the binary CID of the root that has the keys below a path as its keys; None if there are none.

        It puts the nodes that are new.
        """
        load = self._nodes.pinning_load()
        above, directory = lookup.path_to(self.top, parts, load)
        prefix = "".join(f"{part}/" for part in parts)
        if above and next(lookup.items(self.top, load, prefix), None) is not None:
            made = Tree(self._nodes, limits=self._limits)  # keys may be in the indexes above
            for key, target in lookup.items(self.top, load, prefix):
                made.put(key[len(prefix) :].split("/"), target)
            return made.freeze()
        if directory is None or (isinstance(directory, Directory) and directory.is_empty()):
            return None
        if isinstance(directory, Frozen):
            own = {name: item for name, item in directory.map.items() if name != keys.VALUE}
            block = dagcbor.encode_node(own)
            cid = cids.make(cids.DAG_CBOR, hashes.sha2_256(block))
            if own and self._nodes.cached(cid, decode_directory) is None:  # else it was read as a block of its own
                self._nodes.put_encoded(block)
            return cid if own else None
        copied = directory.snapshot()
        copied.value = None
        block = freeze(copied, self._nodes, self._limits)
        return None if block == EMPTY_MAP else self._nodes.put_encoded(block)

    # -- freezing --

    def freeze(self) -> bytes:
        """Write the nodes that have changed; return the binary CID of the root, to which later changes are made.

        If writing fails nothing is lost: the changes are still there.
        """
        if self._changed or self._frozen is None:
            if isinstance(self._top, Frozen):  # nothing was ever set
                block = EMPTY_MAP
            else:
                block = freeze(self._top, self._nodes, self._limits)
            root = self._nodes.put_encoded(block)
            self._top = Frozen(self._nodes.decode(root, block, decode_root).map)
            self._frozen, self._changed, self._recent = root, False, None
        return self._frozen


def _has_entry(visited: list[Directory], parts: list[str], load: Load) -> bool:
    """Return whether there is an entry for a key; the directory at the entry is opened to be changed."""
    if len(visited) < len(parts):
        return False
    visited[-1].open(parts[-1], load)
    return visited[-1].entry(parts[-1], load) is not None


def _indexed_in(
    visited: Sequence[Directory], parts: list[str], load: Load, besides: Directory | None = None
) -> list[tuple[Directory, str]]:
    """Return the directories on the path of a key that have it indexed, and the key relative to each.

    :param besides: a directory to leave out
    """
    found = []
    for at, directory in enumerate(visited):
        if directory is not besides and directory.has_chunks:
            rest = "/".join(parts[at:])
            if keys.is_chunk_key(rest) and (directory.has_in_base(rest, load) or rest in directory.chunk_new):
                found.append((directory, rest))
    return found


def _chunks_below(directory: Directory, prefix: str, load: Load) -> tuple[list[str], list[str]]:
    """Return the indexed chunk keys that begin with a prefix: the new ones, and those in the index of the node."""
    new = [key for key in directory.chunk_new if key.startswith(prefix)]
    in_base = index_tree.items(index_tree.CHUNKS, directory.chunk_base, load)
    return new, [key for key, _ in in_base if key.startswith(prefix)]
