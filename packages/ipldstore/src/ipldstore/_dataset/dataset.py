"""A dataset: keys and bytes over a block store. What all views of one store share."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Final

from ipld_car import cids
from ipld_castore import ContentAddressableStore, SupportsHead
from ipld_castore.concurrency import process_id, renew_after_fork

from ipldstore._format import keys as _keys
from ipldstore._format.limits import LIMITS, Limits
from ipldstore._format.links import is_directory_link
from ipldstore._format.nodes import NodeStore, decode_root
from ipldstore._read.byte_range import WHOLE, ByteRange
from ipldstore._read.reader import reader_of
from ipldstore._tree import lookup
from ipldstore._tree.consolidated import may_be_consolidated
from ipldstore._tree.directory import Directory
from ipldstore._tree.freeze import freeze
from ipldstore._tree.stats import Stats, count
from ipldstore._tree.tree import EMPTY_ROOT, Tree
from ipldstore._writers.coordinating import CoordinatorSharing
from ipldstore._writers.shared import Sharing
from ipldstore._writers.take_in import OnConflict
from ipldstore.errors import LOWER_ERRORS, ConflictError, IPLDStoreError, store_errors, translated

from . import pickling, processes, values
from .castores import OverlayCAStore
from .finding import KeyFinder
from .value_reader import ValueReader, View, as_it_is

CLOSED: Final = (
    "this store was closed, and what is written now would be lost: open it again, or go on with "
    "IPLDStore(store.castore, root=store.root_cid)"
)


_MAX_LISTED: Final = 256
"""Subdirectories of a listed group that are prefetched."""


class Dataset(KeyFinder):
    """Keys and their bytes. Safe with threads: many may read while one at a time writes.

    Changes live in memory until :meth:`freeze`, so they belong to the process that made them.

    :param castore: where the blocks are
    :param root: binary CID of a root to begin with; None for an empty dataset
    """

    def __init__(self, castore: ContentAddressableStore, root: bytes | None = None, *, limits: Limits = LIMITS) -> None:
        self.castore = castore
        self._limits = limits
        self._reader = reader_of(castore)
        self._nodes = NodeStore(castore, self._reader)
        self._lock = threading.RLock()
        self.values = ValueReader(castore, self._nodes, self._reader)
        """Reads what :meth:`find` has found."""
        self._tree = Tree(self._nodes, root, limits)
        self._persisted_root = self._head() if castore.persist_moves_head else root
        self._unpersisted: bytes | None = None
        """The root that was written last, if the block store has not been told of it."""
        self._versions = 0
        self.whole = self._is_taken_as_whole(root)
        """Whether it is known, or taken for granted, that all is there that the root reaches."""
        self.closed = False
        """Whether nothing may be changed any more."""
        self._consolidated: tuple[object, bool] | None = None
        self.token = uuid.uuid4().hex
        self._home = process_id()
        processes.REGISTRY[self.token] = self
        renew_after_fork(self.renew_locks)
        self.sharing: Sharing | None = None
        """How others write this dataset too; None where it was never given to others."""
        self.origin: pickling.Pickled | None = None
        """The pickle that this is a copy out of, and that its own pickles are."""
        self.own_changes = 0
        """How often this process has changed the contents."""
        self.merged: dict[str, int] = {}
        """Of each fork, up to which number its changes have been merged."""

    # -- shared with others --

    @property
    def lock(self) -> threading.RLock:
        """Held while the dataset changes."""
        return self._lock

    def catch_up(self) -> None:
        """See what others have written."""
        if self.sharing is not None:
            self.sharing.catch_up(self, reading=False)

    @property
    def moves_head(self) -> bool:
        """Whether freezing moves a head of the block store."""
        return self.castore.persist_moves_head

    @property
    def head(self) -> bytes | None:
        """Binary CID of the head that freezing moves on; None without one."""
        return self._persisted_root if self.moves_head else None

    def content_of(self, key: str) -> lookup.KeyTarget | None:
        """Return the document or link of a key, without looking for what others have written."""
        return self._find(key)

    def rebase(self, root: bytes) -> None:
        """Go on from a root that has all of the present one, and more."""
        tree = Tree(self._nodes, root, self._limits)
        with self._lock:
            self._tree = tree
            self._versions += 1

    def apply(self, changes: Mapping[str, lookup.KeyTarget | None]) -> None:
        """Give keys what others have written; None deletes."""
        with self._lock:
            for key, content in changes.items():
                self._apply(key, content)
            self._versions += bool(changes)

    def _apply(self, key: str, content: lookup.KeyTarget | None) -> None:
        place = self._tree.next_chunk(key) if isinstance(content, bytes) else None
        if content is not None and place is not None and self._tree.put_next(place, content):
            return
        parts = _keys.split_key(key)
        if content is not None:
            self._tree.put(parts, content)
        elif lookup.find(self._tree.top, parts, self._nodes.load) is not None:
            self._tree.drop(parts)

    # -- reading --

    def find(self, key: str) -> lookup.KeyTarget | None:
        """Return the document or link of a key; None if it is absent, or the format does not allow it."""
        sharing = self.sharing
        if sharing is None:
            return self._find(key)
        sharing.catch_up(self, reading=True)
        found = self._find(key)
        sharing.remember_read(key, found)
        return found

    def get_cached(self, key: str) -> bytes | None:
        """Return the bytes of a key, if it is a chunk that was prefetched; None where :meth:`read` has to wait."""
        if self.sharing is not None:
            return None
        found = self._find_by_cursor(key)
        return None if found is None else self._reader.get_cached(found[0], found[2])

    def read(self, key: str, byte_range: ByteRange = WHOLE, view: View = as_it_is) -> bytes | None:
        """Return the bytes of a key, or a range of them; None if it is absent.

        :param view: makes of a document the one whose text is returned
        :raises IPLDStoreError: if the key is there and its bytes are missing, damaged or out of reach
        """
        found = self.find(key)
        if found is None:
            return None
        data = self.values.try_read_nowait(found, byte_range, view)
        if data is not None:
            return data
        if byte_range == WHOLE and isinstance(found, bytes) and not is_directory_link(found):
            self._reader.prefetch_value(found, lambda: self._leaf_of(key, found))
        return self.values.read(key, found, byte_range, view)

    def may_be_consolidated(self) -> bool:
        """Return whether the root group has consolidated metadata, or a group below may have. Reads no block."""
        state = self.state
        if self._consolidated is None or self._consolidated[0] != state:
            self._consolidated = (state, self._read(lambda top, _: may_be_consolidated(top)))
        return self._consolidated[1]

    def size(self, key: str) -> int | None:
        """How many bytes a key has; None if it is absent. Of a value no chunk is read."""
        found = self.find(key)
        return None if found is None else self.values.size(key, found)

    def _snapshot(self) -> lookup.AnyDirectory:
        self.catch_up()
        with self._lock:
            return self._tree.snapshot()

    def keys(self, prefix: str = "") -> Iterator[str]:
        """All keys that begin with a prefix, as they were when it was called; they stream."""
        return (key for key, _ in self.items(prefix))

    def items(self, prefix: str = "") -> Iterator[tuple[str, lookup.KeyTarget]]:
        """The same keys, each with what :meth:`find` finds for it."""
        return lookup.items(self._snapshot(), self._nodes.load, prefix)

    def sizes(self, prefix: str) -> Iterator[int]:
        """The size in bytes of each key that begins with a prefix."""
        return (self.values.size(key, found) for key, found in self.items(prefix))

    def names(self, directory: str) -> Iterator[str]:
        """The names directly below a directory, each once; "" is the root."""
        parts = directory.split("/") if directory else []
        return self._names(self._snapshot(), parts)

    def _names(self, top: lookup.AnyDirectory, parts: list[str]) -> Iterator[str]:
        # zarr goes on to read the metadata of each.
        self._reader.prefetch(islice(lookup.directory_links(top, parts, self._nodes.load), _MAX_LISTED))
        yield from lookup.names(top, parts, self._nodes.load)

    # -- changing --

    @property
    def is_home(self) -> bool:
        """Whether this is the process that made the dataset, and not a copy in another."""
        return self._home == process_id()

    def check_home(self) -> None:
        """Refuse to change what another process would never see.

        :raises IPLDStoreError: in any process but the one that made the dataset
        """
        if self.closed:
            raise IPLDStoreError(CLOSED)
        processes.require_owner(self._home)

    def write(self, key: str, data: bytes, *, only_new: bool = False) -> None:
        """Give a key its bytes.

        :param only_new: leave the key as it is if it is there
        :raises ValueError: if the format does not allow the key
        :raises IPLDStoreError: if the block cannot be written, or this is another process
        """
        self.check_home()
        self.catch_up()
        place = None if only_new else self._tree.next_chunk(key)
        parts = _keys.split_key(key) if place is None else None
        if only_new and self.find(key) is not None:
            return
        found: lookup.KeyTarget
        try:
            if parts is None:
                found = values.put_bytes(self.castore, data)
            else:
                found = values.put(self.castore, self._nodes, parts[-1], data)
        except LOWER_ERRORS as error:
            raise translated(f"writing {key!r}", error) from error
        self.own_changes += 1
        if self.sharing is not None:
            self.sharing.record(self, key, found)
            return
        with self._lock:
            if place is None or not self._tree.put_next(place, found):
                parts = parts or key.split("/")
                if only_new and lookup.find(self._tree.top, parts, self._nodes.load) is not None:
                    return
                self._tree.put(parts, found)
            self._versions += 1

    def try_write_nowait(self, key: str, data: bytes) -> bool:
        """Give a key its bytes, if nothing has to be waited for; returns whether it has them. See :meth:`write`.

        So it is for one chunk after the other of an array, in a store that collects what it sends far away.
        """
        self.check_home()
        # Who waits for a disk collects nothing: to ask would be to hash a chunk twice.
        if self.castore.local or self.sharing is not None or not self._lock.acquire(blocking=False):
            return False
        try:
            place = self._tree.next_chunk(key)
            link = None if place is None else values.try_put_nowait(self.castore, data)
            if place is None or link is None:
                return False
            self._versions += 1
            self.own_changes += 1
            return self._tree.put_next(place, link)
        except LOWER_ERRORS as error:
            raise translated(f"writing {key!r}", error) from error
        finally:
            self._lock.release()

    def delete(self, key: str) -> bool:
        """Delete a key; return whether it was there."""
        self.check_home()
        self.catch_up()
        found = self._find(key)
        if self.sharing is not None and _keys.is_key(key):  # also where it is absent: it may depend on what was read
            self.own_changes += 1
            self.sharing.record(self, key, None)
            return found is not None
        if found is None:
            return False
        self.own_changes += 1
        parts = key.split("/")
        with self._lock:
            if lookup.find(self._tree.top, parts, self._nodes.load) is None:
                return False
            self._tree.drop(parts)
            self._versions += 1
            return True

    def delete_below(self, directory: str) -> None:
        """Delete all keys below a directory; "" is the root."""
        self.check_home()
        self.catch_up()
        self.own_changes += 1
        if self.sharing is not None and self.sharing.notes_changes:
            for key in list(self.keys(f"{directory}/" if directory else "")):
                self.sharing.record(self, key, None)
            return
        with self._lock:
            self._tree.drop_below(directory.split("/") if directory else [])
            self._versions += 1

    # -- roots --

    @property
    def root(self) -> bytes | None:
        """Binary CID of the root; None while there are changes that no root has."""
        self.catch_up()
        return self.known_root

    @property
    def known_root(self) -> bytes | None:
        """The root without looking for what others have written."""
        with self._lock:
            return self._tree.root

    @property
    def state(self) -> tuple[object, ...]:
        """Something that is equal for equal contents that are frozen, else for one dataset between two changes."""
        self.catch_up()
        with self._lock:
            if self._tree.changed:
                return self.token, self._versions
            return (self._tree.root or EMPTY_ROOT,)

    @property
    def changed(self) -> bool:
        """Whether there are changes that no root has."""
        self.catch_up()
        with self._lock:
            return self._tree.changed

    @property
    def has_changes(self) -> bool:
        """Whether there are changes that no root has, or the root is of a pickle or of a freeze that then failed."""
        self.catch_up()
        with self._lock:
            return self._tree.changed or (self._unpersisted is not None and self._unpersisted == self._tree.frozen)

    @property
    def needs_persist(self) -> bool:
        """Whether the block store has not been told of the contents as they are."""
        with self._lock:
            return self._tree.changed or self._tree.frozen != self._persisted_root

    def _write_tree(self) -> bytes:
        """Write the nodes that have changed; returns the binary CID of the root."""
        with self._lock:
            if self._tree.changed:
                self.check_home()
            if self._tree.root is not None:
                return self._tree.root
            had_changes = self._tree.changed
            with store_errors("freezing"):
                root = self._tree.freeze()
            self._unpersisted = root if had_changes else None
            return root

    def _flush_tree(self) -> bytes:
        """Write the nodes that have changed and flush the blocks; returns the binary CID of the root."""
        root = self._write_tree()
        with store_errors("flushing the blocks"):
            self.castore.flush()
        return root

    def freeze(self, on_conflict: OnConflict = "raise") -> bytes:
        """Write what has changed and have the blocks kept; returns the binary CID of the root.

        :param on_conflict: what to do where changes of several writers do not follow each other
        """
        if self.sharing is not None and self.sharing.notes_changes:
            return self._root_of_copy()
        root = (
            self.write_for_copies(on_conflict) if isinstance(self.sharing, CoordinatorSharing) else self._write_tree()
        )
        # A copy has written nothing, and what is kept is not its affair; what is closed was kept before.
        if self.is_home and not self.closed:
            before = None if self._persisted_root is None else cids.from_validated(self._persisted_root)
            with store_errors("keeping the blocks"):
                self.castore.persist(cids.from_validated(root), before)
            self._persisted_root = root
            self._unpersisted = None
            if isinstance(self.sharing, CoordinatorSharing):
                self.sharing.watch(False)
        return root

    def end_session(self) -> bool:
        """Refuse what copies write from now on; returns whether there are any. What they wrote can still be taken in.

        :raises ConflictError: if another process has taken the session over; this dataset keeps its changes without it
        """
        return self._of_session(CoordinatorSharing.end)

    def finish_session(self) -> None:
        """Leave the session that has ended, after the last freeze.

        :raises ConflictError: see :meth:`end_session`
        """
        self._of_session(CoordinatorSharing.finish)
        self.sharing = None

    def _of_session(self, action: Callable[[CoordinatorSharing], None]) -> bool:
        if not isinstance(self.sharing, CoordinatorSharing):
            return False
        try:
            action(self.sharing)
        except ConflictError:
            self.sharing = None
            raise
        return True

    def _root_of_copy(self) -> bytes:
        """Return the root of a copy or fork, which another process freezes."""
        root = self.root
        if root is None:
            raise IPLDStoreError(
                "expected the process that the store was copied from to freeze it: this is a copy, whose changes that "
                "process takes in, or a fork, whose changes() it merges"
            )
        return root

    def frozen(self) -> bytes:
        """The binary CID of the root, freezing only if there are changes that no root has."""
        root = self.root
        return self.freeze() if root is None else root

    @property
    def frozen_root(self) -> bytes | None:
        """Binary CID of the root that changes go on from, whether there are any or not; None for an empty dataset."""
        with self._lock:
            return self._tree.frozen

    def _is_taken_as_whole(self, root: bytes | None) -> bool:
        """A root may be of an archive that lacks blocks; far away it is believed, as to find out would take reading it.

        Here that is done when it has to be known.
        """
        return root is None or not self.castore.local

    def _head(self) -> bytes | None:
        """Return the head that this dataset moves when it freezes; None if there is none."""
        castore = self.castore
        if not castore.persist_moves_head or not isinstance(castore, SupportsHead):
            return None
        with store_errors("reading the head"):
            head = castore.head
        return None if head is None else cids.to_bytes(head)

    def require_no_changes(self, what: str) -> None:
        """Return if no changes would be lost.

        :param what: what would lose them
        :raises IPLDStoreError: if there are changes that no root has
        """
        if self.has_changes:
            raise IPLDStoreError(
                f"{what}: expected a store without changes that are not frozen, found some, which would be lost: "
                f"freeze() first, or pass discard_changes=True"
            )

    def set_root(self, root: bytes, what: str, *, discard_changes: bool = False, whole: bool | None = None) -> None:
        """Go on from a root.

        :param what: what is being done, for errors
        :param discard_changes: whether changes that are not frozen may be lost
        :param whole: whether all that the root reaches is known to be there; None if that is not known
        :raises IPLDStoreError: if the root cannot be read, or changes would be lost; then nothing changes
        """
        if self.sharing is not None and self.sharing.notes_changes:
            raise IPLDStoreError(
                "expected a store of this process to take another root: this is a copy or a fork, which changes keys"
            )
        tree = Tree(self._nodes, root, self._limits)
        if not discard_changes:
            self.require_no_changes(what)
        with self._lock:
            if self._tree.changed and not discard_changes:  # another thread has written meanwhile
                self.require_no_changes(what)
            self._tree, self.merged = tree, {}
            self._unpersisted = None
            if self._head() == root:  # others may have moved it there, and this store goes on from it
                self._persisted_root = root
            self.whole = self._is_taken_as_whole(root) if whole is None else whole
            self._versions += 1
            self.own_changes += 1

    def stats(self) -> Stats:
        """Return the numbers of keys and index blocks, as freezing would make them. Nothing is written."""
        self.catch_up()
        with self._lock:
            root, top = self._tree.frozen, self._tree.snapshot() if self._tree.changed else None
        if top is None and root is None:
            return Stats(0, 0)
        nodes = self._nodes
        if isinstance(top, Directory):
            overlay = OverlayCAStore(self.castore)
            nodes = NodeStore(overlay, reader_of(overlay))
            with store_errors("counting"):
                root = nodes.put_encoded(freeze(top, nodes, self._limits))
        assert root is not None  # noqa: S101  # a tree without changes has one
        return count(nodes.load(root, decode_root).map, nodes.load, self._limits)

    def canonicalize(self) -> bytes:
        """Write all keys as a conforming writer would; return the binary CID of the root."""
        self.check_home()
        fresh = Dataset(self.castore, limits=self._limits)
        for key in self.keys():
            data = self.read(key)
            if data is not None:
                fresh.write(key, data)
        root = fresh.freeze()
        self.set_root(root, "canonicalizing", discard_changes=True, whole=True)  # the new root has the changes too
        return root

    # -- other processes --

    def renew_locks(self) -> None:
        """Replace the locks in the child of a fork, where a thread of the parent may hold them."""
        self._lock = threading.RLock()
        if self.sharing is not None:
            self.sharing.renew_locks()
            if self.sharing.notes_changes:  # what this process changes comes home from here too
                self._home = process_id()

    @property
    def limits(self) -> Limits:
        """The numbers of the format."""
        return self._limits

    @property
    def home(self) -> str:
        """The process that has the dataset itself."""
        return self._home

    def become_copy(self, token: str, home: str) -> None:
        """Become a copy of the dataset of another process."""
        self.token, self._home = token, home
        processes.REGISTRY[token] = self

    def write_for_copies(self, on_conflict: OnConflict = "raise") -> bytes:
        """Write what has changed, so that copies in other processes can read it; returns the binary CID of the root.

        :raises ConflictError: if another process has taken the session over; this dataset keeps its changes without it
        """
        sharing = self.sharing
        if not isinstance(sharing, CoordinatorSharing) or not self.is_home:
            return self._flush_tree()
        try:
            return sharing.publish(self, self._flush_tree, on_conflict)
        finally:
            if sharing.coordinator.is_lost:
                self.sharing = None

    def __reduce__(self) -> tuple[object, ...]:
        return pickling.restore, (make_dataset, pickling.pickled(self, shared=True))


def make_dataset(castore: ContentAddressableStore, root: bytes | None, limits: Limits) -> Dataset:
    """Return a dataset of this process."""
    return Dataset(castore, root, limits=limits)
