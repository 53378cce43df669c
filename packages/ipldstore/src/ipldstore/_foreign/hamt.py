"""HAMTs of py-hamt: keys of zarr in a trie over the BLAKE3 hashes of the keys.

A node has 256 slots. The slot of a key in a node at depth d is byte d of the hash. A slot has a bucket of keys with
their links, or the link of a node below. Version 3 writes a node as a list, version 2 as a map with buckets ("B") and
links ("L"), and its values in DAG-CBOR. Source: the code of py-hamt, ``hamt.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NamedTuple

from ipld_car import CarError, cids, hashes
from ipld_castore import ContentAddressableStore

from ipldstore._format.path_hint import PathHint
from ipldstore._read.byte_range import WHOLE, ByteRange
from ipldstore._read.foreign_value import ForeignValue
from ipldstore._read.prefetch_policy import LeafLinks
from ipldstore._read.reader import Reader
from ipldstore.errors import IPLDStoreError, NodeError

from .contents import ForeignContents, Found, is_value_link
from .nodes import ForeignNodes, Load, NodeNotCachedError, decode_cbor

SLOTS: Final = 256
MAX_DEPTH: Final = 32
"""Most levels of nodes: one for each byte of a hash."""

_HINTED_LEVELS: Final = 3
"""Levels below a node that are asked for with it. A path that ends above costs nothing."""

_MAX_HEADER_BYTES: Final = 9
"""Most bytes of the header of a byte string in DAG-CBOR."""


class Node(NamedTuple):
    """A decoded and checked node."""

    buckets: Mapping[int, Mapping[str, bytes]]
    """By slot the links of values by key."""
    children: Mapping[int, bytes]
    """By slot the links of nodes below."""
    links: Collection[bytes]
    """The links of all values."""
    keys: int
    """Number of keys in the whole trie, as this node makes it likely."""


Form = Callable[[Any], tuple[dict[int, dict[str, bytes]], dict[int, bytes]]]
"""Takes a node apart into buckets and children by slot, or raises NodeError."""


def is_list_node(value: Any) -> bool:
    """Return whether a value has the form of a node of version 3."""
    return isinstance(value, list) and len(value) == SLOTS and all(isinstance(slot, (dict, list)) for slot in value)


def is_map_node(value: Any) -> bool:
    """Return whether a value has the form of a node of version 2, which no dataset in canonical form has."""
    return (
        isinstance(value, dict)
        and value.keys() == {"B", "L"}
        and isinstance(value["B"], dict)
        and isinstance(value["L"], dict)
        and all(isinstance(bucket, list) for bucket in value["B"].values())
        and all(isinstance(link, bytes) for link in value["L"].values())
    )


def list_form(value: Any) -> tuple[dict[int, dict[str, bytes]], dict[int, bytes]]:
    """Take a node of version 3 apart; see :data:`Form`."""
    if not is_list_node(value):
        raise NodeError(f"expected a node of a HAMT of py-hamt, a list of {SLOTS} maps and lists; found something else")
    buckets, children = {}, {}
    for slot, item in enumerate(value):
        if isinstance(item, list):
            if len(item) != 1 or not isinstance(item[0], bytes):
                raise NodeError(f"expected a list with one link in slot {slot}, found {len(item)} items")
            children[slot] = item[0]
        elif item:
            buckets[slot] = item
    return buckets, children


def map_form(value: Any) -> tuple[dict[int, dict[str, bytes]], dict[int, bytes]]:
    """Take a node of version 2 apart; see :data:`Form`."""
    if not is_map_node(value):
        raise NodeError("expected a node of a HAMT of py-hamt, a map of buckets and links; found something else")
    buckets: dict[int, dict[str, bytes]] = {}
    for name, entries in value["B"].items():
        bucket: dict[str, bytes] = {}
        for entry in entries:
            if not isinstance(entry, dict) or not bucket.keys().isdisjoint(entry):
                raise NodeError(f"expected maps with different keys in slot {name[:9]!r}, found another list")
            bucket.update(entry)
        buckets[_slot(name)] = bucket
    children = {_slot(name): link for name, link in value["L"].items()}
    if not buckets.keys().isdisjoint(children):
        raise NodeError("expected a bucket or a link in each slot, found both in one")
    return buckets, children


def _slot(name: str) -> int:
    if not (name.isascii() and name.isdigit() and len(name) <= 3 and str(int(name)) == name and int(name) < SLOTS):
        raise NodeError(f"expected the number of a slot, below {SLOTS}; found {name[:9]!r}")
    return int(name)


@dataclass(frozen=True, slots=True)
class _DecodeNode:
    """Decodes a node at a place in the trie."""

    form: Form
    place: bytes
    """The first bytes of the hashes of all keys in and below the node."""

    joins: ClassVar[bool] = True

    def __call__(self, cid: bytes, data: bytes) -> Node:
        if len(self.place) >= MAX_DEPTH:
            raise NodeError(f"expected at most {MAX_DEPTH} levels of nodes, found more")
        buckets, children = self.form(decode_cbor(data))
        for slot, bucket in buckets.items():
            place = self.place + bytes([slot])
            for key, link in bucket.items():
                if hash_of(key)[: len(place)] != place:
                    raise NodeError(
                        f"expected keys whose BLAKE3 hash begins with {place.hex()} in slot {slot}, found "
                        f"{key[:100]!r}: py-hamt wrote it with another hash function, or the node is wrong"
                    )
                if not is_value_link(link):
                    raise NodeError(f"expected the link of a value, raw or dag-pb, at {key[:100]!r}; found another")
        for slot, link in children.items():
            if cids.codec_of(link) not in (cids.DAG_CBOR, cids.DAG_PB):
                raise NodeError(f"expected the link of a node, dag-cbor, in slot {slot}; found another")
        links = [link for bucket in buckets.values() for link in bucket.values()]
        # The trie is even: about as many nodes as there may be stand at the depth of this one.
        return Node(buckets, children, links, len(links) * SLOTS ** len(self.place))


class HamtContents(ForeignContents):
    """The keys of a HAMT of version 3, with the links of their bytes.

    :param nodes: the nodes of the block store
    :param root: binary CID of the root node
    :raises IPLDStoreError: if the root is not what py-hamt writes, or blake3 is not installed
    """

    what = "a HAMT of py-hamt"
    form: Form = staticmethod(list_form)

    def __init__(self, nodes: ForeignNodes, root: bytes) -> None:
        self._nodes = nodes
        self._root = root
        try:
            hash_of("")
        except CarError as error:
            raise IPLDStoreError(
                f"reading {self.what}, {cids.to_text(root)}: expected blake3, by which its keys are found: "
                f'pip install "ipldstore[blake3]"'
            ) from error
        self._load(nodes.load, root, b"")  # what is wrong with it is said when it is opened

    def find(self, key: str) -> Found | None:
        """See :meth:`ForeignContents.find`. Reads a node for each level."""
        found = self._resolve(key, self._nodes.load)
        return None if found is None else self._value(found[0])

    def find_cached(self, key: str) -> tuple[Found, LeafLinks] | None:
        """See :meth:`ForeignContents.find_cached`."""
        try:
            found = self._resolve(key, self._nodes.cached)
        except NodeNotCachedError:
            return None
        if found is None:
            return None
        link, node, cid = found
        return self._value(link), LeafLinks(self._root, node.links, node.keys, cid)

    def items(self, prefix: str = "") -> Iterator[tuple[str, Found]]:
        """See :meth:`ForeignContents.items`. All nodes are read, whatever the prefix, as keys stand by their hashes."""
        waiting = [(self._root, b"")]
        seen: set[bytes] = set()
        while waiting:
            cid, place = waiting.pop()
            # A node with keys has one place, by their hashes; without keys, a few nodes could stand for any number.
            if cid in seen:
                raise NodeError(f"node {cids.to_text(cid)}: expected each node once in a HAMT, found its link twice")
            seen.add(cid)
            node = self._load(self._nodes.load, cid, place)
            for bucket in node.buckets.values():
                for key, link in bucket.items():
                    if key.startswith(prefix):
                        yield key, self._value(link)
            self._nodes.prefetch(node.children.values())
            waiting += ((link, place + bytes([slot])) for slot, link in sorted(node.children.items(), reverse=True))

    def _value(self, link: bytes) -> Found:
        return link

    def _resolve(self, key: str, load: Load) -> tuple[bytes, Node, bytes] | None:
        """Return the link of a key, the node that has the link, and the node's binary CID."""
        try:
            hashed = hash_of(key)
        except UnicodeEncodeError:
            return None
        cid = self._root
        for depth in range(MAX_DEPTH):
            node = self._load(load, cid, hashed[:depth], self._hint(hashed, depth))
            link = node.buckets.get(hashed[depth], {}).get(key)
            if link is not None:
                return link, node, cid
            below = node.children.get(hashed[depth])
            if below is None:
                return None
            cid = below
        raise NodeError(f"node {cids.to_text(cid)}: expected at most {MAX_DEPTH} levels of nodes, found more")

    def _hint(self, hashed: bytes, depth: int) -> PathHint:
        names: list[str] = []
        for slot in hashed[depth : depth + _HINTED_LEVELS]:
            names += self._names(slot)
        return PathHint(names)

    @staticmethod
    def _names(slot: int) -> tuple[str, str]:
        """Return the path from a node to the node below in a slot."""
        return str(slot), "0"

    def _load(self, load: Load, cid: bytes, place: bytes, hint: PathHint | None = None) -> Node:
        decoder = _DecodeNode(self.form, place)
        return load(cid, decoder) if hint is None else load(cid, decoder, hint)


class MapHamtContents(HamtContents):
    """The keys of a HAMT of version 2. The block of a value holds a byte string in DAG-CBOR."""

    what = "a HAMT of py-hamt 2"
    form: Form = staticmethod(map_form)

    def _value(self, link: bytes) -> Found:
        return EncodedValue(self._nodes.castore, link)

    @staticmethod
    def _names(slot: int) -> tuple[str, str]:
        return "L", str(slot)


class EncodedValue(ForeignValue):
    """A value whose block, or UnixFS file, is its bytes as a byte string in DAG-CBOR.

    :param castore: the block store
    :param link: binary CID of the block or file
    """

    __slots__ = ("_castore", "_link")

    def __init__(self, castore: ContentAddressableStore, link: bytes) -> None:
        self._castore = castore
        self._link = link

    def read(self, reader: Reader, byte_range: ByteRange) -> bytes:
        """See :meth:`ForeignValue.read`."""
        if byte_range == WHOLE or cids.codec_of(self._link) == cids.RAW:
            data = reader.read_value(self._link)
            start, _ = self._place(data[:_MAX_HEADER_BYTES], len(data))
            return byte_range.slice(data[start:])
        start, size = self._place_in_file(reader)
        first, stop, suffix = byte_range
        if suffix is not None:
            first, stop = max(size - suffix, 0), None
        stop = size if stop is None else min(stop, size)
        return reader.read_value(self._link, ByteRange(start + first, start + stop)) if first < stop else b""

    def size(self, reader: Reader) -> int:
        """See :meth:`ForeignValue.size`."""
        return (
            len(self.read(reader, WHOLE)) if cids.codec_of(self._link) == cids.RAW else self._place_in_file(reader)[1]
        )

    def _place_in_file(self, reader: Reader) -> tuple[int, int]:
        header = reader.read_value(self._link, ByteRange(0, _MAX_HEADER_BYTES))
        return self._place(header, self._castore.size(self._link))

    def _place(self, data: bytes, total: int) -> tuple[int, int]:
        """Return the offset of the bytes behind their header, and their number.

        :param data: the first bytes of the block or file
        :param total: the number of all of them
        """
        kind, low = (data[0] >> 5, data[0] & 31) if data else (0, 0)
        start = 1 + (0 if low < 24 else 1 << low - 24)
        if kind != 2 or low > 27 or len(data) < start:
            raise self._error("a byte string in DAG-CBOR", "something else")
        size = low if low < 24 else int.from_bytes(data[1:start])
        if start + size != total:
            raise self._error(f"{size} bytes, as its header says", f"{total - start}")
        return start, size

    def _error(self, expected: str, found: str) -> NodeError:
        return NodeError(f"value {cids.to_text(self._link)}: expected {expected}, found {found}")


def hash_of(key: str) -> bytes:
    """Return the BLAKE3 hash of a key.

    :raises CarError: if blake3 is not installed
    """
    return hashes.digest_of(hashes.BLAKE3, key.encode())
