"""How a dataset reads blocks: one protocol, and its implementation that reads each block when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ipld_car import cids, hashes
from ipld_castore import ContentAddressableStore

from ipldstore._format.links import is_raw_sha256
from ipldstore._format.path_hint import NO_HINT, PathHint

from .byte_range import WHOLE, ByteRange, read_range
from .prefetch import FindLeaf, PrefetchingReader


class Reader(Protocol):
    """The blocks of a dataset, to be read. Safe with threads.

    Bytes that a reader returns are verified. What a reader prefetches is an error only when it is read.
    """

    def load(self, cid: bytes, hint: PathHint = NO_HINT, /) -> bytes:
        """Return the block of a node.

        :param hint: the path from the node that the caller resolves next
        :raises CAStoreError: if the block is missing, damaged or out of reach
        """

    def read_value(self, link: bytes, byte_range: ByteRange = WHOLE) -> bytes:
        """Return the value that a link names, or a range of it.

        :raises CAStoreError: if a block is missing, damaged or out of reach
        """

    def try_read_nowait(self, link: bytes, byte_range: ByteRange, max_bytes: int) -> bytes | None:
        """Return a value if an event loop may read it without a thread; None sends the caller to ``read_value``.

        :param max_bytes: the largest block that is hashed here
        :raises CAStoreError: if the block is missing, damaged or out of reach
        """

    def get_cached(self, chunk: bytes, leaf: bytes) -> bytes | None:
        """Return a chunk that was prefetched; None if reading it has to wait.

        :param leaf: CID of the index leaf that links the chunk
        """

    def prefetch(self, wanted: Iterable[bytes]) -> None:
        """Fetch blocks that the caller is about to load."""

    def prefetch_value(self, link: bytes, find_leaf: FindLeaf) -> None:
        """Fetch what is likely to be read with a whole value: its own blocks, or all chunks of its index leaf.

        :param find_leaf: called at most once, for a chunk
        """


class DirectReader:
    """Read each block from its store when it is asked for; for stores on this machine.

    :param castore: the block store
    """

    def __init__(self, castore: ContentAddressableStore) -> None:
        self._castore = castore

    def load(self, cid: bytes, hint: PathHint = NO_HINT, /) -> bytes:  # nothing to prefetch
        """See :meth:`Reader.load`."""
        return self._castore.get_raw(cid)

    def read_value(self, link: bytes, byte_range: ByteRange = WHOLE) -> bytes:
        """See :meth:`Reader.read_value`."""
        return read_range(self._castore, link, byte_range)

    def try_read_nowait(self, link: bytes, byte_range: ByteRange, max_bytes: int) -> bytes | None:
        """See :meth:`Reader.try_read_nowait`."""
        if self._castore.blocking or not is_raw_sha256(link):
            return None
        data = self._castore.get_block(cids.from_validated(link))
        if not isinstance(data, bytes):
            return None  # read_value says what is wrong, with these and with bytes that are not the block's
        return byte_range.slice(data) if len(data) <= max_bytes and hashes.sha2_256(data) == link[4:] else None

    def get_cached(self, chunk: bytes, leaf: bytes) -> bytes | None:  # nothing is prefetched
        """See :meth:`Reader.get_cached`."""
        return None

    def prefetch(self, wanted: Iterable[bytes]) -> None:
        """See :meth:`Reader.prefetch`."""

    def prefetch_value(self, link: bytes, find_leaf: FindLeaf) -> None:
        """See :meth:`Reader.prefetch_value`."""


def reader_of(castore: ContentAddressableStore) -> Reader:
    """Return the reader that suits a block store: direct on this machine, prefetching where it is far away."""
    return DirectReader(castore) if castore.local else PrefetchingReader(castore)
