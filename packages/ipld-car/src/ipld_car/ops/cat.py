"""``ipld-car cat``: the bytes of a UnixFS file in an archive."""

from __future__ import annotations

from collections.abc import Iterator

from ipld_car import cids, unixfs
from ipld_car._cli.exit_codes import FailedError

from .blocks import Blocks, find_path, missing_block


def pieces(blocks: Blocks, root: bytes, path: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """The bytes of the file at a path below a root, piece by piece.

    :param start: the first byte
    :param stop: the position behind the last byte, by default the end
    :raises CarError: if there is no file, or a block of it is missing
    """
    link = find_path(blocks, root, path)
    wanted = link.cid

    def get(cid: bytes) -> bytes:
        nonlocal wanted
        wanted = cid
        return blocks.get(cid)

    try:
        kind = unixfs.kind_of(get, link.cid)
        if kind is not unixfs.Kind.FILE:
            raise FailedError(f"expected a file at {path or cids.to_text(root)!r}, found a {kind}")
        yield from unixfs.read(get, link.cid, start, stop)
    except KeyError:
        raise missing_block(wanted, "of the file") from None
