"""What differs between two roots: nodes, metadata, attributes, shapes, ranges of chunks, other keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ipld_castore import ContentAddressableStore
from multiformats import CID

NodeKind = Literal["array", "group"]


@dataclass(frozen=True, slots=True)
class ChunkRange:
    """A box of chunks in chunk coordinates: on each axis from ``start`` to below ``stop``."""

    start: tuple[int, ...]
    stop: tuple[int, ...]

    def __str__(self) -> str:
        spans = zip(self.start, self.stop, strict=True)
        return f"[{', '.join(str(low) if high == low + 1 else f'{low}:{high}' for low, high in spans)}]"


@dataclass(frozen=True, slots=True)
class ChunkDiff:
    """The chunks of one array that differ."""

    added: tuple[ChunkRange, ...] = ()
    removed: tuple[ChunkRange, ...] = ()
    changed: tuple[ChunkRange, ...] = ()
    count: int = 0
    """Number of chunks in all ranges; of an array that was added or deleted the number of its chunks."""


@dataclass(frozen=True, slots=True)
class NodeDiff:
    """What differs in one array or group. Where both roots have the node, only what differs is named."""

    path: str
    """The path of the node; "" is the root group."""
    kind: NodeKind
    """What the node is, in the new root where it is there."""
    change: Literal["added", "deleted", "replaced", "changed"]
    """``replaced``: an array where a group was, or a group where an array was."""
    shape: tuple[tuple[int, ...] | None, tuple[int, ...] | None] | None = None
    """Old and new shape of an array whose shape changed."""
    metadata: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """Old and new value of each other field of the metadata, by name; None where it is absent."""
    attributes_added: Mapping[str, Any] = field(default_factory=dict)
    attributes_removed: Mapping[str, Any] = field(default_factory=dict)
    attributes_changed: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    """Old and new value of each attribute that both have."""
    chunks: ChunkDiff = field(default_factory=ChunkDiff)


@dataclass(frozen=True, slots=True)
class KeyDiff:
    """A key that differs, if the key belongs to no node."""

    key: str
    change: Literal["added", "deleted", "changed"]


@dataclass(frozen=True)
class Diff:
    """The difference of two roots. It is false where there is none; ``str`` says it in words."""

    old: CID
    new: CID
    nodes: tuple[NodeDiff, ...]
    """Arrays and groups that differ, by path."""
    keys: tuple[KeyDiff, ...]
    """Keys of no node that differ, sorted."""
    castore: ContentAddressableStore = field(repr=False, compare=False)

    def __bool__(self) -> bool:
        return bool(self.nodes or self.keys)

    def chunk_keys(self, path: str | None = None) -> Iterator[str]:
        """Yield the keys of all chunks that differ, from the root. It reads nodes again, and streams.

        :param path: the path of an array; by default those of all arrays, also of added and deleted ones
        """
        raise NotImplementedError


def diff(castore: ContentAddressableStore, a: bytes, b: bytes) -> Diff:
    """Return what differs between two roots. Its cost is that of the difference: no chunk is read.

    :param castore: the block store that has the nodes of both roots
    :param a: binary CID of the old root
    :param b: binary CID of the new root
    :raises IPLDStoreError: if a node is missing, damaged or breaks a bound of the format
    """
    raise NotImplementedError
