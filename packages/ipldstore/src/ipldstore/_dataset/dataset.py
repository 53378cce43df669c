"""A dataset: keys and bytes over a block store. What all views of one store share."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager

from ipld_castore import ContentAddressableStore
from ipld_castore.concurrency import process_id, renew_after_fork
from multiformats import CID

from ipldstore._foreign.nodes import ForeignNodes
from ipldstore._format import keys as _keys
from ipldstore._format.limits import LIMITS, Limits
from ipldstore._format.links import is_directory_link
from ipldstore._format.nodes import NodeStore
from ipldstore._read.byte_range import WHOLE, ByteRange
from ipldstore._read.reach import is_taken_as_whole
from ipldstore._read.reader import reader_of
from ipldstore._tree import lookup
from ipldstore._tree.stats import Stats
from ipldstore._writers.coordinating import CoordinatorSharing, read_beside_look
from ipldstore._writers.shared import Sharing
from ipldstore._writers.take_in import OnConflict
from ipldstore.errors import LOWER_ERRORS, IPLDStoreError, store_errors, translated

from . import in_flight, pickling, processes, values
from .concurrent_tree import ConcurrentTree
from .persistence import Persistence
from .value_reader import ValueReader, View, as_it_is


class Dataset:
    """Keys and their bytes. Safe with threads: many may read while one at a time writes.

    Changes live in memory until :meth:`freeze`, so they belong to the process that made them.

    :param castore: where the blocks are
    :param root: binary CID of a root to begin with; None for an empty dataset
    :param own: whether this process may persist it, and not the one that it was copied from
    """

    def __init__(
        self, castore: ContentAddressableStore, root: bytes | None = None, *, limits: Limits = LIMITS, own: bool = True
    ) -> None:
        self.castore = castore
        self.limits = limits  # the numbers of the format
        self._reader = reader_of(castore)
        self._nodes = NodeStore(castore, self._reader)
        self.values = ValueReader(castore, self._nodes, self._reader)  # reads what find has found
        self.tree = ConcurrentTree(self._nodes, root, limits, ForeignNodes(castore, self._reader))
        self.persistence = Persistence(castore, root, own=own)
        self.whole = is_taken_as_whole(castore, root)  # whether all blocks below the root are there, or assumed to be
        self.closed = False  # whether nothing may be changed any more
        self.token = uuid.uuid4().hex
        self.home = process_id()  # the process that has the dataset itself
        self.sharing: Sharing | None = None  # how other processes write this too; None where no copy was made
        self.origin: pickling.Pickled | None = None  # what this copy was loaded from; pickling it gives that again
        self.base_commit: bytes | None = None  # in a repository: binary CID of the commit that the contents go on from
        self.head_name: str | None = None  # in a repository whose head is an IPNS name: the name of the node's key
        self.own_changes = 0  # how often this process has changed the contents
        self.merged: dict[str, int] = {}  # by fork, the number of its last change that has been merged
        processes.REGISTRY[self.token] = self  # at the end: a collection in another thread looks at it
        renew_after_fork(self.renew_locks)

    # -- shared with others --

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Held while the dataset changes."""
        return self.tree.lock

    @property
    def moves_head(self) -> bool:
        """Whether freezing moves a head of the block store."""
        return self.castore.persist_moves_head

    @property
    def head(self) -> bytes | None:
        """Binary CID of the head that freezing moves on, or of the commit that the contents go on from."""
        return self.persistence.root if self.moves_head else self.base_commit

    def catch_up(self) -> None:
        """Bring the dataset to what others have written."""
        if self.sharing is not None:
            self.sharing.catch_up(self, reading=False)

    def flush(self, wanted: Collection[CID] | None = None) -> None:
        """Wait until all blocks that were put before, or some of them, are in the store."""
        self.castore.flush() if wanted is None else self.castore.flush_blocks(wanted)

    def has_blocks(self, wanted: Iterable[CID]) -> Iterator[bool]:
        """Yield for each block whether the store has it."""
        return self.castore.has_blocks(wanted)

    def content_of(self, key: str, root: bytes | None = None) -> lookup.KeyTarget | None:
        """Return the document or link of a key, here or below a root, without a look at the changes of others."""
        if root is None:
            return self.tree.find(key)
        return ConcurrentTree(self._nodes, root, self.limits, ForeignNodes(self.castore, self._reader)).find(key)

    def rebase(self, root: bytes) -> None:
        """Go on from a root that has all of the present one, and more."""
        self.tree.go_to(root, discard_changes=True)

    def apply(self, changes: Mapping[str, lookup.KeyTarget | None]) -> None:
        """Set the contents of keys to those that others have written; None deletes a key."""
        self.tree.apply(changes)

    # -- reading --

    def find(self, key: str) -> lookup.AnyTarget | None:
        """Return the document or link of a key; None if it is absent, or the format does not allow it."""
        sharing = self.sharing
        if sharing is None:
            foreign = self.tree.foreign
            return self.tree.find(key) if foreign is None else foreign.find(key)
        sharing.catch_up(self, reading=True)
        found = self.tree.find(key)
        sharing.remember_read(key, found)
        return found

    def get_cached(self, key: str) -> bytes | None:
        """Return the bytes of a key, if it is a chunk that was prefetched; None where :meth:`read` has to wait."""
        if self.sharing is not None:
            return None
        found = self.tree.find_cached(key)
        return None if found is None else self._reader.get_cached(*found)

    def read(self, key: str, byte_range: ByteRange = WHOLE, view: View = as_it_is) -> bytes | None:
        """Return the bytes of a key, or a range of them; None if it is absent.

        :param view: makes of a document the one whose text is returned
        :raises IPLDStoreError: if the key is there and its bytes are missing, damaged or out of reach
        """
        sharing = self.sharing
        if sharing is not None and sharing.looks_beside_reads:
            return read_beside_look(self, sharing, key, lambda found: self.read_found(key, found, byte_range, view))
        return self.read_found(key, self.find(key), byte_range, view)

    def read_found(self, key: str, found: lookup.AnyTarget | None, byte_range: ByteRange, view: View) -> bytes | None:
        """Return the bytes of a target that :meth:`find` has returned, as :meth:`read` does, without another lookup."""
        data = None if found is None else self.values.try_read_nowait(found, byte_range, view)
        if data is not None or found is None:
            return data
        if byte_range == WHOLE and isinstance(found, bytes) and not is_directory_link(found):
            self._reader.prefetch_value(found, lambda: self.tree.leaf_of(key, found))
        return self.values.read(key, found, byte_range, view)

    def may_be_consolidated(self) -> bool:
        """See :func:`ipldstore._tree.consolidated.may_be_consolidated`."""
        self.catch_up()
        return self.tree.may_be_consolidated()

    def size(self, key: str) -> int | None:
        """Return how many bytes a key has; None if it is absent. Of a value no chunk is read."""
        found = self.find(key)
        return None if found is None else self.values.size(key, found)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield all keys that begin with a prefix, as they were when it was called; they stream."""
        return (key for key, _ in self.items(prefix))

    def items(self, prefix: str = "") -> Iterator[tuple[str, lookup.AnyTarget]]:
        """Yield the same keys, each with what :meth:`find` finds for it."""
        self.catch_up()
        return self.tree.items(prefix)

    def sizes(self, prefix: str) -> Iterator[int]:
        """Yield the size in bytes of each key that begins with a prefix."""
        return (self.values.size(key, found) for key, found in self.items(prefix))

    def names(self, directory: str) -> Iterator[str]:
        """Yield the names directly below a directory, each once; "" is the root."""
        self.catch_up()
        return self.tree.names(directory, self._reader.prefetch)

    # -- changing --

    @property
    def is_home(self) -> bool:
        """Whether this is the process that made the dataset, and not a copy in another."""
        return self.home == process_id()

    def check_home(self) -> None:
        """Raise IPLDStoreError in a process that did not make the dataset, and if its root is of another maker."""
        if self.closed:
            raise IPLDStoreError(processes.CLOSED)
        if self.home != process_id():  # asked here, as each chunk that is written asks
            processes.require_owner(self.home, self.castore)
        if self.tree.foreign is not None:
            self.tree.require_own_format()

    def write(self, key: str, data: bytes, *, only_new: bool = False) -> None:
        """Give a key its bytes.

        :param only_new: leave the key as it is if it is there
        :raises ValueError: if the format does not allow the key
        :raises IPLDStoreError: if the block cannot be written, or this is another process
        """
        self.check_home()
        if self.sharing is not None and not self.sharing.notes_changes:  # else it does when it notes
            self.catch_up()
        place = None if only_new else self.tree.next_chunk(key)
        parts = _keys.split_key(key) if place is None else None
        if only_new and self.find(key) is not None:
            return
        operation = in_flight.begin(self.castore)
        try:
            try:
                found = values.put(self.castore, self._nodes, None if parts is None else parts[-1], data)
            except LOWER_ERRORS as error:
                raise translated(f"writing {key!r}", error) from error
            self.own_changes += 1
            if self.sharing is None:
                self.tree.put(key, found, place, only_new)
            else:
                self.sharing.record(self, key, found)
        finally:
            in_flight.end(operation)

    def try_write_nowait(self, key: str, data: bytes) -> bool:
        """Give a key its bytes, if nothing has to be waited for; returns whether it has them. See :meth:`write`.

        It serves one chunk after the other of an array, in a store that collects what it sends far away.
        """
        self.check_home()
        # A local store collects nothing: asking it would hash a chunk twice.
        if self.castore.local or self.sharing is not None:
            return False
        try:
            is_set = self.tree.try_put_next(key, lambda: values.try_put_nowait(self.castore, data))
        except LOWER_ERRORS as error:
            raise translated(f"writing {key!r}", error) from error
        self.own_changes += is_set
        return is_set

    def delete(self, key: str) -> bool:
        """Delete a key; return whether it was there."""
        self.check_home()
        self.catch_up()
        found = self.tree.find(key)
        if self.sharing is not None and _keys.is_key(key):  # also where it is absent: it may depend on what was read
            self.own_changes += 1
            self.sharing.record(self, key, None)
            return found is not None
        if found is None:
            return False
        self.own_changes += 1
        return self.tree.drop(key)

    def delete_below(self, directory: str) -> None:
        """Delete all keys below a directory; "" is the root."""
        self.check_home()
        self.catch_up()
        self.own_changes += 1
        sharing, prefix = self.sharing, f"{directory}/" if directory else ""
        if sharing is None or not sharing.notes_changes:
            self.tree.drop_below(directory)
        else:
            for key in list(self.keys(prefix)):
                sharing.record(self, key, None)
        if sharing is not None:
            sharing.forget_reads(prefix)

    # -- roots --

    @property
    def root(self) -> bytes | None:
        """Binary CID of the root; None while there are changes that no root has."""
        self.catch_up()
        return self.known_root

    @property
    def known_root(self) -> bytes | None:
        """The root, without a look at the changes of others."""
        return self.tree.root

    @property
    def state(self) -> tuple[object, ...]:
        """A value that is equal for equal frozen contents; with changes, for one dataset between two changes."""
        self.catch_up()
        version = self.tree.version
        return (version,) if isinstance(version, bytes) else (self.token, version)

    @property
    def changed(self) -> bool:
        """Whether there are changes that no root has."""
        self.catch_up()
        return self.tree.changed

    @property
    def has_changes(self) -> bool:
        """Whether there are changes that no persisted root has. A pickle, or a failed freeze, only writes a root."""
        return self.changed or self.tree.frozen_root == self.persistence.unpersisted is not None

    @property
    def needs_persist(self) -> bool:
        """Whether the root of the present contents was not persisted in the block store."""
        return self.tree.changed or self.tree.frozen_root != self.persistence.root

    def _write_tree(self) -> bytes:
        """Write the nodes that have changed; returns the binary CID of the root."""
        if (root := self.tree.root) is not None:
            return root
        if had_changes := self.tree.changed:
            self.check_home()
        with store_errors("freezing"):
            root = self.tree.freeze()
        self.persistence.unpersisted = root if had_changes else None
        return root

    def _flush_tree(self, *, for_writers: bool = False) -> bytes:
        """Write the nodes that have changed and flush the blocks; return the binary CID of the root."""
        return self.persistence.flush(self._write_tree(), for_writers=for_writers)

    def freeze(self, on_conflict: OnConflict = "raise") -> bytes:
        """Write the changes and persist the root; return its binary CID.

        :param on_conflict: what to do where changes of several writers do not follow each other
        """
        if self.sharing is not None and self.sharing.notes_changes:
            return self._root_of_copy()
        with self.persistence.lock:
            root = self.write_root(on_conflict)
            # A copy has written nothing; what is closed was kept before.
            if self.is_home and not self.closed:
                self.persistence.persist(root)
                if isinstance(self.sharing, CoordinatorSharing):
                    self.sharing.watch(False)
            return root

    def write_root(self, on_conflict: OnConflict = "raise") -> bytes:
        """Write the changes, and leave it to the caller to persist the root; see :meth:`freeze`."""
        return (
            self.write_for_copies(on_conflict) if isinstance(self.sharing, CoordinatorSharing) else self._write_tree()
        )

    def _root_of_copy(self) -> bytes:
        """Return the root of a copy or fork, which another process freezes."""
        if (root := self.root) is None:
            raise IPLDStoreError(processes.NOT_FROZEN_HERE)
        return root

    def frozen(self) -> bytes:
        """Return the binary CID of the root, freezing only if there are changes that no root has."""
        root = self.root
        return self.freeze() if root is None else root

    @property
    def frozen_root(self) -> bytes | None:
        """Binary CID of the root that changes go on from, whether there are any or not; None for an empty dataset."""
        return self.tree.frozen_root

    def stats(self) -> Stats:
        """Return the numbers of keys and index blocks, as freezing would make them. Nothing is written."""
        self.catch_up()
        return self.tree.stats(self.castore)

    # -- other processes --

    def renew_locks(self) -> None:
        """Replace the locks in the child of a fork, where a thread of the parent may hold them."""
        self.tree.renew_lock()
        self.persistence.renew_lock()
        if self.sharing is not None:
            self.sharing.renew_locks()
            if self.sharing.notes_changes:  # what this process changes comes home from here too
                self.home = process_id()

    def become_copy(self, token: str, home: str) -> None:
        """Become a copy of the dataset of another process."""
        self.token, self.home = token, home
        processes.REGISTRY[token] = self

    def write_for_copies(self, on_conflict: OnConflict = "raise", *, for_writers: bool = False) -> bytes:
        """Write what has changed, so that copies in other processes can read it; return the binary CID of the root.

        :param for_writers: whether a session of writers is to begin with it
        :raises ConflictError: if another process has taken the session over; this dataset keeps its changes without it
        """
        sharing = self.sharing
        if not isinstance(sharing, CoordinatorSharing) or not self.is_home:
            return self._flush_tree(for_writers=for_writers)
        try:
            with self.persistence.lock:
                return sharing.publish(self, lambda: self._flush_tree(for_writers=True), on_conflict)
        finally:
            if sharing.coordinator.is_lost:
                self.sharing = None

    def __reduce__(self) -> tuple[object, ...]:
        return pickling.restore, (make_dataset, pickling.pickled(self, shared=self.tree.foreign is None))


def make_dataset(castore: ContentAddressableStore, root: bytes | None, limits: Limits, own: bool = True) -> Dataset:
    """Return a dataset of this process; see :class:`Dataset`."""
    return Dataset(castore, root, limits=limits, own=own)
