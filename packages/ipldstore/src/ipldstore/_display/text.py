"""An outline as a page of text, as xarray prints a dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .clip import clip
from .outline import ArrayOutline, GroupOutline
from .size import nbytes_text


def outline_text(found: GroupOutline | ArrayOutline | None) -> str:
    """Return an outline as lines of text: dimensions, coordinates, variables, attributes, and the groups below."""
    if found is None:
        return "(no zarr group or array)"
    if isinstance(found, ArrayOutline):
        return "\n".join(_array_lines(found))
    lines = [line for group in found.walk() for line in _group_lines(group, top=group is found)]
    if found.truncated:
        lines.append("... and more groups and arrays")
    return "\n".join(lines)


def _group_lines(group: GroupOutline, *, top: bool) -> Iterator[str]:
    if not top:
        yield ""
        yield clip(f"Group: /{group.path}")
    if group.sizes:
        yield clip(f"Dimensions: ({', '.join(f'{name}: {length}' for name, length in group.sizes.items())})")
    for title, arrays in (
        ("Coordinates:", [each for each in group.arrays if each.is_coordinate]),
        ("Data variables:", [each for each in group.arrays if not each.is_coordinate]),
    ):
        if arrays:
            yield title
            width = max(len(each.name) for each in arrays)
            yield from (clip(f"    {each.name:{width}}  {_one_line(each)}") for each in arrays)
    yield from _attribute_lines(group.attributes)


def _one_line(array: ArrayOutline) -> str:
    dimensions = ", ".join(name or "-" for name in array.dimensions)
    grid = f"{array.chunk_count:,} chunk{'' if array.chunk_count == 1 else 's'} of {array.shards or array.chunks}"
    return f"({dimensions}) {array.dtype} {nbytes_text(array.nbytes)}  {grid}"


def _array_lines(array: ArrayOutline) -> Iterator[str]:
    yield clip(f"Array: /{array.path}")
    named = (f"{name or '-'}: {length}" for name, length in zip(array.dimensions, array.shape, strict=True))
    yield clip(f"Shape: ({', '.join(named)})")
    yield f"Data type: {array.dtype}, {nbytes_text(array.nbytes)}, fill value {clip(str(array.fill_value), 40)}"
    if array.shards is not None:
        yield f"Shards: {array.chunk_count:,} of {array.shards}"
        yield f"Chunks: {array.chunks}"
    else:
        yield f"Chunks: {array.chunk_count:,} of {array.chunks}"
    yield clip(f"Codecs: {', '.join(array.codecs) or 'none'}; zarr format {array.zarr_format}")
    yield from _attribute_lines(array.attributes)


def _attribute_lines(attributes: Mapping[str, Any]) -> Iterator[str]:
    if attributes:
        yield "Attributes:"
        width = min(max(len(name) for name in attributes), 30)
        yield from (
            clip(f"    {name}:{' ' * max(0, width - len(name))}  {value}") for name, value in attributes.items()
        )
