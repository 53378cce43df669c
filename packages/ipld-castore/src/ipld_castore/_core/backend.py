"""The verbs that a backend writes: two that it must, and others with a default that it may override.

What callers use is in :mod:`ipld_castore._core.store`, and what only some backends can do is in
:mod:`ipld_castore._core.capabilities`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence

from ipld_car import cids, hashes
from multiformats import CID

from ipld_castore.errors import BlockCorruptError, BlockNotFoundError

from . import graph
from .hash_policy import HASH_CODES, check_hash, identity_bytes
from .hash_policy import verify as _verify  # ``verify`` is also the name of an argument that users know

AnyCID = CID | str | bytes


class Backend(ABC):
    """The part of a :class:`ContentAddressableStore` that a backend writes.

    Verbs of one block get CIDs as :class:`multiformats.CID` whose ``str()`` and ``bytes()`` are cheap. Blocks that are
    put were hashed before, and blocks that are got are verified afterwards, so a backend does neither.

    What a backend raises: :class:`BlockNotFoundError` for a block that it does not have,
    :class:`BackendUnavailableError` if it cannot be asked, :class:`ReadOnlyStoreError` if it takes no blocks.

    :param hash: see :class:`ContentAddressableStore`
    """

    # -- what a backend is: attributes of the class or of the object --

    blocking: bool = True
    """Whether verbs may wait for a disk or a network; an event loop then calls them in threads."""

    local: bool = True
    """Whether the blocks are on this machine, so that looking for one costs no round trip."""

    sends_graphs: bool = False
    """Whether :meth:`get_dag` gets a graph in one response, and not block by block."""

    persist_moves_head: bool = False
    """Whether :meth:`persist` moves the head of the store, and a dataset over it begins at that head.

    True where a store is about one root, as an archive is. A folder may be shared by any number of datasets.
    """

    _hash_code: int = cids.SHA2_256

    @property
    def writable(self) -> bool:
        """Whether blocks can be put; where this is False, :meth:`put_block` raises :class:`ReadOnlyStoreError`."""
        return True

    @property
    def address(self) -> str:
        """A text that tells this store from others, without its data: a path, a host, else the object in memory."""
        return f"{type(self).__name__}-{id(self)}"

    def __eq__(self, other: object) -> bool:
        """Return whether the other is a store of the same kind with the same address."""
        if not isinstance(other, Backend) or not (isinstance(other, type(self)) or isinstance(self, type(other))):
            return NotImplemented
        return self.address == other.address

    def __hash__(self) -> int:
        return hash(self.address)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.address}>"

    def __init__(self, *, hash: str = "sha2-256") -> None:  # noqa: A002  # the name users know
        if hash not in HASH_CODES:
            raise ValueError(f"expected a hash function of {', '.join(HASH_CODES)}; found {hash!r}")
        self._hash_code = HASH_CODES[hash]
        hashes.hasher(self._hash_code)  # the extra is missed here, not at the first block

    # -- the two verbs that a backend must write --

    @abstractmethod
    def get_block(self, cid: CID) -> bytes:
        """Return the bytes that the backend has for ``cid``, whatever they are.

        :raises BlockNotFoundError: if it has none
        :raises BackendUnavailableError: if it cannot be asked
        """

    @abstractmethod
    def put_block(self, cid: CID, data: bytes) -> None:
        """Store ``data``, the verified block of ``cid``. Putting it again changes nothing.

        A block that the backend finds damaged should be replaced. Several threads may put at once.

        :raises ReadOnlyStoreError: if the store takes no blocks
        :raises BackendUnavailableError: if the block cannot be stored
        """

    # -- verbs with a slow but correct default --

    def has_block(self, cid: CID) -> bool:
        """Return whether the backend has a block for ``cid``."""
        try:
            self.get_block(cid)
        except BlockNotFoundError:
            return False
        return True

    def has_blocks(self, wanted: Iterable[CID]) -> Iterator[bool]:
        """Return whether the backend has each of many blocks, in their order."""
        return (self.has_block(cid) for cid in wanted)

    def block_size(self, cid: CID) -> int:
        """Return the size in bytes of the block of ``cid``.

        :raises BlockNotFoundError: if the backend has none
        """
        return len(self.get_block(cid))

    def get_blocks(self, wanted: Iterable[CID]) -> Iterator[tuple[CID, bytes]]:
        """Return CID and bytes of many blocks, each as :meth:`get_block` returns it, in any order.

        :raises BlockNotFoundError: if the backend lacks one
        """
        return ((cid, self.get_block(cid)) for cid in wanted)

    def put_blocks(self, pairs: Iterable[tuple[CID, bytes]]) -> None:
        """Store many blocks, as :meth:`put_block` does.

        The iterable is consumed as the blocks are stored. If it raises, the blocks before the error are stored.
        """
        for cid, data in pairs:
            self.put_block(cid, data)

    def try_put_nowait(self, cid: CID, data: bytes) -> bool:
        """Store ``data`` as :meth:`put_block` does if nothing has to be waited for; return whether it was stored.

        Event loops call this, and need no thread where it succeeds: a backend that collects what it sends has room
        most of the time.
        """
        if self.blocking:
            return False
        self.put_block(cid, data)
        return True

    async def try_put_async(self, cid: CID, data: bytes) -> bool:
        """Store ``data`` in the running event loop; return whether it is known to be stored, as after a flush.

        Where it returns False, :meth:`put_block` stores the block, or tells why it cannot. A backend overrides this if
        it can wait for the network without a thread.
        """
        return False

    def get_replica(self, cid: CID) -> bytes | None:
        """Return another copy of a block, of which the copy that :meth:`get_block` returned is damaged.

        For a backend that may have a block more than once, as an archive may. None if it has no better one.

        :raises BackendUnavailableError: if the backend cannot be asked
        """
        return None

    def get_dag(self, root: AnyCID) -> Iterator[tuple[CID, bytes]]:
        """Return every block that ``root`` reaches, verified, each once. A node or gateway may send them as one CAR.

        Depth first, a block before the blocks that it links, links in the order of their encoding.

        :raises BlockNotFoundError: if the backend lacks one
        :raises BlockCorruptError: if the bytes of one are not the ones its CID names
        :raises BlockMalformedError: if one is not what its codec says
        """
        return graph.walk(self.get_raw, cids.to_bytes(root))

    def check_dag(self, root: AnyCID) -> None:
        """Require that the backend has every block that ``root`` reaches; all but raw blocks are read and verified.

        :raises BlockNotFoundError: if it lacks one
        """
        try:
            graph.check(self.get_many_raw, self.has_blocks, cids.to_bytes(root))
        except BlockNotFoundError as error:
            raise BlockNotFoundError(f"{error} (checked in {self!r})") from error

    def get_path(self, cid: AnyCID, names: Sequence[str]) -> Iterator[tuple[CID, bytes]]:
        """Return the blocks on a path, verified: that of ``cid``, then that of each link on the path.

        The path leads through dag-cbor and UnixFS directories; in a sharded directory each shard is a block on it. A
        path that leads nowhere ends with the block in which it does. A gateway may send all in one answer.

        :param names: keys of maps, positions in lists, and names in directories
        :raises BlockNotFoundError: if the backend lacks one of them
        :raises BlockCorruptError: if the bytes of one are not the ones its CID names
        :raises BlockMalformedError: if one is not what its codec says

        >>> from ipld_castore import MappingCAStore
        >>> store = MappingCAStore()
        >>> root = store.put({"a": [store.put(b"zero"), store.put(b"one")]})
        >>> [data for _, data in store.get_path(root, ["a", "1"])][1:]
        [b'one']
        """
        return graph.follow_path(self.get_raw, cids.to_bytes(cid), names)

    def flush(self) -> None:
        """Wait until all blocks that were put are stored, as safely as the backend stores them."""

    def flush_blocks(self, wanted: Collection[CID]) -> None:
        """Wait until some blocks that were put are stored; see :meth:`flush`, which waits for all.

        A backend that sends blocks side by side waits for these alone.
        """
        self.flush()

    def persist(self, root: CID, previous: CID | None = None) -> None:
        """Flush, and protect all that ``root`` reaches from being cleaned up. A dataset calls this when it has frozen.

        A backend with :attr:`persist_moves_head` moves its head to ``root``.

        :param previous: the root that the same dataset has persisted before, or the head that it was opened at
        :raises HeadMovedError: if the head of the store, which is to be moved, is no longer ``previous``
        :raises BackendUnavailableError: if that cannot be done; calling it again goes on
        """
        self.flush()

    def close(self) -> None:
        """Flush, and release what the backend holds open."""
        self.flush()

    # -- given: reading that verifies, for callers and for the verbs above; never overridden --

    def get_raw(self, cid: AnyCID, *, verify: bool = True) -> bytes:
        """Return the bytes of a block, verified against its CID.

        :param verify: False returns what the backend has, whatever it is
        :raises BlockNotFoundError: if the store lacks the block
        :raises BlockCorruptError: if the bytes are not the ones that the CID names
        :raises HashRefusedError: if the CID's hash function proves nothing
        """
        binary = cids.to_bytes(cid)
        is_common = cids.is_cidv1_sha256(binary)
        if not is_common:
            inline = identity_bytes(binary)
            if inline is not None:
                return inline
            if verify:
                check_hash(binary)
        data = _fixed(self.get_block(cids.from_validated(binary)))
        if verify and not (is_common and hashes.sha2_256(data) == binary[4:]):
            return self._verified(binary, data)
        return data

    def get_many_raw(self, wanted: Iterable[CID]) -> Iterator[tuple[CID, bytes]]:
        """Yield CID and bytes of many blocks, in any order: what :meth:`get_blocks` returns, verified.

        A block that does not match is got once more by :meth:`get_raw`, which tries other copies.

        :raises CAStoreError: as :meth:`get_blocks` and :meth:`get_raw`
        """
        for cid, given in self.get_blocks(wanted):
            binary, data = cids.to_bytes(cid), _fixed(given)
            if not (cids.is_cidv1_sha256(binary) and hashes.sha2_256(data) == binary[4:]):
                try:
                    _verify(binary, data)
                except BlockCorruptError:
                    data = self.get_raw(binary)
            yield cid, data

    def _verified(self, cid: bytes, data: bytes) -> bytes:
        """Return these bytes, or those of another copy, whichever are the ones that the CID names."""
        try:
            _verify(cid, data)
        except BlockCorruptError as error:
            replica = self.get_replica(cids.from_validated(cid))
            if replica is None:
                raise BlockCorruptError(f"{error} (read from {self!r}; put the block there again)") from None
            data = _fixed(replica)
            _verify(cid, data)
        return data


def _fixed(data: bytes | bytearray | memoryview) -> bytes:
    """Return the answer of a backend as immutable bytes: it could change a buffer after the bytes were verified."""
    return data if isinstance(data, bytes) else bytes(memoryview(data))


def text_of(cid: AnyCID) -> str:
    """Return the text of a CID, for errors."""
    return cids.to_text(cids.to_bytes(cid))
