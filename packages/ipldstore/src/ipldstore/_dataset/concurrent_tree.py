"""The tree of a dataset, for threads that read and change it at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, TypeVar

from ipld_castore import ContentAddressableStore

from ipldstore._foreign.nodes import ForeignNodes
from ipldstore._foreign.recognition import ForeignTree, contents_of, open_tree
from ipldstore._format import keys
from ipldstore._format.bulk.index import LinkArrays
from ipldstore._format.chunk_form import ChunkForm
from ipldstore._format.index_tree import Leaf
from ipldstore._format.limits import Limits
from ipldstore._format.nodes import Load, NodeNotCached, NodeStore, decode_root
from ipldstore._read.prefetch_policy import LeafLinks
from ipldstore._read.reader import reader_of
from ipldstore._tree import lookup
from ipldstore._tree.chunk_cursor import ChunkCursor
from ipldstore._tree.consolidated import may_be_consolidated
from ipldstore._tree.directory import Directory, Frozen
from ipldstore._tree.freeze import freeze
from ipldstore._tree.grouping import group_by_array
from ipldstore._tree.stats import Stats, count
from ipldstore._tree.tree import EMPTY_ROOT, NextChunk
from ipldstore.errors import store_errors

from .castores import OverlayCAStore

T = TypeVar("T")

_BULK: Final = 1 << 14
"""Links of one array from which on they are set together, which writes the nodes of its index with them."""

_MAX_LISTED: Final = 256
"""Subdirectories of a listed group that are prefetched."""


class ConcurrentTree:
    """A :class:`~ipldstore._tree.tree.Tree` behind a lock. Safe with threads.

    :param nodes: where nodes are read and written
    :param root: binary CID of a root; None for an empty dataset
    :param foreign_nodes: where nodes of roots of other makers are read
    """

    def __init__(self, nodes: NodeStore, root: bytes | None, limits: Limits, foreign_nodes: ForeignNodes) -> None:
        self._nodes = nodes
        self._limits = limits
        self._foreign_nodes = foreign_nodes
        self._tree = open_tree(nodes, root, limits, foreign_nodes)
        self.foreign = contents_of(self._tree)
        """The contents of a root of another maker, which are only read; None for a dataset of this format."""
        self.next_chunk = self._tree.next_chunk
        """See :meth:`Tree.next_chunk`."""
        self.lock = threading.RLock()
        """Held while the tree changes; a thread may take it again."""
        self._versions = 0
        self._cursor: ChunkCursor | None = None
        """The array of the chunk that was found last."""
        self._consolidated: tuple[object, bool] | None = None

    def renew_lock(self) -> None:
        """Replace the lock in the child of a fork, where a thread of the parent may hold it."""
        self.lock = threading.RLock()

    def require_own_format(self) -> None:
        """Require that the tree can be changed.

        :raises IPLDStoreError: if the root is one of another maker
        """
        if self.foreign is not None and isinstance(self._tree, ForeignTree):  # the first is quick
            raise self._tree.refusal()

    # -- finding keys --

    @property
    def top(self) -> lookup.AnyDirectory:
        """The root directory as it is now."""
        return self._tree.top

    def snapshot(self) -> lookup.AnyDirectory:
        """Return the root directory as it is now; later changes do not reach it."""
        with self.lock:
            return self._tree.snapshot()

    def read(self, action: Callable[[lookup.AnyDirectory, Load], T]) -> T:
        """Return the result of an action on the tree as it is now. No lock is held while blocks are read."""
        top = self._tree.top
        if isinstance(top, Frozen):  # it never changes
            return action(top, self._nodes.load)
        loaded: dict[tuple[bytes, Any], Any] = {}
        while True:
            try:
                with self.lock:
                    return action(self._tree.top, self._nodes.cached_load(loaded))
            except NodeNotCached as missing:
                loaded[missing.cid, missing.decoder] = self._nodes.load(missing.cid, missing.decoder, missing.hint)

    def find(self, key: str) -> lookup.KeyTarget | None:
        """Return the document or link of a key; None if it is absent, or the format does not allow it."""
        found = self._find_by_cursor(key)
        if found is not None:
            return found[0]
        parts = keys.parts_of(key)
        if parts is None:
            return None

        def find(top: lookup.AnyDirectory, load: Load) -> lookup.KeyTarget | None:
            def note(depth: int, directory: lookup.AnyDirectory) -> None:
                self._cursor = ChunkCursor.at(top, parts, depth, directory, load)

            return lookup.find(top, parts, load, note)

        return self.read(find)

    def has_at_hand(self, key: str) -> bool:
        """Return whether :meth:`find` reads no block for a key."""
        try:
            with self.lock:
                lookup.find(self._tree.top, key.split("/"), self._nodes.cached_load({}))
        except NodeNotCached:
            return False
        return True

    def find_cached(self, key: str) -> tuple[bytes, bytes] | None:
        """Return the link of a chunk and the CID of the leaf that has the link, if both are known without any reading.

        None where the key is no chunk, the tree has changes, or a block has to be read.
        """
        if self.foreign is not None:
            value = self.foreign.find_cached(key)
            return None if value is None or not isinstance(value[0], bytes) else (value[0], value[1].cid)
        found = self._find_by_cursor(key)
        return None if found is None else (found[0], found[2])

    def _find_by_cursor(self, key: str) -> tuple[bytes, Leaf, bytes] | None:
        """See :meth:`ChunkCursor.find`; None also where the cursor belongs to another tree, or the tree has changes."""
        cursor = self._cursor
        return cursor.find(key) if cursor is not None and cursor.frozen and cursor.top is self._tree.top else None

    def leaf_of(self, key: str, link: bytes) -> LeafLinks | None:
        """Return the index leaf that has just given the link of a key; None without one."""
        if self.foreign is not None:
            value = self.foreign.find_cached(key)
            return None if value is None or not value[1].links else value[1]
        found = None if self._cursor is None else self._cursor.find(key)
        return None if found is None or found[0] != link else LeafLinks(found[2], found[1].links.values())

    def items(self, prefix: str) -> Iterator[tuple[str, lookup.AnyTarget]]:
        """Return all keys that begin with a prefix, as they are now, each with what is found for it."""
        if self.foreign is not None:
            return self.foreign.items(prefix)
        return lookup.items(self.snapshot(), self._nodes.load, prefix)

    def names(self, directory: str, prefetch: Callable[[Iterator[bytes]], None]) -> Iterator[str]:
        """Return the names directly below a directory, each once; "" is the root.

        :param prefetch: loads nodes together, of which a caller that goes on to read metadata needs each
        """
        if self.foreign is not None:
            return self.foreign.names(directory)
        return self._names(self.snapshot(), directory.split("/") if directory else [], prefetch)

    def _names(
        self, top: lookup.AnyDirectory, parts: list[str], prefetch: Callable[[Iterator[bytes]], None]
    ) -> Iterator[str]:
        prefetch(islice(lookup.directory_links(top, parts, self._nodes.load), _MAX_LISTED))
        yield from lookup.names(top, parts, self._nodes.load)

    # -- changing keys --

    def put(self, key: str, target: lookup.KeyTarget, place: NextChunk | None = None, only_new: bool = False) -> None:
        """Set the document or link of a key, which the format allows.

        :param place: what :meth:`next_chunk` has said
        :param only_new: leave the key as it is if it is there
        """
        with self.lock:
            if place is None or not self._tree.put_next(place, target):
                parts = key.split("/")
                if only_new and self._has(parts):
                    return
                self._tree.put(parts, target)
            self._versions += 1

    def try_put_next(self, key: str, put_block: Callable[[], bytes | None]) -> bool:
        """Set the link of the chunk after the last one, without waiting for another thread; return whether it is set.

        :param put_block: puts the block, and returns its link; None if something has to be waited for. It is called
            only if the key is that of the next chunk.
        """
        if not self.lock.acquire(blocking=False):
            return False
        try:
            place = self._tree.next_chunk(key)
            link = None if place is None else put_block()
            if place is None or link is None:
                return False
            self._versions += 1
            return self._tree.put_next(place, link)
        finally:
            self.lock.release()

    def drop(self, key: str) -> bool:
        """Delete a key; return whether it was there."""
        parts = key.split("/")
        with self.lock:
            if not self._has(parts):
                return False
            self._tree.drop(parts)
            self._versions += 1
            return True

    def drop_below(self, directory: str) -> None:
        """Delete all keys below a directory; "" is the root."""
        with self.lock:
            self._tree.drop_below(directory.split("/") if directory else [])
            self._versions += 1

    def graft(self, parts: list[str], directory: dict[str, Any]) -> bool:
        """Do as :meth:`Tree.graft`, and return whether it was done: it is not where there are keys below the path."""
        with self.lock:
            if self._has_below(parts):
                return False
            self._tree.graft(parts, directory)
            self._versions += 1
            return True

    def move(self, old: list[str], new: list[str]) -> bool:
        """Do as :meth:`Tree.move`, and return whether it was done: it is not where there are keys at the new path."""
        with self.lock:
            if self._has_below(new):
                return False
            self._tree.move(old, new)
            self._versions += 1
            return True

    def subtree(self, parts: list[str]) -> bytes | None:
        """See :meth:`Tree.subtree`."""
        with self.lock:
            return self._tree.subtree(parts)

    def apply(self, changes: Mapping[str, lookup.KeyTarget | None]) -> None:
        """Set the documents or links of keys; None deletes a key. Many links of one array are set at once.

        :raises ValueError: if the format does not allow a key
        """
        with self.lock:
            if len(changes) < _BULK:
                self._apply_each(changes.items())
            else:
                self._apply_in_bulk(changes)
            self._versions += bool(changes)

    def _apply_each(self, changes: Iterable[tuple[str, lookup.KeyTarget | None]]) -> None:
        for key, target in changes:
            place = None if target is None else self._tree.next_chunk(key)
            if target is not None and place is not None and self._tree.put_next(place, target):
                continue
            parts = keys.split_key(key)
            if target is not None:
                self._tree.put(parts, target)
            elif self._has(parts):
                self._tree.drop(parts)

    def _apply_in_bulk(self, changes: Mapping[str, lookup.KeyTarget | None]) -> None:
        """Set the links of each array that gets many at once; they may be chunks of arrays that are new too."""
        links: dict[str, bytes] = {}
        others: list[tuple[str, lookup.KeyTarget | None]] = []
        for key, target in changes.items():
            if isinstance(target, bytes) and key.rpartition("/")[2] not in keys.DOCUMENTS and keys.is_key(key):
                links[key] = target
            else:
                others.append((key, target))
        self._apply_each(others)
        groups, rest = group_by_array(links.items(), self._metadata_of)
        self._apply_each(rest.items())
        for path, group in groups.items():
            parts = path.split("/") if path else []
            if len(group) < _BULK or not self._tree.put_links(parts, group.form, group.arrays()):
                self._apply_each(group.items(path))

    def _metadata_of(self, path: str) -> Mapping[str, Any] | None:
        """Return the metadata of an array; None if no node has them as data."""
        parts = path.split("/") if path else []
        for name in (keys.ZARR_JSON, keys.ZARRAY):
            found = lookup.find(self._tree.top, [*parts, name], self._nodes.load)
            if isinstance(found, dict):
                return {"zarr_format": 2, **found} if name == keys.ZARRAY else found
        return None

    def put_links(self, path: str, form: ChunkForm, new: LinkArrays) -> None:
        """Set many links of an array, as :meth:`put` sets each.

        :param path: the path of the array; "" is the root
        :raises ValueError: if the format does not allow one of the keys; nothing has changed then
        """
        parts = path.split("/") if path else []
        with self.lock:
            is_small = len(new.coordinates) <= self._limits.leaf
            if is_small or not self._tree.put_links(parts, form, new):
                prefix = f"{path}/" if path else ""
                for numbers, link in zip(new.coordinates.tolist(), new.links, strict=True):
                    key, target = prefix + form.key(numbers), link.tobytes()
                    place = self._tree.next_chunk(key)
                    if place is None or not self._tree.put_next(place, target):
                        self._tree.put(keys.split_key(key), target)
            self._versions += 1

    def _has_below(self, parts: list[str]) -> bool:
        prefix = "".join(f"{part}/" for part in parts)
        return next(lookup.items(self._tree.top, self._nodes.load, prefix), None) is not None

    def _has(self, parts: list[str]) -> bool:
        return lookup.find(self._tree.top, parts, self._nodes.load) is not None

    # -- roots --

    @property
    def root(self) -> bytes | None:
        """Binary CID of the root; None while there are changes that are not frozen."""
        with self.lock:
            return self._tree.root

    @property
    def frozen_root(self) -> bytes | None:
        """Binary CID of the root that changes are made to; None before the first freeze of an empty dataset."""
        with self.lock:
            return self._tree.frozen

    @property
    def changed(self) -> bool:
        """Whether there are changes that are not frozen."""
        with self.lock:
            return self._tree.changed

    @property
    def version(self) -> int | bytes:
        """The root of frozen contents, else a number that changes with each change."""
        with self.lock:
            return self._versions if self._tree.changed else self._tree.root or EMPTY_ROOT

    def go_to(self, root: bytes, *, discard_changes: bool, instead_of: bytes | None = None) -> bool:
        """Go on from a root; return whether that was done.

        :param discard_changes: lose changes that are not frozen; else nothing is done where there are any
        :param instead_of: binary CID of a root: nothing is done where the contents are others; None for any contents
        :raises IPLDStoreError: if the root cannot be read; then nothing changes
        """
        tree = open_tree(self._nodes, root, self._limits, self._foreign_nodes)
        with self.lock:
            if self._tree.changed and not discard_changes:
                return False
            if instead_of is not None and self._tree.root != instead_of:
                return False
            self._tree, self.next_chunk = tree, tree.next_chunk
            self.foreign, self._cursor = contents_of(tree), None
            self._versions += 1
            return True

    def freeze(self) -> bytes:
        """Write the nodes that have changed; return the binary CID of the root. See :meth:`Tree.freeze`."""
        with self.lock:
            return self._tree.freeze()

    # -- looking at all of it --

    def may_be_consolidated(self) -> bool:
        """See :func:`may_be_consolidated`."""
        if self.foreign is not None:
            return True
        version = self.version
        if self._consolidated is None or self._consolidated[0] != version:
            self._consolidated = (version, self.read(lambda top, _: may_be_consolidated(top)))
        return self._consolidated[1]

    def stats(self, castore: ContentAddressableStore) -> Stats:
        """Return the numbers of keys and index blocks, as freezing would make them. Nothing is written.

        :param castore: where the nodes are
        """
        if self.foreign is not None:
            return Stats(sum(1 for _ in self.foreign.items()), 0)
        with self.lock:
            root, top = self._tree.frozen, self._tree.snapshot() if self._tree.changed else None
        if top is None and root is None:
            return Stats(0, 0)
        nodes = self._nodes
        if isinstance(top, Directory):
            overlay = OverlayCAStore(castore)
            nodes = NodeStore(overlay, reader_of(overlay))
            with store_errors("counting"):
                root = nodes.put_encoded(freeze(top, nodes, self._limits))
        assert root is not None  # noqa: S101  # a tree without changes has one
        return count(nodes.load(root, decode_root).map, nodes.load, self._limits)
