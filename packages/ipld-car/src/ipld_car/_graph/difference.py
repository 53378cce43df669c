"""Two graphs side by side: what a holder of one need not be sent of the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ipld_car import cids

from .walk import KNOWN_CODECS, binary_links

_NODE_CODECS: Final = KNOWN_CODECS - {cids.RAW}


def shared_cids(get: Callable[[bytes], bytes], old: bytes, new: bytes) -> set[bytes]:
    """What a holder of the graph below ``old`` has, as far as a walk of ``new`` comes to ask.

    A walk of ``new`` that goes round these CIDs (:func:`walk_binary` with ``seen``) meets all that the holder lacks.
    Both graphs are read from their roots down, level by level; where they link the same block neither goes on, so what
    they share is not read, and raw blocks never are. A block that the holder has below something shared, and ``new`` in
    another place too, is not found out: it would take reading all that is shared.

    Memory: at most 150 bytes for each link in the nodes of ``old`` that ``new`` has not, and for each node of ``new``
    that is not raw, with the links of one level of nodes.

    :param get: gives the bytes of a block by its binary CID, verified; what it raises ends the comparison
    :param old: binary CID of the root that the holder has
    :param new: binary CID of the root that is wanted
    :raises CarError: if a block is not what its codec says

    >>> from ipld_car import dagcbor, hashes
    >>> blocks = {}
    >>> def put(links):
    ...     block = dagcbor.encode_node(links)
    ...     cid = cids.make(cids.DAG_CBOR, hashes.digest_of(cids.SHA2_256, block))
    ...     blocks[cid] = block
    ...     return cid
    >>> shared = put(["shared"])
    >>> old, new = put([shared]), put([shared, put(["new"])])
    >>> shared_cids(blocks.__getitem__, old, new) == {old, shared}
    True
    """
    held = {old}
    wanted = {new}  # nodes of ``new``; of raw blocks there is nothing to compare
    read_of_old: set[bytes] = set()
    read_of_new: set[bytes] = set()
    old_level, new_level = _nodes([old]), _nodes([new])
    while old_level or new_level:
        below_new: list[bytes] = []
        for cid in new_level:
            if cid not in held and cid not in read_of_new:
                read_of_new.add(cid)
                links = _nodes(binary_links(cid, get(cid)))
                wanted.update(links)
                below_new += links
        below_old: list[bytes] = []
        for cid in old_level:
            # What was read below ``new`` before it was met here is read here too: its links are held.
            if cid not in read_of_old and (cid not in wanted or cid in read_of_new):
                read_of_old.add(cid)
                all_links = binary_links(cid, get(cid))
                held.update(all_links)
                below_old += _nodes(all_links)
        old_level, new_level = below_old, below_new
    return held


def _nodes(found: Iterable[bytes]) -> list[bytes]:
    """Those that can have links."""
    return [cid for cid in found if cids.codec_of(cid) in _NODE_CODECS]
