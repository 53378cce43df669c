"""``ipld-car list``: which blocks are in an archive, and which files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from ipld_car import cids, unixfs
from ipld_car._cli.render.printer import printable
from ipld_car.codecs import dagpb
from ipld_car.errors import CarError, LimitError
from ipld_car.unixfs import Kind, PBLink

from .blocks import Blocks, missing_block

MAX_DEPTH: Final = 256
"""Directories in each other."""
MISSING: Final = "missing"
"""What an entry is whose block is not in the archive."""
MISSING_SHARD: Final = "missing shard"
"""What stands for the entries of a directory that are in a block that is not in the archive."""


def details(cid: bytes, data: bytes) -> Iterator[str]:
    """What ``list --verbose`` tells of a dag-pb block, as go-car does: its links, and what it is of UnixFS."""
    try:
        node = dagpb.decode(data)
    except CarError as error:
        yield f"not interpretable as dag-pb: {error}"
        return
    yield f"{len(node.links)} links. {len(node.data or b'')} bytes"
    for link in node.links[:3]:
        yield f"\t{printable(link.name or '<no name>')}[{link.size or 0} B] {cids.to_text(link.cid)}"
    if len(node.links) > 3:
        yield f"\t({len(node.links)} total)"
    try:
        yield f"UnixFS {unixfs.kind_of(lambda _: data, cid)}"
    except CarError as error:
        yield f"not interpretable as UnixFS: {error.message}"


class Entry(NamedTuple):
    """A file, directory or link below a root, or what stands for entries that nobody knows."""

    path: str
    """Its names; for a shard that is missing, those of the directory."""
    cid: bytes
    kind: str
    """A :class:`Kind`, or :data:`MISSING` or :data:`MISSING_SHARD`."""


def tree(blocks: Blocks, root: bytes) -> Iterator[Entry]:
    """Everything below a root of UnixFS, a directory before what is in it.

    :raises CarError: if a directory is bad
    """
    waiting = [iter([PBLink(root, "", None)])]
    paths = [""]
    shards: list[bytes] = []
    while waiting:
        link = next(waiting[-1], None)
        for shard in shards:  # that are missing between the entry before and this one
            yield Entry(paths[-1], shard, MISSING_SHARD)
        shards.clear()
        if link is None:
            waiting.pop()
            paths.pop()
            continue
        path = f"{paths[-1]}/{link.name}" if paths[-1] else link.name or ""
        if link.cid not in blocks:
            if not path:
                raise missing_block(root, "as root")
            yield Entry(path, link.cid, MISSING)
            continue
        kind = unixfs.kind_of(blocks.get, link.cid)
        if path or kind is not Kind.DIRECTORY:
            yield Entry(path, link.cid, kind)
        if kind is Kind.DIRECTORY:
            if len(paths) > MAX_DEPTH:
                raise LimitError(f"expected directories nested at most {MAX_DEPTH} deep, found more")
            waiting.append(unixfs.read_directory(blocks.get, link.cid, missing=shards.append))
            paths.append(path)


def unknown_shards(count: int) -> str:
    """What a person is told of shards that are missing."""
    return f"data for entry not found for {count} unknown sharded entries"
