"""A zarr hierarchy in a UnixFS directory, as ``ipfs add -r`` makes it: a key is a path.

Source: https://specs.ipfs.tech/unixfs/.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from ipld_car import cids, unixfs
from ipld_castore import PathStep

from ipldstore._format.path_hint import PathHint
from ipldstore._read.prefetch_policy import LeafLinks
from ipldstore.errors import NodeError

from .contents import MAX_PARTS, ForeignContents, Found
from .nodes import Decoder, ForeignNodes, Load, NodeNotCachedError, node_errors

_MAX_NAME_BYTES: Final = 255

_LEAF_SHARE: Final = 0.75
"""Least part of the children of a block that are files of one block, where it is fetched whole with them."""


class _Block:
    """A decoded block of UnixFS."""

    __slots__ = ("_links", "node")

    def __init__(self, node: unixfs.UnixFSBlock) -> None:
        self.node = node
        self._links: list[bytes] | None = None

    def leaf(self, directory: bytes) -> LeafLinks:
        """Return a directory with the links of files in this block of it; with none if much else is below it."""
        if self._links is None:
            children = _children_of(self)
            links = [child.cid for child in children if cids.codec_of(child.cid) == cids.RAW]
            self._links = links if len(links) >= _LEAF_SHARE * len(children) else []
        return LeafLinks(directory, self._links, len(self._links) * self.node.siblings if self.node.is_sharded else 0)


@dataclass(frozen=True, slots=True)
class _DecodeBlock:
    """Decodes the block of a file or directory, or of a shard of a directory."""

    place: unixfs.Place | None
    """Place of a shard in its directory."""

    joins: ClassVar[bool] = False

    def __call__(self, cid: bytes, data: bytes) -> _Block:
        return _Block(unixfs.decode_block(cid, data, self.place))


@dataclass(slots=True)
class _Level:
    """A directory that is being listed."""

    above: str
    """The beginning of the keys of its files."""
    cid: bytes
    children: Iterator[tuple[str, bytes]]
    has_keys: bool = False
    """Whether a key was found in or below it."""


class DirectoryContents(ForeignContents):
    """The files below a UnixFS directory. Symbolic links are no keys.

    :param nodes: the nodes of the block store
    :param root: binary CID of the directory
    """

    what = "a UnixFS directory"

    def __init__(self, nodes: ForeignNodes, root: bytes) -> None:
        self._nodes = nodes
        self._root = root

    def find(self, key: str) -> Found | None:
        """See :meth:`ForeignContents.find`. Reads the blocks on the path, and of a file of several blocks the first."""
        found = self._resolve(key, self._nodes.load)
        return None if found is None else found[0]

    def find_cached(self, key: str) -> tuple[Found, LeafLinks] | None:
        """See :meth:`ForeignContents.find_cached`."""
        try:
            found = self._resolve(key, self._nodes.cached)
        except NodeNotCachedError:
            return None
        return None if found is None or found[1] is None else (found[0], found[1].leaf(found[2]))

    def _resolve(self, key: str, load: Load) -> tuple[bytes, _Block | None, bytes] | None:
        """Return the link of a file, the block that has the link, and the directory that the block is of."""
        names = _names_of(key)
        if names is None:
            return None
        step, last, directory = PathStep(self._root, names), None, self._root
        while step.names or cids.codec_of(step.cid) != cids.RAW:
            block = _load(load, step)
            if not step.names:
                return (step.cid, last, directory) if block.node.kind is unixfs.Kind.FILE else None
            if block.node.kind is not unixfs.Kind.DIRECTORY:
                return None
            below = _into(step, block)
            if below is None:
                return None
            step, last, directory = below, block, step.start.cid
            if step.names and cids.codec_of(step.cid) == cids.RAW:
                return None  # a file is no directory
        return step.cid, last, directory

    def items(self, prefix: str = "") -> Iterator[tuple[str, Found]]:
        """See :meth:`ForeignContents.items`. The blocks of directories are read, and the first of each file."""
        path, slash, fragment = prefix.rpartition("/")
        top = self._directory(path)
        if top is None:
            return
        levels = [_Level(path + slash, top.cid, self._children(top, fragment))]
        empty: set[bytes] = set()  # directories without keys: a few blocks can stand for any number of them
        while levels:
            level = levels[-1]
            for name, cid in level.children:
                key = level.above + name
                if cids.codec_of(cid) == cids.RAW:
                    level.has_keys = True
                    yield key, cid
                    continue
                step = PathStep(cid, [])
                kind = _load(self._nodes.load, step).node.kind
                if kind is unixfs.Kind.FILE:
                    level.has_keys = True
                    yield key, cid
                elif kind is unixfs.Kind.DIRECTORY and cid not in empty:
                    if key.count("/") + 1 >= MAX_PARTS:
                        raise NodeError(
                            f"node {cids.to_text(cid)}: expected directories at most {MAX_PARTS - 1} below the root, "
                            f"found one deeper at {key[:200]!r}"
                        )
                    levels.append(_Level(f"{key}/", cid, self._children(step)))
                    break
            else:
                levels.pop()
                if level.has_keys and levels:
                    levels[-1].has_keys = True
                elif not level.has_keys:
                    empty.add(level.cid)

    def names(self, directory: str) -> Iterator[str]:
        """See :meth:`ForeignContents.names`. Only the blocks of the directory are read."""
        top = self._directory(directory)
        return iter(()) if top is None else (name for name, _ in self._children(top))

    def _directory(self, path: str) -> PathStep | None:
        """Return the step to a directory; None if there is none at the path."""
        if not path:
            return PathStep(self._root, [])
        names = _names_of(path)
        step = None if names is None else PathStep(self._root, names)
        while step is not None and step.names:
            if cids.codec_of(step.cid) == cids.RAW:
                return None
            block = _load(self._nodes.load, step)
            step = _into(step, block)
        if step is None or cids.codec_of(step.cid) == cids.RAW:
            return None
        return step if _load(self._nodes.load, step).node.kind is unixfs.Kind.DIRECTORY else None

    def _children(self, step: PathStep, fragment: str = "") -> Iterator[tuple[str, bytes]]:
        """Iterate over name and link of the entries of a directory whose names begin with a fragment.

        Entries whose names no key can have are left out.
        """
        levels = [iter(_children_of(_load(self._nodes.load, step)))]
        while levels:
            for child in levels[-1]:
                if isinstance(child, unixfs.Shard):
                    below = PathStep(child.cid, [], step.cid, child.place)
                    levels.append(iter(self._shard(below)))
                    break
                name = child.name or ""
                if name.startswith(fragment) and len(name.encode()) <= _MAX_NAME_BYTES:
                    yield name, child.cid
            else:
                levels.pop()

    def _shard(self, step: PathStep) -> Sequence[unixfs.PBLink | unixfs.Shard]:
        children = _children_of(_load(self._nodes.load, step))
        self._nodes.prefetch(child.cid for child in children if isinstance(child, unixfs.Shard))
        return children


def kind_of(nodes: ForeignNodes, cid: bytes) -> unixfs.Kind:
    """Return the kind of a node of UnixFS.

    :raises IPLDStoreError: if its block is missing, damaged, out of reach, or no UnixFS
    """
    return _load(nodes.load, PathStep(cid, [])).node.kind


def _into(step: PathStep, block: _Block) -> PathStep | None:
    with node_errors(step.cid):
        return step.into(block.node)


def _children_of(block: _Block) -> Sequence[unixfs.PBLink | unixfs.Shard]:
    with node_errors(block.node.cid):
        return list(block.node.children())


def _load(load: Load, step: PathStep) -> _Block:
    hint = PathHint(step.start.names, start=step.directory)
    decoder: Decoder[_Block] = _DecodeBlock(step.place)
    return load(step.cid, decoder, hint)


def _names_of(key: str) -> list[str] | None:
    """Return the names on the path of a key; None if no file has the key."""
    names = key.split("/")
    if len(names) > MAX_PARTS or "\0" in key or any(name in ("", ".", "..") for name in names):
        return None
    try:
        key.encode()
    except UnicodeEncodeError:
        return None
    return names
