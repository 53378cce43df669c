"""UnixFS files: built as balanced trees of blocks, and read.

Source: https://specs.ipfs.tech/unixfs/.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from ipld_car import cids
from ipld_car.codecs.dagpb import PBLink
from ipld_car.errors import CarError, LimitError, MalformedError
from ipld_car.hashes import digest_of
from ipld_car.streams import Readable

from .node import FILE_TYPE, RAW_TYPE, Get, Put, Tree, decode_node, encode_message, in_block, put_node

CHUNK_SIZE: Final = 1 << 20
"""Bytes in a leaf."""
MAX_LINKS: Final = 1024
"""Links in a node."""
MAX_DEPTH: Final = 8
"""Levels of nodes above the leaves."""


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
    _check_shape(chunk_size, max_links)
    view = memoryview(data)
    if view.nbytes <= chunk_size:  # nearly all values are
        return _leaf(data if isinstance(data, bytes) else bytes(view), put, hash_code).cid
    view = view.cast("B")
    pieces = (bytes(view[at : at + chunk_size]) for at in range(0, len(view), chunk_size))
    return _build_tree(pieces, put, hash_code, max_links).cid


def build_stream(
    stream: Readable,
    put: Put,
    *,
    hash_code: int = cids.SHA2_256,
    chunk_size: int = CHUNK_SIZE,
    max_links: int = MAX_LINKS,
) -> Tree:
    """Store what a binary stream gives, up to its end, as :func:`build` stores bytes.

    Holds one chunk, and the links of one node for each level.

    :param stream: anything with ``read(size)``
    :returns: the binary CID of the root, the bytes read, and what a directory's link to the file tells
    :raises ValueError: if no tree has such chunks or links

    >>> import io
    >>> blocks = {}
    >>> tree = build_stream(io.BytesIO(bytes(CHUNK_SIZE + 1)), blocks.__setitem__)
    >>> cids.to_text(tree.cid), tree.file_size, tree.graph_size
    ('bafybeihd4yzq7n5umhjngdum4r6k2to7egxfkf2jz6thvwzf6djus22cmq', 1048577, 1048681)
    """
    _check_shape(chunk_size, max_links)
    return _build_tree(_pieces(stream, chunk_size), put, hash_code, max_links)


def _check_shape(chunk_size: int, max_links: int) -> None:
    if chunk_size < 1 or max_links < 2:
        raise ValueError(
            f"expected chunks of at least 1 byte and at least 2 links, found {chunk_size} bytes and {max_links} links"
        )


def _pieces(stream: Readable, chunk_size: int) -> Iterator[bytes]:
    """All that a stream gives in pieces of one size, but for the last; a single empty one if there is nothing."""
    first = True
    while True:
        parts: list[bytes] = []
        missing = chunk_size
        while missing and (part := stream.read(missing)):
            parts.append(part)
            missing -= len(part)
        if parts or first:
            yield b"".join(parts)
        if missing:
            return
        first = False


def _build_tree(pieces: Iterable[bytes], put: Put, hash_code: int, max_links: int) -> Tree:
    """The file of these leaves. A full node is made when there is more to come, so the last one may be the root."""
    levels: list[list[Tree]] = [[]]

    def add(tree: Tree, level: int) -> None:
        while len(levels[level]) == max_links:  # at most once for each level
            full, levels[level] = levels[level], [tree]
            tree = _node(full, put, hash_code)
            level += 1
            if level == len(levels):
                levels.append([])
        levels[level].append(tree)

    for piece in pieces:
        add(_leaf(piece, put, hash_code), 0)
    level = 0
    while level + 1 < len(levels) or len(levels[level]) > 1:
        if level + 1 == len(levels):
            levels.append([])
        add(_node(levels[level], put, hash_code), level + 1)
        level += 1
    return levels[level][0]


def _leaf(data: bytes, put: Put, hash_code: int) -> Tree:
    cid = cids.make(cids.RAW, digest_of(hash_code, data), hash_code)
    put(cid, data)
    return Tree(cid, len(data), len(data))


def _node(parts: Sequence[Tree], put: Put, hash_code: int) -> Tree:
    sizes = [part.file_size for part in parts]
    size = sum(sizes)
    links = [PBLink(part.cid, "", part.graph_size) for part in parts]
    return put_node(links, encode_message(FILE_TYPE, size=size, sizes=sizes), put, hash_code, size)


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
    links, message = decode_node(block)
    if message.kind not in (RAW_TYPE, FILE_TYPE):
        raise MalformedError(f"expected a UnixFS file, found UnixFS type {message.kind}")
    if len(links) > max_links:
        raise LimitError(f"expected at most {max_links} links in a UnixFS node, found {len(links)}")
    total = len(message.data) + sum(message.sizes)
    if len(message.sizes) != len(links) or (message.size is not None and message.size != total):
        raise MalformedError(
            f"expected a size for each of {len(links)} links, {message.size} bytes in all; "
            f"found {len(message.sizes)} sizes and {total} bytes"
        )
    return _File(message.data, [(link.cid, size) for link, size in zip(links, message.sizes, strict=True)], total)


def _load(get: Get, cid: bytes, max_links: int, expected: int | None = None) -> _File:
    block = get(cid)
    try:
        file = _decode(cid, block, max_links)
        if expected is not None and file.size != expected:
            raise MalformedError(f"expected {expected} bytes, as the node above says; found {file.size}")
    except CarError as error:
        raise in_block(cid, error) from error
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
