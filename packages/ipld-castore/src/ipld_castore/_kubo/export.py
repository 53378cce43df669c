"""Whole graphs from an IPFS node: in one response where blocks are small, else many blocks at a time."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from types import TracebackType
from typing import Final, Self

from ipld_car import Block, CarError, CarReader, cids
from ipld_car.lru import LRU

from ipld_castore._core.hash_policy import proves
from ipld_castore._core.store import MAX_NODE_BYTES
from ipld_castore.concurrency import ReadAhead, drop_tracebacks
from ipld_castore.errors import BackendUnavailableError, BlockNotFoundError

from .response import RPCResponse
from .rpc import RPC

_MAX_STASH: Final = 16 << 20
"""Bytes of blocks that came before the walk asked for them, and wait for it."""

_SAMPLE: Final = 4 << 20
"""Bytes after which the average size of the blocks decides whether the export goes on."""

_LARGE: Final = 64 << 10
"""The average size of blocks from which on many calls are faster than one: the node answers them in parallel."""


class GraphReader:
    """The blocks of a walk from ``root``, in the order in which the walk asks for them, each verified.

    Blocks of the export that the walk does not ask for are dropped. Blocks that the export lacks are got one by one,
    and the error for one that cannot be had names it. Use the reader in a ``with`` statement.

    :param get_raw: returns one verified block by its binary CID; called from several threads
    :param offline: whether the node asks no other node for blocks
    """

    def __init__(self, rpc: RPC, root: bytes, get_raw: Callable[[bytes], bytes], *, offline: bool) -> None:
        self._singles = ReadAhead(get_raw)
        self._stash: LRU[bytes, bytes] = LRU(_MAX_STASH)
        self._response: RPCResponse | None = None
        self._blocks: Iterator[Block] | None = None
        self._count = self._bytes = 0
        if cids.codec_of(root) != cids.RAW:  # a raw block has no links
            self._export(rpc, root, offline=offline)

    def _export(self, rpc: RPC, root: bytes, *, offline: bool) -> None:
        options = {"arg": cids.to_text(root), "offline": "true" if offline else "false", "progress": "false"}
        try:
            # A node does not say when it gives up on a block, so it may be silent no longer than for one block.
            self._response = rpc.call("dag/export", options, cid=root, long=True, silence=rpc.timeout)
            reader = CarReader(self._response, max_section_bytes=MAX_NODE_BYTES + cids.MAX_CID_BYTES)
            self._blocks = iter(reader)
        except (CarError, BackendUnavailableError, BlockNotFoundError):
            self._end()  # the root is got by itself, and that error says why

    def ahead(self, waiting: Sequence[bytes], seen: Container[bytes]) -> None:
        """Begin to get blocks before the walk asks for them; see :func:`ipld_car.walk_binary`."""
        if self._blocks is None:
            self._singles.ahead(waiting, seen)

    def get(self, cid: bytes) -> bytes:
        """Return the block that the walk has come to, by its binary CID."""
        data = self._from_export(cid) if proves(cid) else None  # else its error is that of the block alone
        return self._singles.get(cid) if data is None else data

    def _from_export(self, cid: bytes) -> bytes | None:
        """Return a block from the export; None if the export does not have it, and has ended then."""
        data = self._stash.pop(cid)
        if data is not None:
            return data
        while (block := self._next()) is not None:
            if block.cid_bytes == cid:
                return block.data
            self._stash.put(block.cid_bytes, block.data, len(block.data))
        return None

    def _next(self) -> Block | None:
        if self._blocks is None or (self._bytes > _SAMPLE and self._bytes > self._count * _LARGE):
            self._end()
            return None
        try:
            block = next(self._blocks, None)
        except (CarError, BackendUnavailableError) as error:
            drop_tracebacks(error)  # the reader keeps it
            block = None
        if block is None:
            self._end()
            return None
        self._count += 1
        self._bytes += len(block.data)
        return block

    def _end(self) -> None:
        response, self._blocks, self._response = self._response, None, None
        if response is not None:
            response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._response is not None:  # the walk is complete, and only the end is left
            self._response.drain()
        self._end()
        self._singles.__exit__(kind, error, trace)
