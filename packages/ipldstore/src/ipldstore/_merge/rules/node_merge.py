"""The merge of one node by its parts (design, section 9, rules 1 and 2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ipldstore._format.documents import Document
from ipldstore._merge.conflicts import SIDES, MergeConflict, Side
from ipldstore._merge.decisions import Decisions
from ipldstore._merge.nodes.grid import grid_of, grown_axes, is_inside
from ipldstore._merge.nodes.parts import Parts, compose, indivisible, parts_of

from .choice import ABSENT, agreed, choose, is_equal, is_same_data
from .side_changes import UNLIKE, LinkChange
from .sides import Nodes

_NO_CHUNKS: Final[Mapping[str, LinkChange]] = {}


@dataclass
class NodeResult:
    """What a node has after the merge."""

    documents: Mapping[str, Document | bytes] = field(default_factory=dict)
    """Documents by name, without consolidated metadata; the link of one that is kept as exact bytes."""
    consolidated: Mapping[str, str] = field(default_factory=dict)
    """See :class:`~ipldstore._merge.nodes.documents.NodeDocuments`."""
    chunks: dict[str, Side] = field(default_factory=dict)
    """Of each chunk that changed, the side it is taken from."""


class NodeMerge:
    """The merge of one node whose base, ours and theirs are not of different kinds by rule 3.

    :param path: the path of the node
    :param nodes: its documents in all roots
    :param ours: the chunks that one side changed
    :param theirs: those of the other side
    """

    def __init__(
        self,
        path: str,
        nodes: Nodes,
        ours: Mapping[str, LinkChange] = _NO_CHUNKS,
        theirs: Mapping[str, LinkChange] = _NO_CHUNKS,
    ) -> None:
        self.path = path
        self.nodes = nodes
        self.chunks: dict[Side, Mapping[str, LinkChange]] = {"ours": ours, "theirs": theirs}
        self._whole = indivisible(*nodes.bases, nodes.ours, nodes.theirs)
        self._bases = [parts_of(base, self._whole) for base in nodes.bases]
        self.parts: dict[Side, Parts] = {side: parts_of(nodes.of(side), self._whole) for side in SIDES}
        self._is_made_on_both = (
            nodes.ours.kind is not None and nodes.ours.kind == nodes.theirs.kind != nodes.base_kind != "unlike"
        )
        if self._is_made_on_both:
            self._bases = [Parts()]
        self.is_open = False
        """Whether nothing decides what metadata, shape and chunks the array has."""

    # -- what changed --

    def _base(self, name: str) -> Any:
        return agreed([getattr(base, name) for base in self._bases], is_equal)

    def metadata_changed(self, side: Side) -> bool:
        """Return whether the metadata of a side are not those of the base."""
        return bool(self._base("metadata") != self.parts[side].metadata)

    def shape_changed(self, side: Side) -> bool:
        """Return whether the shape of a side is not that of the base."""
        return bool(self._base("shape") != self.parts[side].shape)

    def grown(self, side: Side) -> tuple[int, ...] | None:
        """Return the axes along which a side grew; None if it did not grow, or grew and shrank."""
        base = self._base("shape")
        if base is UNLIKE or not base or not self.shape_changed(side):
            return None
        own = self.parts[side].shape
        if base.keys() != own.keys() or len(set(base.values())) != 1 or len(set(own.values())) != 1:
            return None
        return grown_axes(next(iter(base.values())), next(iter(own.values())))

    # -- merging --

    def merge(self, decisions: Decisions) -> NodeResult:
        """Return the node as it is after the merge. Where a conflict is left, the result is of no use."""
        if self.nodes.ours.kind == "array" or self.nodes.theirs.kind == "array":
            values, chunks = self._merge_array(decisions)
            metadata = shape = values
        else:
            metadata, chunks = self._merge_metadata(decisions), self._merge_chunks(decisions)
            shape = metadata
        if metadata is None:
            metadata = choose(*self._three("metadata"), is_equal) or "ours"
            shape = choose(*self._three("shape"), is_equal) or "ours"
        attributes = self._merge_attributes(decisions)
        holders = self._merge_holders()
        rest = self.parts[metadata].rest
        documents = compose(rest, self.parts[shape or metadata].shape, attributes, holders, self._whole)
        return NodeResult(documents, self._merge_consolidated(decisions), chunks)

    def _three(self, name: str) -> tuple[Any, Any, Any]:
        return self._base(name), getattr(self.parts["ours"], name), getattr(self.parts["theirs"], name)

    def _merge_metadata(self, decisions: Decisions) -> Side:
        """Return the side whose metadata count, of a node that is no array."""
        side = choose(*self._three("metadata"), is_equal)
        if side is None:
            conflict = MergeConflict(self.path, "metadata", "both sides changed the metadata, each in its own way")
            side = decisions.side_of(conflict)
        return side or "ours"

    def _merge_array(self, decisions: Decisions) -> tuple[Side | None, dict[str, Side]]:
        """Return the side that metadata, shape and chunks are taken from, or None and the side of each chunk."""
        offending = self._offending_chunks()
        if offending is None:
            return None, self._merge_chunks(decisions)
        conflict = MergeConflict(self.path, "array", self._reason(), chunk_keys=tuple(sorted(offending)))
        decided = decisions.side_of(conflict)
        self.is_open = decided is None
        side = decided or "ours"
        return side, dict.fromkeys({**self.chunks["ours"], **self.chunks["theirs"]}, side)

    def _offending_chunks(self) -> list[str] | None:
        """Return the chunks for which metadata or shape of one side conflict with the other; None without conflict."""
        ours, theirs = self.parts["ours"], self.parts["theirs"]
        both = {**self.chunks["ours"], **self.chunks["theirs"]}
        different = [key for key in both if self.link("ours", key) != self.link("theirs", key)]
        if ours.metadata == theirs.metadata and ours.shape == theirs.shape and not different:
            return None  # both have the same
        changed = {side: self.metadata_changed(side) or self.shape_changed(side) for side in self.parts}
        if not any(changed.values()):
            return None
        for side, other in zip(SIDES, reversed(SIDES), strict=True):
            if not changed[other] and not self.chunks[other]:
                return None
            if not changed[other] and not self.metadata_changed(side):
                outside = self._outside(side, self.chunks[other])
                if outside is not None:
                    return outside or None
        if not self._is_made_on_both and not any(map(self.metadata_changed, self.parts)) and ours.shape == theirs.shape:
            outside = self._outside("ours", different)
            if outside is not None:
                return outside or None
        return different

    def _outside(self, side: Side, chunk_keys: Iterable[str]) -> list[str] | None:
        """Return the chunks that are not wholly inside the shape of the base along the axes along which a side grew.

        None where the side did something else than growing.
        """
        axes = self.grown(side)
        if axes is None:
            return None
        grid = grid_of(self.nodes.bases[0])
        start = len(self.path) + 1 if self.path else 0
        return [key for key in chunk_keys if not is_inside(grid, axes, key[start:])]

    def link(self, side: Side, key: str) -> bytes | None:
        """Return the link that a chunk has on a side, of those that a side changed."""
        own = self.chunks[side].get(key)
        if own is not None:
            return own.after
        before = self.chunks["theirs" if side == "ours" else "ours"][key].before
        return before if isinstance(before, bytes) else None

    def _merge_chunks(self, decisions: Decisions) -> dict[str, Side]:
        """Return the side of each chunk."""
        ours, theirs = self.chunks["ours"], self.chunks["theirs"]
        sides: dict[str, Side] = dict.fromkeys(ours, "ours")
        conflicting = []
        for key, change in theirs.items():
            if key not in ours:
                sides[key] = "theirs"
            elif ours[key].after != change.after:
                conflicting.append(key)
        if conflicting:
            reason = f"both sides changed {_count_words(len(conflicting))}, each in its own way"
            conflict = MergeConflict(self.path, "chunks", reason, chunk_keys=tuple(sorted(conflicting)))
            sides.update(dict.fromkeys(conflicting, decisions.side_of(conflict) or "ours"))
        return sides

    def _merge_attributes(self, decisions: Decisions) -> dict[tuple[str, str], Any]:
        """Return the attributes that are no metadata."""
        made = {}
        ours, theirs = self.parts["ours"].attributes, self.parts["theirs"].attributes
        for name in sorted({*ours, *theirs, *(name for base in self._bases for name in base.attributes)}):
            own, other = ours.get(name, ABSENT), theirs.get(name, ABSENT)
            base = agreed([base.attributes.get(name, ABSENT) for base in self._bases], is_same_data)
            side = choose(base, own, other, is_same_data)
            if side is None:
                reason = f"the attribute {name[1]!r} is {own!r:.80} in ours and {other!r:.80} in theirs"
                side = decisions.side_of(MergeConflict(self.path, "attribute", reason, attribute=name[1])) or "ours"
            content = own if side == "ours" else other
            if content is not ABSENT:
                made[name] = content
        return made

    def _merge_holders(self) -> frozenset[str]:
        """Return the documents that hold attributes, also an empty set of them."""
        ours, theirs = self.parts["ours"].holders, self.parts["theirs"].holders
        found = set()
        for name in ours | theirs:
            base = agreed([name in base.holders for base in self._bases], is_equal)
            side = choose(base, name in ours, name in theirs, is_equal)
            if (
                side is None or name in self.parts[side].holders
            ):  # the bases do not agree: that there are none says less
                found.add(name)
        return frozenset(found)

    def _merge_consolidated(self, decisions: Decisions) -> dict[str, str]:
        """Return the documents that have consolidated metadata."""
        made = {}
        ours, theirs = self.parts["ours"].consolidated, self.parts["theirs"].consolidated
        for name in sorted({*ours, *theirs}):
            base = agreed([base.consolidated.get(name) for base in self._bases], is_equal)
            side = choose(base, ours.get(name), theirs.get(name), is_equal)
            if side is None:
                reason = f"consolidated metadata are in {name} of one side, and not in that of the other"
                side = decisions.side_of(MergeConflict(self.path, "consolidated", reason)) or "ours"
            state = self.parts[side].consolidated.get(name)
            if state is not None:
                made[name] = state
        return made

    def _reason(self) -> str:
        if self._is_made_on_both:
            return self._made_words()
        return f"ours changed {self._changed_words('ours')}, theirs changed {self._changed_words('theirs')}"

    def _made_words(self) -> str:
        ours, theirs = (list(next(iter(self.parts[side].shape.values()), ())) for side in SIDES)
        words = f"both sides made the array, of the shape {ours}" + ("" if ours == theirs else f" and {theirs}")
        if self.parts["ours"].metadata != self.parts["theirs"].metadata:
            words += ", with metadata not alike"
        own, other = self.chunks["ours"], self.chunks["theirs"]
        count = sum(own.get(key) != other.get(key) for key in {*own, *other})
        return words + (f", with {_count_words(count)} not alike" if count else "")

    def _changed_words(self, side: Side) -> str:
        words = []
        if self.metadata_changed(side):
            words.append("metadata")
        if self.shape_changed(side):
            shape = next(iter(self.parts[side].shape.values()), ())
            words.append(f"the shape to {list(shape)}")
        if self.chunks[side]:
            words.append(_count_words(len(self.chunks[side])))
        return " and ".join(words)


def _count_words(chunks: int) -> str:
    return f"{chunks} chunk{'' if chunks == 1 else 's'}"
