"""Graphs of verified blocks: all that a root reaches, and whether it is there."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import tee

from ipld_car import CarError, cids, shared_cids, walk_binary
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


def follow_path(get: Get, root: bytes, names: Sequence[str]) -> Iterator[tuple[CID, bytes]]:
    """Yield the blocks on a path; see :meth:`Backend.get_path`."""
    step: PathStep | None = PathStep(root, names)
    while step is not None:
        cid, data = cids.from_validated(step.cid), get(step.cid)
        step = step.next(data)
        yield cid, data


def check(get: Get, has_blocks: Callable[[Iterable[CID]], Iterator[bool]], root: bytes) -> None:
    """Return if every block that ``root`` reaches is there; raw blocks are looked for and not read.

    :param get: returns a verified block
    :param has_blocks: tells of each of many blocks whether it is there
    :raises BlockNotFoundError: if one is missing
    """

    def get_node(cid: bytes) -> bytes:
        return b"" if cids.codec_of(cid) == cids.RAW else get(cid)

    leaves = (cid for cid, _ in walk(get_node, root) if cids.codec_of(bytes(cid)) == cids.RAW)
    asked, wanted = tee(cid for cid in leaves if identity_bytes(bytes(cid)) is None)
    for cid, there in zip(wanted, has_blocks(asked), strict=True):
        if not there:
            raise BlockNotFoundError(f"no block {cid} below {cids.to_text(root)}")
