"""Read and write content archives (CAR files), and handle the blocks in them.

A block is bytes named by a CID, the hash of these bytes. CIDs are given as :class:`multiformats.CID`, text or bytes.
Every error about an archive, a block or a CID is a :class:`CarError`.

The modules :mod:`~ipld_car.cids` (binary CIDs), :mod:`~ipld_car.hashes`, :mod:`~ipld_car.varint`,
:mod:`~ipld_car.streams`, :mod:`~ipld_car.unixfs`, :mod:`~ipld_car.codecs.dagcbor` and
:mod:`~ipld_car.codecs.dagpb` are public too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import cids, hashes, streams, unixfs, varint
from ._car.block import Block, BlockLocation
from ._car.header import V2Header, encode_v2_header
from ._car.index import INDEX_SORTED, MULTIHASH_INDEX_SORTED, CarIndex, IndexEntry
from ._car.reader import CarReader, read_car
from ._car.writer import CarWriter
from ._graph.difference import shared_cids
from ._graph.walk import binary_links, links, walk, walk_binary
from ._ranges.source import RangeSource
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
from .streams import Readable, Source, Writable

if TYPE_CHECKING:
    from ._car.index_writer import IndexWriter
    from ._file.car_file import CarFile
    from ._ranges.range_reader import CarRangeReader

__all__ = [
    "INDEX_SORTED",
    "MULTIHASH_INDEX_SORTED",
    "Block",
    "BlockAbsentError",
    "BlockLocation",
    "CarError",
    "CarFile",
    "CarIndex",
    "CarRangeReader",
    "CarReader",
    "CarWarning",
    "CarWriter",
    "HashMismatchError",
    "IndexEntry",
    "IndexWriter",
    "LimitError",
    "MalformedError",
    "RangeSource",
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
    "streams",
    "unixfs",
    "varint",
    "verify_block",
    "walk",
    "walk_binary",
]

# What streams and blocks do not need is imported when it is asked for: it is a fifth of the time of the package.
_LATER = {
    "CarFile": "._file.car_file",
    "CarRangeReader": "._ranges.range_reader",
    "IndexWriter": "._car.index_writer",
}


if not TYPE_CHECKING:  # or else type checkers would take any name for one of these

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_LATER[name], __name__), name)
        _name_as_public(found)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _name_as_public(exported: Any) -> None:
    """Name a class or function where users import it from: in tracebacks, representations and pickles."""
    if callable(exported) and exported.__module__.startswith(f"{__name__}."):
        exported.__module__ = __name__


for _name in __all__:
    if _name not in _LATER:
        _name_as_public(globals()[_name])
