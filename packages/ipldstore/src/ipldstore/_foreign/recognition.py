"""What a root is, by its codec and its form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Never

from ipld_car import cids, unixfs
from ipld_car.messages import Message, Term

from ipldstore._format.limits import Limits
from ipldstore._format.nodes import NodeStore
from ipldstore._tree.directory import Frozen
from ipldstore._tree.tree import Tree
from ipldstore.errors import IPLDStoreError, NodeError

from .contents import ForeignContents
from .directories import DirectoryContents, kind_of
from .flat import FlatContents, is_flat_map
from .hamt import HamtContents, MapHamtContents, is_list_node, is_map_node
from .nodes import ForeignNodes, decode_cbor
from .shards import ShardedContents, is_sharded


def recognise(nodes: ForeignNodes, root: bytes) -> ForeignContents | None:
    """Return the contents of a root of another maker; None if it is none of those known here.

    :param root: binary CID
    :raises IPLDStoreError: if the root is missing, damaged, out of reach, or not what its maker writes
    """
    kind = kind_of(nodes, root) if cids.codec_of(root) == cids.DAG_PB else None
    if kind is unixfs.Kind.DIRECTORY:
        return DirectoryContents(nodes, root)
    try:
        value = nodes.load(root, _DecodeValue())
    except NodeError:
        return None
    for has_form, contents in _FORMS:
        if has_form(value):
            return contents(nodes, root)
    return None


@dataclass(frozen=True, slots=True)
class _DecodeValue:
    """Decodes a dag-cbor block."""

    joins: ClassVar[bool] = True

    def __call__(self, cid: bytes, data: bytes) -> Any:
        return decode_cbor(data)


_FORMS: Final[Sequence[tuple[Callable[[Any], bool], Callable[[ForeignNodes, bytes], ForeignContents]]]] = (
    (is_list_node, HamtContents),
    (is_map_node, MapHamtContents),
    (is_sharded, ShardedContents),
    (is_flat_map, FlatContents),
)
"""The form of a dag-cbor root, and what reads it."""


class ForeignTree(Tree):
    """The tree of a root of another maker, which is not taken apart: it has a root, and no changes.

    :param root: binary CID of the root
    :param contents: what it holds
    """

    def __init__(self, nodes: NodeStore, root: bytes, limits: Limits, contents: ForeignContents) -> None:
        super().__init__(nodes, None, limits)
        self._frozen = root
        self.contents = contents

    @property
    def top(self) -> Never:
        """Raise an error: there are no directories of the block format.

        :raises IPLDStoreError: always
        """
        raise self.refusal()

    def snapshot(self) -> Never:
        """Raise an error, as :attr:`top` does."""
        raise self.refusal()

    def refusal(self) -> IPLDStoreError:
        """Return the error for what only datasets of the block format can do."""
        assert self._frozen is not None  # noqa: S101  # it has a root
        return IPLDStoreError(
            Message(
                f"expected a dataset in the block format of ipldstore, found {self.contents.what}, which is only read: "
                f"{cids.to_text(self._frozen)}. ",
                Term("canonicalize(into=castore)"),
                " makes a dataset of it that can be changed; chunks are not copied",
            )
        )


def open_tree(nodes: NodeStore, root: bytes | None, limits: Limits, foreign: ForeignNodes) -> Tree:
    """Return the tree of a root, of this format or of another maker.

    :param root: binary CID; None for an empty dataset
    :param foreign: reads nodes of other makers
    :raises IPLDStoreError: if the root cannot be read
    """
    if root is not None and cids.codec_of(root) == cids.DAG_PB:
        contents = recognise(foreign, root)
        return Tree(nodes, root, limits) if contents is None else ForeignTree(nodes, root, limits, contents)
    try:
        tree = Tree(nodes, root, limits)
    except NodeError:
        contents = None if root is None or cids.codec_of(root) != cids.DAG_CBOR else recognise(foreign, root)
        if root is None or contents is None:
            raise
        return ForeignTree(nodes, root, limits, contents)
    top = tree.top
    if root is not None and isinstance(top, Frozen) and top.map.keys() == {"B", "L"}:  # one form is allowed here too
        contents = recognise(foreign, root)
        return tree if contents is None else ForeignTree(nodes, root, limits, contents)
    return tree


def contents_of(tree: Tree) -> ForeignContents | None:
    """Return what a root of another maker holds; None for a tree of the block format."""
    return tree.contents if isinstance(tree, ForeignTree) else None
