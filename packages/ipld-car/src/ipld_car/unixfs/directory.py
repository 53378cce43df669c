"""Build UnixFS directories; build and read symbolic links.

:func:`build_directory` makes the CIDs of ``ipfs add --cid-version=1``: one block with all entries, or shards where
their names and CIDs take more than 256 KiB. Source: https://specs.ipfs.tech/unixfs/.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from ipld_car import cids
from ipld_car.codecs.dagpb import PBLink
from ipld_car.errors import CarError, MalformedError

from .hamt import build_shards
from .node import (
    DIRECTORY_TYPE,
    FILE_TYPE,
    RAW_TYPE,
    SHARD_TYPE,
    SYMLINK_TYPE,
    Get,
    Put,
    Tree,
    encode_message,
    in_block,
    load_node,
    put_node,
)

SHARD_ABOVE: Final = 256 << 10
"""Bytes of names and CIDs up to which a directory is one block."""


class Kind(StrEnum):
    """The kind of a UnixFS node, for users."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"


_KINDS: Final = {
    RAW_TYPE: Kind.FILE,
    FILE_TYPE: Kind.FILE,
    DIRECTORY_TYPE: Kind.DIRECTORY,
    SHARD_TYPE: Kind.DIRECTORY,
    SYMLINK_TYPE: Kind.SYMLINK,
}


def check_name(name: str) -> None:
    r"""Refuse a name that no directory entry may have.

    These names are the empty one, ``.``, ``..``, and all that contain ``/`` or NUL: in a path they lead elsewhere. What
    a single operating system forbids beyond that is not checked.

    :raises MalformedError: if the name is refused, or cannot be encoded as UTF-8

    >>> check_name("a name")
    >>> check_name("..")
    Traceback (most recent call last):
    ipld_car.MalformedError: expected a name of a directory entry, found '..'
    """
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise MalformedError(f"expected a name of a directory entry, found {name[:100]!r}")
    if not name.isascii() and any("\ud800" <= each <= "\udfff" for each in name):
        raise MalformedError(f"expected a name of a directory entry in UTF-8, found {name[:100]!r}")


def build_directory(
    entries: Iterable[PBLink], put: Put, *, hash_code: int = cids.SHA2_256, shard_above: int = SHARD_ABOVE
) -> Tree:
    """Store a UnixFS directory.

    The order of the entries does not matter. A directory whose names and binary CIDs together take more than
    ``shard_above`` bytes is sharded (HAMT, fanout 256, murmur3-x64-64), as Kubo does.

    :param entries: name, binary CID and graph size of each entry
    :param put: stores a block; it is called with the binary CID and the bytes, for a block before those that link it
    :param hash_code: multihash code of the hash function of the blocks
    :param shard_above: most bytes of names and CIDs that are kept in one block
    :raises MalformedError: if :func:`check_name` refuses a name, or a name comes twice; nothing is put
    :raises LimitError: if a block would be over 1 MiB; the block and those that would link it are not put

    >>> blocks = {}
    >>> cids.to_text(build_directory([], blocks.__setitem__).cid)
    'bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354'
    """
    named: dict[str, PBLink] = {}
    for link in entries:
        name = link.name or ""
        check_name(name)
        if named.setdefault(name, link) is not link:
            raise MalformedError(f"expected each name once in a directory, found {name[:100]!r} again")
    ordered = sorted(named.values(), key=_encoded_name)
    if sum(len(_encoded_name(link)) + len(link.cid) for link in ordered) > shard_above:
        return build_shards(ordered, put, hash_code)
    return put_node(ordered, encode_message(DIRECTORY_TYPE), put, hash_code)


def _encoded_name(link: PBLink) -> bytes:
    return (link.name or "").encode()


def build_symlink(target: str, put: Put, *, hash_code: int = cids.SHA2_256) -> Tree:
    """Store a UnixFS symbolic link to a path.

    :param put: as of :func:`build_directory`

    >>> blocks = {}
    >>> tree = build_symlink("a/b", blocks.__setitem__)
    >>> read_symlink(blocks.__getitem__, tree.cid)
    'a/b'
    """
    return put_node([], encode_message(SYMLINK_TYPE, data=target.encode()), put, hash_code)


def kind_of(get: Get, cid: bytes) -> Kind:
    """Return the kind of the UnixFS node at a binary CID. A raw block is a file, and is not read.

    :raises CarError: if the block is not UnixFS
    """
    if cids.codec_of(cid) == cids.RAW:
        return Kind.FILE
    node = load_node(get, cid)
    try:
        return kind_of_type(node.message.kind)
    except CarError as error:
        raise in_block(cid, error) from error


def kind_of_type(number: int | None) -> Kind:
    """Return the kind of a node by the type in its message.

    :raises MalformedError: if no kind has the type
    """
    kind = None if number is None else _KINDS.get(number)
    if kind is None:
        raise MalformedError(f"expected a file, directory or symbolic link, found UnixFS type {number}")
    return kind


def read_symlink(get: Get, cid: bytes) -> str:
    """Return the target of the symbolic link at a binary CID. The target is an unchecked path.

    :raises CarError: if the block is no UnixFS symbolic link, or its target is not UTF-8
    """
    message = load_node(get, cid).message
    if message.kind != SYMLINK_TYPE:
        raise MalformedError(f"block {cids.to_text(cid)}: expected a symbolic link, found UnixFS type {message.kind}")
    try:
        return message.data.decode()
    except UnicodeDecodeError as error:
        raise MalformedError(
            f"block {cids.to_text(cid)}: expected the target of a symbolic link in UTF-8: {error}"
        ) from error
