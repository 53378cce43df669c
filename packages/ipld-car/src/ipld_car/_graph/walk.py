"""List the links of a block, and walk over all blocks that can be reached from a root."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import Final

from multiformats import CID

from ipld_car import cids
from ipld_car.codecs import dagcbor, dagjson, dagpb

_NO_LINKS: tuple[bytes, ...] = ()

KNOWN_CODECS: Final = frozenset((cids.RAW, cids.DAG_PB, cids.DAG_CBOR, cids.DAG_JSON))
"""The codecs whose links can be listed. Raw blocks have none."""


def binary_links(cid: bytes, data: bytes) -> Iterable[bytes]:
    """Return the binary CIDs that a block links to, in the order of their encoding, with duplicates.

    A block of a codec other than dag-cbor, dag-pb, dag-json and raw counts as a block without links.

    :param cid: the binary CID of the block, for its codec
    :param data: the bytes of the block; they are not verified
    :raises CarError: if the block is not valid in its codec

    >>> from ipld_car import cids
    >>> from ipld_car.codecs import dagcbor
    >>> raw = cids.make(cids.RAW, bytes(32))
    >>> node = dagcbor.encode_node({"a": raw})
    >>> list(binary_links(cids.make(cids.DAG_CBOR, bytes(32)), node)) == [raw]
    True
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
    """Return the CIDs that a block links to, in the order of their encoding, with duplicates.

    A block of a codec other than dag-cbor, dag-pb, dag-json and raw counts as a block without links.

    :param cid: the CID of the block, for its codec
    :param data: the bytes of the block; they are not verified
    :raises CarError: if the block is not valid in its codec

    >>> from ipld_car import dagcbor
    >>> links("bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua", dagcbor.encode({}))
    []
    """
    return [cids.from_bytes(link) for link in binary_links(cids.to_bytes(cid), data)]


Prefetch = Callable[[Sequence[bytes], Container[bytes]], None]
"""Called with the CIDs that wait, the next one last, and a container of the CIDs that were met."""


def walk_binary(
    get: Callable[[bytes], bytes],
    root: bytes,
    seen: set[bytes] | None = None,
    prefetch: Prefetch | None = None,
    *,
    missing: Callable[[bytes], None] | None = None,
) -> Iterator[tuple[bytes, bytes]]:
    """Walk as :func:`walk` does, with binary CIDs.

    :param get: returns the bytes of a block for its binary CID; its exceptions pass through
    :param root: the binary CID to begin with
    :param seen: CIDs to leave out, with all blocks that are reached through them only; CIDs that are met are added
    :param prefetch: called before each ``get``, so that the caller can fetch blocks in advance, with the CIDs that
        wait, the next one last, and the CIDs that were met; it must change neither
    :param missing: called with the CID of a block for which ``get`` raises KeyError; the block is then left out
    :raises CarError: if a block is not valid in its codec

    >>> from ipld_car import cids, hashes
    >>> from ipld_car.codecs import dagcbor
    >>> raw = cids.make(cids.RAW, hashes.sha2_256(b"chunk"))
    >>> node = dagcbor.encode_node({"a": raw})
    >>> root = cids.make(cids.DAG_CBOR, hashes.sha2_256(node))
    >>> [data for _, data in walk_binary({raw: b"chunk", root: node}.__getitem__, root)] == [node, b"chunk"]
    True
    """
    if seen is None:
        seen = set()
    # The next block is the last of these.
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
    r"""Iterate over every block that can be reached from ``root``, once each, with its CID.

    The order is depth first: a block before the blocks that it links, links in the order of their encoding. The walk
    does not recurse. It remembers the CIDs that it has met, at most 150 bytes each. It does not verify blocks.

    :param get: returns the bytes of a block for its CID, and should verify them; its exceptions pass through
    :raises CarError: if a block is not valid in its codec

    >>> blocks = {"bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua": b"\xa0"}
    >>> [(str(cid)[:7], data) for cid, data in walk(lambda cid: blocks[str(cid)], *blocks)]
    [('bafyrei', b'\xa0')]
    """

    def get_binary(cid: bytes) -> bytes:
        return get(cids.from_bytes(cid))

    for cid, data in walk_binary(get_binary, cids.to_bytes(root)):
        yield cids.from_bytes(cid), data
