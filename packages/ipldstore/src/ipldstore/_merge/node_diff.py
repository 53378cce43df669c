"""What differs in one array or group, as data and in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ipld_car import cids

from ipldstore._format import keys

from .nodes.documents import ExactText, NodeDocuments
from .nodes.grid import Coordinates, boxes_of
from .rules.choice import ABSENT, is_same_data

NodeKind = Literal["array", "group"]
Changed = Literal["added", "deleted", "changed"]

_MOST_SHOWN: Final = 8
"""Items of one kind, such as ranges of chunks, that are shown in words."""
_SIGNS: Final = {"added": "+", "deleted": "-", "replaced": "!", "changed": "~"}

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ChunkRange:
    """A box of chunks in chunk coordinates: on each axis from ``start`` to below ``stop``.

    >>> str(ChunkRange((4, 0), (6, 1)))
    '[4:6, 0]'
    """

    start: tuple[int, ...]
    stop: tuple[int, ...]

    def __str__(self) -> str:
        spans = zip(self.start, self.stop, strict=True)
        return f"[{', '.join(str(low) if high == low + 1 else f'{low}:{high}' for low, high in spans)}]"


@dataclass(frozen=True, slots=True)
class ChunkDiff:
    """The chunks of one array that differ. The ranges hold just these chunks."""

    added: tuple[ChunkRange, ...] = ()
    deleted: tuple[ChunkRange, ...] = ()
    changed: tuple[ChunkRange, ...] = ()
    count: int = 0
    """Number of chunks in all ranges; of an array that was added or deleted, which has no ranges, of its chunks."""

    def __str__(self) -> str:
        return "; ".join(
            f"chunks {what} {_shown(map(str, ranges))}"
            for what, ranges in (("added", self.added), ("deleted", self.deleted), ("changed", self.changed))
            if ranges
        )


@dataclass(frozen=True, slots=True)
class NodeDiff:
    """What differs in one array or group. Of a node that only one root has, shape and number of chunks are named."""

    path: str
    """The path of the node; "" is the root."""
    kind: NodeKind
    """What the node is, in the new root where it is there."""
    change: Literal["added", "deleted", "replaced", "changed"]
    """``replaced``: an array where a group was, or a group where an array was."""
    shape: tuple[Shape | None, Shape | None] | None = None
    """Old and new shape of an array whose shape changed; None where there is none."""
    metadata: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """Old and new value of each other field of the metadata, by name; None where it is absent."""
    attributes_added: Mapping[str, Any] = field(default_factory=dict)
    """Attributes that only the new root has, by name."""
    attributes_removed: Mapping[str, Any] = field(default_factory=dict)
    """Attributes that only the old root has, by name."""
    attributes_changed: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """Old and new value of each attribute that both have, by name."""
    consolidated: Changed | None = None
    """What happened to the consolidated metadata of a group."""
    chunks: ChunkDiff = field(default_factory=ChunkDiff)
    """The chunks that differ."""

    def __bool__(self) -> bool:
        """Return whether anything is named; consolidated metadata can differ as what they say of other nodes does."""
        return self.change != "changed" or bool(self._words())

    def __str__(self) -> str:
        return f"{_SIGNS[self.change]} {self.kind} {self.path or '/'}{': ' if self._words() else ''}{self._words()}"

    def _words(self) -> str:
        words = []
        if self.shape is not None:
            sizes = [str(list(shape)) for shape in self.shape if shape is not None]
            words.append(f"shape {' -> '.join(sizes)}")
        if self.change in ("added", "deleted") and self.kind == "array":
            words.append(f"{self.chunks.count} chunk{'' if self.chunks.count == 1 else 's'}")
        words += [f"{name} {_value(old)} -> {_value(new)}" for name, (old, new) in self.metadata.items()]
        for what, attributes in (("+", self.attributes_added), ("-", self.attributes_removed)):
            if attributes:
                words.append(
                    f"attributes {what} {_shown(f'{name}={value!r:.60}' for name, value in attributes.items())}"
                )
        if self.attributes_changed:
            changed = (f"{name} {old!r:.60} -> {new!r:.60}" for name, (old, new) in self.attributes_changed.items())
            words.append(f"attributes ~ {_shown(changed)}")
        if self.consolidated is not None:
            words.append(f"consolidated metadata {self.consolidated}")
        if str(self.chunks):
            words.append(str(self.chunks))
        return "; ".join(words)


def _value(value: Any) -> str:
    return "nothing" if value is None else f"{value!r:.60}"


def _shown(items: Iterable[str]) -> str:
    found = list(items)
    more = f" and {len(found) - _MOST_SHOWN} more" if len(found) > _MOST_SHOWN else ""
    return ", ".join(found[:_MOST_SHOWN]) + more


def chunk_diff(
    added: Iterable[Coordinates], deleted: Iterable[Coordinates], changed: Iterable[Coordinates]
) -> ChunkDiff:
    """Return the ranges of chunks by their coordinates."""
    points = [list(each) for each in (added, deleted, changed)]
    new, gone, other = (tuple(ChunkRange(*box) for box in boxes_of(each)) for each in points)
    return ChunkDiff(new, gone, other, sum(map(len, points)))


def node_diff(
    path: str, before: NodeDocuments, after: NodeDocuments, *, consolidated_differ: bool, chunks: ChunkDiff
) -> NodeDiff | None:
    """Return what differs in a node; None if neither root has one there.

    :param consolidated_differ: whether the consolidated metadata, which are not in the documents, differ
    """
    kind = after.kind or before.kind
    if kind is None:
        return None
    shapes = _shape_of(before), _shape_of(after)
    shape = shapes if shapes[0] != shapes[1] else None
    if before.kind is None or after.kind is None:
        return NodeDiff(path, kind, "added" if before.kind is None else "deleted", shape, chunks=chunks)
    old, new = _attributes_of(before), _attributes_of(after)
    return NodeDiff(
        path,
        kind,
        "changed" if before.kind == after.kind else "replaced",
        shape,
        dict(_metadata(before, after)),
        {name: value for name, value in new.items() if name not in old},
        {name: value for name, value in old.items() if name not in new},
        {name: (old[name], value) for name, value in new.items() if name in old and not is_same_data(old[name], value)},
        _consolidated(before, after) if consolidated_differ else None,
        chunks,
    )


def _shape_of(documents: NodeDocuments) -> Shape | None:
    for name in (keys.ZARR_JSON, keys.ZARRAY):
        content = documents.contents.get(name)
        shape = content.get("shape") if isinstance(content, dict) else None
        if isinstance(shape, list) and all(type(size) is int for size in shape):
            return tuple(shape)
    return None


def _attributes_of(documents: NodeDocuments) -> dict[str, Any]:
    found: dict[str, Any] = {}
    metadata, attributes = (documents.contents.get(name) for name in (keys.ZARR_JSON, keys.ZATTRS))
    if isinstance(attributes, dict):
        found.update(attributes)
    inner = metadata.get("attributes") if isinstance(metadata, dict) else None
    if isinstance(inner, dict):
        found.update(inner)
    return found


def _consolidated(before: NodeDocuments, after: NodeDocuments) -> Changed:
    if not before.consolidated:
        return "added"
    return "changed" if after.consolidated else "deleted"


def _metadata(before: NodeDocuments, after: NodeDocuments) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yield the fields of metadata that differ, beside shape and attributes.

    A document that one root keeps as exact bytes is one field, and so are the fields of a format that a root has not.
    """
    for name in sorted({*before.contents, *after.contents}):
        old, new = before.contents.get(name), after.contents.get(name)
        if not isinstance(old, dict) or not isinstance(new, dict):
            if name != keys.ZATTRS or isinstance(old, bytes) or isinstance(new, bytes) or not (old or new):
                values = _described(old), _described(new)
                if values[0] != values[1]:
                    yield name, values
            continue
        if name == keys.ZATTRS:
            continue
        for each in sorted(({*old, *new}) - {"shape", "attributes"}):
            one, other = old.get(each, ABSENT), new.get(each, ABSENT)
            if not is_same_data(one, other):
                yield each, (None if one is ABSENT else one, None if other is ABSENT else other)


def _described(content: Any) -> Any:
    if isinstance(content, ExactText):
        return content.decode()
    return f"bytes {cids.to_text(content)}" if isinstance(content, bytes) else content
