"""Nodes of other makers' formats: decoded and checked, in a bounded cache."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, Protocol, TypeVar

from ipld_car import CarError, cids, dagcbor
from ipld_car.lru import LRU
from ipld_castore import ContentAddressableStore
from ipld_castore.concurrency import renew_after_fork

from ipldstore._format.path_hint import NO_HINT, PathHint
from ipldstore._read.reader import Reader
from ipldstore.errors import NodeError, store_errors

MAX_NODE_BYTES: Final = 2 << 20
"""Largest size in bytes of a block; IPFS nodes exchange none that are larger."""
MAX_JOINED_BYTES: Final = 16 << 20
"""Largest size in bytes of a node that is kept as a UnixFS file, as py-hamt keeps those over 1 MiB: 390,000 links.

Decoded, a hostile node takes many times as much memory.
"""

CACHE_BYTES: Final = 64 << 20
"""Bytes of blocks whose decoded nodes are cached."""

T = TypeVar("T")

T_co = TypeVar("T_co", covariant=True)


class Decoder(Protocol[T_co]):
    """Makes checked nodes of blocks. Hashable; decoders that are equal make equal nodes of a block."""

    @property
    def joins(self) -> bool:
        """Whether a dag-pb block is the root of a UnixFS file with the bytes of the node, as of nodes over 1 MiB."""

    def __call__(self, cid: bytes, data: bytes, /) -> T_co:
        """Return the node.

        :param cid: its binary CID
        :param data: its verified bytes
        :raises NodeError: if the block has another form than the one it is read as
        :raises CarError: likewise
        """


class NodeNotCachedError(Exception):
    """A node that is needed has to be read; see :meth:`ForeignNodes.cached`."""


class Load(Protocol):
    """``load(cid, decoder, hint)``: returns a node, as :meth:`ForeignNodes.load` does."""

    def __call__(self, cid: bytes, decoder: Decoder[T], hint: PathHint = NO_HINT, /) -> T: ...


class ForeignNodes:
    """The nodes of one block store. Safe with threads.

    :param castore: the block store
    :param reader: reads it
    """

    def __init__(self, castore: ContentAddressableStore, reader: Reader) -> None:
        self.castore = castore
        self.reader = reader
        self._cache: LRU[tuple[bytes, Any], Any] = LRU(CACHE_BYTES)
        self._renew()
        renew_after_fork(self._renew)

    def _renew(self) -> None:
        self._lock, self._decoding = threading.Lock(), threading.Lock()

    def load(self, cid: bytes, decoder: Decoder[T], hint: PathHint = NO_HINT, /) -> T:
        """Return the node of a block.

        :param cid: its binary CID
        :param decoder: what the block is read as; it may depend on where the node stands
        :param hint: the path from the node that is resolved next
        :raises IPLDStoreError: if the block is missing, damaged, out of reach, or has another form than expected
        """
        key = cid, decoder
        with self._lock:
            node: T | None = self._cache.get(key)
        if node is not None:
            return node
        is_file = decoder.joins and cids.codec_of(cid) == cids.DAG_PB
        data = self.joined(cid) if is_file else self._read(cid, hint)
        with self._decoding:  # of several threads that waited for a block one decodes it
            with self._lock:
                others: T | None = self._cache.get(key)
            if others is not None:
                return others
            made = decoded(decoder, cid, data)
            with self._lock:
                self._cache.put(key, made, len(data))
        return made

    def cached(self, cid: bytes, decoder: Decoder[T], hint: PathHint = NO_HINT, /) -> T:  # a Load
        """Return the node of a block if it is cached.

        :raises NodeNotCachedError: if it is not
        """
        with self._lock:
            node: T | None = self._cache.get((cid, decoder))
        if node is None:
            raise NodeNotCachedError
        return node

    def prefetch(self, wanted: Iterable[bytes]) -> None:
        """Fetch blocks that the caller is about to load, where that saves time."""
        self.reader.prefetch(wanted)

    def _read(self, cid: bytes, hint: PathHint) -> bytes:
        """Return the bytes of the block of a node."""
        with store_errors(f"reading the node {cids.to_text(cid)}"):
            data = self.reader.load(cid, hint)
        if len(data) > MAX_NODE_BYTES:
            raise NodeError(f"node {cids.to_text(cid)}: expected at most {MAX_NODE_BYTES} bytes, found {len(data)}")
        return data

    def joined(self, cid: bytes) -> bytes:
        """Return the bytes of the UnixFS file that stands for a node.

        :raises IPLDStoreError: if a block is missing, damaged, out of reach, or the file is over 16 MiB
        """
        with store_errors(f"reading the node {cids.to_text(cid)}"):
            size = self.castore.size(cid)
            if size > MAX_JOINED_BYTES:
                raise NodeError(f"node {cids.to_text(cid)}: expected at most {MAX_JOINED_BYTES} bytes, found {size}")
            return self.reader.read_value(cid)


def decoded(decoder: Decoder[T], cid: bytes, data: bytes) -> T:
    """Return the node of a block.

    :raises NodeError: with the CID, if the block has another form than the one it is read as
    """
    with node_errors(cid):
        return decoder(cid, data)


class node_errors:  # noqa: N801  # a context manager, used as a function
    """Turn a CarError or NodeError that the block raises into a :class:`NodeError` that names the node.

    :param cid: binary CID of the node
    """

    __slots__ = ("_cid",)

    def __init__(self, cid: bytes) -> None:
        self._cid = cid

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, (NodeError, CarError)):
            text = cids.to_text(self._cid)
            raise NodeError(f"{error}" if text in str(error) else f"node {text}: {error}") from error


def decode_cbor(data: bytes) -> Any:
    """Return the value of a dag-cbor block; links are binary CIDs, and there are no other byte strings.

    :raises CarError: if the block is something else
    """
    return dagcbor.decode_node(data)
