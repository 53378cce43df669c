"""UnixFS files: byte strings larger than a block, as a balanced tree of blocks.

Source: https://specs.ipfs.tech/unixfs/. :func:`build` gives the CIDs of ``ipfs add --cid-version=1
--raw-leaves --chunker=size-1048576 --max-file-links=1024``; :func:`read` reads files of other shapes
too, within its bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from . import cids, dagpb
from ._errors import CarError, LimitError, MalformedError
from .hashes import digest_of

__all__ = ["CHUNK_SIZE", "MAX_DEPTH", "MAX_LINKS", "build", "read", "size_of"]

CHUNK_SIZE: Final = 1 << 20
"""Bytes in a leaf."""
MAX_LINKS: Final = 1024
"""Links in a node."""
MAX_DEPTH: Final = 8
"""Levels of nodes above the leaves."""

_RAW_TYPE: Final = 0
_FILE_TYPE: Final = 2

Put = Callable[[bytes, bytes], object]
Get = Callable[[bytes], bytes]


class _Part(NamedTuple):
    """A subtree while a file is built."""

    cid: bytes
    file_size: int
    graph_size: int


def build(
    data: bytes | memoryview,
    put: Put,
    *,
    hash_code: int = cids.SHA2_256,
    chunk_size: int = CHUNK_SIZE,
    max_links: int = MAX_LINKS,
) -> bytes:
    """Store ``data`` as a UnixFS file and return the binary CID of its root.

    Up to ``chunk_size`` this is one raw block; above, a tree of dag-pb nodes over raw leaves, balanced and
    filled from left to right. Every block is put before the node that links it.

    :param put: takes the binary CID and the bytes of a block
    :param hash_code: multihash code of the hash function of all blocks
    :param chunk_size: bytes in a leaf
    :param max_links: links in a node
    :raises ValueError: if no tree has such chunks or links

    >>> blocks = {}
    >>> cids.to_text(build(bytes(CHUNK_SIZE + 1), blocks.__setitem__))
    'bafybeihd4yzq7n5umhjngdum4r6k2to7egxfkf2jz6thvwzf6djus22cmq'
    >>> len(blocks)
    3
    """
    if chunk_size < 1 or max_links < 2:
        raise ValueError(
            f"expected chunks of at least 1 byte and at least 2 links, found {chunk_size} bytes and {max_links} links"
        )
    view = memoryview(data)
    if view.nbytes <= chunk_size:  # nearly all values are
        return _leaf(data if isinstance(data, bytes) else bytes(view), put, hash_code).cid
    view = view.cast("B")
    level = [_leaf(bytes(view[at : at + chunk_size]), put, hash_code) for at in range(0, len(view), chunk_size)]
    while len(level) > 1:
        level = [_node(level[at : at + max_links], put, hash_code) for at in range(0, len(level), max_links)]
    return level[0].cid


def _leaf(data: bytes, put: Put, hash_code: int) -> _Part:
    cid = cids.make(cids.RAW, digest_of(hash_code, data), hash_code)
    put(cid, data)
    return _Part(cid, len(data), len(data))


def _node(parts: Sequence[_Part], put: Put, hash_code: int) -> _Part:
    file_size = sum(part.file_size for part in parts)
    message = _file_message([part.file_size for part in parts], file_size)
    block = dagpb.encode([dagpb.PBLink(part.cid, "", part.graph_size) for part in parts], message)
    cid = cids.make(cids.DAG_PB, digest_of(hash_code, block), hash_code)
    put(cid, block)
    return _Part(cid, file_size, len(block) + sum(part.graph_size for part in parts))


def _file_message(block_sizes: Sequence[int], file_size: int) -> bytes:
    """The ``Data`` message of a file node: type, file size, and the size of each link's bytes."""
    fields = [dagpb.encode_field(1, _FILE_TYPE), dagpb.encode_field(3, file_size)]
    return b"".join(fields + [dagpb.encode_field(4, size) for size in block_sizes])


class _File(NamedTuple):
    """A decoded node of a file."""

    data: bytes
    children: list[tuple[bytes, int]]
    """Binary CID and length in bytes of each child."""
    size: int


def _decode(cid: bytes, block: bytes, max_links: int) -> _File:
    """The file node of a block, its sizes checked against each other.

    :raises CarError: if the block is no UnixFS file, or breaks a bound
    """
    codec = cids.codec_of(cid)
    if codec == cids.RAW:
        return _File(block, [], len(block))
    if codec != cids.DAG_PB:
        raise MalformedError(f"expected a UnixFS file of raw and dag-pb blocks, found codec 0x{codec:x}")
    node = dagpb.decode(block)
    kind: int | None = None
    size: int | None = None
    data = b""
    sizes: list[int] = []
    for number, _, value in dagpb.fields(node.data or b""):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number == 2 and isinstance(value, bytes):
            data = value
        elif number == 3 and isinstance(value, int):
            size = value
        elif number == 4 and isinstance(value, int):
            sizes.append(value)
    if kind not in (_RAW_TYPE, _FILE_TYPE):
        raise MalformedError(f"expected a UnixFS file, found UnixFS type {kind}")
    if len(node.links) > max_links:
        raise LimitError(f"expected at most {max_links} links in a UnixFS node, found {len(node.links)}")
    total = len(data) + sum(sizes)
    if len(sizes) != len(node.links) or (size is not None and size != total):
        raise MalformedError(
            f"expected a size for each of {len(node.links)} links, {size} bytes in all; "
            f"found {len(sizes)} sizes and {total} bytes"
        )
    return _File(data, [(link.cid, size) for link, size in zip(node.links, sizes, strict=True)], total)


def _load(get: Get, cid: bytes, max_links: int, expected: int | None = None) -> _File:
    block = get(cid)
    try:
        file = _decode(cid, block, max_links)
        if expected is not None and file.size != expected:
            raise MalformedError(f"expected {expected} bytes, as the node above says; found {file.size}")
    except CarError as error:
        raise type(error)(f"block {cids.to_text(cid)}: {error.message}", offset=error.offset) from error
    return file


def size_of(get: Get, root: bytes, *, max_links: int = MAX_LINKS) -> int:
    """The length in bytes of the file at a binary CID, as its root node says; reads only that.

    :raises CarError: if the block is no UnixFS file
    """
    return _load(get, root, max_links).size


def read(
    get: Get,
    root: bytes,
    start: int = 0,
    stop: int | None = None,
    *,
    max_depth: int = MAX_DEPTH,
    max_links: int = MAX_LINKS,
) -> Iterator[bytes]:
    r"""The bytes ``start`` to ``stop`` of the file at a binary CID, piece by piece.

    Reads only the blocks that hold them, from left to right, one at a time; a hostile root can
    name more bytes than there are, so the caller decides when to stop.

    :param get: gives the bytes of a block by its binary CID, verified; what it raises ends the reading
    :param stop: the position behind the last byte, by default the end; positions past the end are cut
    :param max_depth: levels of nodes above the leaves
    :raises CarError: if a block is no UnixFS file, breaks a bound, or has not the size that the node above says

    >>> blocks = {}
    >>> root = build(bytes(CHUNK_SIZE) + b"end", blocks.__setitem__)
    >>> b"".join(read(blocks.__getitem__, root, CHUNK_SIZE - 1))
    b'\x00end'
    """
    # A file or part to be read: CID, its position in the file, its length if a node told it, its level.
    stack: list[tuple[bytes, int, int | None, int]] = [(root, 0, None, 0)]
    end = float("inf") if stop is None else stop
    while stack:
        cid, position, length, depth = stack.pop()
        file = _load(get, cid, max_links, length)
        if file.children and depth >= max_depth:
            raise LimitError(
                f"block {cids.to_text(cid)}: expected at most {max_depth} levels of UnixFS nodes, found more"
            )
        if file.data:
            piece = file.data[max(start - position, 0) : max(int(min(end - position, len(file.data))), 0)]
            if piece:
                yield piece
        children = []
        position += len(file.data)
        for child, size in file.children:
            if max(position, start) < min(position + size, end):
                children.append((child, position, size, depth + 1))
            position += size
        stack.extend(reversed(children))
