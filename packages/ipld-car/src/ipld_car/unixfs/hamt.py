"""Sharded UnixFS directories: a trie over the hashes of the names, for more names than fit in a block.

Each level takes the next bits of the murmur3 hash of a name. A slot with one name links the entry as
``<slot in hex><name>``, a slot with several names links a shard as ``<slot in hex>``. So the trie depends on the set of
names only. Source: https://specs.ipfs.tech/unixfs/#hamt-structure-and-parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Final, NamedTuple

from ipld_car import cids
from ipld_car.codecs.dagpb import PBLink
from ipld_car.errors import LimitError, MalformedError

from .node import SHARD_TYPE, Message, Node, Put, Tree, encode_message, put_node

FANOUT: Final = 256
MURMUR3_X64_64: Final = 0x22

_HASH_BITS: Final = 64
_MAX_FANOUT: Final = 1024


def name_hash(name: str) -> int:
    """Return the hash of a name: the first 64 bits of murmur3-x64-128, as an integer."""
    import mmh3  # only sharded directories need it

    return mmh3.hash64(name.encode(), x64arch=True, signed=False)[0]


def build_shards(links: Sequence[PBLink], put: Put, hash_code: int) -> Tree:
    """Store a sharded directory of links with distinct names. A shard is put before the shard that links it."""
    hashed = sorted((name_hash(link.name or ""), link) for link in links)
    return _build_shard(hashed, _HASH_BITS, put, hash_code)


def _build_shard(hashed: Sequence[tuple[int, PBLink]], bits_left: int, put: Put, hash_code: int) -> Tree:
    # The recursion ends with the bits of the hash, after 8 levels.
    bits_left -= FANOUT.bit_length() - 1
    if bits_left < 0:
        names = ", ".join(repr(link.name) for _, link in hashed)
        raise LimitError(f"expected names with different hashes, found the same 64 bits for {names}")
    bitfield = 0
    children = []
    for slot, group in groupby(hashed, lambda item: item[0] >> bits_left & FANOUT - 1):
        below = list(group)
        bitfield |= 1 << slot
        if len(below) == 1:
            link = below[0][1]
            children.append(PBLink(link.cid, f"{slot:02X}{link.name}", link.size))
        else:
            tree = _build_shard(below, bits_left, put, hash_code)
            children.append(PBLink(tree.cid, f"{slot:02X}", tree.graph_size))
    data = bitfield.to_bytes((bitfield.bit_length() + 7) // 8)
    message = encode_message(SHARD_TYPE, data=data, hash_type=MURMUR3_X64_64, fanout=FANOUT)
    return put_node(children, message, put, hash_code)


class Place(NamedTuple):
    """The place of a shard in the trie."""

    bits: int
    """Number of bits of the hash that lead to the shard."""
    prefix: int
    """These bits, as an integer."""
    fanout: int
    """Fanout of the root, which all shards have."""


class Slot(NamedTuple):
    """A child of a shard: an entry of the directory, or a shard below."""

    slot: int
    name: str
    """The name of the entry; empty for a shard."""
    link: PBLink


def slots_of(node: Node, place: Place) -> list[Slot]:
    """Return the children of a shard, after checking the node against its place.

    :raises CarError: if it is no shard, or not one of that place
    """
    fanout = _checked_fanout(node.message)
    if fanout != place.fanout:
        raise MalformedError(f"expected a shard with fanout {place.fanout} as the root has, found {fanout}")
    bits = place.bits + fanout.bit_length() - 1
    if bits > _HASH_BITS:
        raise LimitError(f"expected at most {place.bits // (fanout.bit_length() - 1)} levels of shards, found more")
    if place.bits and not node.links:
        raise MalformedError("expected a shard with entries below the root, found an empty one")
    return _named_slots(node, fanout)


def _checked_fanout(message: Message) -> int:
    fanout = message.fanout or 0
    if message.kind != SHARD_TYPE or message.hash_type != MURMUR3_X64_64:
        raise MalformedError(
            f"expected a shard of a UnixFS directory (type {SHARD_TYPE}) with hash 0x{MURMUR3_X64_64:x}, found type "
            f"{message.kind} with hash 0x{message.hash_type or 0:x}"
        )
    if not 8 <= fanout <= _MAX_FANOUT or fanout & fanout - 1:
        raise MalformedError(f"expected a fanout that is a power of two from 8 to {_MAX_FANOUT}, found {fanout}")
    return fanout


def _named_slots(node: Node, fanout: int) -> list[Slot]:
    bitfield = int.from_bytes(node.message.data)
    if bitfield.bit_length() > fanout or bitfield.bit_count() != len(node.links):
        raise MalformedError(
            f"expected a bit for each of {len(node.links)} links among {fanout}, found {bitfield.bit_count()} bits, "
            f"the last of them number {bitfield.bit_length()}"
        )
    digits = len(f"{fanout - 1:X}")
    filled = [slot for slot in range(bitfield.bit_length()) if bitfield >> slot & 1]
    slots = []
    for slot, link in zip(filled, node.links, strict=True):
        name = link.name or ""
        if name[:digits] != f"{slot:0{digits}X}":
            raise MalformedError(f"expected a link to slot {slot:0{digits}X}, found one named {name[:100]!r}")
        slots.append(Slot(slot, name[digits:], link))
    return slots


def check_hash(cid: bytes, name: str, place: Place) -> None:
    """Refuse a name whose hash does not lead to a place.

    :param cid: the shard that has the name
    :raises MalformedError: with the CID
    """
    if name_hash(name) >> _HASH_BITS - place.bits != place.prefix:
        raise MalformedError(
            f"block {cids.to_text(cid)}: expected a name whose hash begins with the {place.bits} bits "
            f"0x{place.prefix:x}, found {name[:100]!r}"
        )
