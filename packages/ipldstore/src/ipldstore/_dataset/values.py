"""Write the value or document of a key, before its directory gets the link."""

from __future__ import annotations

from typing import Any

from ipld_car import cids, dagcbor, hashes, unixfs
from ipld_castore import ContentAddressableStore

from ipldstore._format import documents, keys
from ipldstore._format.links import RAW_SHA256_PREFIX
from ipldstore._format.nodes import NodeStore
from ipldstore._tree.lookup import KeyTarget


def put(castore: ContentAddressableStore, nodes: NodeStore, name: str | None, data: bytes) -> KeyTarget:
    """Write the bytes of a key: as a document, or as a file where they are more than a block.

    :param name: the last part of the key; None for that of a chunk
    """
    block = documents.encode(name, data) if name in keys.DOCUMENTS else None
    if block is None:
        return put_bytes(castore, data)
    if len(block) <= documents.MAX_EMBEDDED:
        document: dict[str, Any] = dagcbor.decode_node(block)
        return document
    return nodes.put_encoded(block)


def put_bytes(castore: ContentAddressableStore, data: bytes) -> bytes:
    """Write the bytes of a value; returns its link."""
    if len(data) > unixfs.CHUNK_SIZE:
        return unixfs.build(data, lambda cid, leaf: castore.put_block(cids.from_validated(cid), leaf))
    link = link_of(data)  # nearly all values: as build() does, at half the cost
    castore.put_block(cids.from_validated(link), data)
    return link


def try_put_nowait(castore: ContentAddressableStore, data: bytes) -> bytes | None:
    """Return the link of a value that is kept now, in one block; None if something has to be waited for."""
    if len(data) > unixfs.CHUNK_SIZE:
        return None
    link = link_of(data)
    return link if castore.try_put_nowait(cids.from_validated(link), data) else None


def link_of(data: bytes) -> bytes:
    """Return the binary CID of a block of bytes."""
    return RAW_SHA256_PREFIX + hashes.sha2_256(data)
