"""Conflicts of a merge, as data and in words, and how a caller decides them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

Side = Literal["ours", "theirs"]
"""One of the two roots that are merged."""

SIDES: Final[tuple[Side, Side]] = ("ours", "theirs")

Kind = Literal["attribute", "chunks", "array", "metadata", "node", "length", "coordinate", "key", "consolidated"]
"""What conflicts; see :class:`MergeConflict`."""

_MOST_SHOWN: Final = 3
"""Chunk keys that a conflict shows in words."""


@dataclass(frozen=True, slots=True)
class MergeConflict:
    """A part of the contents that two sides have changed, each in its own way (design, section 9).

    The kinds, and what is taken whole from one side where :data:`Resolve` decides:

    - ``attribute``: an attribute that does not say how values are read. The attribute.
    - ``chunks``: the same chunks of an array have different bytes. Those chunks.
    - ``array``: metadata or shape of an array changed on one side, and metadata, shape or chunks on the other.
      Metadata, shape and all chunks.
    - ``metadata``: the metadata of a group. The metadata.
    - ``node``: a node was deleted or replaced on one side and changed on the other, or one side has an array where the
      other has a group. All that is at or below the path.
    - ``length``: each side has one length of a dimension, and the merge would have two. All arrays of that dimension.
    - ``coordinate``: the values of a coordinate changed on one side, and an array along it on the other. Those arrays.
    - ``key``: a key that belongs to no node. The key.
    - ``consolidated``: whether a group has consolidated metadata. That.
    """

    path: str
    """The path of the node; of ``length`` and ``coordinate`` that of the group; of ``key`` the key."""
    kind: Kind
    reason: str
    """What each side has, in words."""
    attribute: str | None = None
    """The name of the attribute, of kind ``attribute``."""
    dimension: str | None = None
    """The name of the dimension, of kinds ``length`` and ``coordinate``."""
    paths: tuple[str, ...] = ()
    """The arrays, of kinds ``length`` and ``coordinate``, sorted."""
    chunk_keys: tuple[str, ...] = ()
    """The keys of the chunks that conflict, from the root, sorted."""

    def __str__(self) -> str:
        shown = ", ".join(self.chunk_keys[:_MOST_SHOWN])
        more = f" and {len(self.chunk_keys) - _MOST_SHOWN} more" if len(self.chunk_keys) > _MOST_SHOWN else ""
        chunks = f" ({shown}{more})" if shown else ""
        return f"{self.path or '/'}: {self.reason}{chunks}"


@dataclass(frozen=True, slots=True)
class Resolved:
    """A conflict that was decided, and the side that was taken."""

    conflict: MergeConflict
    side: Side

    def __str__(self) -> str:
        return f"{self.conflict}: took {self.side}"


Choices = Mapping[str | tuple[str, str], Side]
"""A side by path, or by path and attribute."""

Resolve = Side | Choices | Callable[[MergeConflict], Side | None]
"""How conflicts are decided: one side for all; a side by path, or by path and attribute; or a function.

A path that a mapping does not hold, and None from a function, leave the conflict.
"""


@dataclass(frozen=True, slots=True)
class Merged:
    """The result of :func:`~ipldstore._merge.merge.merge_roots`."""

    root: bytes | None
    """Binary CID of the merged root; None where conflicts are left. Then no block was put."""
    conflicts: tuple[MergeConflict, ...]
    """Conflicts that nothing decided, by path."""
    resolved: tuple[Resolved, ...]
    """Conflicts that ``resolve`` decided, by path."""


def check_resolve(resolve: object) -> None:
    """Require that an argument ``resolve`` is valid, before a conflict calls for it.

    :raises ValueError: if it names another side than "ours" and "theirs"
    :raises TypeError: if it is neither a side, nor a mapping, nor callable
    """
    if resolve is None or callable(resolve):
        return
    if not isinstance(resolve, (str, Mapping)):
        raise TypeError(f"expected resolve to be 'ours', 'theirs', a mapping or a function, found {resolve!r:.200}")
    for side in (resolve,) if isinstance(resolve, str) else resolve.values():
        if side not in SIDES:
            raise ValueError(f"expected resolve to name 'ours' or 'theirs', found {side!r:.200}")


def decide(resolve: Resolve | None, conflict: MergeConflict) -> Side | None:
    """Return the side that is to be taken; None where nothing decides.

    :raises ValueError: if the answer is no side
    """
    side: object
    if resolve is None or isinstance(resolve, str):
        side = resolve
    elif callable(resolve):
        side = resolve(conflict)
    else:
        side = _chosen(resolve, conflict)
    if side is None or side in SIDES:
        return side
    raise ValueError(f"expected 'ours' or 'theirs' to resolve the conflict at {conflict.path!r}, found {side!r:.200}")


def _chosen(choices: Choices, conflict: MergeConflict) -> Side | None:
    """Return what a mapping chooses, by path and attribute before by path alone; a path may begin with a slash."""
    for path in (conflict.path, f"/{conflict.path}"):
        side = None if conflict.attribute is None else choices.get((path, conflict.attribute))
        if side is not None:
            return side
    return choices.get(conflict.path, choices.get(f"/{conflict.path}"))
