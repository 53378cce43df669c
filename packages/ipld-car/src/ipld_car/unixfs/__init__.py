"""UnixFS: files as balanced trees of blocks, directories and symbolic links, over any ``get(cid)`` and ``put``.

:func:`build` makes the CIDs of ``ipfs add --cid-version=1 --raw-leaves --chunker=size-1048576
--max-file-links=1024``, and :func:`build_directory` those of Kubo's directories, of one block or sharded. :func:`read`
reads files of other shapes too, within its bounds. :func:`decode_block` is for callers that resolve a path themselves,
block by block. Source: https://specs.ipfs.tech/unixfs/.

This room imports codecs, hashes, cids, streams and errors. ``ops``, ``_cli`` and the packages above may import it.
"""

from __future__ import annotations

from ipld_car.codecs.dagpb import PBLink

from .block import Shard, UnixFSBlock, decode_block, find_entry, read_directory, resolve
from .directory import (
    SHARD_ABOVE,
    Kind,
    build_directory,
    build_symlink,
    check_name,
    kind_of,
    read_symlink,
)
from .file import CHUNK_SIZE, MAX_DEPTH, MAX_LINKS, build, build_stream, join, raw_leaves, read, size_of
from .hamt import Place
from .node import Tree

__all__ = [
    "CHUNK_SIZE",
    "MAX_DEPTH",
    "MAX_LINKS",
    "SHARD_ABOVE",
    "Kind",
    "PBLink",
    "Place",
    "Shard",
    "Tree",
    "UnixFSBlock",
    "build",
    "build_directory",
    "build_stream",
    "build_symlink",
    "check_name",
    "decode_block",
    "find_entry",
    "join",
    "kind_of",
    "raw_leaves",
    "read",
    "read_directory",
    "read_symlink",
    "resolve",
    "size_of",
]

# Representations and pickles name a class where users import it from.
for _exported in (Kind, Place, Shard, Tree, UnixFSBlock):
    _exported.__module__ = __name__
