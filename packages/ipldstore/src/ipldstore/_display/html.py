"""An outline as HTML for notebooks: no script, light and dark, every name and value escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final

from zarr.abc.store import Store

from .outline import ArrayOutline, GroupOutline, outline
from .size import nbytes_text
from .style import STYLE
from .text import clip

_MAX_VALUE: Final = 300
"""Characters of an attribute's value that are shown."""


def page(title: str, facts: Mapping[str, str], body: Iterable[str]) -> str:
    """Return one box: a title, lines of facts, and parts that are HTML already.

    :param title: what it is, as text
    :param facts: name to value, as text
    :param body: HTML whose texts are escaped
    """
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(clip(value))}</dd>" for name, value in facts.items())
    listed = f"<dl class='ipld-facts'>{rows}</dl>" if rows else ""
    top = f"<style>{STYLE}</style><div class='ipld-title'>{escape(title)}</div>{listed}"
    return f"<div class='ipld'>{top}{''.join(body)}</div>"


def store_html(store: Store, facts: Mapping[str, str]) -> str:
    """Return a store as a box: its facts and its outline, or why that cannot be read."""
    try:
        parts = outline_html(outline(store))
    except Exception as error:  # noqa: BLE001  # what a notebook shows must not raise; the error is shown
        parts = [f"<pre>{escape(clip(f'{type(error).__name__}: {error}', 2000))}</pre>"]
    return page(type(store).__name__, facts, parts)


def section(title: str, body: str, *, count: int | None = None, is_open: bool = True) -> str:
    """Return a part that opens and closes without a script.

    :param title: as text
    :param body: HTML whose texts are escaped
    """
    number = "" if count is None else f" <span class='ipld-dim'>({count:,})</span>"
    opened = " open" if is_open else ""
    return f"<details{opened}><summary>{escape(title)}{number}</summary>{body}</details>"


def table(rows: Iterable[Iterable[str]], head: Iterable[str] = ()) -> str:
    """Return rows of text as a table."""
    top = "".join(f"<th>{escape(each)}</th>" for each in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{f'<tr>{top}</tr>' if top else ''}{lines}</table>"


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
