"""What the commands that look at a dataset print."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

import click
from ipld_car.ops import Progress
from ipld_car.terminal import printable
from zarr.abc.store import RangeByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from ipldstore._display.outline import ArrayOutline, GroupOutline
from ipldstore._display.size import nbytes_text
from ipldstore._display.text import outline_text
from ipldstore._store.ipld_store import IPLDStore

from .plain import plain

_SHOWN: Final = 8
"""Names in an error, at most."""
_ARTICLES: Final = {"array": "an array", "group": "a group", "directory": "a directory"}
_PIECE: Final = 8 << 20
"""Bytes of a value that are read at once."""

Outline = GroupOutline | ArrayOutline


def info_text(store: IPLDStore, found: Outline | None) -> str:
    """Return a page of text about a dataset."""
    return f"{facts_text(_facts(store, found))}\n{outline_text(found)}"


def info_json(store: IPLDStore, found: Outline | None) -> dict[str, Any]:
    """Return the same for programs."""
    parts = [] if found is None else [node_json(each) for each in nodes(found)]
    return {**_facts(store, found), "nodes": parts}


def _facts(store: IPLDStore, found: Outline | None) -> dict[str, Any]:
    root, numbers = store.root_cid, store.stats()
    facts: dict[str, Any] = {"root": None if root is None else str(root), "blocks in": repr(store.castore)}
    if store.resolved is not None:
        facts["found as"] = store.resolved
    facts |= {"keys": numbers.keys, "index blocks": numbers.index_blocks}
    arrays = [] if found is None else [found] if isinstance(found, ArrayOutline) else list(found.all_arrays)
    facts["nbytes"] = sum(array.nbytes for array in arrays)
    return facts


def facts_text(facts: Mapping[str, Any]) -> str:
    """Return facts as lines: names, and values behind them."""
    width = max(map(len, facts), default=0)
    return "\n".join(f"{name:{width}}  {printable(_fact(name, value))}" for name, value in facts.items())


def _fact(name: str, value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,} bytes ({nbytes_text(value)})" if name.endswith("bytes") else f"{value:,}"
    return str(value)


def nodes(found: Outline) -> Iterator[Outline]:
    """Yield a group, its arrays, and all below it."""
    if isinstance(found, ArrayOutline):
        yield found
        return
    for group in found.walk():
        yield group
        yield from group.arrays


def node_json(node: Outline) -> dict[str, Any]:
    """Return what the metadata say of a group or an array, for programs."""
    line: dict[str, Any] = {"path": node.path, "kind": "array" if isinstance(node, ArrayOutline) else "group"}
    if isinstance(node, ArrayOutline):
        line |= {
            "shape": node.shape,
            "dimensions": node.dimensions,
            "dtype": node.dtype,
            "chunks": node.chunks,
            "shards": node.shards,
            "chunk_count": node.chunk_count,
            "codecs": node.codecs,
            "fill_value": plain(node.fill_value),
            "nbytes": node.nbytes,
        }
    else:
        line["truncated"] = node.truncated
    return line | {"attributes": plain(node.attributes), "zarr_format": node.zarr_format}


def tree_text(found: Outline) -> Iterator[str]:
    """Yield the lines of a drawing of a hierarchy."""
    yield _title(found, found.path or "/")
    if isinstance(found, ArrayOutline):
        return
    stack: list[tuple[str, Iterator[tuple[bool, Outline]]]] = [("", _members(found))]
    while stack:
        indent, members = stack[-1]
        for is_last, node in members:
            yield f"{indent}{'└── ' if is_last else '├── '}{_title(node, node.name)}"
            if isinstance(node, GroupOutline):
                stack.append((indent + ("    " if is_last else "│   "), _members(node)))
                break
        else:
            stack.pop()
    if found.truncated:
        yield "... and more groups and arrays"


def _members(group: GroupOutline) -> Iterator[tuple[bool, Outline]]:
    members: list[Outline] = sorted((*group.arrays, *group.groups), key=lambda each: each.name)
    return ((at == len(members), node) for at, node in enumerate(members, 1))


def _title(node: Outline, name: str) -> str:
    name = printable(name)
    if isinstance(node, GroupOutline):
        return f"{name}/" if not name.endswith("/") else name
    axes = (
        str(length) if label is None else f"{printable(label)}: {length}"
        for label, length in zip(node.dimensions, node.shape, strict=True)
    )
    return f"{name} ({', '.join(axes)}) {node.dtype}"


class Entry(NamedTuple):
    """A name below a path, and what is there."""

    name: str
    kind: str
    """group, array, directory or key."""

    @property
    def text(self) -> str:
        """The name as it is listed."""
        return self.name if self.kind == "key" else f"{self.name}/"


def entries(store: IPLDStore, path: str) -> Iterator[Entry]:
    """Yield what is directly below a path, sorted by name."""
    for name in sorted(store.mapping.names(path)):
        whole = f"{path}/{name}" if path else name
        yield Entry(name, "key" if whole in store else kind_of(store, whole))


def kind_of(store: IPLDStore, path: str) -> str:
    """Return what is at a path that has keys below it: a group, an array, or a directory that is neither."""
    prefix = f"{path}/" if path else ""
    if f"{prefix}zarr.json" in store:
        try:
            found = json.loads(store[f"{prefix}zarr.json"]).get("node_type")
        except (ValueError, AttributeError):
            return "directory"
        return found if found in ("group", "array") else "directory"
    if f"{prefix}.zarray" in store:
        return "array"
    return "group" if f"{prefix}.zgroup" in store else "directory"


def name_json(entry: Entry) -> dict[str, Any]:
    """Return a name for programs."""
    return entry._asdict()


def name_text(name: str) -> str:
    """Return a name for people."""
    return printable(name)


def no_key_text(store: IPLDStore, path: str) -> str:
    """Return what is at a path that is no key."""
    path = path.strip("/")
    below = list(islice(store.mapping.keys_below(path), _SHOWN + 1)) if path else []
    if not below:
        return absent_text(store, path)
    shown = ", ".join(map(printable, below[:_SHOWN]))
    more = f" and more, which `ls --recursive WHAT {printable(path)}` lists" if len(below) > _SHOWN else ""
    return f"expected a key, found {_ARTICLES[kind_of(store, path)]} at {printable(path)!r}; its keys are {shown}{more}"


def absent_text(store: IPLDStore, path: str) -> str:
    """Return that nothing is at a path, and what is at the nearest path above."""
    above = path.strip("/")
    names: list[str] = []
    while above and not names:
        above = above.rpartition("/")[0]
        names = list(islice(store.mapping.names(above), _SHOWN + 1))
    there = ", ".join(map(printable, sorted(names)[:_SHOWN])) + (" and more" if len(names) > _SHOWN else "")
    where = f"at {printable(above)!r}" if above else "at the top"
    return f"expected a key, a group or an array at {printable(path)!r}, found nothing" + (
        f"; {where} there is {there}" if names else ""
    )


def pieces(store: IPLDStore, key: str, offset: int, length: int | None, progress: Progress) -> Iterator[bytes]:
    """Yield a range of the bytes of a key, piece by piece."""
    size = sync(store.getsize(key))
    if offset > size:
        raise click.UsageError(f"expected an --offset in the {size:,} bytes of {printable(key)}, found {offset:,}")
    stop = size if length is None else min(size, offset + length)
    prototype = default_buffer_prototype()
    for start in range(offset, stop, _PIECE):
        wanted = RangeByteRequest(start, min(start + _PIECE, stop))
        found = sync(store.get(key, prototype, wanted))
        if found is not None:
            yield found.to_bytes()
        progress("reading", wanted.end - offset, stop - offset)
