"""The verbs of a block store: two that a backend writes, those that it may override, and reading that verifies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import tee

from ipld_car import CarError, cids, hashes, shared_cids, walk_binary
from multiformats import CID

from ipld_castore.errors import BlockCorruptError, BlockMalformedError, BlockNotFoundError

from .hash_policy import HASH_CODES, check_hash, identity_bytes
from .hash_policy import verify as _verify  # ``verify`` is also the name of an argument that users know
from .path import resolve_path

AnyCID = CID | str | bytes


class BlockVerbs(ABC):
    """The verbs of :class:`ContentAddressableStore`, and what makes blocks of its backend believed: :meth:`get_raw`."""

    blocking: bool = True
    """Whether verbs may wait for a disk or a network, so that an event loop calls them in threads."""

    local: bool = True
    """Whether the blocks are on this machine: looking for one costs no round trip."""

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
        """What tells this store from others, without its data: a path, a host, or else the object in memory."""
        return f"{type(self).__name__}-{id(self)}"

    def __init__(self, *, hash: str = "sha2-256") -> None:  # noqa: A002  # the name users know
        if hash not in HASH_CODES:
            raise ValueError(f"expected a hash function of {', '.join(HASH_CODES)}; found {hash!r}")
        self._hash_code = HASH_CODES[hash]
        hashes.hasher(self._hash_code)  # the extra is missed here, not at the first block

    # -- the two verbs that a backend must write --

    @abstractmethod
    def get_block(self, cid: CID) -> bytes:
        """The bytes that the backend has for ``cid``, as they are.

        :raises BlockNotFoundError: if it has none
        :raises BackendUnavailableError: if it cannot be asked
        """

    @abstractmethod
    def put_block(self, cid: CID, data: bytes) -> None:
        """Keep ``data``, which has been found to be the block of ``cid``. Putting it again changes nothing.

        A block that the backend finds damaged should be replaced by this one.

        :raises ReadOnlyStoreError: if the store takes no blocks
        :raises BackendUnavailableError: if it cannot be kept
        """

    # -- verbs with a slow but correct default --

    def has_block(self, cid: CID) -> bool:
        """Whether the backend has a block for ``cid``."""
        try:
            self.get_block(cid)
        except BlockNotFoundError:
            return False
        return True

    def has_blocks(self, wanted: Iterable[CID]) -> Iterator[bool]:
        """Whether the backend has each of many blocks, in their order."""
        return (self.has_block(cid) for cid in wanted)

    def block_size(self, cid: CID) -> int:
        """Bytes of the block of ``cid``.

        :raises BlockNotFoundError: if the backend has none
        """
        return len(self.get_block(cid))

    def get_blocks(self, wanted: Iterable[CID]) -> Iterator[tuple[CID, bytes]]:
        """CID and bytes of many blocks, each as :meth:`get_block` gives it, in any order.

        :raises BlockNotFoundError: if the backend lacks one
        """
        return ((cid, self.get_block(cid)) for cid in wanted)

    def put_blocks(self, pairs: Iterable[tuple[CID, bytes]]) -> None:
        """Keep many blocks, as :meth:`put_block` does; the iterable is consumed as they are kept."""
        for cid, data in pairs:
            self.put_block(cid, data)

    def try_put_nowait(self, cid: CID, data: bytes) -> bool:
        """Keep ``data`` as :meth:`put_block` does, if nothing has to be waited for; returns whether it is kept.

        For event loops, which need no thread then. A backend that collects what it sends has room most of the time.
        """
        if self.blocking:
            return False
        self.put_block(cid, data)
        return True

    def get_dag(self, root: AnyCID) -> Iterator[tuple[CID, bytes]]:
        """Every block that ``root`` reaches, verified, each once.

        Depth first, a block before what it links, links in the order of their encoding.

        :raises BlockNotFoundError: if the backend lacks one
        :raises BlockCorruptError: if the bytes of one are not the ones its CID names
        :raises BlockMalformedError: if one is not what its codec says
        """
        return self._walk(cids.to_bytes(root), self.get_raw)

    def check_dag(self, root: AnyCID) -> None:
        """Return if the backend has every block that ``root`` reaches; reads and verifies all but raw blocks.

        :raises BlockNotFoundError: if it lacks one
        """

        def get(cid: bytes) -> bytes:
            return b"" if cids.codec_of(cid) == cids.RAW else self.get_raw(cid)

        leaves = (cid for cid, _ in self._walk(cids.to_bytes(root), get) if cids.codec_of(bytes(cid)) == cids.RAW)
        asked, wanted = tee(cid for cid in leaves if identity_bytes(bytes(cid)) is None)
        for cid, there in zip(wanted, self.has_blocks(asked), strict=True):
            if not there:
                raise BlockNotFoundError(f"no block {cid} below {text_of(root)} in {self!r}")

    def get_way(self, cid: AnyCID, names: Sequence[str]) -> Iterator[tuple[CID, bytes]]:
        """The blocks that a path through dag-cbor meets: that of ``cid``, then that of each link on it, verified.

        A path that leads nowhere ends with the block where it does. A gateway sends them all in one answer.

        :param names: keys of maps, and positions in lists
        :raises BlockNotFoundError: if the backend lacks one of them
        :raises BlockCorruptError: if the bytes of one are not the ones its CID names
        :raises BlockMalformedError: if one is not what its codec says

        >>> from ipld_castore import MappingCAStore
        >>> store = MappingCAStore()
        >>> root = store.put({"a": [store.put(b"zero"), store.put(b"one")]})
        >>> [data for _, data in store.get_way(root, ["a", "1"])][1:]
        [b'one']
        """
        step: tuple[bytes, Sequence[str]] | None = (cids.to_bytes(cid), names)
        while step is not None:
            binary, names = step
            data = self.get_raw(binary)
            step = resolve_path(binary, data, names)
            yield cids.from_validated(binary), data

    def get_replica(self, cid: CID) -> bytes | None:
        """Another copy of a block, after the one that :meth:`get_block` gave was found to be damaged.

        For a backend that may have a block more than once, as an archive may; None if there is none that is better.

        :raises BackendUnavailableError: if the backend cannot be asked
        """
        return None

    def flush(self) -> None:
        """Return when all that was put is where it stays, as safe as the backend makes it."""

    def persist(self, root: CID, previous: CID | None = None) -> None:
        """Flush, and see to it that all that ``root`` reaches stays: what a dataset calls when it has frozen.

        A backend that cleans up protects what ``root`` reaches; one with :attr:`persist_moves_head` moves its head.

        :param previous: the root that the same dataset has persisted before, or the head that it was opened at
        :raises HeadMovedError: if the head of the store, which is to be moved, is no longer ``previous``
        :raises BackendUnavailableError: if that cannot be done; calling it again goes on
        """
        self.flush()

    def close(self) -> None:
        """Flush, and let go of what the backend holds open."""
        self.flush()

    # -- never overridden --

    def get_raw(self, cid: AnyCID, *, verify: bool = True) -> bytes:
        """The bytes of a block, verified against its CID.

        :param verify: False gives what the backend has, whatever it is
        :raises BlockNotFoundError: if the store lacks the block
        :raises BlockCorruptError: if the bytes are not the ones that the CID names
        :raises HashRefusedError: if the CID's hash function proves nothing
        """
        binary = cids.to_bytes(cid)
        usual = cids.is_cidv1_sha256(binary)
        if not usual:
            inline = identity_bytes(binary)
            if inline is not None:
                return inline
            if verify:
                check_hash(binary)
        data = _fixed(self.get_block(cids.from_validated(binary)))
        if verify and not (usual and hashes.sha2_256(data) == binary[4:]):
            return self._verified(binary, data)
        return data

    def get_many_raw(self, wanted: Iterable[CID]) -> Iterator[tuple[CID, bytes]]:
        """CID and bytes of many blocks, in any order: what :meth:`get_blocks` gives, verified.

        What does not pass is asked for once more by :meth:`get_raw`, which knows of other copies and what to say.

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
        """The bytes of a block, which are these or those of another copy."""
        try:
            _verify(cid, data)
        except BlockCorruptError as error:
            another = self.get_replica(cids.from_validated(cid))
            if another is None:
                raise BlockCorruptError(f"{error} (read from {self!r}; put the block there again)") from None
            data = _fixed(another)
            _verify(cid, data)
        return data

    def _walk(
        self,
        root: bytes,
        get: Callable[[bytes], bytes],
        *,
        since: bytes | None = None,
        ahead: Callable[[Sequence[bytes], Container[bytes]], None] | None = None,
    ) -> Iterator[tuple[CID, bytes]]:
        """Every block that ``root`` reaches, and ``since`` does not as far as comparing the two shows.

        :param get: gives a verified block by its binary CID
        :param ahead: see :func:`ipld_car.walk_binary`
        """
        current = root

        def noting(wanted: bytes) -> bytes:
            nonlocal current
            current = wanted  # its links are read when this has returned
            return get(wanted)

        try:
            seen = None if since is None else shared_cids(noting, since, root)
            for cid, data in walk_binary(noting, root, seen, ahead):
                yield cids.from_validated(cid), data
        except CarError as error:
            raise BlockMalformedError(f"block {text_of(current)} below {text_of(root)}: {error}") from error


def _fixed(data: bytes | bytearray | memoryview) -> bytes:
    """What a backend gave, as bytes: what it can still change is not what was verified."""
    return data if isinstance(data, bytes) else bytes(memoryview(data))


def text_of(cid: AnyCID) -> str:
    """The text of a CID, for errors."""
    return cids.to_text(cids.to_bytes(cid))
