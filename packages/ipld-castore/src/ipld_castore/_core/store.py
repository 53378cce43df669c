"""The verbs that callers use: values, ranges and archives, over the verbs that a backend writes.

What a backend writes is in :mod:`ipld_castore._core.backend`.
"""

from __future__ import annotations

from io import BytesIO
from types import TracebackType
from typing import Any, Self, overload

from ipld_car import CarError, CarReader, CarWriter, Source, Writable, cids, dagcbor, hashes, unixfs
from multiformats import CID, multicodec

from ipld_castore.errors import BlockMalformedError

from . import graph
from .backend import AnyCID, Backend
from .backend import text_of as _text
from .hash_policy import identity_bytes, trusted_blocks

MAX_NODE_BYTES = 2 << 20
"""The largest block that IPFS nodes exchange; a value that is one dag-cbor block may not be larger."""

MAX_VALUE_BYTES = 4 << 30
"""The most bytes of a UnixFS file that are put together unless asked for more: a few blocks can name any number."""


class ContentAddressableStore(Backend):
    """Blocks by CID: the base class of every store.

    **Using a store.** :meth:`put` and :meth:`get` take and return values, :meth:`put_raw` and :meth:`get_raw` the bytes
    of blocks, :meth:`get_range` and :meth:`size` parts of large values, :meth:`to_car` and :meth:`import_car` whole
    graphs. What is read is verified. Callers may give a CID as object, text or bytes. What only some stores can do is
    asked by ``isinstance``: :class:`SupportsList`, :class:`SupportsDelete`, :class:`SupportsHead`,
    :class:`SupportsPin`, :class:`SupportsNames`.

    **Writing a backend.** A subclass writes :meth:`get_block` and :meth:`put_block`. It may override the verbs that
    have a slow but correct default (:meth:`has_block`, :meth:`block_size`, :meth:`get_blocks`, :meth:`put_blocks`,
    :meth:`get_dag` and others), and never those that callers use. The verbs of a capability are added to the class if
    the backend has it. :class:`ipld_castore.testing.CAStoreTests` tests a backend.

    Threads: all methods may be called from several threads at once if the backend's verbs may; those of the backends in
    this package may.

    :param hash: the hash function of what is put, "sha2-256" or "blake3" (which needs the extra ``blake3``)
    :raises ValueError: if the hash function is another
    """

    def __contains__(self, cid: AnyCID) -> bool:
        """Return whether the store has a block for a CID; an identity CID holds its bytes itself."""
        binary = cids.to_bytes(cid)
        return identity_bytes(binary) is not None or self.has_block(cids.from_validated(binary))

    def put_raw(self, data: bytes | bytearray | memoryview, codec: str | int = "raw") -> CID:
        """Put a block; return its CID.

        :param codec: the codec of the bytes, by its name or code in the multicodec table
        :raises KeyError: if the codec has no such name
        :raises TypeError: if the data are no bytes
        """
        block = data if type(data) is bytes else bytes(memoryview(data))  # bytes() alone takes a number for a length
        code = _CODECS.get(codec) if isinstance(codec, str) else codec
        if code is None:
            code = multicodec.get(str(codec)).code
        binary = cids.make(code, hashes.digest_of(self._hash_code, block), self._hash_code)
        cid = cids.from_validated(binary)
        self.put_block(cid, block)
        return cid

    def get(self, cid: AnyCID) -> Any:
        """Return the value of a CID: the bytes of a raw block or UnixFS file, what DAG-CBOR holds of a dag-cbor block.

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
        """Put a value; return its CID.

        Bytes are a raw block up to 1 MiB, above a UnixFS file of such blocks; anything else is one dag-cbor block.

        :param value: bytes, or what DAG-CBOR can hold: None, bool, int, float, str, CID, lists and dicts of them
        :raises ValueError: if DAG-CBOR cannot hold the value, or its block would be over 2 MiB
        """
        if isinstance(value, (bytes, bytearray, memoryview)):
            root = unixfs.build(bytes(value), self._put_binary, hash_code=self._hash_code)
            return cids.from_validated(root)
        block = dagcbor.encode(value)
        if len(block) > MAX_NODE_BYTES:
            raise ValueError(
                f"expected a value of at most {MAX_NODE_BYTES} bytes in DAG-CBOR, found {len(block)}: split it by links"
            )
        return self.put_raw(block, cids.DAG_CBOR)

    def get_range(
        self, cid: AnyCID, start: int = 0, stop: int | None = None, *, max_bytes: int = MAX_VALUE_BYTES
    ) -> bytes:
        """Return bytes ``start`` to ``stop`` of a raw block or a UnixFS file; only the blocks that hold them are read.

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
        """Return the size in bytes of a raw block or UnixFS file; of a file this reads only the root.

        The length of a raw block is what the backend says; no byte of it is read or verified.

        :raises BlockCorruptError: if the backend has no byte of a block that is not empty
        :raises BlockMalformedError: if the CID names neither a raw block nor a UnixFS file
        """
        binary = cids.to_bytes(cid)
        inline = identity_bytes(binary)
        if inline is not None:
            return len(inline)
        if cids.codec_of(binary) == cids.RAW:
            size = self.block_size(cids.from_validated(binary))
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
        if since is None:
            blocks = self.get_dag(root)
        else:
            blocks = graph.walk(self.get_raw, cids.to_bytes(root), since=cids.to_bytes(since))
        with CarWriter(sink, [root], verify=False) as writer:  # the walk has verified
            for cid, data in blocks:
                if identity_bytes(bytes(cid)) is None:
                    writer.write(cid, data)
        return sink.getvalue() if isinstance(sink, BytesIO) and stream is None else None

    def import_car(self, source: Source | CarReader, *, zero_length_section_as_eof: bool = False) -> list[CID]:
        """Put all blocks of an archive, each verified; return its roots.

        Streams: one block at a time is in memory. Blocks before an error are kept, as they are good.

        :param source: the archive, CARv1 or CARv2, as bytes, binary stream, or a :class:`ipld_car.CarReader` over it,
            whose blocks are verified here, so that it need not do that itself
        :param zero_length_section_as_eof: take a section of length zero for the end, as archives that are padded with
            zeros have it (pieces of Filecoin); a :class:`ipld_car.CarReader` was told when it was made
        :raises ipld_car.CarError: if the archive is damaged
        :raises HashRefusedError: if a block's hash function proves nothing
        """
        if isinstance(source, CarReader):
            reader, verify = source, True  # there is no telling whether it does
        else:
            reader, verify = CarReader(source, zero_length_section_as_eof=zero_length_section_as_eof), False
        self.put_blocks(trusted_blocks(reader, verify=verify))
        return reader.roots

    def _put_binary(self, cid: bytes, data: bytes) -> None:
        self.put_block(cids.from_validated(cid), data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_CODECS = {"raw": cids.RAW, "dag-pb": cids.DAG_PB, "dag-cbor": cids.DAG_CBOR}
