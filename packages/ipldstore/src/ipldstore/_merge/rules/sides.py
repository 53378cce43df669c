"""The roots of one merge: what each has at a path, and what each side has changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from ipld_castore import ContentAddressableStore

from ipldstore._format.nodes import NodeStore
from ipldstore._merge.conflicts import SIDES, Side
from ipldstore._merge.nodes.documents import DocumentReader, NodeDocuments
from ipldstore._read.reader import reader_of
from ipldstore._tree import lookup
from ipldstore._tree.difference import DirectoryChange, changes
from ipldstore._tree.directory import Frozen
from ipldstore.errors import store_errors

from .side_changes import UNLIKE, LinkChange, SideChanges, is_below

NodeKind = Literal["array", "group"] | None


class Nodes(NamedTuple):
    """The documents at one path in all roots."""

    bases: tuple[NodeDocuments, ...]
    ours: NodeDocuments
    theirs: NodeDocuments

    def of(self, side: Side) -> NodeDocuments:
        """Return those of a side."""
        return self.ours if side == "ours" else self.theirs

    @property
    def base_kind(self) -> Literal["array", "group", "unlike"] | None:
        """What the node is in the base; "unlike" where the bases do not agree."""
        kinds = {base.kind for base in self.bases}
        return kinds.pop() if len(kinds) == 1 else "unlike"


def nodes_of(castore: ContentAddressableStore) -> NodeStore:
    """Return the nodes of a block store."""
    return NodeStore(castore, reader_of(castore))


def document_reader(castore: ContentAddressableStore, nodes: NodeStore) -> DocumentReader:
    """Return what reads the documents of nodes in a block store."""

    def read_value(link: bytes, limit: int) -> bytes | None:
        with store_errors("reading metadata that is kept as exact bytes"):
            data = castore.get_range(link, 0, limit + 1)
        return data if len(data) <= limit else None

    return DocumentReader(nodes.load, read_value)


class Sides:
    """Three or more roots that are merged.

    :param reader: reads documents
    :param bases: the root directories of different bases; at least one
    :param ours: the root directory of one side
    :param theirs: that of the other side
    """

    def __init__(self, reader: DocumentReader, bases: Sequence[Frozen], ours: Frozen, theirs: Frozen) -> None:
        self.reader = reader
        self.load = reader.load
        self.bases = tuple(bases)
        self.tops: dict[Side, Frozen] = {"ours": ours, "theirs": theirs}
        self.changed: dict[Side, SideChanges] = {}
        self.made_on_both: set[str] = set()
        """Paths of directories that both sides have made, alike or not."""
        self.deleted_on_both: set[str] = set()
        """Paths of directories that both sides have deleted."""
        self._nodes: dict[str, Nodes] = {}
        for side, top in self.tops.items():
            self.changed[side] = SideChanges(reader)
            self.changed[side].add(changes(self.bases[0], top, self.load))
        for other in self.bases[1:]:
            self._add_disagreement(other)
        self._compare_made_on_both()
        for side in self.tops:
            self.changed[side].adopt_chunks(self._made_arrays(other_side(side)))

    def at(self, path: str) -> Nodes:
        """Return the documents at a path in all roots."""
        found = self._nodes.get(path)
        if found is None:
            bases = tuple(self.reader.at(base, path) for base in self.bases)
            found = Nodes(bases, *(self.reader.at(self.tops[side], path) for side in SIDES))
            self._nodes[path] = found
        return found

    def value_of(self, top: Frozen, key: str) -> bytes | None:
        """Return the link of a value in a root."""
        found = lookup.find(top, key.split("/"), self.load)
        return found if isinstance(found, bytes) else None

    def directory(self, side: Side, path: str) -> Frozen | None:
        """Return the directory at a path on a side."""
        _, directory = lookup.path_to(self.tops[side], path.split("/") if path else [], self.load)
        return directory if isinstance(directory, Frozen) else None  # a root has no changes

    # -- several bases --

    def _add_disagreement(self, other: Frozen) -> None:
        """Mark what another base has different from the first one as changed on both sides, where these differ."""
        between = SideChanges(self.reader)
        todo = between.add(changes(self.bases[0], other, self.load))
        while todo:
            todo += between.open(todo.pop().path)
        for side in self.tops:
            own = self.changed[side]
            todo = list(own.directories.values())
            while todo:
                path = todo.pop().path
                if between.touches(path):
                    todo += own.open(path)
        for array, values in [(None, between.keys), *between.chunks.items()]:
            for key in values:
                links = {side: self.value_of(top, key) for side, top in self.tops.items()}
                for side, link in links.items():
                    self.changed[side].set_value(key, array, LinkChange(UNLIKE, link))
        for side in self.tops:
            self.changed[side].documents |= between.documents
            self.changed[side].consolidated |= between.consolidated

    # -- what both sides made or deleted --

    def _compare_made_on_both(self) -> None:
        """Replace directories that both sides have made by where the two differ, and forget what both have deleted."""
        ours, theirs = self.changed["ours"], self.changed["theirs"]
        for path in [path for path in ours.directories if path in theirs.directories]:
            own, other = ours.directories.pop(path), theirs.directories.pop(path)
            if own.after is None or other.after is None:
                self.deleted_on_both.add(path)
                continue
            self.made_on_both.add(path)
            between = SideChanges(self.reader)
            between.add(changes(own.after, other.after, self.load, path))
            for array, values in [(None, between.keys), *between.chunks.items()]:
                for key, (before, after) in values.items():
                    assert before is None or isinstance(before, bytes)  # noqa: S101  # what walks two trees never says so
                    ours.set_value(key, array, LinkChange(None, before))
                    theirs.set_value(key, array, LinkChange(None, after))
            for side in (ours, theirs):
                side.documents |= between.documents
                side.consolidated |= between.consolidated
            for below, change in between.directories.items():
                (theirs if change.before is None else ours).directories[below] = DirectoryChange(
                    below, None, change.before or change.after
                )

    def _made_arrays(self, side: Side) -> set[str]:
        """Return the paths of arrays that a side has and the base has not."""
        paths = self.changed[side].documents | self.changed[side].directories.keys()
        return {path for path in paths if self.at(path).of(side).kind == "array" != self.at(path).base_kind}

    # -- whole directories that the other side has changes in --

    def open_touched(self) -> None:
        """Replace changes of whole directories by single ones, where the other side has changes at or below.

        A directory that is a node of the base and was deleted stays whole, if the other side still has the node.
        """
        for side in self.tops:
            own, other = self.changed[side], self.changed[other_side(side)]
            todo = list(own.directories.values())
            while todo:
                change = todo.pop()
                if change.after is None and change.path in other.directories:
                    del own.directories[change.path], other.directories[change.path]
                    self.deleted_on_both.add(change.path)
                elif other.touches(change.path) and not self._is_deleted_node(change, other_side(side)):
                    todo += own.open(change.path)

    def touches(self, side: Side, path: str) -> bool:
        """Return whether a side has changed anything at or below a path, also what both have made or deleted."""
        both = self.deleted_on_both | self.made_on_both
        return self.changed[side].touches(path) or any(is_below(each, path) for each in both)

    def has_made_nodes(self, side: Side, path: str) -> bool:
        """Return whether a side has, below a path, a node in a directory that both sides have made."""
        for each in self.made_on_both:
            start = path if is_below(path, each) else each
            directory = self.directory(side, start) if is_below(start, path) else None
            if directory is not None and self.reader.holds_node(directory, start, only_below=start == path):
                return True
        return False

    def _is_deleted_node(self, change: DirectoryChange, other: Side) -> bool:
        nodes = self.at(change.path)
        return change.after is None and nodes.base_kind is not None and nodes.of(other).kind is not None


def other_side(side: Side) -> Side:
    """Return the other side."""
    return "theirs" if side == "ours" else "ours"
