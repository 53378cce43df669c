"""Build UnixFS files as balanced trees of blocks, and read them.

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
"""Bytes in a leaf by default."""
MAX_LINKS: Final = 1024
"""Most links in a node by default."""
MAX_DEPTH: Final = 8
"""Most levels of nodes above the leaves by default."""


def build(
    data: bytes | memoryview,
    put: Put,
    *,
    hash_code: int = cids.SHA2_256,
    chunk_size: int = CHUNK_SIZE,
    max_links: int = MAX_LINKS,
) -> bytes:
    """Store ``data`` as a UnixFS file and return the binary CID of its root.

    Up to ``chunk_size`` bytes the file is one raw block. A longer file is a tree of dag-pb nodes over raw leaves,
    balanced and filled from left to right.

    :param put: stores a block; it is called with the binary CID and the bytes, for a block before those that link it
    :param hash_code: multihash code of the hash function of all blocks
    :param chunk_size: bytes in a leaf, at least 1
    :param max_links: most links in a node, at least 2
    :raises ValueError: if ``chunk_size`` or ``max_links`` is less

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
    return join((_leaf(piece, put, hash_code) for piece in pieces), put, hash_code=hash_code, max_links=max_links).cid


def build_stream(
    stream: Readable,
    put: Put,
    *,
    hash_code: int = cids.SHA2_256,
    chunk_size: int = CHUNK_SIZE,
    max_links: int = MAX_LINKS,
) -> Tree:
    """Store a binary stream, up to its end, as :func:`build` stores bytes.

    Memory holds one chunk, and the links of one node for each level.

    :param stream: anything with ``read(size)``
    :returns: the binary CID of the root, the bytes read, and the graph size, for the link of a directory
    :raises ValueError: as :func:`build`

    >>> import io
    >>> blocks = {}
    >>> tree = build_stream(io.BytesIO(bytes(CHUNK_SIZE + 1)), blocks.__setitem__)
    >>> cids.to_text(tree.cid), tree.file_size, tree.graph_size
    ('bafybeihd4yzq7n5umhjngdum4r6k2to7egxfkf2jz6thvwzf6djus22cmq', 1048577, 1048681)
    """
    _check_shape(chunk_size, max_links)
    leaves = (_leaf(piece, put, hash_code) for piece in _pieces(stream, chunk_size))
    return join(leaves, put, hash_code=hash_code, max_links=max_links)


def _check_shape(chunk_size: int, max_links: int) -> None:
    if chunk_size < 1 or max_links < 2:
        raise ValueError(
            f"expected chunks of at least 1 byte and at least 2 links, found {chunk_size} bytes and {max_links} links"
        )


def _pieces(stream: Readable, chunk_size: int) -> Iterator[bytes]:
    """Iterate over a stream in chunks of one size, of which the last may be shorter; an empty stream gives one b""."""
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


def join(leaves: Iterable[Tree], put: Put, *, hash_code: int = cids.SHA2_256, max_links: int = MAX_LINKS) -> Tree:
    """Store the nodes of a file over leaves that are stored, as :func:`build` does.

    :param leaves: the leaves, at least one, from left to right
    :param put: as of :func:`build`; it is called for nodes only

    >>> blocks = {}
    >>> root = build(bytes(CHUNK_SIZE + 1), blocks.__setitem__)
    >>> join(raw_leaves(blocks.__getitem__, root), blocks.__setitem__).cid == root
    True
    """
    # A full node is stored when the next leaf comes, since it may be the root.
    levels: list[list[Tree]] = [[]]

    def add(tree: Tree, level: int) -> None:
        while len(levels[level]) == max_links:  # once for each level at most
            full, levels[level] = levels[level], [tree]
            tree = _node(full, put, hash_code)
            level += 1
            if level == len(levels):
                levels.append([])
        levels[level].append(tree)

    for leaf in leaves:
        add(leaf, 0)
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
    """The binary CID and the length in bytes of each child."""
    size: int


def _decode(cid: bytes, block: bytes, max_links: int) -> _File:
    """Decode the file node of a block, and check its sizes against each other.

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
            raise MalformedError(f"expected {expected} bytes, as the parent node says; found {file.size}")
    except CarError as error:
        raise in_block(cid, error) from error
    return file


def size_of(get: Get, root: bytes, *, max_links: int = MAX_LINKS) -> int:
    """Return the length in bytes of the file at a binary CID. Only the root block is read.

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
    r"""Iterate over the bytes ``start`` to ``stop`` of the file at a binary CID, piece by piece.

    Only the blocks with these bytes are read, from left to right, one at a time. A few hostile blocks can stand for
    any number of bytes, so the caller decides when to stop.

    :param get: returns the verified bytes of a block for its binary CID; its exceptions pass through
    :param stop: the position after the last byte, by default the end of the file; it may be past the end
    :param max_depth: most levels of nodes above the leaves
    :param max_links: most links in a node
    :raises CarError: if a block is no UnixFS file, exceeds a bound, or has another size than its parent node says

    >>> blocks = {}
    >>> root = build(bytes(CHUNK_SIZE) + b"end", blocks.__setitem__)
    >>> b"".join(read(blocks.__getitem__, root, CHUNK_SIZE - 1))
    b'\x00end'
    """
    # The nodes still to read: CID, position in the file, length if the parent says it, depth.
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


def raw_leaves(get: Get, root: bytes, *, max_depth: int = MAX_DEPTH, max_links: int = MAX_LINKS) -> Iterator[Tree]:
    """Iterate over the leaves of the file at a binary CID that are raw blocks. No leaf is read.

    The sizes of the leaves are those that their parents say: :func:`read` checks them. Data in the nodes themselves,
    as files without raw leaves have, is left out: then the sizes add up to less than :func:`size_of`.

    :param get: as of :func:`read`
    :raises CarError: as :func:`read`, of the nodes
    """
    stack: list[tuple[bytes, int | None, int]] = [(root, None, 0)]
    while stack:
        cid, size, depth = stack.pop()
        if cids.codec_of(cid) == cids.RAW and size is not None:
            yield Tree(cid, size, size)
            continue
        file = _load(get, cid, max_links, size)
        if file.children and depth >= max_depth:
            raise LimitError(
                f"block {cids.to_text(cid)}: expected at most {max_depth} levels of UnixFS nodes, found more"
            )
        stack.extend((child, length, depth + 1) for child, length in reversed(file.children))
