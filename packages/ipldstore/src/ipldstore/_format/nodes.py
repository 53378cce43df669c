"""Nodes of a dataset: decoded and checked, kept in a bounded cache, written by their content."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from ipld_car import CarError, cids, dagcbor, hashes
from ipld_car.lru import LRU
from ipld_castore import ContentAddressableStore
from ipld_castore.concurrency import renew_after_fork

from ipldstore.errors import NodeError, store_errors

from .links import describe_foreign, is_directory_link
from .path_hint import NO_HINT, PathHint
from .validate import check_directory

MAX_ROOT_BYTES: Final = 64 << 20
"""Largest size in bytes of the block of a root (format, section 5)."""
MAX_NODE_BYTES: Final = 2 << 20
"""Largest size in bytes of the block of any other node (format, section 5)."""

CACHE_BYTES: Final = 8 << 20
"""Bytes of blocks whose decoded nodes are cached; decoded they take about five times as much memory."""

T = TypeVar("T")


class DirectoryNode(NamedTuple):
    """The checked map of a directory block."""

    map: dict[str, Any]
    depth: int
    """Parts of a key from this directory to the deepest one that its block embeds."""
    size: int
    """Size of the block in bytes."""


Decoder = Callable[[Any, int], T]
"""Makes a checked node of the decoded value of a block and its size in bytes, or raises NodeError."""


class NodeReader(Protocol):
    """Where the blocks of nodes are read."""

    def load(self, cid: bytes, hint: PathHint = NO_HINT, /) -> bytes:
        """Return the verified bytes of a block.

        :param hint: the path from the node that is resolved next
        """


class Load(Protocol):
    """``load(cid, decoder, hint)``: returns the node of a block, as :meth:`NodeStore.load` does."""

    def __call__(self, cid: bytes, decoder: Decoder[Any], hint: PathHint = NO_HINT, /) -> Any: ...


def decode_directory(value: Any, size: int) -> DirectoryNode:
    """Decode a directory below the root."""
    return DirectoryNode(value, check_directory(value, root=False), size)


def decode_root(value: Any, size: int) -> DirectoryNode:
    """Decode the root directory."""
    return DirectoryNode(value, check_directory(value, root=True), size)


COMMIT_FIELD: Final = "__ipld_commit__"
"""The field that tells a commit (history.md) from the root of a dataset."""
STATE_FIELD: Final = "__ipld_repo__"
"""The field that tells the state of a repository from the root of a dataset."""


_COMMIT_KEY: Final = dagcbor.encode(COMMIT_FIELD)
_STATE_END: Final = dagcbor.encode(STATE_FIELD)


class HistoryNodeError(NodeError):
    """What was read as the root of a dataset is a commit, or the state of a repository.

    :param cid: binary CID of the block
    :param block: its verified bytes
    :param is_state: whether it is a state
    """

    def __init__(self, cid: bytes, block: bytes, *, is_state: bool) -> None:
        kind = "the state of a repository" if is_state else "a commit"
        super().__init__(f"node {cids.to_text(cid)}: expected the root of a dataset, found {kind}")
        self.cid = cid
        self.block = block
        self.is_state = is_state


def history_field(block: bytes) -> str | None:
    """Return the field by which a block is a commit or a state, valid or not; None if it is neither.

    The field of a state is the longest, so it is the last. A state is told by that, as the decoder of nodes refuses the
    byte string in it.
    """
    if block[-len(_STATE_END) - 1 : -1] == _STATE_END:
        return STATE_FIELD
    if len(block) > MAX_NODE_BYTES or _COMMIT_KEY not in block:
        return None
    try:
        node = dagcbor.decode_node(block)
    except CarError:
        return None
    return COMMIT_FIELD if isinstance(node, dict) and COMMIT_FIELD in node else None


class NodeNotCached(Exception):  # noqa: N818  # a signal between two functions, no error
    """A node that is needed has to be read. See :meth:`NodeStore.cached_load`."""

    def __init__(self, cid: bytes, decoder: Decoder[Any], hint: PathHint) -> None:
        super().__init__(cid)
        self.cid = cid
        self.decoder = decoder
        self.hint = hint


class NodeStore:
    """The nodes of one block store. Safe with threads.

    :param castore: where nodes are written
    :param reader: where nodes are read
    """

    def __init__(self, castore: ContentAddressableStore, reader: NodeReader) -> None:
        self._castore = castore
        self._reader = reader
        self._cache: LRU[tuple[bytes, Any], Any] = LRU(CACHE_BYTES)
        self._renew()
        renew_after_fork(self._renew)

    def _renew(self) -> None:
        self._lock, self._decoding = threading.Lock(), threading.Lock()

    def load(self, cid: bytes, decoder: Decoder[T], hint: PathHint = NO_HINT) -> T:
        """Return the node of a block.

        :param decoder: what the block is read as
        :param hint: the path from the node that is resolved next
        :raises IPLDStoreError: if the block is missing, damaged, out of reach, or has another form than expected
        """
        node: T | None = self.cached(cid, decoder)
        if node is not None:
            return node
        with store_errors("reading a node"):
            data = self._reader.load(cid, hint)
        with self._decoding:  # of several threads that waited for a block one decodes it
            node = self.cached(cid, decoder)
            return self.decode(cid, data, decoder) if node is None else node

    def decode(self, cid: bytes, data: bytes, decoder: Decoder[T]) -> T:
        """Return the node of a block whose verified bytes the caller has.

        :raises NodeError: if the block has another form than the one it is read as
        """
        limit = MAX_ROOT_BYTES if decoder is decode_root else MAX_NODE_BYTES
        field = history_field(data) if decoder is decode_root and is_directory_link(cid) else None
        if field is not None:
            raise HistoryNodeError(cid, data, is_state=field == STATE_FIELD)
        try:
            if not is_directory_link(cid):
                raise NodeError(f"expected a node of a dataset, which is dag-cbor; found {describe_foreign(cid)}")
            if len(data) > limit:
                raise NodeError(f"expected a node of at most {limit} bytes, found {len(data)}")
            node = decoder(dagcbor.decode_node(data), len(data))
        except (NodeError, CarError) as error:
            raise NodeError(f"node {cids.to_text(cid)}: {error}") from error
        with self._lock:
            self._cache.put((cid, decoder), node, len(data))
        return node

    def cached(self, cid: bytes, decoder: Decoder[T]) -> T | None:
        """Return the node of a block if it is cached."""
        with self._lock:
            node: T | None = self._cache.get((cid, decoder))
            return node

    def clear_cache(self) -> None:
        """Forget all cached nodes."""
        with self._lock:
            self._cache.clear()

    def pinning_load(self) -> Load:
        """Return a ``load`` that keeps each node it has loaded, so that loading it again cannot fail."""
        pinned: dict[tuple[bytes, Any], Any] = {}

        def load(cid: bytes, decoder: Decoder[T], hint: PathHint = NO_HINT) -> T:
            node = pinned.get((cid, decoder))
            if node is None:
                node = pinned[cid, decoder] = self.load(cid, decoder, hint)
            return node

        return load

    def cached_load(self, loaded: dict[tuple[bytes, Any], Any]) -> Load:
        """Return a ``load`` that reads no block: it raises :class:`NodeNotCached` for nodes that are not in memory.

        A caller that holds a lock releases it, loads the node, adds it to ``loaded`` and tries again.

        :param loaded: nodes by CID and decoder, beside the cache
        """

        def load(cid: bytes, decoder: Decoder[T], hint: PathHint = NO_HINT) -> T:
            node = loaded.get((cid, decoder))
            if node is None:
                node = self.cached(cid, decoder)
            if node is None:
                raise NodeNotCached(cid, decoder, hint)
            return node

        return load

    def put(self, node: Any, there: Collection[bytes] = ()) -> bytes:
        """Write a node; return its binary CID. See :meth:`put_encoded`."""
        return self.put_encoded(dagcbor.encode_node(node), there)

    def put_encoded(self, block: bytes, there: Collection[bytes] = ()) -> bytes:
        """Write the block of a node; return its binary CID.

        :param there: binary CIDs of nodes of the same dataset, which need not be written again
        """
        cid = cids.make(cids.DAG_CBOR, hashes.digest_of(cids.SHA2_256, block))
        if cid in there:
            return cid
        with store_errors("writing a node"):
            self._castore.put_block(cids.from_validated(cid), block)
        return cid

    def block_size(self, cid: bytes) -> int:
        """Return the size in bytes of the block of a node, without reading it where the backend can."""
        with store_errors("asking for the size of a node"):
            return self._castore.block_size(cids.from_validated(cid))
