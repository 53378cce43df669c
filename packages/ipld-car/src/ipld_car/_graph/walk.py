"""Links of a block, and the walk over the blocks that a root reaches."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import Final

from multiformats import CID

from ipld_car import cids
from ipld_car.codecs import dagcbor, dagjson, dagpb

_NO_LINKS: tuple[bytes, ...] = ()

KNOWN_CODECS: Final = frozenset((cids.RAW, cids.DAG_PB, cids.DAG_CBOR, cids.DAG_JSON))
"""The codecs of which it is known here what their blocks link, which for raw ones is nothing."""


def binary_links(cid: bytes, data: bytes) -> Iterable[bytes]:
    """Binary CIDs that a block links to, in the order of their encoding, duplicates included.

    Codecs other than dag-cbor, dag-pb, dag-json and raw are taken to have none: their blocks travel, what is
    below them does not.

    :raises CarError: if the block is not what its codec says
    """
    codec = cids.codec_of(cid)
    if codec == cids.DAG_CBOR:
        return dagcbor.links(data)
    if codec == cids.DAG_PB:
        return dagpb.links(data)
    if codec == cids.DAG_JSON:
        return dagjson.links(data)
    return _NO_LINKS


def links(cid: CID | str | bytes, data: bytes) -> list[CID]:
    """The CIDs that a block links to, in the order of their encoding, duplicates included.

    Knows dag-cbor, dag-pb, dag-json and raw; blocks of any other codec have no links here.

    :param cid: the CID of the block, for its codec
    :param data: the bytes of the block; they are not verified here
    :raises CarError: if the block is not what its codec says

    >>> from ipld_car import dagcbor
    >>> links("bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua", dagcbor.encode({}))
    []
    """
    return [cids.from_bytes(link) for link in binary_links(cids.to_bytes(cid), data)]


Prefetch = Callable[[Sequence[bytes], Container[bytes]], None]


def walk_binary(
    get: Callable[[bytes], bytes],
    root: bytes,
    seen: set[bytes] | None = None,
    prefetch: Prefetch | None = None,
    *,
    missing: Callable[[bytes], None] | None = None,
) -> Iterator[tuple[bytes, bytes]]:
    """The walk of :func:`walk` over binary CIDs.

    :param seen: CIDs to go round, with all that only they reach; those that are met are added
    :param missing: is told the CID of a block for which ``get`` raises KeyError; then the walk goes on without it
    :param prefetch: for those who fetch ahead: told before each ``get`` which CIDs wait, the next one last, and which
        were met before; it must not change either
    """
    if seen is None:
        seen = set()
    # The next block is the last one here: what is not yet visited of the links of all blocks above it.
    waiting = [root]
    while waiting:
        if prefetch is not None:
            prefetch(waiting, seen)
        cid = waiting.pop()
        if cid in seen:
            continue
        seen.add(cid)
        try:
            data = get(cid)
        except KeyError:
            if missing is None:
                raise
            missing(cid)
            continue
        yield cid, data
        below = [link for link in binary_links(cid, data) if link not in seen]
        below.reverse()
        waiting += below


def walk(get: Callable[[CID], bytes], root: CID | str | bytes) -> Iterator[tuple[CID, bytes]]:
    r"""Every block that ``root`` reaches, once each.

    Depth first, a block before what it links, links in the order of their encoding. The walk is iterative
    and remembers the CIDs it has met (at most 150 bytes each) and those that wait, so neither the depth
    of the graph nor its size exhausts the stack. Blocks are not verified here: ``get`` is the one to do it.

    :param get: gives the bytes of a block by its CID; what it raises ends the walk
    :raises CarError: if a block is not what its codec says

    >>> blocks = {"bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua": b"\xa0"}
    >>> [(str(cid)[:7], data) for cid, data in walk(lambda cid: blocks[str(cid)], *blocks)]
    [('bafyrei', b'\xa0')]
    """

    def get_binary(cid: bytes) -> bytes:
        return get(cids.from_bytes(cid))

    for cid, data in walk_binary(get_binary, cids.to_bytes(root)):
        yield cids.from_bytes(cid), data
