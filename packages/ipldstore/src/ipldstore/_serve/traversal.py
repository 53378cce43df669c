"""Which blocks a request names: those on the way along its path, and those of what is at the end.

The rules are those of https://specs.ipfs.tech/http-gateways/trustless-gateway/ (``dag-scope``, ``entity-bytes``,
``order=dfs``) and https://specs.ipfs.tech/http-gateways/path-gateway/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from ipld_car import CarError, binary_links, cids, dagcbor, unixfs
from multiformats import CID

Get = Callable[[bytes], bytes]
Scope = Literal["block", "entity", "all"]

MAX_NAMES: Final = 256
"""Names in a path, at most."""
_MAX_DIGITS: Final = 9


class NoSuchPathError(LookupError):
    """A path leads to nothing."""


@dataclass(frozen=True)
class EntityBytes:
    """A range of bytes of a file, as ``entity-bytes`` has it: both ends are included, negative ones count from the end.

    :param last: the last byte; None for the end of the file
    """

    first: int
    last: int | None

    def within(self, size: int) -> tuple[int, int]:
        """Return the range of a file of ``size`` bytes as the positions of its first byte and behind its last."""
        first = self.first if self.first >= 0 else max(0, size + self.first)
        last = size - 1 if self.last is None else self.last if self.last >= 0 else size + self.last
        return first, max(first, min(size, last + 1))


@dataclass(frozen=True)
class Target:
    """Where a path ends.

    :param cid: the binary CID of the block that the last name led to, or that holds what it led to
    :param path: the blocks that were read on the way, the first one first, without the one at ``cid``
    """

    cid: bytes
    path: tuple[tuple[bytes, bytes], ...]


def resolve(get: Get, root: bytes, names: Sequence[str]) -> Target:
    """Follow a path from a root: through UnixFS directories, sharded or not, and the maps and lists of dag-cbor.

    :param get: returns the verified bytes of a block
    :raises NoSuchPathError: if the path leads to nothing
    :raises CarError: if a block on the way is not what its codec says
    """
    if len(names) > MAX_NAMES:
        raise NoSuchPathError(f"expected a path of at most {MAX_NAMES} names, found {len(names)}")
    read: list[tuple[bytes, bytes]] = []

    def recorded(cid: bytes) -> bytes:
        data = get(cid)
        if not any(cid == each for each, _ in read):
            read.append((cid, data))
        return data

    cid, left = root, list(names)
    while left:
        codec = cids.codec_of(cid)
        if codec == cids.DAG_PB:
            entry = unixfs.find_entry(recorded, cid, left[0])
            if entry is None:
                raise NoSuchPathError(
                    f"expected an entry {left[0][:100]!r} in the directory {cids.to_text(cid)}, found none"
                )
            cid, left = entry.cid, left[1:]
        elif codec == cids.DAG_CBOR:
            found = _in_node(*_decode(recorded(cid)), left)
            if found is None:
                raise NoSuchPathError(
                    f"expected {'/'.join(left)[:100]!r} in the block {cids.to_text(cid)}, found nothing"
                )
            link, left = found
            if link is None:
                break
            cid = link
        else:
            raise NoSuchPathError(
                f"block {cids.to_text(cid)}: expected a directory or map for {left[0][:100]!r}, found codec 0x{codec:x}"
            )
    return Target(cid, tuple(each for each in read if each[0] != cid))


def _decode(data: bytes) -> tuple[Any, bool]:
    """Return the value of a dag-cbor block, and whether its byte strings are binary CIDs."""
    try:
        return dagcbor.decode_node(data), True
    except CarError:  # only the slower decoder, of 0.1 ms a link, tells links from other byte strings
        return dagcbor.decode(data), False


def _in_node(node: Any, bytes_are_links: bool, names: Sequence[str]) -> tuple[bytes | None, list[str]] | None:
    """Return the first link on a path through a node, and the names that are left; None if the path leads nowhere.

    The link is None where the path ends within the node.
    """
    for at, name in enumerate(names):
        if isinstance(node, dict) and name in node:
            node = node[name]
        elif isinstance(node, list) and name.isascii() and name.isdigit() and len(name) <= _MAX_DIGITS:
            if int(name) >= len(node):
                return None
            node = node[int(name)]
        else:
            return None
        if isinstance(node, CID) or (bytes_are_links and isinstance(node, bytes)):
            return bytes(node), list(names[at + 1 :])
    return None, []


def blocks(
    get: Get, target: Target, scope: Scope, entity_bytes: EntityBytes | None = None, *, dups: bool = False
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the blocks of a request, depth first: those of the path, then those of what is at its end.

    Identity CIDs have no block.

    :param scope: "block": the one at the end; "entity": the file, or what lists the directory; "all": all blocks that
        the one at the end reaches
    :param entity_bytes: of a file, only the blocks that hold these bytes, where the scope is "entity"
    :param dups: whether a block that is met again comes again, with all that it reaches
    :raises CarError: if a block is not what its codec says
    """
    seen: set[bytes] = set()
    for cid, data in _blocks(get, target, scope, entity_bytes, None if dups else seen):
        if not dups:
            if cid in seen:
                continue
            seen.add(cid)
        if cids.prefix_of(cid).hash_code != cids.IDENTITY:
            yield cid, data


def _blocks(
    get: Get, target: Target, scope: Scope, entity_bytes: EntityBytes | None, seen: set[bytes] | None
) -> Iterator[tuple[bytes, bytes]]:
    """Yield blocks; what is below those in ``seen`` may be left out."""
    yield from target.path
    cid = target.cid
    if scope == "all":
        yield from _all(get, cid, seen)
    elif scope == "entity" and cids.codec_of(cid) == cids.DAG_PB:
        yield from _entity(get, cid, entity_bytes)
    else:
        yield cid, get(cid)


def _all(get: Get, cid: bytes, seen: set[bytes] | None) -> Iterator[tuple[bytes, bytes]]:
    waiting = [cid]
    while waiting:
        cid = waiting.pop()
        if seen is not None and cid in seen:
            continue
        data = get(cid)
        yield cid, data
        waiting += reversed(list(binary_links(cid, data)))


def _entity(get: Get, cid: bytes, entity_bytes: EntityBytes | None) -> Iterator[tuple[bytes, bytes]]:
    """Yield the blocks that a reader of a UnixFS entity reads, by reading it."""
    read: list[tuple[bytes, bytes]] = []

    def recorded(wanted: bytes) -> bytes:
        data = get(wanted)
        read.append((wanted, data))
        return data

    def pieces() -> Iterator[object]:
        try:
            kind = unixfs.kind_of(get, cid)
        except CarError:  # dag-pb that is no UnixFS: the block itself is the entity
            recorded(cid)
            return
        if kind == unixfs.Kind.DIRECTORY:
            yield from unixfs.read_directory(recorded, cid)
        elif kind == unixfs.Kind.FILE:
            start, stop = (0, None) if entity_bytes is None else entity_bytes.within(unixfs.size_of(get, cid))
            yield from unixfs.read(recorded, cid, start, stop)
        else:
            recorded(cid)

    for _ in pieces():
        yield from read
        read.clear()
    yield from read
