"""The way of a path through dag-cbor blocks, as https://specs.ipfs.tech/http-gateways/path-gateway/ walks it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ipld_car import CarError, cids, dagcbor
from multiformats import CID

from ipld_castore.errors import BlockMalformedError

_MAX_DIGITS: Final = 9
"""Of a position in a list; no block holds a longer one."""


def follow(cid: bytes, data: bytes, names: Sequence[str]) -> tuple[bytes, Sequence[str]] | None:
    """The first link that a path through a block meets, and the names behind it; None if the path ends in the block.

    A name is a key of a map or a position in a list. Paths end at blocks that are not dag-cbor.

    :param cid: binary CID of the block
    :param data: its bytes, verified
    :raises BlockMalformedError: if the block is not what its codec says
    """
    if not names or cids.codec_of(cid) != cids.DAG_CBOR:
        return None
    node, bytes_are_links = _decode(cid, data)
    for at, name in enumerate(names):
        node = _step(node, name)
        if isinstance(node, CID) or (bytes_are_links and isinstance(node, bytes)):
            return bytes(node), names[at + 1 :]
    return None


def _decode(cid: bytes, data: bytes) -> tuple[Any, bool]:
    """The value of a block, and whether its byte strings are binary CIDs."""
    try:
        try:
            return dagcbor.decode_node(data), True
        except CarError:  # it may hold other byte strings, which only the slow decoder tells from links
            return dagcbor.decode(data), False
    except CarError as error:
        raise BlockMalformedError(f"block {cids.to_text(cid)}: {error}") from error


def _step(node: Any, name: str) -> Any:
    """What stands at a name of a map or list; None if nothing does."""
    if isinstance(node, dict):
        return node.get(name)
    if isinstance(node, list) and name.isascii() and name.isdigit() and len(name) <= _MAX_DIGITS:
        at = int(name)
        return node[at] if at < len(node) else None
    return None
