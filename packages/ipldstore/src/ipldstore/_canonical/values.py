"""Values and documents as a conforming writer has them: taken over, copied, or kept as they are."""

from __future__ import annotations

from enum import Enum
from typing import Final

from ipld_car import cids, unixfs
from ipld_castore import ContentAddressableStore

from ipldstore._dataset import values
from ipldstore._dataset.dataset import Dataset
from ipldstore._dataset.value_reader import as_it_is
from ipldstore._format import keys
from ipldstore._format.links import is_directory_link, is_raw_sha256
from ipldstore._format.nodes import NodeStore
from ipldstore._read.byte_range import WHOLE
from ipldstore._tree.lookup import AnyTarget, KeyTarget
from ipldstore.errors import LOWER_ERRORS, translated

_MAX_VALUE_BYTES: Final = 4 << 30
"""Largest size in bytes of a value whose leaves are taken over; block stores put no larger ones together."""


class Outcome(Enum):
    """What became of the value of a key."""

    LINKED = "linked"
    """Its link is canonical, or is so with other nodes over the same leaves: no byte was copied."""
    COPIED = "copied"
    """Its bytes were read and put anew."""
    KEPT = "kept"
    """Its link is not canonical and was kept."""
    DOCUMENT = "documents"
    """It is metadata, which stands in the nodes."""


class CanonicalValues:
    """Makes the canonical links and documents of keys. Safe with threads.

    :param data: the contents
    :param nodes: where nodes are written
    :param target: where values are written
    :param copy: whether a value whose link is not canonical is copied
    """

    def __init__(self, data: Dataset, nodes: NodeStore, target: ContentAddressableStore, *, copy: bool) -> None:
        self._data = data
        self._source = data.castore
        self._nodes = nodes
        self._target = target
        self._copy = copy

    def convert(self, key: str, found: AnyTarget) -> tuple[KeyTarget, Outcome]:
        """Return what a canonical root has for a key.

        :param found: what was found for it
        :raises IPLDStoreError: if a block is missing, damaged or out of reach, or cannot be written
        """
        name = key.rpartition("/")[2]
        try:
            if name not in keys.DOCUMENTS and isinstance(found, bytes) and not is_directory_link(found):
                link = self._canonical_link(found)
                if link is not None:
                    return link, Outcome.LINKED
                if not self._copy:
                    return found, Outcome.KEPT
            data = self._data.values.read(key, found, WHOLE, as_it_is)
            content = values.put(self._target, self._nodes, name, data)
        except LOWER_ERRORS as error:
            raise translated(f"canonicalizing {key!r}", error) from error
        return content, Outcome.DOCUMENT if name in keys.DOCUMENTS else Outcome.COPIED

    def _canonical_link(self, link: bytes) -> bytes | None:
        """Return the canonical link of the bytes of a link, if that is known without copying them."""
        if is_raw_sha256(link):
            return link if self._size(link) <= unixfs.CHUNK_SIZE else None
        if cids.codec_of(link) != cids.DAG_PB:
            return None
        size = unixfs.size_of(self._source.get_raw, link)
        if not unixfs.CHUNK_SIZE < size <= _MAX_VALUE_BYTES:
            return None
        leaves: list[unixfs.Tree] = []
        left = size
        for leaf in unixfs.raw_leaves(self._source.get_raw, link):
            expected = min(left, unixfs.CHUNK_SIZE)
            if leaf.file_size != expected or not is_raw_sha256(leaf.cid) or self._size(leaf.cid) != expected:
                return None
            leaves.append(leaf)
            left -= expected
        if left:
            return None
        return unixfs.join(leaves, lambda cid, node: self._target.put_block(cids.from_validated(cid), node)).cid

    def _size(self, link: bytes) -> int:
        """Return the size in bytes of a raw block: on this machine of the verified block, else what the store says."""
        if self._source.local:
            return len(self._source.get_raw(link))
        return self._source.size(link)
