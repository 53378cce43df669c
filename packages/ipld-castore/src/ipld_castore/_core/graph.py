"""Graphs of verified blocks: all that a root reaches, and whether it is there."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import tee

from ipld_car import CarError, binary_links, cids, shared_cids, walk_binary
from multiformats import CID

from ipld_castore.errors import BlockMalformedError, BlockNotFoundError

from .hash_policy import identity_bytes
from .path import PathStep

Get = Callable[[bytes], bytes]
"""Returns a verified block by its binary CID."""

Prefetch = Callable[[Sequence[bytes], Container[bytes]], None]
"""Is told which blocks a walk asks for next; see :func:`ipld_car.walk_binary`."""


def walk(
    get: Get, root: bytes, *, since: bytes | None = None, prefetch: Prefetch | None = None
) -> Iterator[tuple[CID, bytes]]:
    """Yield every block that ``root`` reaches, once, and that ``since`` does not, as far as comparing the two shows.

    Depth first, a block before the blocks that it links, links in the order of their encoding.

    :param get: returns a verified block
    :param since: another root, whose blocks are left out
    :raises BlockMalformedError: if a block is not what its codec says
    """
    current = root

    def noting(wanted: bytes) -> bytes:
        nonlocal current
        current = wanted  # its links are read when this has returned
        return get(wanted)

    try:
        seen = None if since is None else shared_cids(noting, since, root)
        for cid, data in walk_binary(noting, root, seen, prefetch):
            yield cids.from_validated(cid), data
    except CarError as error:
        raise BlockMalformedError(f"block {cids.to_text(current)} below {cids.to_text(root)}: {error}") from error


def links_below(cid: bytes, data: bytes) -> Iterable[bytes]:
    """Return the links of a block; none if the block is malformed, which is an error when a walk comes to it."""
    try:
        return binary_links(cid, data)
    except CarError:
        return ()


def follow_path(get: Get, root: bytes, names: Sequence[str]) -> Iterator[tuple[CID, bytes]]:
    """Yield the blocks on a path; see :meth:`Backend.get_path`."""
    step: PathStep | None = PathStep(root, names)
    while step is not None:
        cid, data = cids.from_validated(step.cid), get(step.cid)
        step = step.next(data)
        yield cid, data


def check(
    get_many: Callable[[Iterable[CID]], Iterator[tuple[CID, bytes]]],
    has_blocks: Callable[[Iterable[CID]], Iterator[bool]],
    root: bytes,
) -> None:
    """Require that every block that ``root`` reaches is there; raw blocks are looked for and not read.

    The graph is read level by level, so that many blocks are asked for at a time.

    :param get_many: gives verified blocks
    :param has_blocks: tells of each of many blocks whether it is there
    :raises BlockNotFoundError: if one is missing
    :raises BlockMalformedError: if one is not what its codec says
    """
    seen = {root}
    level = [root]
    while level:
        asked, wanted = tee(cids.from_validated(cid) for cid in level if _is_leaf(cid) and identity_bytes(cid) is None)
        for cid, is_there in zip(wanted, has_blocks(asked), strict=True):
            if not is_there:
                raise BlockNotFoundError(f"no block {cid} below {cids.to_text(root)}")
        below: list[bytes] = []
        for node, data in _nodes(get_many, level):
            try:
                fresh = [link for link in dict.fromkeys(binary_links(node, data)) if link not in seen]
            except CarError as error:
                raise BlockMalformedError(f"block {cids.to_text(node)} below {cids.to_text(root)}: {error}") from error
            seen.update(fresh)
            below += fresh
        level = below


def _is_leaf(cid: bytes) -> bool:
    return cids.codec_of(cid) == cids.RAW


def _nodes(
    get_many: Callable[[Iterable[CID]], Iterator[tuple[CID, bytes]]], level: Iterable[bytes]
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the blocks of a level that can have links; identity CIDs hold their bytes themselves."""
    far: list[CID] = []
    for cid in level:
        if not _is_leaf(cid):
            inline = identity_bytes(cid)
            if inline is None:
                far.append(cids.from_validated(cid))
            else:
                yield cid, inline
    for node, data in get_many(far):
        yield bytes(node), data
