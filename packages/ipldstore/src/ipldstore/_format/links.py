"""What a link names, told from its binary CID: a node, a value, or a value of one block."""

from __future__ import annotations

from typing import Final

from ipld_car import cids

RAW_SHA256_PREFIX: Final = cids.make(cids.RAW, bytes(32))[:4]
"""The first bytes of the CID of a raw block with sha2-256; its digest follows."""


def is_directory_link(link: bytes) -> bool:
    """Whether a link names a node, not a value."""
    return cids.codec_of(link) == cids.DAG_CBOR


def is_raw_sha256(link: bytes) -> bool:
    """Whether a link names one raw block by sha2-256, as the links of nearly all values do."""
    return link[:4] == RAW_SHA256_PREFIX and len(link) == cids.CIDV1_SHA256_SIZE
