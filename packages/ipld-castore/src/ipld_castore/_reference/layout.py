"""The layout of an index file: blocks by digest, each with its file, offset and length.

All integers are unsigned and big-endian, so that records sort as byte strings. ``docs/formats/references.md`` describes
the same layout for readers in other languages.

====================  ==================================================================================
bytes                 content
====================  ==================================================================================
0 to 15               ``ipld-references`` and the version, the byte 1
16 to 23              number of records, n
24 to 31              number of files, m
32 to 39              bytes of the file names
40, 48 n bytes        the records, sorted: digest (32 bytes, sha2-256), file (4), offset (8), length (4)
8 ceil(m / 16) bytes  where each group of 16 file names begins, from the first name on
the rest              the file names, in the order of their numbers
====================  ==================================================================================

A file name is four fields: how many bytes it shares with the beginning of the name before (a varint; 0 for the first of
a group), the length of the rest (a varint), the rest in UTF-8, and the stamp (its length as a varint, then its bytes).
A name is an absolute path, a path relative to the folder of the index, or a URL. A stamp is whatever its writer tells
one state of the file from the next by, and may be empty. A record only says where to look: each block is hashed when it
is read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from ipld_car import CarError, varint

from ipld_castore.errors import BlockMalformedError

MAGIC: Final = b"ipld-references\x01"
HEADER: Final = struct.Struct(">16sQQQ")
RECORD: Final = struct.Struct(">32sIQI")
GROUP: Final = 16
"""File names in a group; a name is read by decoding its group up to it."""
MAX_LENGTH: Final = 2 << 20
"""Bytes of the largest block, as IPFS nodes exchange them."""
MAX_NAME_BYTES: Final = 4096
MAX_STAMP_BYTES: Final = 255


class Place(NamedTuple):
    """Where a block is: a range of a file."""

    file: int
    """Number of the file in its index."""
    offset: int
    """Position of the first byte in the file."""
    length: int
    """Bytes of the block."""


class ReferencedFile(NamedTuple):
    """A file that blocks are ranges of."""

    name: str
    """A path or a URL."""
    stamp: bytes
    """What the writer of the index tells one state of the file from the next by; may be empty."""


def encode_names(files: Sequence[ReferencedFile]) -> tuple[bytes, bytes]:
    """Return where the groups of file names begin, and the names, as they stand in an index file.

    :raises ValueError: if a name is empty or longer than 4,096 bytes, or a stamp longer than 255
    """
    starts, encoded = bytearray(), bytearray()
    before = b""
    for number, file in enumerate(files):
        name = file.name.encode("utf-8", "surrogateescape")
        if b"\0" in name:
            raise ValueError(f"expected a file name without NUL, found {file.name!r:.200}")
        if not 0 < len(name) <= MAX_NAME_BYTES:
            raise ValueError(
                f"expected a file name of 1 to {MAX_NAME_BYTES} bytes, found {len(name)}: {file.name:.200}"
            )
        if len(file.stamp) > MAX_STAMP_BYTES:
            raise ValueError(f"expected a stamp of at most {MAX_STAMP_BYTES} bytes, found {len(file.stamp)}")
        if number % GROUP == 0:
            starts += len(encoded).to_bytes(8)
            before = b""
        shared = _shared(before, name)
        encoded += varint.encode(shared) + varint.encode(len(name) - shared) + name[shared:]
        encoded += varint.encode(len(file.stamp)) + file.stamp
        before = name
    return bytes(starts), bytes(encoded)


def _shared(one: bytes, other: bytes) -> int:
    """Return how many bytes two names begin with together."""
    most = min(len(one), len(other))
    if one[:most] == other[:most]:
        return most
    return next(at for at in range(most) if one[at] != other[at])


def decode_names(data: bytes, count: int) -> Iterator[ReferencedFile]:
    """Yield the first files of a group.

    :param data: the names of the group, or more
    :param count: how many to yield
    :raises BlockMalformedError: if they are no file names
    """
    position, name = 0, b""
    try:
        for _ in range(count):
            shared, position = varint.decode(data, position)
            length, position = varint.decode(data, position)
            rest = data[position : position + length]
            stamp_size, position = varint.decode(data, position + length)
            stamp = data[position : position + stamp_size]
            position += stamp_size
            if shared > len(name) or len(rest) != length or len(stamp) != stamp_size or stamp_size > MAX_STAMP_BYTES:
                raise BlockMalformedError("expected the names of files in an index, found others")
            name = name[:shared] + rest
            if not 0 < len(name) <= MAX_NAME_BYTES:
                raise BlockMalformedError(f"expected a file name of 1 to {MAX_NAME_BYTES} bytes, found {len(name)}")
            if b"\0" in name:
                raise BlockMalformedError("expected a file name without NUL, found one with it")
            yield ReferencedFile(name.decode("utf-8", "surrogateescape"), stamp)
    except CarError as error:
        raise BlockMalformedError(f"expected the names of files in an index: {error}") from error
