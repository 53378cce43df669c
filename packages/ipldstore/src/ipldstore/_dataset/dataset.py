"""A dataset: keys and bytes over a block store. What all views of one store share."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
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
from ipldstore._read.reader import reader_of
from ipldstore._tree import lookup
from ipldstore._tree.stats import Stats
from ipldstore._writers.coordinating import CoordinatorSharing, read_beside_look
from ipldstore._writers.shared import Sharing
from ipldstore._writers.take_in import OnConflict
from ipldstore.errors import LOWER_ERRORS, IPLDStoreError, store_errors, translated

from . import pickling, processes, values
from .concurrent_tree import ConcurrentTree
from .persistence import Persistence
from .reach import is_taken_as_whole
from .value_reader import ValueReader, View, as_it_is


class Dataset:
    """Keys and their bytes. Safe with threads: many may read while one at a time writes.

    Changes live in memory until :meth:`freeze`, so they belong to the process that made them.

    :param castore: where the blocks are
    :param root: binary CID of a root to begin with; None for an empty dataset
    """

    def __init__(self, castore: ContentAddressableStore, root: bytes | None = None, *, limits: Limits = LIMITS) -> None:
        self.castore = castore
        self.limits = limits
        """The numbers of the format."""
        self._reader = reader_of(castore)
        self._nodes = NodeStore(castore, self._reader)
        self.values = ValueReader(castore, self._nodes, self._reader)
        """Reads what :meth:`find` has found."""
        self.tree = ConcurrentTree(self._nodes, root, limits, ForeignNodes(castore, self._reader))
        self.persistence = Persistence(castore, root)
        self.whole = is_taken_as_whole(castore, root)
        """Whether it is known, or taken for granted, that all is there that the root reaches."""
        self.closed = False
        """Whether nothing may be changed any more."""
        self.token = uuid.uuid4().hex
        self.home = process_id()
        """The process that has the dataset itself."""
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
    def lock(self) -> AbstractContextManager[object]:
        """Held while the dataset changes."""
        return self.tree.lock

    @property
    def moves_head(self) -> bool:
        """Whether freezing moves a head of the block store."""
        return self.castore.persist_moves_head

    @property
    def head(self) -> bytes | None:
        """Binary CID of the head that freezing moves on; None without one."""
        return self.persistence.root if self.moves_head else None

    def catch_up(self) -> None:
        """See what others have written."""
        if self.sharing is not None:
            self.sharing.catch_up(self, reading=False)

    def flush(self) -> None:
        """Return when all blocks that were put before are in the store."""
        self.castore.flush()

    def has_blocks(self, wanted: Iterable[CID]) -> Iterator[bool]:
        """Say of blocks whether the store has them."""
        return self.castore.has_blocks(wanted)

    def content_of(self, key: str) -> lookup.KeyTarget | None:
        """Return the document or link of a key, without looking for what others have written."""
        return self.tree.find(key)

    def rebase(self, root: bytes) -> None:
        """Go on from a root that has all of the present one, and more."""
        self.tree.go_to(root, discard_changes=True)

    def apply(self, changes: Mapping[str, lookup.KeyTarget | None]) -> None:
        """Give keys what others have written; None deletes."""
        self.tree.apply(changes)

    # -- reading --

    def find(self, key: str) -> lookup.AnyTarget | None:
        """Return the document or link of a key; None if it is absent, or the format does not allow it."""
        sharing = self.sharing
        if sharing is None:
            return self.tree.find_any(key)
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
            return read_beside_look(self, sharing, key, lambda found: self._read(key, found, byte_range, view))
        return self._read(key, self.find(key), byte_range, view)

    def _read(self, key: str, found: lookup.AnyTarget | None, byte_range: ByteRange, view: View) -> bytes | None:
        if found is None:
            return None
        data = self.values.try_read_nowait(found, byte_range, view)
        if data is not None:
            return data
        if byte_range == WHOLE and isinstance(found, bytes) and not is_directory_link(found):
            self._reader.prefetch_value(found, lambda: self.tree.leaf_of(key, found))
        return self.values.read(key, found, byte_range, view)

    def may_be_consolidated(self) -> bool:
        """See :func:`ipldstore._tree.consolidated.may_be_consolidated`."""
        self.catch_up()
        return self.tree.may_be_consolidated()

    def size(self, key: str) -> int | None:
        """How many bytes a key has; None if it is absent. Of a value no chunk is read."""
        found = self.find(key)
        return None if found is None else self.values.size(key, found)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """All keys that begin with a prefix, as they were when it was called; they stream."""
        return (key for key, _ in self.items(prefix))

    def items(self, prefix: str = "") -> Iterator[tuple[str, lookup.AnyTarget]]:
        """The same keys, each with what :meth:`find` finds for it."""
        self.catch_up()
        return self.tree.items(prefix)

    def sizes(self, prefix: str) -> Iterator[int]:
        """The size in bytes of each key that begins with a prefix."""
        return (self.values.size(key, found) for key, found in self.items(prefix))

    def names(self, directory: str) -> Iterator[str]:
        """The names directly below a directory, each once; "" is the root."""
        self.catch_up()
        return self.tree.names(directory, self._reader.prefetch)

    # -- changing --

    @property
    def is_home(self) -> bool:
        """Whether this is the process that made the dataset, and not a copy in another."""
        return self.home == process_id()

    def check_home(self) -> None:
