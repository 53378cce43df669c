"""What a merge makes of three roots, before anything is written (design, section 9, rules 1 to 3)."""

from __future__ import annotations

from collections.abc import Iterator

from ipldstore._format import keys as _keys
from ipldstore._merge.conflicts import SIDES, MergeConflict, Side
from ipldstore._merge.decisions import Decisions
from ipldstore._tree.difference import is_same_target

from .choice import agreed, choose
from .node_merge import NodeMerge, NodeResult
from .side_changes import has_parent_in
from .sides import Nodes, Sides, other_side


class Plan:
    """The merge of all nodes and keys.

    :param sides: the roots, and what changed
    :param decisions: gets the conflicts
    """

    def __init__(self, sides: Sides, decisions: Decisions) -> None:
        self.sides = sides
        self.decisions = decisions
        self.subtrees: dict[str, Side] = {}
        """Paths at which all that is at or below is taken from one side."""
        self.merges: dict[str, NodeMerge] = {}
        """Nodes that are merged by parts, by path."""
        self.results: dict[str, NodeResult] = {}
        """What comes of :attr:`merges`."""
        self.keys: dict[str, Side] = {}
        """Of each key of no node that changed, the side it is taken from."""
        self.forced: dict[str, Side] = {}
        """Arrays that are taken whole from one side, as a dimension asks for it (rule 4)."""
        sides.open_touched()
        self.changed_paths = {
            path
            for changed in sides.changed.values()
            for path in (*changed.documents, *changed.consolidated, *changed.directories)
        }
        """Paths at or below which documents changed."""
        self._take_subtrees()
        self._merge_nodes()
        self._merge_keys()

    def result_of(self, path: str) -> NodeResult:
        """Return what a node has after the merge: its parts, or its documents and chunks of one side."""
        side = self.forced.get(path)
        if side is None:
            return self.results[path]
        own = self.sides.at(path).of(side)
        changed = (self.sides.changed[each].chunks.get(path, {}) for each in SIDES)
        return NodeResult(own.contents, own.consolidated, {key: side for chunks in changed for key in chunks})

    # -- rule 3 --

    def _take_subtrees(self) -> None:
        found = {path: reason for side in SIDES for path, reason in self._node_conflicts(side)}
        for path in sorted(found, key=len):
            if not has_parent_in(path, self.subtrees.keys()):
                side = self.decisions.side_of(MergeConflict(path, "node", found[path]))
                self.subtrees[path] = side or "ours"
        for side in SIDES:
            self.sides.changed[side].discard(self.subtrees.keys())

    def _node_conflicts(self, side: Side) -> Iterator[tuple[str, str]]:
        """Yield the nodes that a side deleted, replaced or made and the other side does not let it, with the reason."""
        own = self.sides.changed[side]
        for path in sorted(own.documents | own.directories.keys()):
            nodes = self.sides.at(path)
            kind, other_kind, base_kind = nodes.of(side).kind, nodes.of(other_side(side)).kind, nodes.base_kind
            if kind in (other_kind, base_kind):
                continue
            touched = base_kind is not None and self.sides.touches(other_side(side), path)
            if touched and kind is None:
                yield path, f"{side} deleted the {_name(base_kind)}, {other_side(side)} changed it or what is below it"
            elif touched and kind is not None:
                yield path, f"{side} replaced the {_name(base_kind)} by the {kind}, {other_side(side)} changed it"
            elif kind is not None and other_kind is not None and base_kind is None:
                yield path, self._both_made(path)
            elif kind == "array" and other_kind is None and self._has_new_nodes(other_side(side), path):
                yield path, f"{side} made an array, {other_side(side)} made nodes below it"

    def _both_made(self, path: str) -> str:
        nodes = self.sides.at(path)
        return f"ours made the {nodes.ours.kind}, theirs made the {nodes.theirs.kind}"

    def _has_new_nodes(self, side: Side, path: str) -> bool:
        """Return whether a side has made nodes below a path."""
        touched = (each[:-1] for each in self.sides.changed[side].touched(path) if each.endswith("/"))
        found = any(self._is_or_holds_node(side, each) for each in touched if each != path)
        return found or self.sides.has_made_nodes(side, path)

    def _is_or_holds_node(self, side: Side, path: str) -> bool:
        change = self.sides.changed[side].directories.get(path)
        if change is None:
            return self.sides.at(path).of(side).kind is not None
        return change.after is not None and self.sides.reader.holds_node(change.after, path)

    # -- rules 1 and 2 --

    def _merge_nodes(self) -> None:
        ours, theirs = (self.sides.changed[side] for side in SIDES)
        for path in sorted(ours.documents | theirs.documents | ours.chunks.keys() | theirs.chunks.keys()):
            own, other = ours.chunks.get(path, {}), theirs.chunks.get(path, {})
            nodes = self.sides.at(path)
            if nodes.ours.kind is None and nodes.theirs.kind is None and not own and not other:
                self.results[path] = self._merge_loose_documents(path, nodes)
                continue
            merge = self.merges[path] = NodeMerge(path, nodes, own, other)
            self.results[path] = merge.merge(self.decisions)

    def _merge_loose_documents(self, path: str, nodes: Nodes) -> NodeResult:
        """Merge documents that make no node: each is a key of no node."""
        result: dict[str, dict[str, object] | bytes] = {}
        for name in sorted({*nodes.ours.contents, *nodes.theirs.contents}):
            own, other = nodes.ours.contents.get(name), nodes.theirs.contents.get(name)
            base = agreed([base.contents.get(name) for base in nodes.bases], is_same_target)
            side = choose(base, own, other, is_same_target)
            key = f"{path}/{name}" if path else name
            content = own if (side or self._side_of_key(key)) == "ours" else other
            if content is not None:
                result[name] = content
        consolidated = {_keys.ZMETADATA: "map"} if self._keeps_consolidated(nodes) else {}
        return NodeResult(result, consolidated)

    def _keeps_consolidated(self, nodes: Nodes) -> bool:
        base, ours, theirs = (
            _keys.ZMETADATA in each.consolidated for each in (nodes.bases[0], nodes.ours, nodes.theirs)
        )
        return ours if ours == theirs else ours != base

    def _side_of_key(self, key: str) -> Side:
        conflict = MergeConflict(key, "key", "both sides changed the key, each in its own way")
        return self.decisions.side_of(conflict) or "ours"

    def _merge_keys(self) -> None:
        ours, theirs = (self.sides.changed[side].keys for side in SIDES)
        for key in sorted({*ours, *theirs}):
            own, other = ours.get(key), theirs.get(key)
            if own is None or (other is not None and own.before == own.after):
                self.keys[key] = "theirs"
            elif other is None or other.after in (other.before, own.after):
                self.keys[key] = "ours"
            else:
                self.keys[key] = self._side_of_key(key)


def _name(kind: str | None) -> str:
    return "node" if kind == "unlike" else str(kind)
