"""Flat maps in DAG-CBOR: whole keys with their links, as ``ipfs dag put`` of a simple mapping gives them.

Documents are links of their JSON, or the JSON as data. Nested maps, of one part of a key each, are read as the block
format itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ipldstore._format import keys
from ipldstore._read.prefetch_policy import LeafLinks
from ipldstore.errors import NodeError

from .contents import ForeignContents, Found, is_value_link
from .nodes import ForeignNodes, NodeNotCachedError, decode_cbor


def is_flat_map(value: Any) -> bool:
    """Return whether a value is a map of whole keys; no dataset in the block format has a name with a slash in it."""
    return (
        isinstance(value, dict)
        and any("/" in key for key in value)
        and all(is_value_link(item) or _is_document(key, item) for key, item in value.items())
    )


def _is_document(key: str, item: Any) -> bool:
    return isinstance(item, dict) and key.rpartition("/")[2] in keys.DOCUMENTS


@dataclass(frozen=True, slots=True)
class _DecodeMap:
    """Decodes and checks the map."""

    joins: ClassVar[bool] = True

    def __call__(self, cid: bytes, data: bytes) -> Mapping[str, Any]:
        value = decode_cbor(data)
        if not is_flat_map(value):
            raise NodeError("expected a map of keys with links of values, found something else")
        found: Mapping[str, Any] = value
        return found


class FlatContents(ForeignContents):
    """The keys of a flat map.

    :param nodes: the nodes of the block store
    :param root: binary CID of the map
    :raises IPLDStoreError: if it is no flat map
    """

    what = "a flat map of keys"

    def __init__(self, nodes: ForeignNodes, root: bytes) -> None:
        self._nodes = nodes
        self._root = root
        nodes.load(root, _DecodeMap())

    def find(self, key: str) -> Found | None:
        """See :meth:`ForeignContents.find`."""
        found: Found | None = self._nodes.load(self._root, _DecodeMap()).get(key)
        return found

    def find_cached(self, key: str) -> tuple[Found, LeafLinks] | None:
        """See :meth:`ForeignContents.find_cached`."""
        try:
            entries = self._nodes.cached(self._root, _DecodeMap())
        except NodeNotCachedError:
            return None
        found = entries.get(key)
        if found is None:
            return None
        return found, LeafLinks(self._root, [item for item in entries.values() if isinstance(item, bytes)])

    def items(self, prefix: str = "") -> Iterator[tuple[str, Found]]:
        """See :meth:`ForeignContents.items`."""
        for key, found in self._nodes.load(self._root, _DecodeMap()).items():
            if key.startswith(prefix) and keys.is_key(key):
                yield key, found
