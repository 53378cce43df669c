"""Copies a graph from one store into another: the blocks that are missing there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final, NamedTuple

from ipld_car import CarError, binary_links, cids
from multiformats import CID

from ipld_castore.errors import BlockMalformedError, BlockNotFoundError

from .any_store import AnyCAStore, castore_of
from .backend import AnyCID
from .hash_policy import identity_bytes
from .store import ContentAddressableStore

Progress = Callable[[int, int, int], object]
"""Called after each block with the blocks sent, the blocks known to be missing up to now, and the bytes sent."""

_FEW: Final = 4
"""Leaves below a node, from which on it is worth while to ask for all of them at once."""
_BATCH_NODES: Final = 256
_BATCH_BYTES: Final = 4 << 20
"""Nodes whose links are looked for at once."""
_HELD_BYTES: Final = 64 << 20
"""Bytes of nodes that are kept until they are sent; those beyond are read again."""


class Transferred(NamedTuple):
    """How much a transfer has sent."""

    blocks: int
    bytes: int


class _Node(NamedTuple):
    """A block that can have links, as it was read."""

    cid: bytes
    data: bytes
    is_missing: bool
    """Whether the other store lacks it."""


def transfer(
    root: AnyCID,
    src: AnyCAStore,
    dst: AnyCAStore,
    progress: Progress | None = None,
    *,
    check: Callable[[], object] | None = None,
) -> Transferred:
    """Copy all blocks that ``root`` reaches from ``src`` to ``dst``; only those that ``dst`` lacks are read and sent.

    Blocks are put before those that link them. So where a block is, all below it should be, and nothing below is asked
    for: a transfer that was broken off is resumed by calling this again. That everything has arrived is checked at the
    end, by ``dst``; if it has not, as blocks were deleted there, all of it is compared and sent once more.

    The graph is read level by level from the root, so that either store is asked for many blocks at a time. In memory
    are up to 64 MiB of nodes, and at most 150 bytes for each link that was met.

    :param src: where its blocks are: a block store, or a dataset over one
    :param dst: where they are to be, likewise
    :param progress: called as the work goes on
    :param check: checks at the end that everything has arrived, and raises :class:`BlockNotFoundError` if not; by
        default ``dst.check_dag(root)``, which reads all nodes. For callers that know that ``dst`` has most of it
    :returns: how much was sent
    :raises BlockNotFoundError: if ``src`` lacks a block that is missing in ``dst``
    :raises CAStoreError: as the verbs of the two; what was sent until then stays
    :raises TypeError: if one of the two is no block store

    >>> from ipld_castore import MappingCAStore, transfer
    >>> here, there = MappingCAStore(), MappingCAStore()
    >>> root = here.put({"a": here.put(b"chunk")})
    >>> transfer(root, here, there).blocks, transfer(root, here, there).blocks
    (2, 0)
    """
    top = cids.to_bytes(root)
    target = castore_of(dst)
    if check is None:
        check = partial(target.check_dag, root)
    work = _Transfer(castore_of(src), target, progress)
    work.run(top, trusting=True)
    target.flush()
    try:
        check()
    except BlockNotFoundError:
        work.run(top, trusting=False)
        target.flush()
        check()
    return Transferred(work.blocks, work.bytes)


class _Transfer:
    def __init__(self, src: ContentAddressableStore, dst: ContentAddressableStore, progress: Progress | None) -> None:
        self._src = src
        self._dst = dst
        self._progress = progress
        self._queued: set[bytes] = set()
        self.blocks = self.known = self.bytes = 0

    def run(self, root: bytes, *, trusting: bool) -> None:
        """Send what is missing below a root, the deepest first.

        :param trusting: where a block is, take it that all below it is
        """
        (root_is_there,) = self._there([root])
        if root_is_there and (trusting or cids.codec_of(root) == cids.RAW):
            return
        self._note_missing([] if root_is_there else [root])
        waiting = _WaitingNodes(self._src.get_raw)
        met = {root}
        level = [(root, not root_is_there)]
        waiting.expect([root])
        while level:
            below: list[tuple[bytes, bool]] = []
            for batch in self._read(level):
                below += self._look(batch, met, waiting, trusting=trusting)
            level = below
        self._dst.put_blocks(self._counted(waiting.in_order(root)))

    def _read(self, level: list[tuple[bytes, bool]]) -> Iterator[list[_Node]]:
        """Yield the nodes of a level, read from the store that has them."""
        batch: list[_Node] = []
        size = 0
        for is_missing, store in ((True, self._src), (False, self._dst)):
            wanted = [cid for cid, missing in level if missing is is_missing]
            inline = {cid: data for cid in wanted if (data := identity_bytes(cid)) is not None}
            batch += [_Node(cid, data, is_missing) for cid, data in inline.items()]
            asked = (cids.from_validated(cid) for cid in wanted if cid not in inline)
            for cid, data in store.get_many_raw(asked):
                batch.append(_Node(cids.to_bytes(cid), data, is_missing))
                size += len(data)
                if len(batch) >= _BATCH_NODES or size >= _BATCH_BYTES:
                    yield batch
                    batch, size = [], 0
        if batch:
            yield batch

    def _look(
        self, batch: list[_Node], met: set[bytes], waiting: _WaitingNodes, *, trusting: bool
    ) -> list[tuple[bytes, bool]]:
        """Send the leaves of some nodes, and the nodes below which nothing else is missing; return what to read next.

        :return: nodes, and whether they are missing
        """
        links_of = [_links_of(node) for node in batch]
        links = [link for found in links_of for link in found if link not in met]
        links = list(dict.fromkeys(links))
        met.update(links)
        leaves: set[bytes] = set()
        below: list[tuple[bytes, bool]] = []
        missing: list[bytes] = []
        for link, is_there in zip(links, self._there(links), strict=True):
            if not is_there:
                missing.append(link)
            if cids.codec_of(link) == cids.RAW:
                if not is_there:
                    leaves.add(link)
            elif not is_there or not trusting or identity_bytes(link) is not None:
                below.append((link, not is_there))
        self._note_missing(missing)
        self._send_leaves(batch, links_of, leaves)
        waiting.expect(link for link, _ in below)
        ready = [node for node, found in zip(batch, links_of, strict=True) if not waiting.add(*node, found)]
        self._dst.put_blocks(
            self._counted((cids.from_validated(node.cid), node.data) for node in ready if node.is_missing)
        )
        return below

    def _send_leaves(self, batch: list[_Node], links_of: list[list[bytes]], leaves: set[bytes]) -> None:
        """Send the leaves of some nodes that are missing."""
        if self._src.sends_graphs:
            for node, links in zip(batch, links_of, strict=True):
                if node.is_missing and len(links) >= _FEW and leaves.issuperset(links):
                    pairs = self._src.get_dag(node.cid)  # verified
                    self._dst.put_blocks(self._counted(pair for pair in pairs if bytes(pair[0]) != node.cid))
                    leaves.difference_update(links)
        if leaves:
            in_order = [link for links in links_of for link in links if link in leaves]
            wanted = map(cids.from_validated, dict.fromkeys(in_order))
            self._dst.put_blocks(self._counted(self._src.get_many_raw(wanted)))

    def _note_missing(self, missing: list[bytes]) -> None:
        fresh = [cid for cid in missing if cid not in self._queued]
        self._queued.update(fresh)
        self.known += len(fresh)

    def _there(self, links: list[bytes]) -> list[bool]:
        """Return whether the other store has each of these; identity CIDs hold their bytes themselves."""
        asked = [link for link in links if identity_bytes(link) is None]
        found = dict(zip(asked, self._dst.has_blocks(map(cids.from_validated, asked)), strict=True))
        return [found.get(link, True) for link in links]

    def _counted(self, pairs: Iterable[tuple[CID, bytes]]) -> Iterator[tuple[CID, bytes]]:
        for pair in pairs:
            yield pair
            self.blocks += 1
            self.bytes += len(pair[1])
            if self._progress is not None:
                self._progress(self.blocks, self.known, self.bytes)


class _WaitingNodes:
    """The nodes of a transfer below which something is still missing.

    :param get: reads the verified block of a node again, if its bytes were not kept
    """

    def __init__(self, get: Callable[[bytes], bytes]) -> None:
        self._get = get
        self._expected: set[bytes] = set()
        """Nodes that are not sent yet, read or not."""
        self._below: dict[bytes, list[bytes]] = {}
        """Of each node that was read, the nodes that must be sent before it."""
        self._held: dict[bytes, bytes] = {}
        self._held_bytes = 0
        self._missing: set[bytes] = set()

    def expect(self, nodes: Iterable[bytes]) -> None:
        """Note nodes that are going to be read."""
        self._expected.update(nodes)

    def add(self, cid: bytes, data: bytes, is_missing: bool, links: Iterable[bytes]) -> bool:
        """Take a node that was read; return whether it has to wait.

        :param is_missing: whether it is to be sent at all
        :param links: all that it links
        """
        below = [link for link in links if link in self._expected]
        if not below:
            self._expected.discard(cid)
            return False
        self._below[cid] = below
        if is_missing:
            self._missing.add(cid)
            if self._held_bytes < _HELD_BYTES:
                self._held[cid] = data
                self._held_bytes += len(data)
        return True

    def in_order(self, root: bytes) -> Iterator[tuple[CID, bytes]]:
        """Yield the nodes that wait and are to be sent, each after those below it."""
        begun: set[bytes] = set()
        stack = [(root, False)]
        while stack:
            cid, is_done = stack.pop()
            if is_done:
                if cid in self._missing:
                    data = self._held.pop(cid, None)
                    yield cids.from_validated(cid), self._get(cid) if data is None else data
            elif cid in self._below and cid not in begun:
                begun.add(cid)
                stack.append((cid, True))
                stack += [(link, False) for link in reversed(self._below[cid])]


def _links_of(node: _Node) -> list[bytes]:
    try:
        return list(dict.fromkeys(binary_links(node.cid, node.data)))
    except CarError as error:
        raise BlockMalformedError(f"block {cids.to_text(node.cid)}: {error}") from error
