"""Nodes of a dataset: read, checked, and kept in a bounded cache; written by their content."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from ipld_car import CarError, cids, dagcbor, hashes
from ipld_castore import ContentAddressableStore

from ipldstore._read.prefetch import Ahead
from ipldstore.errors import NodeError, store_errors

from .path_hint import NOWHERE, Way
from .validate import check_directory

MAX_ROOT_BYTES: Final = 64 << 20
MAX_NODE_BYTES: Final = 2 << 20

CACHE_BYTES: Final = 8 << 20
"""Bytes of blocks whose nodes are kept; decoded they take about five times as much."""

T = TypeVar("T")


class Folder(NamedTuple):
    """The checked map of a directory block."""

    map: dict[str, Any]
    depth: int
    """Parts that the deepest directory in it is below it."""
    size: int
    """Bytes of the block."""


Role = Callable[[Any, int], T]
"""What a block is read as: makes a node of its decoded value and its size in bytes, or raises NodeError."""


class Load(Protocol):
    """``load(cid, role)``: the node of a block, as :meth:`NodeStore.load` gives it."""

    def __call__(self, cid: bytes, role: Role[Any], way: Way = NOWHERE, /) -> Any: ...


def as_folder(value: Any, size: int) -> Folder:
    """Read a block as a directory below the root."""
    return Folder(value, check_directory(value, root=False), size)


def as_root(value: Any, size: int) -> Folder:
    """Read a block as the root directory."""
    return Folder(value, check_directory(value, root=True), size)


class NodeMissing(Exception):  # noqa: N818  # a signal between two functions, no error
    """A node is needed that is not in memory."""

    def __init__(self, cid: bytes, role: Role[Any], way: Way) -> None:
        super().__init__(cid)
        self.cid = cid
        self.role = role
        self.way = way


class NodeStore:
    """The nodes of one block store. Safe with threads."""

    def __init__(self, castore: ContentAddressableStore) -> None:
        self._castore = castore
        self._cache: OrderedDict[tuple[bytes, Any], tuple[Any, int]] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()
        self._decoding = threading.Lock()

    def renew_lock(self) -> None:
        """In the child of a fork, where nobody will release the lock if a thread held it."""
        self._lock, self._decoding = threading.Lock(), threading.Lock()

    def load(self, cid: bytes, role: Role[T], way: Way = NOWHERE) -> T:
        """The node of a block.

        :param role: what the block is read as
        :param way: where the reader goes from there
        :raises IPLDStoreError: if the block cannot be had, or is not what it is read as
        """
        node: T | None = self.cached(cid, role)
        if node is not None:
            return node
        with store_errors("reading a node"):
            data = self._castore.along(cid, way) if isinstance(self._castore, Ahead) else self._castore.get_raw(cid)
        with self._decoding:  # of several that waited for a block one decodes it
            node = self.cached(cid, role)
            return self.adopt(cid, data, role) if node is None else node

    def adopt(self, cid: bytes, data: bytes, role: Role[T]) -> T:
        """The node of a block whose verified bytes are at hand."""
        limit = MAX_ROOT_BYTES if role is as_root else MAX_NODE_BYTES
        try:
            if cids.codec_of(cid) != cids.DAG_CBOR:
                raise NodeError(f"expected a node, a dag-cbor block; found codec 0x{cids.codec_of(cid):x}")
            if len(data) > limit:
                raise NodeError(f"expected a node of at most {limit} bytes, found {len(data)}")
            node = role(dagcbor.decode_node(data), len(data))
        except (NodeError, CarError) as error:
            raise NodeError(f"node {cids.to_text(cid)}: {error}") from error
        self._keep(cid, role, node, len(data))
        return node

    def cached(self, cid: bytes, role: Role[T]) -> T | None:
        """The node of a block if it is in memory."""
        with self._lock:
            found = self._cache.get((cid, role))
            if found is None:
                return None
            self._cache.move_to_end((cid, role))
            node: T = found[0]
            return node

    def _keep(self, cid: bytes, role: Any, node: Any, size: int) -> None:
        with self._lock:
            before = self._cache.pop((cid, role), None)
            self._held += size - (before[1] if before else 0)
            self._cache[cid, role] = (node, size)
            while self._held > CACHE_BYTES and len(self._cache) > 1:
                _, (_, dropped) = self._cache.popitem(last=False)
                self._held -= dropped

    def remembering(self) -> Load:
        """A ``load`` for one change: what it has loaded once it gives again, so that what was looked at cannot fail."""
        held: dict[tuple[bytes, Any], Any] = {}

        def load(cid: bytes, role: Role[T], way: Way = NOWHERE) -> T:
            node = held.get((cid, role))
            if node is None:
                node = held[cid, role] = self.load(cid, role, way)
            return node

        return load

    def loading_nothing(self, held: dict[tuple[bytes, Any], Any]) -> Load:
        """A ``load`` that knows only what is in memory or ``held``, and raises :class:`NodeMissing` otherwise.

        For those who hold a lock: they let it go, load what was missing, and try again.
        """

        def load(cid: bytes, role: Role[T], way: Way = NOWHERE) -> T:
            node = held.get((cid, role))
            if node is None:
                node = self.cached(cid, role)
            if node is None:
                raise NodeMissing(cid, role, way)
            return node

        return load

    def put(self, node: Any) -> bytes:
        """Write a node; returns its binary CID."""
        return self.put_encoded(dagcbor.encode_node(node))

    def put_encoded(self, block: bytes) -> bytes:
        """Write the block of a node; returns its binary CID."""
        cid = cids.make(cids.DAG_CBOR, hashes.digest_of(cids.SHA2_256, block))
        with store_errors("writing a node"):
            self._castore.put_block(cids.from_validated(cid), block)
        return cid

    def block_size(self, cid: bytes) -> int:
        """Bytes of the block of a node that need not be read."""
        with store_errors("asking for the size of a node"):
            return self._castore.block_size(cids.from_validated(cid))
