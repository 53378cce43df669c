"""The names of Kubo's flatfs: in which file of a folder a block is.

Source: https://github.com/ipfs/go-ds-flatfs. A file ``SHARDING`` says how keys are spread over folders;
a block is ``<shard>/<KEY>.data``, KEY being its multihash in upper-case base32 without padding.
"""

from __future__ import annotations

import base64
import re
import secrets
from pathlib import Path
from typing import Final, NamedTuple

import libipld
from ipld_car import cids

SHARDING_FILE: Final = "SHARDING"
EXTENSION: Final = ".data"
TEMPORARY: Final = "put-"
"""What the name of a file begins with until it is whole; random hexadecimal digits follow."""
_RANDOM_BYTES: Final = 8

_SHARDING: Final = re.compile(r"/repo/flatfs/shard/v1/(prefix|suffix|next-to-last)/([1-9][0-9]?)")


class Sharding(NamedTuple):
    """A rule from keys to folders."""

    function: str
    """``prefix``, ``suffix`` or ``next-to-last``."""
    size: int
    """Characters in the name of a shard."""

    @classmethod
    def parse(cls, text: str) -> Sharding:
        """Return the rule that a ``SHARDING`` file holds.

        :raises ValueError: if it is none of flatfs version 1
        """
        match = _SHARDING.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"expected a rule like /repo/flatfs/shard/v1/next-to-last/2, found {text[:100]!r}")
        return cls(match[1], int(match[2]))

    def __str__(self) -> str:
        return f"/repo/flatfs/shard/v1/{self.function}/{self.size}"

    def shard(self, key: str) -> str:
        """Return the folder of a key; a key that is too short is padded, as flatfs does."""
        size = self.size
        if self.function == "prefix":
            return key[:size].ljust(size, "_")
        if self.function == "suffix":
            return key[-size:].rjust(size, "_")
        return key[-size - 1 : -1].rjust(size, "_")


DEFAULT: Final = Sharding("next-to-last", 2)


LEFTOVER: Final = re.compile(f"{TEMPORARY}[0-9a-f]{{{2 * _RANDOM_BYTES}}}")
"""Matches the names that :func:`temporary_name` gives: files that a killed writer has left."""


def temporary_name() -> str:
    """Return the name of a file until it is whole."""
    return f"{TEMPORARY}{secrets.token_hex(_RANDOM_BYTES)}"


def temporary_in(folder: Path) -> Path:
    """Return the path of a file in a folder until it is whole."""
    return folder / temporary_name()


def key_of(cid: bytes) -> str:
    """Return the key of a binary CID."""
    key: str = libipld.encode_multibase("B", cids.multihash_of(cid))[1:]  # "B": base32, upper case, without padding
    return key


def cid_of(key: str) -> bytes | None:
    """Return the binary raw CID of a key; None if it is no key of a block."""
    try:
        cid = b"\x01\x55" + base64.b32decode(key + "=" * (-len(key) % 8))
        return cid if cids.prefix_of(cid).cid_size == len(cid) and key_of(cid) == key else None
    except ValueError:  # no base32, or no multihash
        return None


def file_of(cid: bytes, rule: Sharding) -> str:
    """Return the path of a block below the folder, with "/".

    >>> from ipld_castore import MappingCAStore
    >>> file_of(bytes(MappingCAStore().put(b"hello")), DEFAULT)
    'QJ/CIQCZ4SNXJP3BIYOE3UDWKWFXHRJ4GYWDZOB7J2CLZZQIM3CSOFZQJA.data'
    """
    key = key_of(cid)
    return f"{rule.shard(key)}/{key}{EXTENSION}"


def cid_of_file(shard: str, name: str, rule: Sharding) -> bytes | None:
    """Return the binary raw CID of the block in a file; None if no block is looked for there."""
    key = name.removesuffix(EXTENSION)
    return None if key == name or rule.shard(key) != shard else cid_of(key)
