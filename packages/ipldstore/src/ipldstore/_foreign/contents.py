"""What a root of another maker holds: keys, and where their bytes are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Final

from ipld_car import cids

from ipldstore._format import keys
from ipldstore._read.foreign_value import ForeignValue
from ipldstore._read.prefetch_policy import LeafLinks

MAX_PARTS: Final = keys.MAX_PARTS
"""Most parts of a key that is looked for or listed."""


Found = bytes | ForeignValue | dict[str, Any]
"""What is found for a key: the binary CID of a raw block or UnixFS file with its bytes, where else they are, or, of a
document, its JSON as data."""


def is_value_link(item: Any) -> bool:
    """Return whether an item of a node is the link of a value: of a raw block, or of a UnixFS file."""
    return isinstance(item, bytes) and cids.codec_of(item) in (cids.RAW, cids.DAG_PB)


class ForeignContents(ABC):
    """Keys and their bytes below a root of another maker. Never changes; safe with threads."""

    what: str
    """What the root is, for errors: "a UnixFS directory"."""

    @abstractmethod
    def find(self, key: str) -> Found | None:
        """Return where the bytes of a key are; None if it is absent.

        :raises IPLDStoreError: if a node on the way is missing, damaged, out of reach, or not what its maker writes
        """

    @abstractmethod
    def find_cached(self, key: str) -> tuple[Found, LeafLinks] | None:
        """Return what :meth:`find` does, and the leaf that links it, if no block has to be read for that."""

    @abstractmethod
    def items(self, prefix: str = "") -> Iterator[tuple[str, Found]]:
        """Iterate over all keys that begin with a prefix, each once, and what :meth:`find` finds for them.

        Streams, and can be stopped: a hostile root can name far more keys than it has blocks.

        :raises IPLDStoreError: as :meth:`find`
        """

    def names(self, directory: str) -> Iterator[str]:
        """Iterate over the names directly below a directory, each once; "" is the root."""
        prefix = f"{directory}/" if directory else ""
        seen: set[str] = set()
        for key, _ in self.items(prefix):
            name = key[len(prefix) :].partition("/")[0]
            if name not in seen:
                seen.add(name)
                yield name
