"""Content archives (CAR): reading, writing, and what stores need to know about blocks.

Blocks are named by :class:`multiformats.CID`; everything also takes their text or bytes. Every error
is a :class:`CarError`. The submodules are public too: :mod:`~ipld_car.cids` (binary CIDs),
:mod:`~ipld_car.varint`, :mod:`~ipld_car.hashes`, :mod:`~ipld_car.dagcbor`, :mod:`~ipld_car.dagpb` and
:mod:`~ipld_car.unixfs`.
"""

from __future__ import annotations

from . import cids, hashes, unixfs, varint
from ._car.block import Block, BlockLocation
from ._car.header import V2Header, encode_v2_header
from ._car.index import INDEX_SORTED, MULTIHASH_INDEX_SORTED, CarIndex, IndexEntry
from ._car.index_writer import IndexWriter
from ._car.reader import CarReader, read_car
from ._car.source import Readable, Source
from ._car.writer import CarWriter, Writable
from ._file.car_file import CarFile
from ._graph.difference import shared_cids
from ._graph.walk import binary_links, links, walk, walk_binary
from .codecs import dagcbor, dagpb
from .errors import (
    BlockAbsentError,
    CarError,
    CarWarning,
    HashMismatchError,
    LimitError,
    MalformedError,
    TruncatedError,
    UnverifiableError,
)
from .hashes import verify_block

__all__ = [
    "INDEX_SORTED",
    "MULTIHASH_INDEX_SORTED",
    "Block",
    "BlockAbsentError",
    "BlockLocation",
    "CarError",
    "CarFile",
    "CarIndex",
    "CarReader",
    "CarWarning",
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
    "links",
    "read_car",
    "shared_cids",
    "unixfs",
    "varint",
    "verify_block",
    "walk",
    "walk_binary",
]
