"""Blocks of the reference: CIDs, DAG-CBOR, and the values of section 2 of the format."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import dag_cbor
from multiformats import CID

MIB = 1 << 20


class Link(bytes):
    """A binary CID."""


# -- DAG-CBOR, and the CIDs of blocks --


def head(kind: int, number: int) -> bytes:
    if number < 24:
        return bytes([kind << 5 | number])
    for extra, size in enumerate((1, 2, 4, 8)):
        if number < 256**size:
            return bytes([kind << 5 | 24 + extra]) + number.to_bytes(size, "big")
    raise ValueError(number)


def encode(value: Any) -> bytes:
    if value is None or value is True or value is False:
        return {None: b"\xf6", True: b"\xf5", False: b"\xf4"}[value]
    if isinstance(value, Link):
        return b"\xd8\x2a" + head(2, len(value) + 1) + b"\0" + value
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, str):
        text = value.encode()
        return head(3, len(text)) + text
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(encode, value))
    pairs = sorted((len(name.encode()), name.encode(), name) for name in value)
    return head(5, len(pairs)) + b"".join(encode(name) + encode(value[name]) for _, _, name in pairs)


def cid(codec: int, block: bytes) -> Link:
    return Link(bytes([1, codec, 0x12, 0x20]) + hashlib.sha256(block).digest())


def decode(block: bytes) -> Any:
    return _with_links(dag_cbor.decode(block))  # as users of other libraries decode it


def _with_links(value: Any) -> Any:
    if isinstance(value, CID):
        return Link(bytes(value))
    if isinstance(value, dict):
        return {name: _with_links(item) for name, item in value.items()}
    return [_with_links(item) for item in value] if isinstance(value, list) else value


# -- values: raw blocks, and UnixFS files in dag-pb --


def varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found, number = found + bytes([number & 127 | 128]), number >> 7
    return found + bytes([number])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def value_blocks(data: bytes) -> tuple[Link, dict[Link, bytes]]:
    """Return the link of a value and its blocks: one raw block, or a UnixFS file."""
    blocks: dict[Link, bytes] = {}
    level = []  # link, bytes of the file, bytes of all blocks
    for at in range(0, max(len(data), 1), MIB):
        leaf = data[at : at + MIB]
        blocks[cid(0x55, leaf)] = leaf
        level.append((cid(0x55, leaf), len(leaf), len(leaf)))
    while len(level) > 1:
        above = []
        for at in range(0, len(level), 1024):
            children = level[at : at + 1024]
            links = [field(2, field(1, link) + field(2, b"") + field(3, whole)) for link, _, whole in children]
            size = sum(size for _, size, _ in children)
            message = field(1, 2) + field(3, size) + b"".join(field(4, size) for _, size, _ in children)
            block = b"".join(links) + field(1, message)
            blocks[cid(0x70, block)] = block
            above.append((cid(0x70, block), size, len(block) + sum(whole for _, _, whole in children)))
        level = above
    return level[0][0], blocks
