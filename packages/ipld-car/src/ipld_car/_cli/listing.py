"""``ipld-car list``: which blocks are in an archive, and which files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from ipld_car import cids, dagpb, unixfs
from ipld_car._errors import CarError, LimitError
from ipld_car.unixfs import Kind, PBLink

from .blocks import Blocks, missing_block
from .tell import printable

MAX_DEPTH: Final = 256
"""Directories in each other."""


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
    """A file, directory or link below a root."""

    path: str
    cid: bytes
    kind: Kind | None
    """None if its block is not in the archive."""


def tree(blocks: Blocks, root: bytes) -> Iterator[Entry]:
    """Everything below a root of UnixFS, a directory before what is in it.

    :raises CarError: if a directory is bad
    """
    waiting = [iter([PBLink(root, "", None)])]
    paths = [""]
    while waiting:
        link = next(waiting[-1], None)
        if link is None:
            waiting.pop()
            paths.pop()
            continue
        path = f"{paths[-1]}/{link.name}" if paths[-1] else link.name or ""
        try:
            kind = unixfs.kind_of(blocks.get, link.cid)
        except KeyError:
            if not path:
                raise missing_block(root, "as root") from None
            yield Entry(path, link.cid, None)
            continue
        if path or kind is not Kind.DIRECTORY:
            yield Entry(path, link.cid, kind)
        if kind is Kind.DIRECTORY:
            if len(paths) > MAX_DEPTH:
                raise LimitError(f"expected directories nested at most {MAX_DEPTH} deep, found more")
            waiting.append(unixfs.read_directory(blocks.get, link.cid, missing=lambda _: None))
            paths.append(path)
