"""Encode, decode, load and store UnixFS nodes: dag-pb blocks with a ``Data`` message.

Source: https://specs.ipfs.tech/unixfs/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from ipld_car import cids
from ipld_car.codecs import dagpb
from ipld_car.errors import CarError, LimitError, MalformedError
from ipld_car.hashes import digest_of

Put = Callable[[bytes, bytes], object]
Get = Callable[[bytes], bytes]

RAW_TYPE: Final = 0
DIRECTORY_TYPE: Final = 1
FILE_TYPE: Final = 2
SYMLINK_TYPE: Final = 4
SHARD_TYPE: Final = 5

MAX_NODE_BYTES: Final = 1 << 20
"""The longest node that is built, in bytes."""


class Tree(NamedTuple):
    """A file, directory or symbolic link that was built, or a part of one."""

    cid: bytes
    """Binary CID of its root block."""
    file_size: int
    """Bytes of the file; 0 for a directory or symbolic link."""
    graph_size: int
    """Bytes of the root block and all blocks below it, for ``Tsize``: a block that is linked twice counts twice."""


class Message(NamedTuple):
    """A decoded ``Data`` message."""

    kind: int | None
    data: bytes
    size: int | None
    sizes: list[int]
    hash_type: int | None
    fanout: int | None


class Node(NamedTuple):
    """A decoded dag-pb block with its message."""

    links: list[dagpb.PBLink]
    message: Message


def encode_message(
    kind: int,
    *,
    data: bytes | None = None,
    size: int | None = None,
    sizes: Sequence[int] = (),
    hash_type: int | None = None,
    fanout: int | None = None,
) -> bytes:
    """Return the ``Data`` message with these fields, in the order of their numbers."""
    fields: list[tuple[int, bytes | int | None]] = [(1, kind), (2, data), (3, size)]
    fields += [(4, each) for each in sizes]
    fields += [(5, hash_type), (6, fanout)]
    return b"".join(dagpb.encode_field(number, value) for number, value in fields if value is not None)


def decode_node(block: bytes) -> Node:
    """Return the node of a dag-pb block. Unknown fields, and fields of another wire type, are ignored.

    :raises CarError: if the block is not dag-pb, or its data is no protobuf message
    """
    node = dagpb.decode(block)
    numbers: dict[int, int] = {}
    sizes: list[int] = []
    data = b""
    for number, _, value in dagpb.fields(node.data or b""):
        if number == 4 and isinstance(value, int):
            sizes.append(value)
        elif isinstance(value, int):
            numbers[number] = value
        elif number == 2:
            data = value
    message = Message(numbers.get(1), data, numbers.get(3), sizes, numbers.get(5), numbers.get(6))
    return Node(node.links, message)


def load_node(get: Get, cid: bytes) -> Node:
    """Load and decode the node at a binary CID.

    :raises CarError: with the CID, if the block is no dag-pb block with a message
    """
    codec = cids.codec_of(cid)
    if codec != cids.DAG_PB:
        raise MalformedError(f"block {cids.to_text(cid)}: expected a UnixFS node, dag-pb; found codec 0x{codec:x}")
    block = get(cid)
    try:
        return decode_node(block)
    except CarError as error:
        raise in_block(cid, error) from error


def in_block(cid: bytes, error: CarError) -> CarError:
    """Return an error of the same class whose message names the block."""
    return type(error)(f"block {cids.to_text(cid)}: {error.message}", offset=error.offset)


def put_node(links: Iterable[dagpb.PBLink], message: bytes, put: Put, hash_code: int, file_size: int = 0) -> Tree:
    """Store a dag-pb node.

    :raises LimitError: if its block would be longer than :data:`MAX_NODE_BYTES`; nothing is put
    """
    links = list(links)
    block = dagpb.encode(links, message)
    if len(block) > MAX_NODE_BYTES:
        raise LimitError(
            f"expected a UnixFS node of at most {MAX_NODE_BYTES} bytes, found {len(links)} links in {len(block)} bytes"
        )
    cid = cids.make(cids.DAG_PB, digest_of(hash_code, block), hash_code)
    put(cid, block)
    return Tree(cid, file_size, len(block) + sum(link.size or 0 for link in links))
