"""Blocks of an archive by their CIDs, verified, and the way along a UnixFS path."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ipld_car import cids, unixfs
from ipld_car._car.reader import CarReader
from ipld_car._cli.exit_codes import FailedError, NoEntryError
from ipld_car._cli.files import mapped_file, reading
from ipld_car._graph.walk import binary_links
from ipld_car.errors import CarError, HashMismatchError
from ipld_car.hashes import verify_digest
from ipld_car.unixfs import Kind, PBLink

from .layout import read_layout
from .sections import Buffer, Section, sections


class Blocks:
    """An archive in memory that can be asked for blocks, by their multihashes.

    It holds where each block is, and no payload. One thread at a time may use it.

    :raises CarError: if it cannot be read to its end
    """

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self._layout = read_layout(buffer)
        self.roots = self._layout.roots
        self._places: dict[bytes, Section] = {}
        for section in sections(buffer, self._layout):
            self._places.setdefault(cids.multihash_of(section[1]), section)

    def __contains__(self, cid: bytes) -> bool:
        """Whether a block is there, be it damaged or not."""
        return cids.prefix_of(cid).hash_code == cids.IDENTITY or cids.multihash_of(cid) in self._places

    def get(self, cid: bytes) -> bytes:
        """The bytes of a block, verified; those of an identity CID are in it.

        :raises KeyError: if it is not there
        :raises HashMismatchError: if it is damaged
        """
        prefix = cids.prefix_of(cid)
        if prefix.hash_code == cids.IDENTITY:
            return cid[prefix.size :]
        _, _, start, size = self._places[cids.multihash_of(cid)]
        data = self._buffer[start : start + size]
        try:
            verify_digest(cid, data)
        except HashMismatchError as error:
            raise error.at(start) from None
        return data

    def unlinked(self) -> list[bytes]:
        """The blocks that no other one links, in the order of the archive."""
        linked: set[bytes] = set()
        for _, cid, _, _ in self._places.values():
            linked.update(map(cids.multihash_of, binary_links(cid, self.get(cid))))
        return [cid for key, (_, cid, _, _) in self._places.items() if key not in linked]


@contextmanager
def open_blocks(path: str) -> Iterator[Blocks]:
    """The blocks of a file, or of what standard input gives."""
    with mapped_file(path) as (_, buffer):
        yield Blocks(buffer)


def roots_of(path: str) -> list[bytes]:
    """The roots that the header names."""
    with reading(path) as stream:
        return [cids.to_bytes(root) for root in CarReader(stream).roots]


def split_path(path: str) -> list[str]:
    """The names in a path inside an archive, which may begin or end with a slash.

    :raises CarError: if one of them is no name
    """
    inside = path.strip("/")
    names = inside.split("/") if inside else []
    for name in names:
        unixfs.check_name(name)
    return names


def split_cid(path: str) -> tuple[bytes | None, str]:
    """The CID that a path begins with, if it does, and the rest of the path."""
    first, _, rest = path.removeprefix("/ipfs/").strip("/").partition("/")
    try:
        return cids.to_bytes(first), rest
    except CarError:
        return None, path


def roots_for(blocks: Blocks, *, single: bool = False) -> list[bytes]:
    """Where to begin in an archive: its roots, or where its header names none, what no block links.

    :param single: there must be one
    :raises FailedError: if there are more
    """
    roots = list(dict.fromkeys(blocks.roots)) or blocks.unlinked()
    if single and len(roots) != 1:
        raise FailedError(f"expected an archive with one root, found {len(roots)}: say at which CID to begin")
    return roots


def find_path(blocks: Blocks, root: bytes, path: str) -> PBLink:
    """The entry at a path below a root; the root itself for no path.

    :raises NoEntryError: if there is none
    :raises FailedError: if a block on the way is missing, so that nobody knows
    """
    link = PBLink(root, "", None)
    for name in split_path(path):
        try:
            found = None
            if unixfs.kind_of(blocks.get, link.cid) is Kind.DIRECTORY:
                found = unixfs.find_entry(blocks.get, link.cid, name)
        except KeyError:
            raise missing_block(link.cid, f"on the way to {path!r}") from None
        if found is None:
            raise NoEntryError(f"expected {path!r} below {cids.to_text(root)}, found no entry {name!r}")
        link = found
    return link


def missing_block(cid: bytes, where: str) -> FailedError:
    """The error on a block that is not in the archive."""
    return FailedError(f"expected block {cids.to_text(cid)} {where}: the archive does not have it")
