"""Content archives (CAR): reading, writing, and what stores need to know about blocks.

Blocks are named by :class:`multiformats.CID`; everything also takes their text or bytes. Every error
is a :class:`CarError`. The submodules are public too: :mod:`~ipld_car.cids` (binary CIDs),
:mod:`~ipld_car.varint`, :mod:`~ipld_car.hashes`, :mod:`~ipld_car.dagcbor`, :mod:`~ipld_car.dagpb` and
:mod:`~ipld_car.unixfs`.
"""

from __future__ import annotations

from . import cids, dagcbor, dagpb, hashes, unixfs, varint
from ._block import Block, BlockLocation
from ._difference import held_binary
from ._errors import (
    CarError,
    HashMismatchError,
    LimitError,
    MalformedError,
    TruncatedError,
    UnverifiableError,
)
from ._header import V2Header, encode_v2_header
from ._index import INDEX_SORTED, MULTIHASH_INDEX_SORTED, CarIndex, IndexEntry
from ._index_writer import IndexWriter
from ._reader import CarReader, read_car
from ._source import Readable, Source
from ._walk import binary_links, links, walk, walk_binary
from ._writer import CarWriter, Writable
from .hashes import verify_block

__all__ = [
    "INDEX_SORTED",
    "MULTIHASH_INDEX_SORTED",
    "Block",
    "BlockLocation",
    "CarError",
    "CarIndex",
    "CarReader",
    "CarWriter",
    "HashMismatchError",
    "IndexEntry",
    "IndexWriter",
    "LimitError",
    "MalformedError",
    "Readable",
    "Source",
    "TruncatedError",
    "UnverifiableError",
    "V2Header",
    "Writable",
    "binary_links",
    "cids",
    "dagcbor",
    "dagpb",
    "encode_v2_header",
    "hashes",
    "held_binary",
    "links",
    "read_car",
    "unixfs",
    "varint",
    "verify_block",
    "walk",
    "walk_binary",
]
