"""Paths through dag-cbor and UnixFS, as https://specs.ipfs.tech/http-gateways/path-gateway/ resolves them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from ipld_car import CarError, cids, dagcbor, unixfs
from multiformats import CID

from ipld_castore.errors import BlockMalformedError

_MAX_DIGITS: Final = 9
"""Digits of a position in a list; no block holds a list of more items."""


class PathStep(NamedTuple):
    """A block on a path, and what of the path is left from it on.

    >>> from ipld_castore import MappingCAStore
    >>> store = MappingCAStore()
    >>> value = store.put(b"value")
    >>> root = store.put({"a": [value]})
    >>> step = PathStep(bytes(root), ["a", "0"]).next(store.get_raw(root))
    >>> step.cid == bytes(value), step.names
    (True, [])
    """

    cid: bytes
    """Binary CID of the block."""
    names: Sequence[str]
    """Keys of maps, positions in lists, and names in directories."""
    directory: bytes | None = None
    """Binary CID of the sharded UnixFS directory of which the block is a shard below the root; else None."""
    place: unixfs.Place | None = None
    """Place of that shard."""

    @property
    def start(self) -> PathStep:
        """The step from which others can resolve the same rest of the path: a shard's directory, else this one."""
        return self if self.directory is None else PathStep(self.directory, self.names)

    def next(self, data: bytes) -> PathStep | None:
        """Return the step to the next block on the path; None if the path ends in this one or leads nowhere.

        A path ends at a block that is neither dag-cbor nor a UnixFS directory.

        :param data: the bytes of the block, verified
        :raises BlockMalformedError: if the block is not what its codec says
        """
        codec = cids.codec_of(self.cid)
        if not self.names or codec not in (cids.DAG_CBOR, cids.DAG_PB):
            return None
        try:
            if codec == cids.DAG_PB:
                return self.into(unixfs.decode_block(self.cid, data, self.place))
            node, bytes_are_links = _decode(data)
        except CarError as error:
            named = "" if codec == cids.DAG_PB else f"block {cids.to_text(self.cid)}: "
            raise BlockMalformedError(f"{named}{error}") from error
        return self._through(node, bytes_are_links)

    def _through(self, node: Any, bytes_are_links: bool) -> PathStep | None:
        """Return the step to the first link on the path through the value of a dag-cbor block."""
        for at, name in enumerate(self.names):
            node = _item(node, name)
            if isinstance(node, CID) or (bytes_are_links and isinstance(node, bytes)):
                return PathStep(bytes(node), self.names[at + 1 :])
        return None

    def into(self, block: unixfs.UnixFSBlock) -> PathStep | None:
        """Return the step to the next block on the path, where the block of this step is one of UnixFS.

        :param block: the decoded block of this step
        :raises ipld_car.CarError: if the block breaks a bound
        """
        if not self.names:
            return None
        name, *rest = self.names
        found = block.find(name)
        if found is None:
            return None
        if isinstance(found, unixfs.Shard):
            return PathStep(found.cid, self.names, self.directory or self.cid, found.place)
        return PathStep(found.cid, rest)


def _decode(data: bytes) -> tuple[Any, bool]:
    """Return the value of a dag-cbor block, and whether its byte strings are binary CIDs."""
    try:
        return dagcbor.decode_node(data), True
    except CarError:  # only the slower decoder tells links from other byte strings
        return dagcbor.decode(data), False


def _item(node: Any, name: str) -> Any:
    """Return the item at a name of a map or list; None if there is none."""
    if isinstance(node, dict):
        return node.get(name)
    if isinstance(node, list) and name.isascii() and name.isdigit() and len(name) <= _MAX_DIGITS:
        at = int(name)
        return node[at] if at < len(node) else None
    return None
