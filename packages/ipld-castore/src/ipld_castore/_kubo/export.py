"""Whole graphs from an IPFS node: in one answer where blocks are small, else many blocks at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

from ipld_car import Block, CarError, CarReader, cids
from urllib3.exceptions import HTTPError

from ipld_castore._core.store import MAX_NODE_BYTES
from ipld_castore.concurrency import ReadAhead
from ipld_castore.errors import BackendUnavailableError, BlockNotFoundError

from .rpc import RPC

_MAX_STASH: Final = 16 << 20
"""Bytes of blocks that came in another order than the walk's and wait for it."""

_SAMPLE: Final = 4 << 20
"""Bytes after which it is decided which way is the faster one."""

_LARGE: Final = 64 << 10
"""Bytes of the blocks, on average, from which on many calls are faster than one: the node sends them side by side."""


class _AnswerStream:
    """What :class:`CarReader` reads of an answer."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self.read = read


class GraphReader:
    """The blocks of a walk from ``root``, as it asks for them, each verified.

    What the walk does not ask for is dropped. A block that the answer does not give, because it ends early or has
    others in its place, is asked for by itself; whether it can be had is then said by the error that names it.

    :param get_raw: gives one verified block by its binary CID; called from several threads
    """

    def __init__(self, rpc: RPC, root: bytes, get_raw: Callable[[bytes], bytes], *, offline: bool) -> None:
        self._get_raw = get_raw
        self._singles = ReadAhead(get_raw)
        self._stash: OrderedDict[bytes, bytes] = OrderedDict()
        self._stashed = 0
        self._blocks: Iterator[Block] | None = None
        self._count = self._bytes = 0
        self._open = ExitStack()
        if cids.codec_of(root) != cids.RAW:  # a leaf is no graph
            self._blocks = self._export(rpc, root, offline=offline)

    def _export(self, rpc: RPC, root: bytes, *, offline: bool) -> Iterator[Block] | None:
        options = {"arg": cids.to_text(root), "offline": "true" if offline else "false", "progress": "false"}
        try:
            # It never says that it has given a block up, so it is not waited for any longer than for one block.
            call = rpc.call("dag/export", options, cid=root, long=True, silent=rpc.timeout)
            answer = self._open.enter_context(call)
            reader = CarReader(_AnswerStream(answer.read_some), max_section_bytes=MAX_NODE_BYTES + cids.MAX_CID_BYTES)
            return iter(reader)
        except (CarError, HTTPError, BackendUnavailableError, BlockNotFoundError):
            self._open.close()
            return None  # the root, asked for by itself, tells why

    def ahead(self, waiting: Sequence[bytes], seen: Container[bytes]) -> None:
        """See :func:`ipld_car.walk_binary`."""
        if self._blocks is None:
            self._singles.ahead(waiting, seen)

    def get(self, cid: bytes) -> bytes:
        """The block that the walk has come to."""
        data = self._from_answer(cid) if cids.is_cidv1_sha256(cid) else None  # others are checked more closely
        return self._singles.get(cid) if data is None else data

    def _from_answer(self, cid: bytes) -> bytes | None:
        """The block out of the answer; None if it is not in there, and then nothing else is taken from it."""
        data = self._stash.pop(cid, None)
        if data is not None:
            self._stashed -= len(data)
            return data
        while (block := self._next()) is not None:
            if block.cid_bytes == cid:
                return block.data
            self._put_aside(block)
        return None

    def _next(self) -> Block | None:
        if self._blocks is None or (self._bytes > _SAMPLE and self._bytes > self._count * _LARGE):
            self._end()
            return None
        try:
            block = next(self._blocks, None)
        except (CarError, HTTPError):
            block = None
        if block is None:
            self._end()
            return None
        self._count += 1
        self._bytes += len(block.data)
        return block

    def _put_aside(self, block: Block) -> None:
        before = self._stash.pop(block.cid_bytes, b"")
        self._stash[block.cid_bytes] = block.data
        self._stashed += len(block.data) - len(before)
        while self._stashed > _MAX_STASH:
            self._stashed -= len(self._stash.popitem(last=False)[1])

    def _end(self) -> None:
        self._blocks = None
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._singles.__exit__(kind, error, trace)
