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


class Transferred(NamedTuple):
    """How much a transfer has sent."""

    blocks: int
    bytes: int


class _Node(NamedTuple):
    """A block that has links, and what of them the other store lacks."""

    cid: bytes
    data: bytes
    is_missing: bool
    leaves: list[bytes]
    """Links to raw blocks that are missing."""
    all_missing: bool
    """Whether it links nothing but these."""


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

    :param src: where its blocks are: a block store, or a dataset over one
    :param dst: where they are to be, likewise
    :param progress: called as the work goes on
    :param check: checks at the end that everything has arrived, and raises :class:`BlockNotFoundError` if not; by
        default ``dst.check_dag(root)``, which reads all nodes. For callers who know that ``dst`` has most of it
    :returns: how much was sent
    :raises BlockNotFoundError: if ``src`` lacks a block that is missing in ``dst``
    :raises CAStoreError: as the verbs of the two; what was sent until then stays
    :raises TypeError: if one of the two is no block store
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
        met: set[bytes] = set()
        (root_is_there,) = self._there([root])
        if root_is_there and (trusting or cids.codec_of(root) == cids.RAW):
            return
        self.known += not root_is_there
        stack: list[tuple[bytes, bool] | _Node] = [(root, not root_is_there)]
        while stack:
            item = stack.pop()
            if isinstance(item, _Node):
                self._send(item)
                continue
            cid, is_missing = item
            if cid in met:
                continue
            met.add(cid)
            data = (self._src if is_missing else self._dst).get_raw(cid)
            node, below = self._look(cid, data, is_missing, met, trusting=trusting)
            stack.append(node)
            stack.extend(below)

    def _look(
        self, cid: bytes, data: bytes, is_missing: bool, met: set[bytes], *, trusting: bool
    ) -> tuple[_Node, list[tuple[bytes, bool]]]:
        """Return the node of a block, and the links below it that are to be looked at."""
        try:
            all_links = list(dict.fromkeys(binary_links(cid, data)))
        except CarError as error:
            raise BlockMalformedError(f"block {cids.to_text(cid)}: {error}") from error
        links = [link for link in all_links if link not in met]
        leaves: list[bytes] = []
        below: list[tuple[bytes, bool]] = []
        for link, there in zip(links, self._there(links), strict=True):
            if cids.codec_of(link) == cids.RAW:
                if not there:
                    leaves.append(link)
                met.add(link)
            elif not there or not trusting:
                below.append((link, not there))
            if not there and link not in self._queued:
                self._queued.add(link)
                self.known += 1
        below.reverse()
        return _Node(cid, data, is_missing, leaves, len(leaves) == len(all_links)), below

    def _there(self, links: list[bytes]) -> list[bool]:
        """Return whether the other store has each of these; identity CIDs hold their bytes themselves."""
        asked = [link for link in links if identity_bytes(link) is None]
        found = dict(zip(asked, self._dst.has_blocks(map(cids.from_validated, asked)), strict=True))
        return [found.get(link, True) for link in links]

    def _send(self, node: _Node) -> None:
        """Send the leaves, then the node."""
        if node.all_missing and node.is_missing and len(node.leaves) >= _FEW:
            pairs = self._src.get_dag(node.cid)  # verified, and in one answer if it can be
            self._dst.put_blocks(self._counted(pair for pair in pairs if bytes(pair[0]) != node.cid))
        elif node.leaves:
            self._dst.put_blocks(self._counted(self._src.get_many_raw(map(cids.from_validated, node.leaves))))
        if node.is_missing:
            self._dst.put_blocks(self._counted([(cids.from_validated(node.cid), node.data)]))

    def _counted(self, pairs: Iterable[tuple[CID, bytes]]) -> Iterator[tuple[CID, bytes]]:
        for pair in pairs:
            yield pair
            self.blocks += 1
            self.bytes += len(pair[1])
            if self._progress is not None:
                self._progress(self.blocks, self.known, self.bytes)
