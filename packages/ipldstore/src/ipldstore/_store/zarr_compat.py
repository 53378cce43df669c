"""Consolidated metadata in the order that some versions of zarr need.

Names in a document have no order of their own; read back they are in DAG-CBOR's, short ones first. Some versions of
zarr-python (3.1.6 is one) lose nodes of consolidated metadata if siblings do not stand together. For these, what
zarr reads is arranged by path; as a mapping, and in other versions, the text is as the format has it.
"""

from __future__ import annotations

from typing import Any

from zarr.core.group import ConsolidatedMetadata

from ipldstore._format.documents import Document


def _loses_scattered_siblings() -> bool:
    """Return whether the installed zarr loses siblings that are not listed together; tried on two groups."""
    paths = ["a", "b", "a/x", "b/x", "a/yy", "b/yy"]
    metadata: dict[str, Any] = {path: {"zarr_format": 3, "node_type": "group", "attributes": {}} for path in paths}
    try:
        found = ConsolidatedMetadata.from_dict({"kind": "inline", "must_understand": False, "metadata": metadata})
        below: Any = found.metadata["b"]
        return set(below.consolidated_metadata.metadata) != {"x", "yy"}
    except (KeyError, AttributeError):
        return True


_SCATTERED_IS_LOST = _loses_scattered_siblings()


def for_zarr(document: Document) -> Document:
    """Return a document as zarr is to read it."""
    return arranged(document) if _SCATTERED_IS_LOST else document


def arranged(document: Document) -> Document:
    """Return a document as every version of zarr can read it."""
    if isinstance(document.get("consolidated_metadata"), dict):
        return {**document, "consolidated_metadata": _by_path(document["consolidated_metadata"])}
    return _by_path(document) if "zarr_consolidated_format" in document else document


def _by_path(holder: dict[str, Any]) -> dict[str, Any]:
    metadata = holder.get("metadata")
    if not isinstance(metadata, dict):
        return holder
    return {**holder, "metadata": dict(sorted(metadata.items(), key=lambda item: item[0].split("/")))}
