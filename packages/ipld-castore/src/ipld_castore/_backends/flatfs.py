"""The names of Kubo's flatfs: where a block is in a folder.

Source: https://github.com/ipfs/go-ds-flatfs. A file ``SHARDING`` says how keys are spread over folders;
a block is ``<shard>/<KEY>.data``, KEY being its multihash in upper-case base32 without padding.
"""

from __future__ import annotations

import base64
import re
from typing import Final, NamedTuple

from ipld_car import cids

SHARDING_FILE: Final = "SHARDING"
EXTENSION: Final = ".data"
TEMPORARY: Final = "put-"

_SHARDING: Final = re.compile(r"/repo/flatfs/shard/v1/(prefix|suffix|next-to-last)/([1-9][0-9]?)")


class Sharding(NamedTuple):
    """A rule from keys to folders."""

    function: str
    """``prefix``, ``suffix`` or ``next-to-last``."""
    size: int
    """Characters in the name of a shard."""

    @classmethod
    def parse(cls, text: str) -> Sharding:
        """The rule that a ``SHARDING`` file holds.

        :raises ValueError: if it is none of flatfs version 1
        """
        match = _SHARDING.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"expected a rule like /repo/flatfs/shard/v1/next-to-last/2, found {text[:100]!r}")
        return cls(match[1], int(match[2]))

    def __str__(self) -> str:
        return f"/repo/flatfs/shard/v1/{self.function}/{self.size}"

    def shard(self, key: str) -> str:
        """The folder of a key; a key that is too short is padded, as flatfs does."""
        size = self.size
        if self.function == "prefix":
            return key[:size].ljust(size, "_")
        if self.function == "suffix":
            return key[-size:].rjust(size, "_")
        return key[-size - 1 : -1].rjust(size, "_")


DEFAULT: Final = Sharding("next-to-last", 2)


def key_of(cid: bytes) -> str:
    """The key of a binary CID."""
    return base64.b32encode(cids.multihash_of(cid)).decode().rstrip("=")


def cid_of(key: str) -> bytes | None:
    """The binary raw CID of a key; None if it is no key of a block."""
    try:
        cid = b"\x01\x55" + base64.b32decode(key + "=" * (-len(key) % 8))
        return cid if cids.prefix_of(cid).cid_size == len(cid) and key_of(cid) == key else None
    except ValueError:  # no base32, or no multihash
        return None
