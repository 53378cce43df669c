"""Paths through dag-cbor blocks, as https://specs.ipfs.tech/http-gateways/path-gateway/ resolves them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ipld_car import CarError, cids, dagcbor
from multiformats import CID

from ipld_castore.errors import BlockMalformedError

_MAX_DIGITS: Final = 9
"""Digits of a position in a list; no block holds a list of more items."""


def resolve_path(cid: bytes, data: bytes, names: Sequence[str]) -> tuple[bytes, Sequence[str]] | None:
    """Return the first link that a path through a block meets and the rest of the path; None if it meets no link.

    Each name of the path is a key of a map or a position in a list. A path ends at a block that is not dag-cbor.

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
    """Return the value of a block, and whether its byte strings are binary CIDs."""
    try:
        try:
            return dagcbor.decode_node(data), True
        except CarError:  # only the slower decoder tells links from other byte strings
            return dagcbor.decode(data), False
    except CarError as error:
        raise BlockMalformedError(f"block {cids.to_text(cid)}: {error}") from error


def _step(node: Any, name: str) -> Any:
    """Return the item at a name of a map or list; None if there is none."""
    if isinstance(node, dict):
        return node.get(name)
    if isinstance(node, list) and name.isascii() and name.isdigit() and len(name) <= _MAX_DIGITS:
        at = int(name)
        return node[at] if at < len(node) else None
    return None
