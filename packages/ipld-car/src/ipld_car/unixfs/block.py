"""Single blocks of UnixFS: what kind of node one is, and where a name leads from it.

A path is resolved block by block, by callers that decide how each block is fetched.
Source: https://specs.ipfs.tech/unixfs/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from ipld_car import cids
from ipld_car.codecs.dagpb import PBLink
from ipld_car.errors import CarError, MalformedError

from .directory import Kind, check_name, kind_of_type
from .hamt import Place, Slot, check_hash, name_hash, slots_of
from .node import DIRECTORY_TYPE, SHARD_TYPE, Get, Node, decode_node, in_block

_HASH_BITS: Final = 64
_ROOT: Final = Place(0, 0, 0)
"""Stands for the root of a directory, whose block says whether it is sharded."""


class Shard(NamedTuple):
    """A shard below the root of a sharded directory."""

    cid: bytes
    """Binary CID."""
    place: Place
    """Its place in the directory, by which its block is decoded."""


class UnixFSBlock:
    """A decoded and checked block: a file, a symbolic link, a directory, or one shard of a sharded directory.

    :param cid: binary CID of the block
    :param kind: the kind of the node
    :param links: of a directory in one block: its entries
    :param place: of a shard: its place in the directory
    :param slots: of a shard: its children by slot
    """

    __slots__ = ("_entries", "_links", "_place", "_slots", "cid", "kind")

    def __init__(
        self,
        cid: bytes,
        kind: Kind,
        links: Sequence[PBLink] = (),
        place: Place | None = None,
        slots: Mapping[int, Slot] | None = None,
    ) -> None:
        self.cid = cid
        self.kind = kind
        self._links = links
        self._entries = {link.name or "": link for link in reversed(links)}
        self._place = place
        self._slots = slots or {}

    @property
    def siblings(self) -> int:
        """The number of shards that a sharded directory may have at the depth of this one; 1 of other blocks."""
        return 1 if self._place is None else 1 << self._place.bits

    @property
    def is_sharded(self) -> bool:
        """Whether the block is a shard; then it has a part of the entries of its directory."""
        return self._place is not None

    def find(self, name: str) -> PBLink | Shard | None:
        """Return the entry with a name, the shard where the entry must be, or None if the directory has none.

        :raises MalformedError: if another name stands where this one belongs, and its hash does not lead there; or if
            a name comes twice
        """
        if self._place is None:
            if len(self._entries) < len(self._links):
                self._require_distinct()
            return self._entries.get(name)
        hashed = name_hash(name)
        width = self._place.fanout.bit_length() - 1
        bits = self._place.bits + width
        found = self._slots.get(hashed >> _HASH_BITS - bits & self._place.fanout - 1)
        if found is None:
            return None
        if found.name == name:
            return PBLink(found.link.cid, name, found.link.size)
        below = Place(bits, hashed >> _HASH_BITS - bits, self._place.fanout)
        if not found.name:
            return Shard(found.link.cid, below)
        check_hash(self.cid, found.name, below)
        return None

    def _require_distinct(self) -> None:
        seen: set[str] = set()
        for link in self._links:
            name = link.name or ""
            if name in seen:
                raise MalformedError(
                    f"block {cids.to_text(self.cid)}: expected each name once in a directory, found {name[:99]!r} again"
                )
            seen.add(name)

    def children(self) -> Iterator[PBLink | Shard]:
        """Iterate over the entries and the shards below, in the order of the block.

        :raises MalformedError: if the hash of a name does not lead to its slot, or a name is refused or comes twice
        """
        self._require_distinct()
        for link in self._links:
            _check_entry(self.cid, link.name or "")
            yield link._replace(name=link.name or "")
        for slot in self._slots.values():
            assert self._place is not None  # noqa: S101  # only shards have slots
            width = self._place.fanout.bit_length() - 1
            below = Place(self._place.bits + width, self._place.prefix << width | slot.slot, self._place.fanout)
            if not slot.name:
                yield Shard(slot.link.cid, below)
                continue
            check_hash(self.cid, slot.name, below)
            _check_entry(self.cid, slot.name)
            yield PBLink(slot.link.cid, slot.name, slot.link.size)


def decode_block(cid: bytes, block: bytes, place: Place | None = None) -> UnixFSBlock:
    """Return the node of a UnixFS block. A raw block is a file.

    :param cid: binary CID of the block
    :param block: its verified bytes
    :param place: of a shard below the root of a sharded directory, its place, as :class:`Shard` has it
    :raises CarError: with the CID, if the block is no UnixFS node, or breaks a bound

    >>> from ipld_car.unixfs import build_directory
    >>> blocks = {}
    >>> tree = build_directory([PBLink(cids.to_bytes("bafkqaaa"), "empty", 0)], blocks.__setitem__)
    >>> directory = decode_block(tree.cid, blocks[tree.cid])
    >>> directory.kind.value, cids.to_text(directory.find("empty").cid), directory.find("other")
    ('directory', 'bafkqaaa', None)
    """
    codec = cids.codec_of(cid)
    if codec == cids.RAW and place is None:
        return UnixFSBlock(cid, Kind.FILE)
    if codec != cids.DAG_PB:
        raise MalformedError(f"block {cids.to_text(cid)}: expected a UnixFS node, dag-pb; found codec 0x{codec:x}")
    try:
        node = decode_node(block)
        if node.message.kind == SHARD_TYPE or place is not None:
            return _shard(cid, node, place)
        kind = kind_of_type(node.message.kind)
    except CarError as error:
        raise in_block(cid, error) from error
    return UnixFSBlock(cid, kind, node.links if node.message.kind == DIRECTORY_TYPE else ())


def find_entry(get: Get, root: bytes, name: str) -> PBLink | None:
    """Return the entry with a name in the UnixFS directory at a binary CID, or None.

    Of a sharded directory only the shards on the path to the name are read.

    :param get: returns the verified bytes of a block for its binary CID; its exceptions pass through
    :raises CarError: if a block is no UnixFS directory, or :func:`check_name` refuses the name
    """
    check_name(name)
    cid, place = root, None
    while True:
        found = _load_directory(get, cid, place).find(name)
        if not isinstance(found, Shard):
            return found
        cid, place = found


def read_directory(get: Get, root: bytes, *, missing: Callable[[bytes], None] | None = None) -> Iterator[PBLink]:
    """Iterate over the entries of the UnixFS directory at a binary CID: name, binary CID, and the claimed graph size.

    Blocks are read one by one. A plain directory gives its entries in the order of the block, a sharded one in the
    order of the hashes of their names. Every name has passed :func:`check_name`, and comes once. The hash of each name
    in a shard leads there: so :func:`find_entry` finds each entry, and a shard that is linked from two places is
    refused, as a few blocks must not stand for more entries than they hold.

    :param get: returns the verified bytes of a block for its binary CID; its exceptions pass through
    :param missing: called with the CID of a shard for which ``get`` raises KeyError; the shard is then left out
    :raises CarError: if a block is no UnixFS directory

    >>> from ipld_car.unixfs import build_directory
    >>> blocks = {}
    >>> tree = build_directory([PBLink(cids.to_bytes("bafkqaaa"), "empty", 0)], blocks.__setitem__)
    >>> [(link.name, cids.to_text(link.cid)) for link in read_directory(blocks.__getitem__, tree.cid)]
    [('empty', 'bafkqaaa')]
    """
    levels = [_load_directory(get, root).children()]
    while levels:
        for child in levels[-1]:
            if isinstance(child, PBLink):
                yield child
                continue
            try:
                shard = _load_directory(get, child.cid, child.place)
            except KeyError:
                if missing is None:
                    raise
                missing(child.cid)
                continue
            levels.append(shard.children())
            break
        else:
            levels.pop()


def _load_directory(get: Get, cid: bytes, place: Place | None = None) -> UnixFSBlock:
    codec = cids.codec_of(cid)
    if codec != cids.DAG_PB:
        raise MalformedError(f"block {cids.to_text(cid)}: expected a UnixFS node, dag-pb; found codec 0x{codec:x}")
    block = decode_block(cid, get(cid), place)
    if block.kind is not Kind.DIRECTORY:
        raise MalformedError(f"block {cids.to_text(cid)}: expected a UnixFS directory, found a {block.kind.value}")
    return block


def resolve(get: Get, root: bytes, names: Iterable[str]) -> bytes | None:
    """Return the binary CID at the end of a path through UnixFS directories; None if a directory has no such name.

    Symbolic links are not followed. Only the blocks on the path are read, and not the one at its end.

    :param get: as of :func:`find_entry`
    :param names: the names on the path, each that of an entry
    :raises CarError: as :func:`find_entry`, also if the path goes on behind a file

    >>> from ipld_car.unixfs import build_directory
    >>> blocks = {}
    >>> inner = build_directory([PBLink(cids.to_bytes("bafkqaaa"), "empty", 0)], blocks.__setitem__)
    >>> outer = build_directory([PBLink(inner.cid, "inner", inner.graph_size)], blocks.__setitem__)
    >>> cids.to_text(resolve(blocks.__getitem__, outer.cid, ["inner", "empty"]))
    'bafkqaaa'
    """
    cid = root
    for name in names:
        found = find_entry(get, cid, name)
        if found is None:
            return None
        cid = found.cid
    return cid


def _shard(cid: bytes, node: Node, place: Place | None) -> UnixFSBlock:
    if place is None:
        place = Place(0, 0, node.message.fanout or 0)  # slots_of refuses what is no fanout
    slots = {each.slot: each for each in slots_of(node, place)}
    return UnixFSBlock(cid, Kind.DIRECTORY, (), place, slots)


def _check_entry(cid: bytes, name: str) -> None:
    try:
        check_name(name)
    except CarError as error:
        raise in_block(cid, error) from error
