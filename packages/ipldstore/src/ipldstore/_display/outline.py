"""What a hierarchy has in it, from its metadata alone: groups, arrays, attributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final

import zarr
from zarr import AsyncArray
from zarr.abc.store import Store
from zarr.api.asynchronous import open_group
from zarr.core.sync import sync
from zarr.errors import GroupNotFoundError

MAX_NODES: Final = 1000
"""Groups and arrays that an outline lists, so that a hierarchy of any size has one in bounded time and memory."""
_DIMENSIONS: Final = "_ARRAY_DIMENSIONS"
_HIDDEN: Final = frozenset({_DIMENSIONS, "_FillValue"})
"""Attributes that xarray writes for itself, and does not show."""


@dataclass(frozen=True)
class ArrayOutline:
    """What the metadata say of one array.

    :param path: the path below the root, without a slash at its ends
    :param shape: the length of each axis, in elements
    :param chunks: the shape of a chunk, in elements
    :param shards: the shape of a shard, in elements; None without sharding
    :param dimensions: the name of each axis, None where it has none
    :param nbytes: the size in bytes of all elements, without compression
    :param chunk_count: how many chunks the grid has, written or not; shards where the array has them
    :param codecs: the codecs of the chunks as text, in order
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None
    dimensions: tuple[str | None, ...]
    attributes: Mapping[str, Any]
    codecs: tuple[str, ...]
    fill_value: Any
    nbytes: int
    chunk_count: int
    zarr_format: int

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def is_coordinate(self) -> bool:
        """Whether the array is named as its only dimension."""
        return self.dimensions == (self.name,)


@dataclass(frozen=True)
class GroupOutline:
    """What the metadata say of one group, with the groups and arrays in it.

    :param truncated: whether the hierarchy has more than :data:`MAX_NODES` nodes, and the rest is left out
    """

    path: str
    attributes: Mapping[str, Any]
    arrays: tuple[ArrayOutline, ...] = ()
    groups: tuple[GroupOutline, ...] = ()
    zarr_format: int = 3
    truncated: bool = False

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def sizes(self) -> dict[str, int]:
        """The length of each named dimension of the arrays in this group, in the order of their first use."""
        found: dict[str, int] = {}
        for array in self.arrays:
            for name, length in zip(array.dimensions, array.shape, strict=True):
                if name is not None:
                    found.setdefault(name, length)
        return found

    def walk(self) -> Iterator[GroupOutline]:
        """Yield this group and all groups below it, parents first, in the order of their names."""
        stack = [self]
        while stack:
            group = stack.pop()
            yield group
            stack.extend(reversed(group.groups))

    @property
    def all_arrays(self) -> Iterator[ArrayOutline]:
        """The arrays of this group and of all groups below it."""
        return (array for group in self.walk() for array in group.arrays)


@dataclass
class _Building:
    """A group whose members are still coming."""

    path: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    zarr_format: int = 3
    arrays: list[ArrayOutline] = field(default_factory=list)
    groups: dict[str, _Building] = field(default_factory=dict)


def outline(store: Store, path: str = "", *, max_nodes: int = MAX_NODES) -> GroupOutline | ArrayOutline | None:
    """Return what is at a path of a store; None if neither a group nor an array is there.

    Reads the metadata documents and the directories that list them, and no chunk.

    :param store: any zarr store
    :param path: the path of a group or array
    :param max_nodes: how many groups and arrays to take, at most
    """
    try:
        found = zarr.open(store, path=path, mode="r")
    except (GroupNotFoundError, FileNotFoundError):
        return None
    if isinstance(found, zarr.Array):
        return _array(found)
    top = _group(found, path)
    members = sync(_members(store, path, max_nodes + 1))
    for relative, member in sorted(members[:max_nodes], key=lambda each: each[0].split("/")):
        parent = _parent(top, relative)
        whole = f"{path}/{relative}" if path else relative
        if isinstance(member, zarr.Group):
            parent.groups[relative.rpartition("/")[2]] = _group(member, whole)
        else:
            parent.arrays.append(_array(member))
    return _built(top, truncated=len(members) > max_nodes)


async def _members(store: Store, path: str, most: int) -> list[tuple[str, zarr.Array[Any] | zarr.Group]]:
    """Return the members at every depth below a group: its relative path and the node."""
    group = await open_group(store, path=path, mode="r")
    found: list[tuple[str, zarr.Array[Any] | zarr.Group]] = []
    async for relative, member in group.members(max_depth=None):
        found.append((relative, zarr.Array(member) if isinstance(member, AsyncArray) else zarr.Group(member)))
        if len(found) == most:
            break
    return found


def _group(group: zarr.Group, path: str) -> _Building:
    return _Building(path, dict(group.attrs), group.metadata.zarr_format)


def _parent(top: _Building, relative: str) -> _Building:
    """Return the group that a member is in. One that a hostile hierarchy has no metadata for is made."""
    group = top
    for part in relative.split("/")[:-1]:
        path = f"{group.path}/{part}" if group.path else part
        group = group.groups.setdefault(part, _Building(path))
    return group


def _built(top: _Building, *, truncated: bool) -> GroupOutline:
    """Return the finished outline. Groups are finished from the innermost outwards, without recursion."""
    order, stack = [], [top]
    while stack:
        group = stack.pop()
        order.append(group)
        stack.extend(group.groups.values())
    done: dict[int, GroupOutline] = {}
    for group in reversed(order):
        below = tuple(done[id(each)] for each in group.groups.values())
        cut = truncated and group is top
        done[id(group)] = GroupOutline(group.path, group.attributes, tuple(group.arrays), below, group.zarr_format, cut)
    return done[id(top)]


def _array(array: zarr.Array[Any]) -> ArrayOutline:
    attributes = dict(array.attrs)
    names = getattr(array.metadata, "dimension_names", None) or attributes.get(_DIMENSIONS)
    if not isinstance(names, (list, tuple)) or len(names) != array.ndim:
        names = (None,) * array.ndim
    shards = array.shards
    return ArrayOutline(
        path=array.path,
        shape=array.shape,
        dtype=str(array.dtype),
        chunks=array.chunks,
        shards=shards,
        dimensions=tuple(each if isinstance(each, str) else None for each in names),
        attributes={name: value for name, value in attributes.items() if name not in _HIDDEN},
        codecs=_codecs(array),
        fill_value=array.fill_value,
        nbytes=int(array.nbytes),  # of zarr a float, for an array without dimensions
        chunk_count=prod(
            -(-length // step) for length, step in zip(array.shape, shards or array.chunks, strict=True) if step
        ),
        zarr_format=array.metadata.zarr_format,
    )


def _codecs(array: zarr.Array[Any]) -> tuple[str, ...]:
    parts = [*array.filters, *([array.serializer] if array.serializer is not None else []), *array.compressors]
    return tuple(_codec(each) for each in parts)


def _codec(codec: object) -> str:
    """Return the name of a codec, and its level where it has one: the rest is in the metadata."""
    # Codecs of numcodecs are from another package than zarr's own, and neither has a protocol for its name.
    as_dict = getattr(codec, "to_dict", None) or getattr(codec, "get_config", None)
    config = as_dict() if as_dict is not None else {}
    name = config.get("name") or config.get("id") or type(codec).__name__
    inner = config.get("configuration", config)
    level = inner.get("level", inner.get("clevel"))
    return str(name) if level is None else f"{name} {level}"
