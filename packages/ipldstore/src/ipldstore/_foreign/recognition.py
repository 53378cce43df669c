"""What a root is, by its codec and its form."""

from __future__ import annotations

from typing import Never

from ipld_car import cids, unixfs

from ipldstore._format.limits import Limits
from ipldstore._format.nodes import NodeStore
from ipldstore._tree.tree import Tree
from ipldstore.errors import IPLDStoreError, NodeError

from .contents import ForeignContents
from .directories import DirectoryContents, kind_of
from .nodes import ForeignNodes


def recognise(nodes: ForeignNodes, root: bytes) -> ForeignContents | None:
    """Return the contents of a root of another maker; None if it is none of those known here.

    :param root: binary CID
    :raises IPLDStoreError: if the root is missing, damaged, out of reach, or not what its maker writes
    """
    if cids.codec_of(root) != cids.DAG_PB:
        return None
    kind = kind_of(nodes, root)
    if kind is not unixfs.Kind.DIRECTORY:
        raise NodeError(
            f"node {cids.to_text(root)}: expected a dataset, or a UnixFS directory with one; found a UnixFS "
            f"{kind.value}: fetch it with an IPFS client (ipfs get) and open that"
        )
    return DirectoryContents(nodes, root)


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
            f"expected a dataset in the block format of ipldstore, found {self.contents.what}, which is only read: "
            f"{cids.to_text(self._frozen)}. canonicalize(into=castore) makes a dataset of it that can be changed; "
            f"chunks are not copied"
        )


def open_tree(nodes: NodeStore, root: bytes | None, limits: Limits, foreign: ForeignNodes) -> Tree:
    """Return the tree of a root, of this format or of another maker.

    :param root: binary CID; None for an empty dataset
    :param foreign: reads nodes of other makers
    :raises IPLDStoreError: if the root cannot be read
    """
    contents = None if root is None else recognise(foreign, root)
    if root is None or contents is None:
        return Tree(nodes, root, limits)
    return ForeignTree(nodes, root, limits, contents)


def contents_of(tree: Tree) -> ForeignContents | None:
    """Return what a root of another maker holds; None for a tree of the block format."""
    return tree.contents if isinstance(tree, ForeignTree) else None
