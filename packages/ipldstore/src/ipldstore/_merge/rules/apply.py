"""Writing what a merge came to: one side's tree, changed where the result is that of the other side."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from ipld_castore import ContentAddressableStore

from ipldstore._dataset import values
from ipldstore._format import documents, keys
from ipldstore._format.limits import Limits
from ipldstore._format.nodes import NodeStore
from ipldstore._merge.conflicts import Side
from ipldstore._merge.nodes.documents import CONSOLIDATED, ExactText
from ipldstore._tree import lookup
from ipldstore._tree.difference import is_same_target
from ipldstore._tree.tree import Tree

from .node_merge import NodeResult
from .plan import Plan
from .side_changes import is_below


class Result:
    """The tree of a merge, which begins as that of ours.

    :param castore: where blocks are put
    :param nodes: its nodes
    :param ours: binary CID of the root of ours
    :param limits: the numbers of the format
    """

    def __init__(self, castore: ContentAddressableStore, nodes: NodeStore, ours: bytes, limits: Limits) -> None:
        self._castore = castore
        self._nodes = nodes
        self.tree = Tree(nodes, ours, limits)

    def apply(self, plan: Plan) -> None:
        """Change the tree where the result is not what ours has."""
        for path, side in plan.subtrees.items():
            self._take(plan, path, side)
        for own in ("ours", "theirs"):
            for path in plan.sides.changed[own].directories:
                self._take(plan, path, plan.forced.get(path, own))
        by_parts = {}
        for path in plan.results:
            if _is_array_of_theirs_alone(plan, path):
                self._take(plan, path, "theirs")  # all at once, as theirs may have changed millions of chunks
            else:
                node = by_parts[path] = plan.result_of(path)
                self._put_documents(path, node)
        for path, node in by_parts.items():
            for key, side in node.chunks.items():
                if side == "theirs":
                    self._put_value(key, plan.merges[path].link(side, key))
        for key, side in plan.keys.items():
            if side == "theirs":
                self._put_value(key, plan.sides.value_of(plan.sides.tops[side], key))

    def put_documents(self, texts: Iterable[tuple[list[str], bytes]]) -> None:
        """Set documents by the parts of their keys and their text."""
        for parts, text in texts:
            self.tree.put(parts, values.put(self._castore, self._nodes, parts[-1], text))

    def _take(self, plan: Plan, path: str, side: Side) -> None:
        """Take all that is at or below a path from one side."""
        if side == "theirs":
            self.tree.take_below(path.split("/") if path else [], plan.sides.tops["theirs"])

    def _put_documents(self, path: str, node: NodeResult) -> None:
        found = self._documents_at(path)
        wanted: dict[str, lookup.KeyTarget] = {}
        for name, content in node.documents.items():
            wanted[name] = self._target(name, content, node.consolidated.get(name))
        if keys.ZMETADATA in node.consolidated:
            wanted[keys.ZMETADATA] = found.get(keys.ZMETADATA, {})
        for name in {*found, *wanted}:
            parts = [*(path.split("/") if path else []), name]
            if name not in wanted:
                self.tree.drop(parts)
            elif not is_same_target(wanted[name], found.get(name)):
                self.tree.put(parts, wanted[name])

    def _documents_at(self, path: str) -> Mapping[str, lookup.KeyTarget]:
        _, directory = lookup.path_to(self.tree.top, path.split("/") if path else [], self._nodes.load)
        return {} if directory is None else dict(lookup.documents_of(directory))

    def _target(self, name: str, content: documents.Document | bytes, state: str | None) -> lookup.KeyTarget:
        if isinstance(content, ExactText):
            text = documents.to_lenient_json({**content.parse(), **({CONSOLIDATED: {}} if state == "map" else {})})
            return values.put(self._castore, self._nodes, name, text)
        if isinstance(content, bytes):
            return content
        if state is not None:  # a map is made anew afterwards; see rule 5
            content = {**content, CONSOLIDATED: {} if state == "map" else json.loads(state)}
        return values.put(self._castore, self._nodes, name, documents.to_json(content))

    def _put_value(self, key: str, link: bytes | None) -> None:
        parts = key.split("/")
        if link is not None:
            self.tree.put(parts, link)
        elif lookup.find(self.tree.top, parts, self._nodes.load) is not None:
            self.tree.drop(parts)


def _is_array_of_theirs_alone(plan: Plan, path: str) -> bool:
    """Return whether only theirs has changed an array, and what is below it."""
    return (
        plan.sides.at(path).theirs.kind == "array"
        and not plan.sides.changed["ours"].touches(path)
        and not any(is_below(each, path) for each in (*plan.subtrees, *plan.forced))
    )
