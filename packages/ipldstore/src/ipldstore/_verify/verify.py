"""Read every block below a root, and say what is lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple

from ipld_car import cids
from ipld_castore import ContentAddressableStore
from ipld_castore.concurrency import THREADS, in_order
from zarr.abc.store import Store

from ipldstore._dataset.dataset import Dataset
from ipldstore._display.bars import Progress
from ipldstore._merge.merge import root_of
from ipldstore._merge.nodes.grid import Coordinates, coordinates_of
from ipldstore._merge.rules.sides import document_reader, nodes_of
from ipldstore._read.byte_range import WHOLE
from ipldstore.errors import (
    LOWER_ERRORS,
    BlockCorruptError,
    BlockMissingError,
    IPLDStoreError,
    NodeError,
    translated,
)

from .labels import Labels
from .regions import chunks_between, regions_of
from .report import ArrayDamage, Failure, Kind, VerifyReport
from .walk import ArrayAt, Document, Found, Link, Lost, Walk

_MOST_FAILURES: Final = 10_000
_MOST_POINTS: Final = 200_000
"""Lost chunks of one array whose coordinates are kept."""
_LOCAL_BATCH: Final = 32
"""Links that a thread checks at a time where blocks are near: starting a call costs as much as hashing a small one."""

_FAR_THREADS: Final = 32
"""Blocks that are read at a time where they are far away: most of the time is spent waiting."""


class _Checked(NamedTuple):
    blocks: int
    bytes: int
    error: Exception | None


@dataclass
class _Damage:
    """What is lost of one array."""

    array: ArrayAt
    lost: dict[Kind, int] = field(default_factory=dict)
    points: set[Coordinates] = field(default_factory=set)
    is_complete: bool = True


class _Verification:
    """One verification, and its findings until now."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._damage: dict[str, _Damage] = {}
        self.keys = self.blocks = self.bytes = self.failed = 0
        self.failures: list[Failure] = []

    def count(self, checked: _Checked) -> None:
        """Count what was read."""
        self.keys += 1
        self.blocks += checked.blocks
        self.bytes += checked.bytes
        if self._progress is not None:
            self._progress("verifying", self.bytes, None)

    def fail(self, path: str, cid: bytes, error: Exception, keys: int | None) -> Kind:
        """Note that a block is lost."""
        kind: Kind = "unreachable"
        if isinstance(error, BlockMissingError):
            kind = "missing"
        elif isinstance(error, (BlockCorruptError, NodeError)):
            kind = "damaged"
        self.failed += 1
        if len(self.failures) < _MOST_FAILURES:
            self.failures.append(Failure(path, cids.from_validated(cid), kind, str(error), keys))
        return kind

    def lose_chunk(self, link: Link, error: Exception) -> None:
        """Note that the value of a key is lost."""
        kind = self.fail(link.key, link.cid, error, 1)
        if link.array is None:
            return
        start = len(link.array.path) + 1 if link.array.path else 0
        point = coordinates_of(link.key[start:])
        if point is not None:
            self._lose(link.array, kind, 1, (point,))

    def lose_node(self, lost: Lost) -> None:
        """Note that a node is lost, and with it what is below it."""
        kind = self.fail(lost.path, lost.cid, lost.error, lost.keys)
        if lost.array is not None and lost.first is not None:
            points = chunks_between(lost.array.documents, lost.first, lost.end)
            self._lose(lost.array, kind, lost.keys or 0, points)

    def _lose(self, array: ArrayAt, kind: Kind, count: int, points: Iterable[Coordinates] | None) -> None:
        damage = self._damage.setdefault(array.path, _Damage(array))
        damage.lost[kind] = damage.lost.get(kind, 0) + count
        if points is None:
            damage.is_complete = False
            return
        points = iter(points)
        damage.points.update(islice(points, max(0, _MOST_POINTS - len(damage.points))))
        if next(points, None) is not None:
            damage.is_complete = False

    def report(self, root: bytes, labels: Labels | None) -> VerifyReport:
        """Return the report."""
        arrays = tuple(
            ArrayDamage(
                path,
                damage.lost,
                regions_of(damage.array.documents, damage.points, path, labels),
                damage.is_complete,
            )
            for path, damage in sorted(self._damage.items())
        )
        return VerifyReport(
            cids.from_validated(root), self.keys, self.blocks, self.bytes, arrays, tuple(self.failures), self.failed
        )


def verify(
    castore: ContentAddressableStore, root: bytes, progress: Progress | None = None, store: Store | None = None
) -> VerifyReport:
    """Read every block that a root reaches, and say what is lost. It goes on behind each block that is.

    A block that several keys link is read for each. In memory are the nodes on the way down, and what is lost.

    :param root: binary CID of the root of a dataset
    :param progress: called as the work goes on
    :param store: the same dataset, open to read, whose coordinates say where regions are; None for regions by index
    :raises IPLDStoreError: if the root itself cannot be read
    """
    labels = None if store is None else Labels(store)
    data = Dataset(castore, root)
    found = _Verification(progress)
    if data.tree.foreign is not None:
        _verify_foreign(data, found)
        return found.report(root, labels)
    nodes = nodes_of(castore)
    top = root_of(nodes, root)
    found.blocks += 1
    walked = _nodes_apart(Walk(nodes, document_reader(castore, nodes)).run(top, root), found)
    size, threads = (_LOCAL_BATCH, THREADS) if castore.local else (1, _FAR_THREADS)
    batches = _batches(walked, size)
    for batch, results in in_order(lambda batch: [_check(castore, link) for link in batch], batches, threads=threads):
        for link, checked in zip(batch, results, strict=True):
            found.count(checked)
            if checked.error is not None:
                found.lose_chunk(link, checked.error)
    return found.report(root, labels)


def _nodes_apart(walked: Iterator[Found], found: _Verification) -> Iterator[Link]:
    """Yield the links, and note all else."""
    for each in walked:
        if isinstance(each, Link):
            yield each
        elif isinstance(each, Document):
            found.keys += 1
        else:
            found.lose_node(each)


def _batches(links: Iterator[Link], size: int) -> Iterator[list[Link]]:
    while batch := list(islice(links, size)):
        yield batch


def _check(castore: ContentAddressableStore, link: Link) -> _Checked:
    """Read all blocks of a value; each is verified by the block store."""
    blocks = size = 0
    try:
        if cids.codec_of(link.cid) == cids.RAW:
            return _Checked(1, len(castore.get_raw(link.cid)), None)
        for _, data in castore.get_dag(link.cid):
            blocks += 1
            size += len(data)
    except LOWER_ERRORS as error:
        return _Checked(blocks, size, translated(f"reading {link.key!r}", error))
    return _Checked(blocks, size, None)


def _verify_foreign(data: Dataset, found: _Verification) -> None:
    """Read all values of a root of another maker. A node that is lost ends the listing, as its form is not ours."""
    root = data.frozen()
    try:
        for key, target in data.items():
            try:
                value = data.values.read(key, target, WHOLE, lambda document: document)
            except IPLDStoreError as error:
                found.fail(key, target if isinstance(target, bytes) else root, error, 1)
            else:
                found.count(_Checked(1, len(value), None))
    except IPLDStoreError as error:
        found.fail("", root, error, None)
