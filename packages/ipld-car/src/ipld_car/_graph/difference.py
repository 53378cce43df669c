"""Compare two graphs: which blocks need not be sent to the holder of one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ipld_car import cids

from .walk import KNOWN_CODECS, binary_links

_NODE_CODECS: Final = KNOWN_CODECS - {cids.RAW}


def shared_cids(get: Callable[[bytes], bytes], old: bytes, new: bytes) -> set[bytes]:
    """Return CIDs of the graph of ``old`` that a walk over the graph of ``new`` can leave out.

    Give them to :func:`walk_binary` as ``seen``: it then yields every block that a holder of ``old`` lacks. Both graphs
    are read level by level from their roots. Where both link the same block, neither is read further, so shared blocks
    are not read, and raw blocks never are. A block that is below a shared block in ``old`` and elsewhere in ``new`` is
    not recognised, since that would take reading all shared blocks; the walk yields it although the holder has it.

    Memory: at most 150 bytes for each link in the nodes that only ``old`` has, for each node of ``new``, and for each
    link of one level of nodes.

    :param get: returns the verified bytes of a block for its binary CID; its exceptions pass through
    :param old: binary CID of the root that the holder has
    :param new: binary CID of the root that is wanted
    :returns: the root ``old`` and all links of the nodes of ``old`` that were read; some may be in ``old`` only
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
    wanted = {new}  # nodes of ``new``, without raw blocks
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
            # A node that was read for ``new`` before it was met in ``old`` is read again: its links are held too.
            if cid not in read_of_old and (cid not in wanted or cid in read_of_new):
                read_of_old.add(cid)
                all_links = binary_links(cid, get(cid))
                held.update(all_links)
                below_old += _nodes(all_links)
        old_level, new_level = below_old, below_new
    return held


def _nodes(found: Iterable[bytes]) -> list[bytes]:
    """Return the CIDs of blocks that can have links."""
    return [cid for cid in found if cids.codec_of(cid) in _NODE_CODECS]
