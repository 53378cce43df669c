"""What every store of blocks is: two verbs that a backend writes, and all that follows from them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from io import BytesIO
from itertools import tee
from types import TracebackType
from typing import Any, Self, overload

from ipld_car import (
    CarError,
    CarReader,
    CarWriter,
    Source,
    Writable,
    cids,
    dagcbor,
    hashes,
    held_binary,
    unixfs,
    walk_binary,
)
from multiformats import CID, multicodec

from ._errors import BlockCorruptError, BlockMalformedError, BlockNotFoundError, UnsupportedVerbError
from ._policy import HASH_CODES, check_hash, identity_bytes, trusted_blocks, verify
from ._way import follow

MAX_NODE_BYTES = 2 << 20
"""The largest block that IPFS nodes exchange; a value that is one dag-cbor block may not be larger."""

MAX_VALUE_BYTES = 4 << 30
"""The most bytes of a UnixFS file that are put together unless asked for more: a few blocks can name any number."""

AnyCID = CID | str | bytes


class ContentAddressableStore(ABC):
    """Blocks by CID.

    A backend writes :meth:`get_block` and :meth:`put_block`, and may override the verbs that have a slow but
    correct default; what stands below "what callers use" is never overridden.

    Verbs get CIDs as :class:`multiformats.CID` whose ``str()`` and ``bytes()`` are cheap. They neither hash nor
    verify: that is done here, above every backend. Callers may give a CID as object, text or bytes.

    Threads: all methods may be called from several threads at once, if the backend's verbs may; those
    of the backends in this package may.

    :param hash: the hash function of what is put, "sha2-256" or "blake3" (which needs the extra ``blake3``)
    :raises ValueError: if the hash function is another
    """

    blocking: bool = True
    """Whether verbs may wait for a disk or a network, so that an event loop calls them in threads."""

    local: bool = True
    """Whether the blocks are on this machine: looking for one costs no round trip."""

    keeps_head: bool = False
    """Whether the backend has a place for one CID beside its blocks, the head: see :attr:`head`."""

    _hash_code: int = cids.SHA2_256

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
                raise BlockNotFoundError(f"no block {cid} below {_text(root)} in {self!r}")

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
            step = follow(binary, data, names)
            yield cids.from_checked(binary), data

    def delete_block(self, cid: CID) -> None:
        """Forget the block of ``cid``; deleting what is absent changes nothing.

        :raises UnsupportedVerbError: if this backend deletes nothing
        """
        raise UnsupportedVerbError(f"{type(self).__name__} cannot delete blocks")

    def __iter__(self) -> Iterator[CID]:
        """The CIDs of all blocks, with the codec where the backend keeps it, else raw.

        :raises UnsupportedVerbError: if this backend cannot list
        """
        raise UnsupportedVerbError(f"{type(self).__name__} cannot list its blocks")

    @property
    def head(self) -> CID | None:
        """The CID that :meth:`set_head` was given last: what the store is about, such as the root of its dataset.

        None if there was none yet, and always where :attr:`keeps_head` is False.
        """
        return None

    def set_head(self, cid: CID) -> None:
        """Have ``cid`` as the :attr:`head`; its block should have been put.

        It stays, and never without the blocks that were put before it, from the next :meth:`flush` on.

        :raises UnsupportedVerbError: if this backend has no place for it
        """
        raise UnsupportedVerbError(f"{type(self).__name__} has no place for a head")

    def flush(self) -> None:
        """Return when all that was put is where it stays, as safe as the backend makes it."""

    def keep(self, root: CID, previous: CID | None = None) -> None:
        """Flush, and see to it that the graph below ``root`` stays: what a dataset calls when it has frozen.

        A backend that keeps a head has it there. One that protects what a root reaches from being cleaned up does so
        here.

        :param previous: the root that the same dataset had before, if it had one
        :raises BackendUnavailableError: if that cannot be done; calling it again goes on
        """
        if self.keeps_head:
            self.set_head(root)
        self.flush()

    def close(self) -> None:
        """Flush, and let go of what the backend holds open."""
        self.flush()

    # -- what callers use; never overridden --

    def __contains__(self, cid: AnyCID) -> bool:
        binary = cids.to_bytes(cid)
        return identity_bytes(binary) is not None or self.has_block(cids.from_checked(binary))

    def get_raw(self, cid: AnyCID, *, verify: bool = True) -> bytes:
        """The bytes of a block, verified against its CID.

        :param verify: False gives what the backend has, whatever it is
        :raises BlockNotFoundError: if the store lacks the block
        :raises BlockCorruptError: if the bytes are not the ones that the CID names
        :raises HashRefusedError: if the CID's hash function proves nothing
        """
        binary = cids.to_bytes(cid)
        usual = cids.is_usual(binary)
        if not usual:
            inline = identity_bytes(binary)
            if inline is not None:
                return inline
            if verify:
                check_hash(binary)
        data = self.get_block(cids.from_checked(binary))
        if not isinstance(data, bytes):
            data = bytes(memoryview(data))  # what a backend can still change is not what was verified
        if verify and not (usual and hashes.sha2_256(data) == binary[4:]):
            try:
                _verify(binary, data)
            except BlockCorruptError as error:
                raise BlockCorruptError(f"{error} (read from {self!r}; put the block there again)") from None
        return data

    def put_raw(self, data: bytes | bytearray | memoryview, codec: str | int = "raw") -> CID:
        """Keep a block and return its CID.

        :param codec: the codec of the bytes, by its name or code in the multicodec table
        :raises KeyError: if the codec has no such name
        :raises TypeError: if the data are no bytes
        """
        block = data if type(data) is bytes else bytes(memoryview(data))  # bytes() alone takes a number for a length
        code = _CODECS.get(codec) if isinstance(codec, str) else codec
        if code is None:
            code = multicodec.get(str(codec)).code
        binary = cids.make(code, hashes.digest_of(self._hash_code, block), self._hash_code)
        cid = cids.from_checked(binary)
        self.put_block(cid, block)
        return cid

    def get(self, cid: AnyCID) -> Any:
        """The value of a CID: bytes of a raw block or UnixFS file, anything that DAG-CBOR holds of a dag-cbor one.

        :raises BlockMalformedError: if the block has another codec, is not what its codec says, or is a UnixFS
            file of more than 4 GiB (:meth:`get_range` reads it)
        """
        binary = cids.to_bytes(cid)
        codec = cids.codec_of(binary)
        if codec in (cids.RAW, cids.DAG_PB):
            return self.get_range(binary, 0, None)
        data = self.get_raw(binary)
        if codec != cids.DAG_CBOR:
            raise BlockMalformedError(
                f"expected a raw, dag-pb or dag-cbor block, found codec 0x{codec:x}: {_text(binary)} "
                f"(get_raw gives its bytes)"
            )
        try:
            return dagcbor.decode(data)
        except CarError as error:
            raise BlockMalformedError(f"block {_text(binary)}: {error}") from error

    def put(self, value: Any) -> CID:
        """Keep a value and return its CID.

        Bytes are a raw block up to 1 MiB, above a UnixFS file of such blocks; anything else is one dag-cbor block.

        :param value: bytes, or what DAG-CBOR can hold: None, bool, int, float, str, CID, lists and dicts of them
        :raises ValueError: if DAG-CBOR cannot hold the value, or its block would be over 2 MiB
        """
        if isinstance(value, (bytes, bytearray, memoryview)):
            root = unixfs.build(bytes(value), self._put_binary, hash_code=self._hash_code)
            return cids.from_checked(root)
        block = dagcbor.encode(value)
        if len(block) > MAX_NODE_BYTES:
            raise ValueError(
                f"expected a value of at most {MAX_NODE_BYTES} bytes in DAG-CBOR, found {len(block)}: split it by links"
            )
        return self.put_raw(block, cids.DAG_CBOR)

    def get_range(
        self, cid: AnyCID, start: int = 0, stop: int | None = None, *, max_bytes: int = MAX_VALUE_BYTES
    ) -> bytes:
        """Bytes ``start`` to ``stop`` of a raw block or a UnixFS file; only the blocks that hold them are read.

        :param start: position of the first byte
        :param stop: position behind the last byte, by default the end; positions past the end are cut
        :param max_bytes: the most bytes to put together, by default 4 GiB: a hostile file of a few blocks can be
            of any length
        :raises ValueError: if a position is negative
        :raises BlockMalformedError: if the CID names neither a raw block nor a UnixFS file, or there are more bytes
            between the positions than ``max_bytes``
        """
        if start < 0 or (stop is not None and stop < 0):
            raise ValueError(f"expected positions from 0 on, found {start} and {stop}")
        binary = cids.to_bytes(cid)
        if cids.codec_of(binary) == cids.RAW:
            data = self.get_raw(binary)
            return data if start == 0 and stop is None else data[start:stop]
        top = self.get_raw(binary)

        def get(wanted: bytes) -> bytes:
            return top if wanted == binary else self.get_raw(wanted)

        value = BytesIO()
        try:
            size = unixfs.size_of(get, binary)
            if min(size, size if stop is None else stop) - start > max_bytes:
                raise BlockMalformedError(
                    f"expected at most {max_bytes} bytes of {_text(binary)} at once, found a file of {size} bytes "
                    f"(read it in ranges, or raise max_bytes)"
                )
            value.writelines(unixfs.read(get, binary, start, stop))
        except CarError as error:
            raise BlockMalformedError(f"value {_text(binary)}: {error}") from error
        return value.getvalue()

    def size(self, cid: AnyCID) -> int:
        """Bytes of the raw block or UnixFS file of a CID; of a file this reads only the root.

        The length of a raw block is what the backend says; no byte of it is read or verified.

        :raises BlockCorruptError: if the backend has no byte of a block that is not empty
        :raises BlockMalformedError: if the CID names neither a raw block nor a UnixFS file
        """
        binary = cids.to_bytes(cid)
        inline = identity_bytes(binary)
        if inline is not None:
            return len(inline)
        if cids.codec_of(binary) == cids.RAW:
            size = self.block_size(cids.from_checked(binary))
            # What a crash leaves of a file; to find that out costs nothing.
            return size or len(self.get_raw(binary))
        try:
            return unixfs.size_of(self.get_raw, binary)
        except CarError as error:
            raise BlockMalformedError(f"value {_text(binary)}: {error}") from error

    @overload
    def to_car(self, root: AnyCID, stream: None = None, *, since: AnyCID | None = None) -> bytes: ...
    @overload
    def to_car(self, root: AnyCID, stream: Writable, *, since: AnyCID | None = None) -> None: ...
    def to_car(self, root: AnyCID, stream: Writable | None = None, *, since: AnyCID | None = None) -> bytes | None:
        """Write the graph below ``root`` as a CARv1: depth first, each block once, so always the same bytes.

        :param stream: where to write it, block by block; without it the archive is returned as bytes
        :param since: another root: only the blocks are written that its graph lacks. What both graphs share is not
            read for that, nor are raw blocks of this one; a block that it has only below something shared is written
            too. In memory are, at most 150 bytes each, the links in nodes that one of the two graphs alone has.
        :raises CAStoreError: as :meth:`get_dag`, of both graphs; what was written until then is no whole archive
        :raises ipld_car.LimitError: if a block is longer than readers of archives accept, 8 MiB
        """
        sink = BytesIO() if stream is None else stream
        blocks = self.get_dag(root) if since is None else self._walk(cids.to_bytes(root), self.get_raw, since=cids.to_bytes(since))
        with CarWriter(sink, [root], verify=False) as writer:  # the walk has verified
            for cid, data in blocks:
                if identity_bytes(bytes(cid)) is None:
                    writer.write(cid, data)
        return sink.getvalue() if isinstance(sink, BytesIO) and stream is None else None

    def import_car(self, source: Source | CarReader) -> list[CID]:
        """Keep all blocks of an archive, each verified, and return its roots.

        Streams: one block at a time is in memory. Blocks before an error are kept, as they are good.

        :param source: the archive, CARv1 or CARv2, as bytes, binary stream, or a :class:`ipld_car.CarReader` over it,
            whose blocks are verified here, so that it need not do that itself
        :raises ipld_car.CarError: if the archive is damaged
        :raises HashRefusedError: if a block's hash function proves nothing
        """
        if isinstance(source, CarReader):
            reader, verify = source, True  # there is no telling whether it does
        else:
            reader, verify = CarReader(source), False
        self.put_blocks(trusted_blocks(reader, verify=verify))
        return reader.roots

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
            seen = None if since is None else held_binary(noting, since, root)
            for cid, data in walk_binary(noting, root, seen, ahead):
                yield cids.from_checked(cid), data
        except CarError as error:
            raise BlockMalformedError(f"block {_text(current)} below {_text(root)}: {error}") from error

    def _put_binary(self, cid: bytes, data: bytes) -> None:
        self.put_block(cids.from_checked(cid), data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_CODECS = {"raw": cids.RAW, "dag-pb": cids.DAG_PB, "dag-cbor": cids.DAG_CBOR}

_verify = verify  # ``verify`` is also the name of an argument that users know


def _text(cid: AnyCID) -> str:
    return cids.to_text(cids.to_bytes(cid))
