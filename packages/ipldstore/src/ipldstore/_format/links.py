"""Kinds of links, by the binary CID: a node, a value, or a value of one block."""

from __future__ import annotations

from typing import Final

from ipld_car import cids

RAW_SHA256_PREFIX: Final = cids.make(cids.RAW, bytes(32))[:4]
"""The first bytes of the CID of a raw block with sha2-256; its digest follows."""


_FOREIGN: Final = {
    cids.RAW: "raw bytes, a chunk or a file: open the root of the dataset that holds it",
    cids.DAG_PB: "a UnixFS file or directory (dag-pb): fetch it with an IPFS client (ipfs get) and open that",
    0x0129: "dag-json: datasets are dag-cbor, so convert it with an IPFS client (ipfs dag put)",
    0x78: "a Git object: fetch it with git",
}
"""What a root with another codec than dag-cbor is, and what to do with it."""


def describe_foreign(cid: bytes) -> str:
    """Return a text on a block that is no dag-cbor: its kind, by its codec, and what to do with it."""
    codec = cids.codec_of(cid)
    return _FOREIGN.get(codec, f"a block with codec 0x{codec:x}, which is no part of a dataset")


def is_directory_link(link: bytes) -> bool:
    """Return whether a link names a node, not a value."""
    return cids.codec_of(link) == cids.DAG_CBOR


def is_raw_sha256(link: bytes) -> bool:
    """Return whether a link names one raw block by sha2-256, as the links of nearly all values do."""
    return link[:4] == RAW_SHA256_PREFIX and len(link) == cids.CIDV1_SHA256_SIZE
