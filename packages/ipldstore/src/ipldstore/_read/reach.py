"""Whether all is there that a root reaches."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from ipld_car import CarError, binary_links, cids
from ipld_castore import BlockNotFoundError, ContentAddressableStore
from ipld_castore.concurrency import ReadAhead

_NODE_CODECS: Final = frozenset({cids.DAG_CBOR, cids.DAG_PB})
_BATCH: Final = 1024
"""Blocks that are asked for at once."""
_THREADS: Final = 32
"""Nodes that are read at a time where blocks are far away."""
_AHEAD: Final = 64
"""Links among which nodes are looked for that come next."""


def is_node(cid: bytes) -> bool:
    """Return whether a block can link others."""
    return cids.codec_of(cid) in _NODE_CODECS


def is_taken_as_whole(castore: ContentAddressableStore, root: bytes | None) -> bool:
    """Return whether a root is taken to have all that it reaches, without looking.

    A root may be of an archive that lacks blocks. Looking costs a read of all its nodes. On this machine they are read
    when the answer is needed, far away never.
    """
    return root is None or not castore.local


def reach(
    castore: ContentAddressableStore,
    root: bytes,
    seen: set[bytes],
    met: Collection[bytes] = (),
    count: Callable[[int], object] | None = None,
) -> None:
    """Find all blocks that ``root`` reaches. Nodes are read and verified; of others it is asked whether they are there.

    :param seen: blocks that need not be looked at, nor what only they reach; gets all that were, but for those of
        ``met`` that are no nodes
    :param met: blocks of which it is known that they are there
    :param count: called as the work goes on, with the number of blocks in ``seen``
    :raises BlockNotFoundError: if one is not there
    :raises CAStoreError: if a node cannot be read
    :raises ipld_car.CarError: if a node is not what its codec says
    """
    waiting = [root]
    others: list[bytes] = []
    with ReadAhead(castore.get_raw, threads=_THREADS, below=_nodes_below) as reader:
        while waiting or others:
            if not waiting or len(others) >= _BATCH:
                _check(castore, others)
                others = []
                continue
            cid = waiting.pop()
            if cid in seen:
                continue
            seen.add(cid)
            if is_node(cid):
                if count is not None:
                    count(len(seen))
                links = binary_links(cid, reader.get(cid))
                waiting += (link for link in links if link not in seen and (is_node(link) or link not in met))
                if not castore.local:
                    reader.ahead([link for link in waiting[-_AHEAD:] if is_node(link)], seen)
            elif cid not in met:
                others.append(cid)


def _nodes_below(cid: bytes, data: bytes) -> list[bytes]:
    try:
        return [link for link in binary_links(cid, data) if is_node(link)]
    except CarError:  # it is an error when the walk comes to it
        return []


def _check(castore: ContentAddressableStore, wanted: list[bytes]) -> None:
    asked = [cid for cid in wanted if cids.prefix_of(cid).hash_code != cids.IDENTITY]
    for cid, there in zip(asked, castore.has_blocks(map(cids.from_validated, asked)), strict=True):
        if not there:
            raise BlockNotFoundError(f"no block {cids.to_text(cid)} in {castore!r}")
