"""An outline as HTML for notebooks: no script, light and dark, every name and value escaped."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Final

from zarr.abc.store import Store

from .clip import clip
from .outline import ArrayOutline, GroupOutline, outline
from .page import page, section, table
from .size import nbytes_text

_MAX_VALUE: Final = 300
"""Characters of an attribute's value that are shown."""


def store_html(store: Store, facts: Mapping[str, str]) -> str:
    """Return a store as a box: its facts and its outline, or why that cannot be read."""
    try:
        parts = outline_html(outline(store))
    except Exception as error:  # noqa: BLE001  # what a notebook shows must not raise; the error is shown
        parts = [f"<pre>{escape(clip(f'{type(error).__name__}: {error}', 2000))}</pre>"]
    return page(type(store).__name__, facts, parts)


def outline_html(found: GroupOutline | ArrayOutline | None) -> list[str]:
    """Return the parts of an outline, for :func:`page`."""
    if found is None:
        return ["<div class='ipld-dim'>no zarr group or array</div>"]
    if isinstance(found, ArrayOutline):
        return [_arrays("Array", [found]), *_attributes(found.attributes)]
    parts = _group(found)
    for group in list(found.walk())[1:]:
        inner = "".join(_group(group))
        parts.append(section(f"/{group.path}", inner, count=len(group.arrays), is_open=False))
    if found.truncated:
        parts.append("<div class='ipld-dim'>... and more groups and arrays</div>")
    return parts


def _group(group: GroupOutline) -> list[str]:
    parts = []
    if group.sizes:
        sizes = ", ".join(f"{name}: {length:,}" for name, length in group.sizes.items())
        parts.append(f"<div class='ipld-sizes'>Dimensions: {escape(clip(sizes))}</div>")
    coordinates = [each for each in group.arrays if each.is_coordinate]
    variables = [each for each in group.arrays if not each.is_coordinate]
    parts += [
        _arrays(title, arrays)
        for title, arrays in (("Coordinates", coordinates), ("Data variables", variables))
        if arrays
    ]
    return parts + _attributes(group.attributes)


def _arrays(title: str, arrays: list[ArrayOutline]) -> str:
    return section(title, "".join(map(_array, arrays)), count=len(arrays))


def _array(array: ArrayOutline) -> str:
    dimensions = ", ".join(name or "-" for name in array.dimensions)
    line = (
        f"<b>{escape(clip(array.name or '/', 60))}</b> <span class='ipld-dim'>({escape(clip(dimensions, 60))})</span> "
        f"{escape(array.dtype)} <span class='ipld-dim'>{nbytes_text(array.nbytes)}</span>"
    )
    facts = [
        ("shape", str(array.shape)),
        ("chunks", f"{array.chunk_count:,} of {array.shards or array.chunks}"),
        *([("inner chunks", str(array.chunks))] if array.shards is not None else []),
        ("codecs", ", ".join(array.codecs) or "none"),
        ("fill value", clip(str(array.fill_value), 60)),
        ("zarr format", str(array.zarr_format)),
        *((name, clip(str(value), _MAX_VALUE)) for name, value in array.attributes.items()),
    ]
    return f"<details class='ipld-array'><summary>{line}</summary>{table(facts)}</details>"


def _attributes(attributes: Mapping[str, Any]) -> list[str]:
    if not attributes:
        return []
    rows = [(clip(name, 60), clip(str(value), _MAX_VALUE)) for name, value in attributes.items()]
    return [section("Attributes", table(rows), count=len(rows), is_open=False)]
