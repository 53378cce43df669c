"""UnixFS: files larger than a block as balanced trees of blocks, directories and symbolic links.

Source: https://specs.ipfs.tech/unixfs/. :func:`build` gives the CIDs of ``ipfs add --cid-version=1
--raw-leaves --chunker=size-1048576 --max-file-links=1024``; :func:`read` reads files of other shapes
too, within its bounds. :func:`build_directory` makes directories as Kubo does, one block or shards.
"""

from __future__ import annotations

from ipld_car.codecs.dagpb import PBLink

from .directory import (
    SHARD_ABOVE,
    Kind,
    build_directory,
    build_symlink,
    check_name,
    find_entry,
    kind_of,
    read_directory,
    read_symlink,
)
from .file import CHUNK_SIZE, MAX_DEPTH, MAX_LINKS, build, build_stream, read, size_of
from .node import Tree

__all__ = [
    "CHUNK_SIZE",
    "MAX_DEPTH",
    "MAX_LINKS",
    "SHARD_ABOVE",
    "Kind",
    "PBLink",
    "Tree",
    "build",
    "build_directory",
    "build_stream",
    "build_symlink",
    "check_name",
    "find_entry",
    "kind_of",
    "read",
    "read_directory",
    "read_symlink",
    "size_of",
]

# Errors, representations and pickles name a class where users import it from.
for _exported in (Kind, Tree):
    _exported.__module__ = __name__
