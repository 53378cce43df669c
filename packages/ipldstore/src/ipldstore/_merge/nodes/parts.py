"""The parts into which a merge divides the documents of a node (design, section 9, rule 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ipld_car import dagcbor

from ipldstore._format import keys
from ipldstore._format.documents import Document

from .documents import NodeDocuments

VALUE_ATTRIBUTES: Final = frozenset(
    {
        "_ARRAY_DIMENSIONS",
        "_FillValue",
        "_Unsigned",
        "add_offset",
        "calendar",
        "dtype",
        "missing_value",
        "scale_factor",
        "units",
    }
)
"""Attributes by which values are read: they count as metadata."""

AttributeName = tuple[str, str]
"""The name of a document, and of an attribute in it."""

Shape = Mapping[str, tuple[int, ...]]
"""The shape that each document of an array says."""


@dataclass(frozen=True)
class Parts:
    """The parts of one node of one root. A node that is not there has none of them."""

    kind: Literal["array", "group"] | None = None
    rest: Mapping[str, Any] = field(default_factory=dict)
    """The metadata by document: what is in no other part."""
    shape: Shape = field(default_factory=dict)
    attributes: Mapping[AttributeName, Any] = field(default_factory=dict)
    """Attributes that are no metadata."""
    holders: frozenset[str] = frozenset()
    """Documents that hold attributes, also an empty set of them."""
    consolidated: Mapping[str, str] = field(default_factory=dict)
    """Documents that have consolidated metadata, with "map", or what stands there instead."""

    @property
    def metadata(self) -> bytes | None:
        """The metadata in a form that is equal for equal metadata; None where there is no node."""
        return None if self.kind is None and not self.rest else dagcbor.encode_node(dict(self.rest))


def indivisible(*sides: NodeDocuments) -> frozenset[str]:
    """Return the documents that are one part each, as a side has it as exact bytes or in an unusual form."""
    return frozenset(name for side in sides for name, content in side.contents.items() if not _is_usual(name, content))


def _is_usual(name: str, content: Document | bytes) -> bool:
    if isinstance(content, bytes):
        return False
    if name == keys.ZARR_JSON and not isinstance(content.get("attributes", {}), dict):
        return False
    is_array = name == keys.ZARRAY or (name == keys.ZARR_JSON and content.get("node_type") == "array")
    return not is_array or _is_shape(content.get("shape"))


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and size >= 0 for size in value)


def parts_of(documents: NodeDocuments, whole: frozenset[str]) -> Parts:
    """Divide the documents of a node.

    :param whole: documents that are one part each; they count as metadata
    """
    rest: dict[str, Any] = {}
    shape: dict[str, tuple[int, ...]] = {}
    attributes: dict[AttributeName, Any] = {}
    holders = set()
    for name, content in documents.contents.items():
        if name in whole or isinstance(content, bytes):
            rest[name] = content
            continue
        fields = dict(content)
        own: dict[str, Any] | None = None
        if name == keys.ZATTRS:
            own, fields = fields, {}
        elif name == keys.ZARR_JSON:
            own = fields.pop("attributes", None)
        if (name == keys.ZARRAY or fields.get("node_type") == "array") and "shape" in fields:
            shape[name] = tuple(fields.pop("shape"))
        if own is not None:
            holders.add(name)
            attributes.update(((name, key), value) for key, value in own.items() if key not in VALUE_ATTRIBUTES)
            of_values = {key: value for key, value in own.items() if key in VALUE_ATTRIBUTES}
            if of_values:
                fields["attributes"] = of_values
        if name != keys.ZATTRS or fields:  # that there are attributes is no metadata
            rest[name] = fields
    return Parts(documents.kind, rest, shape, attributes, frozenset(holders), documents.consolidated)


def compose(
    metadata: Mapping[str, Any],
    shape: Shape,
    attributes: Mapping[AttributeName, Any],
    holders: frozenset[str],
    whole: frozenset[str],
) -> dict[str, Document | bytes]:
    """Return the documents that have these parts, without consolidated metadata."""
    made: dict[str, Document | bytes] = {}
    has_attributes = holders | {name for name, _ in attributes}
    names = {*metadata, *(name for name in has_attributes if name == keys.ZATTRS)}
    for name in names:
        content = metadata.get(name, {})
        if name in whole or isinstance(content, bytes):
            made[name] = content
            continue
        fields = dict(content)
        own = dict(fields.pop("attributes", {}))
        own.update((key, value) for (holder, key), value in attributes.items() if holder == name)
        if name == keys.ZATTRS:
            made[name] = own
            continue
        if name == keys.ZARR_JSON and (own or name in has_attributes):
            fields["attributes"] = own
        if name in shape:
            fields["shape"] = list(shape[name])
        made[name] = fields
    return made
